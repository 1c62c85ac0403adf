//! A host's counters as text for Prometheus and others.
//!
//! There are two forms: OpenMetrics, and the older one of Prometheus, which tools such as promtool read.
//! The values come from one read of the state, which does not look at entries, so that a scrape costs as
//! little however many there are.

use crate::state::{Counters, Summary, Times};
use std::fmt::Write;

/// The form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

impl Form {
    /// What an HTTP answer calls it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The text for a host.
pub fn text(summary: &Summary, form: Form) -> String {
    let mut text = Text { out: String::new(), form };
    let Summary { version, forwarder, uptime, limits, counters: c, .. } = summary;
    let host = [("version", version.as_str()), ("forwarder", forwarder.as_str())];
    text.family(
        "mgm_build_info",
        Kind::Gauge,
        "The version of libmgm and what carries the packets.",
    );
    text.sample("mgm_build_info", &host, 1);
    text.family("mgm_uptime_seconds", Kind::Gauge, "The time since the group manager started.");
    text.sample("mgm_uptime_seconds", &[], *uptime);

    text.family(
        "mgm_entries",
        Kind::Gauge,
        "Forwarding entries and flows that are about to be some.",
    );
    for (state, count) in [
        ("forwarding", c.mfes.saturating_sub(c.negative_mfes)),
        ("negative", c.negative_mfes),
        ("pending", c.pending_flows),
    ] {
        text.sample("mgm_entries", &[("state", state)], count);
    }
    text.family("mgm_entries_limit", Kind::Gauge, "The most forwarding entries there may be.");
    text.sample("mgm_entries_limit", &[("state", "all")], limits.max_mfes);
    text.sample("mgm_entries_limit", &[("state", "negative")], limits.max_negative_mfes);
    for (name, help, value) in [
        (
            "mgm_memberships",
            "Memberships, each interface's and client's counted apart.",
            c.memberships,
        ),
        ("mgm_groups", "Different sources and groups with members.", c.groups),
        ("mgm_clients", "Registered clients.", c.clients),
        ("mgm_queued_alerts", "Callbacks that wait for their clients.", c.queued_alerts),
    ] {
        text.family(name, Kind::Gauge, help);
        text.sample(name, &[], value);
    }
    text.family(
        "mgm_upcalls",
        Kind::Counter,
        "Reports of packets: flows without an entry, wrong interfaces.",
    );
    text.sample("mgm_upcalls_total", &[("reason", "new_flow")], c.new_flows);
    text.sample("mgm_upcalls_total", &[("reason", "wrong_interface")], c.wrong_interface);
    for (name, help, value) in [
        ("mgm_refused_flows", "New flows refused at the limits.", c.refused_flows),
        (
            "mgm_refused_changes",
            "Changes of entries that the forwarder refused.",
            c.refused_changes,
        ),
    ] {
        text.family(name, Kind::Counter, help);
        text.sample(&format!("{name}_total"), &[], value);
    }
    own_counters(&mut text, c);
    text.family(
        "mgm_callback_duration_seconds",
        Kind::Histogram,
        "How long clients' callbacks took.",
    );
    c.callbacks.iter().for_each(|times| histogram(&mut text, times));
    if form == Form::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    text.out
}

/// What the forwarder counts itself, under whatever names it has.
fn own_counters(text: &mut Text, counters: &Counters) {
    let counted: Vec<_> = counters.forwarder.iter().filter(|(name, _)| is_name(name)).collect();
    if counted.is_empty() {
        return;
    }
    text.family(
        "mgm_forwarder_events",
        Kind::Counter,
        "What the forwarder counts; mgm_control(7) has the names.",
    );
    for (name, count) in counted {
        text.sample("mgm_forwarder_events_total", &[("event", name)], *count);
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 64
        && name.bytes().all(|one| one.is_ascii_lowercase() || one == b'_')
}

fn histogram(text: &mut Text, times: &Times) {
    let callback = ("callback", times.callback.as_str());
    let seconds = |ms: u64| format!("{:?}", ms as f64 / 1000.0);
    for within in &times.within {
        let le = seconds(within.milliseconds);
        text.sample("mgm_callback_duration_seconds_bucket", &[callback, ("le", &le)], within.count);
    }
    text.sample("mgm_callback_duration_seconds_bucket", &[callback, ("le", "+Inf")], times.count);
    text.sample("mgm_callback_duration_seconds_sum", &[callback], seconds(times.milliseconds));
    text.sample("mgm_callback_duration_seconds_count", &[callback], times.count);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

struct Text {
    out: String,
    form: Form,
}

impl Text {
    /// Begins the samples of a name, which for a counter lacks the ending _total.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        // Prometheus' own form names a counter as its samples.
        let total =
            if kind == Kind::Counter && self.form == Form::Prometheus { "_total" } else { "" };
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.out, "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}");
        if self.form == Form::OpenMetrics && name.ends_with("_seconds") {
            let _ = writeln!(self.out, "# UNIT {name} seconds");
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.out.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{}{label}=\"{value}\"", if at == 0 { "{" } else { "," });
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        serde_json::from_str(
            r#"{"version":"1\"\\","forwarder":"kernel","uptime":7,
            "limits":{"max_mfes":40,"max_negative_mfes":10},
            "counters":{"mfes":5,"negative_mfes":2,"new_flows":9,"forwarder":{"entries_lost":3,"no name":1},
            "callbacks":[{"callback":"rpf","count":4,"milliseconds":1250,
                "within":[{"milliseconds":10,"count":3},{"milliseconds":1000,"count":4}]}]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn both_forms() {
        let open = text(&summary(), Form::OpenMetrics);
        let lines: Vec<_> = open.lines().collect();
        for line in [
            r#"mgm_build_info{version="1\"\\",forwarder="kernel"} 1"#,
            "# UNIT mgm_uptime_seconds seconds",
            r#"mgm_entries{state="forwarding"} 3"#,
            "# TYPE mgm_upcalls counter",
            r#"mgm_upcalls_total{reason="new_flow"} 9"#,
            r#"mgm_forwarder_events_total{event="entries_lost"} 3"#,
            r#"mgm_callback_duration_seconds_bucket{callback="rpf",le="0.01"} 3"#,
            r#"mgm_callback_duration_seconds_bucket{callback="rpf",le="1.0"} 4"#,
            r#"mgm_callback_duration_seconds_bucket{callback="rpf",le="+Inf"} 4"#,
            r#"mgm_callback_duration_seconds_sum{callback="rpf"} 1.25"#,
        ] {
            assert!(lines.contains(&line), "{line}: {open}");
        }
        assert_eq!(lines.last(), Some(&"# EOF"));
        assert!(!open.contains("no name"));
        let old = text(&summary(), Form::Prometheus);
        assert!(old.contains("# TYPE mgm_upcalls_total counter\n") && !old.contains("EOF"));
        assert!(!old.contains("UNIT"));
    }

    /// Each sample belongs to the family before it, each family comes once.
    #[test]
    fn samples_follow_their_family() {
        for form in [Form::OpenMetrics, Form::Prometheus] {
            let text = text(&summary(), form);
            let (mut family, mut seen) = ("", std::collections::BTreeSet::new());
            for line in text.lines().filter(|line| *line != "# EOF") {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    family = rest.split(' ').next().unwrap();
                    assert!(seen.insert(family), "{family} comes twice");
                } else if !line.starts_with('#') {
                    let name = line.split(['{', ' ']).next().unwrap();
                    let endings = ["", "_total", "_bucket", "_sum", "_count"];
                    assert!(
                        endings.iter().any(|end| name.strip_suffix(end) == Some(family)),
                        "{line}"
                    );
                    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
    }
}
