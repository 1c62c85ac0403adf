//! Numbers, times and addresses as short texts.

use mgm_daemon::state::Mfe;
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A number of seconds in at most six characters: 59s, 3m12s, 1h05m, 3d04h, 520d.
pub fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        86_400..8_640_000 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// A number in at most seven characters.
pub fn count(number: u64) -> String {
    if number < 10_000_000 { number.to_string() } else { short(number as f64) }
}

/// A rate in at most six characters.
pub fn rate(number: f64) -> String {
    match number {
        n if !n.is_finite() || n < 0.05 => "0".into(),
        n if n < 9.95 => format!("{n:.1}"),
        n if n < 99_999.5 => format!("{n:.0}"),
        n => short(n),
    }
}

fn short(number: f64) -> String {
    let mut number = number;
    for unit in ["", "k", "M", "G", "T", "P"] {
        if number < 999.5 {
            let places = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
            return format!("{number:.places$}{unit}");
        }
        number /= 1000.0;
    }
    format!("{number:.1e}")
}

/// A source or group of a membership, where 0.0.0.0 stands for any.
pub fn any(address: Ipv4Addr) -> String {
    if address.is_unspecified() { "*".into() } else { address.to_string() }
}

/// What kind of entry it is; [`FLAGS`] explains the letters.
pub fn flags(mfe: &Mfe) -> String {
    let kind = match (mfe.resolved, mfe.oifs.is_empty()) {
        (_, false) => "F",
        (true, true) => "N",
        (false, true) => "U",
    };
    format!("{kind}{}", if mfe.wrong_interface > 0 { "W" } else { "" })
}

/// What the letters of [`flags`] mean.
pub const FLAGS: &str = "F forwards, N no outgoing interface, U no route/owner, W wrong interface";

/// The time of day, in UTC.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let of_day = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let all = [0, 59, 60, 3599, 3600, 86_399, 86_400, 8_639_999, 8_640_000].map(duration);
        let expected =
            ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "99d23h", "100d"];
        assert_eq!(all, expected);
        assert!(duration(u64::MAX).ends_with('d'));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 9_999_999, 10_000_000].map(count), ["0", "9999999", "10.0M"]);
        assert_eq!(count(u64::from(u32::MAX)), "4.29G");
        let rates = [0.0, 0.04, 0.31, 9.94, 9.96, 1234.4, 123_456.0, f64::NAN].map(rate);
        assert_eq!(rates, ["0", "0", "0.3", "9.9", "10", "1234", "123k", "0"]);
        for number in [999_499_999, 999_500_000, u64::MAX] {
            assert!(count(number).len() <= 7, "{}", count(number));
        }
    }
}
