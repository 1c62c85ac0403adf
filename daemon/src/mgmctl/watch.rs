//! The busiest entries, as top shows processes.

use crate::options::{Filter, Sort, Watch};
use crate::screen::{self, Event, Screen};
use crate::show::{MFES, MfeRow, mfe_cells};
use crate::text;
use crate::view::{self, Names, ViewError};
use mgm_daemon::control;
use mgm_daemon::state::{Mfe, Summary};
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

/// The counters of entries at a moment.
#[derive(Default)]
pub struct Look {
    at: Option<Instant>,
    entries: HashMap<(Ipv4Addr, Ipv4Addr), Seen>,
}

/// What an entry had counted.
#[derive(Clone, Copy)]
struct Seen {
    uptime: u64,
    packets: u32,
    octets: u32,
}

impl Look {
    /// Adds the rates since the look before, which this one takes the place of.
    pub fn rates(&mut self, mfes: Vec<Mfe>, now: Instant) -> Vec<MfeRow> {
        let seconds = self.at.map(|at| now.saturating_duration_since(at).as_secs_f64().max(0.001));
        let mut entries = HashMap::with_capacity(mfes.len());
        let rows = mfes.into_iter().map(|mfe| {
            let flow = (mfe.group, mfe.source);
            let before = self.entries.get(&flow).filter(|before| before.uptime <= mfe.uptime);
            // Without a look before, what counts is the time since the entry was made.
            let since = match (before, seconds) {
                (Some(_), Some(seconds)) => seconds,
                (None, Some(seconds)) => seconds.min(mfe.uptime as f64 + 1.0),
                (_, None) => mfe.uptime.max(1) as f64,
            };
            // The counters wrap.
            let packets = mfe.packets.wrapping_sub(before.map_or(0, |before| before.packets));
            let octets = mfe.octets.wrapping_sub(before.map_or(0, |before| before.octets));
            let seen = Seen { uptime: mfe.uptime, packets: mfe.packets, octets: mfe.octets };
            entries.insert(flow, seen);
            MfeRow { mfe, rate: f64::from(packets) / since, bits: f64::from(octets) * 8.0 / since }
        });
        let rows = rows.collect();
        (self.at, self.entries) = (Some(now), entries);
        rows
    }
}

/// Puts what is wanted first.
fn order(sort: Sort, a: &MfeRow, b: &MfeRow) -> Ordering {
    let flow = |row: &MfeRow| (row.mfe.group, row.mfe.source);
    let first = match sort {
        Sort::Rate => b.rate.total_cmp(&a.rate),
        Sort::Packets => Reverse(a.mfe.packets).cmp(&Reverse(b.mfe.packets)),
        Sort::Uptime => a.mfe.uptime.cmp(&b.mfe.uptime),
        Sort::Group => Ordering::Equal,
        Sort::Source => a.mfe.source.cmp(&b.mfe.source),
    };
    first.then_with(|| flow(a).cmp(&flow(b)))
}

/// The lines of [`Sight::head`].
const HEAD_LINES: usize = 4;

/// Watches until the user ends it. A key changes the order of what was seen; it causes no look, since rates
/// over a moment say nothing.
pub fn watch(host: &Path, options: &Watch) -> Result<(), ViewError> {
    let interval = Duration::from_secs_f64(options.interval);
    let (mut sort, mut look, mut looks) = (options.sort, Look::default(), 0);
    // A first one that fails is told as any other command's.
    let mut seen = Ok(Sight::read(host, &options.filter, &mut look)?);
    let screen = Screen::open()?;
    loop {
        looks += 1;
        let next = Instant::now() + interval;
        loop {
            screen.show(&match &seen {
                Ok(sight) => sight.text(host, sort)?,
                Err(told) => String::clone(told),
            })?;
            if options.looks.is_some_and(|most| looks >= most) {
                return Ok(());
            }
            match screen.wait(next)? {
                Event::Time => break,
                Event::End | Event::Key(b'q' | b'Q') => return Ok(()),
                Event::Key(b'r') => sort = Sort::Rate,
                Event::Key(b'p') => sort = Sort::Packets,
                Event::Key(b'u') => sort = Sort::Uptime,
                Event::Key(b'g') => sort = Sort::Group,
                Event::Key(b's') => sort = Sort::Source,
                Event::Key(_) => {}
            }
        }
        seen = match Sight::read(host, &options.filter, &mut look) {
            Ok(sight) => Ok(sight),
            // A host that is started again is found again.
            Err(ViewError::Ask(error)) => Err(format!("{}  {error}", text::now())),
            Err(error) => return Err(error),
        };
    }
}

/// What was seen at one look.
struct Sight {
    at: String,
    summary: Summary,
    names: Names,
    rows: Vec<MfeRow>,
}

impl Sight {
    fn read(host: &Path, filter: &Filter, look: &mut Look) -> Result<Self, ViewError> {
        let (summary, names) = (control::summary(host)?, Names::read(host)?);
        let rows = look.rates(view::mfes(host, filter)?, Instant::now());
        Ok(Self { at: text::now(), summary, names, rows })
    }

    /// As many entries as the terminal has lines for.
    fn text(&self, host: &Path, sort: Sort) -> Result<String, ViewError> {
        let (columns, lines) = screen::size();
        let mut rows: Vec<&MfeRow> = self.rows.iter().collect();
        let shown = lines.saturating_sub(HEAD_LINES + 1).min(rows.len());
        if shown < rows.len() && shown > 0 {
            rows.select_nth_unstable_by(shown - 1, |a, b| order(sort, a, b));
            rows.truncate(shown);
        }
        rows.sort_unstable_by(|a, b| order(sort, a, b));
        let mut text = self.head(host, sort);
        let mut table = Vec::new();
        MFES.write(&mut table, columns, &rows, &|row| mfe_cells(row, &self.names))?;
        text.push_str(&String::from_utf8_lossy(&table));
        Ok(text)
    }

    fn head(&self, host: &Path, sort: Sort) -> String {
        let Summary { version, forwarder, uptime, counters: c, .. } = &self.summary;
        let sum = |(p, b), row: &MfeRow| (p + row.rate, b + row.bits);
        let (packets, bits) = self.rows.iter().fold((0.0, 0.0), sum);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}  {}  libmgm {} {}, up {}",
            self.at,
            host.display(),
            version.as_str(),
            forwarder.as_str(),
            text::duration(*uptime)
        );
        let _ = writeln!(
            text,
            "{} entries, {} negative, {} asked about; {} members, {} clients, {} alerts wait",
            c.mfes, c.negative_mfes, c.pending_flows, c.memberships, c.clients, c.queued_alerts
        );
        let _ = writeln!(
            text,
            "{} packets/s, {} bit/s; so far {} flows, {} refused, {} wrong interface",
            text::rate(packets),
            text::rate(bits),
            c.new_flows,
            c.refused_flows,
            c.wrong_interface
        );
        let mark =
            |wanted, name: &str| if sort == wanted { format!("[{name}]") } else { name.to_owned() };
        let _ = writeln!(
            text,
            "Sort: {} {} {} {} {}   q ends",
            mark(Sort::Rate, "r:rate"),
            mark(Sort::Packets, "p:packets"),
            mark(Sort::Uptime, "u:uptime"),
            mark(Sort::Group, "g:group"),
            mark(Sort::Source, "s:source")
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgm_daemon::state::{Interface, Name};

    fn mfe(source: u8, uptime: u64, packets: u32) -> Mfe {
        let iif = Interface { index: 1, next_hop: Ipv4Addr::UNSPECIFIED, name: Name::default() };
        Mfe {
            group: [239, 1, 1, 1].into(),
            source: [10, 0, 0, source].into(),
            iif,
            iif_protocol_number: 0,
            upstream: Ipv4Addr::UNSPECIFIED,
            resolved: true,
            uptime,
            expires: 900,
            packets,
            octets: packets.wrapping_mul(100),
            wrong_interface: 0,
            oifs: Box::new([]),
        }
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let (mut look, start) = (Look::default(), Instant::now());
        let rates = |look: &mut Look, mfes, at: u64| {
            let rows = look.rates(mfes, start + Duration::from_secs(at));
            rows.iter().map(|row| row.rate).collect::<Vec<_>>()
        };
        assert_eq!(rates(&mut look, vec![mfe(1, 50, 100), mfe(2, 0, 3)], 0), [2.0, 3.0]);
        // One goes on, one wrapped around, one is new, one was made anew.
        let before = vec![mfe(1, 51, 110), mfe(2, 1, u32::MAX - 1), mfe(3, 20, 7)];
        rates(&mut look, before, 1);
        let now = vec![mfe(1, 53, 130), mfe(2, 3, 8), mfe(3, 1, 4), mfe(4, 0, 6)];
        assert_eq!(rates(&mut look, now, 3), [10.0, 5.0, 2.0, 6.0]);
    }

    #[test]
    fn the_order_is_the_wanted_one() {
        let rows = [(1, 9, 10), (2, 5, 30), (3, 7, 20)].map(|(s, up, n)| {
            let rate = f64::from(u32::from(s == 3));
            MfeRow { mfe: mfe(s, up, n), rate, bits: 0.0 }
        });
        for (sort, expected) in [
            (Sort::Rate, [3, 1, 2]),
            (Sort::Packets, [2, 3, 1]),
            (Sort::Uptime, [2, 3, 1]),
            (Sort::Source, [1, 2, 3]),
        ] {
            let mut sorted: Vec<_> = rows.iter().collect();
            sorted.sort_by(|a, b| order(sort, a, b));
            let found: Vec<_> = sorted.iter().map(|row| row.mfe.source.octets()[3]).collect();
            assert_eq!(found, expected, "{sort:?}");
        }
    }
}
