//! Times, lengths and sizes as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// So many workspaces: `1 workspace`, `2 workspaces`.
pub fn workspaces(count: u64) -> String {
    format!("{count} workspace{}", if count == 1 { "" } else { "s" })
}

/// A length in its largest whole units: `36h`, `1h30m`, `250ms`.
pub fn length(length: Duration) -> String {
    let ms = length.as_millis();
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "m"), (ms / 1_000 % 60, "s"), (ms % 1_000, "ms")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".into() } else { text }
}

/// How long before `now` a time was: `3h12m ago`, `just now`.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    match between(time, now) {
        Some(passed) if passed >= Duration::from_secs(1) => format!("{} ago", rough(passed)),
        Some(_) => "just now".into(),
        None => until(time, now),
    }
}

/// How long after `now` a time is: `in 6d23h`, `now`.
pub fn until(time: Timestamp, now: Timestamp) -> String {
    match between(now, time) {
        Some(left) if left >= Duration::from_secs(1) => format!("in {}", rough(left)),
        _ => "now".into(),
    }
}

/// A size with a binary unit: `1.5 GiB`, `512 B`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn between(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}

/// The two largest units only.
fn rough(length: Duration) -> String {
    let s = length.as_secs();
    let parts = [(s / 86_400, "d"), (s / 3_600 % 24, "h"), (s / 60 % 60, "m"), (s % 60, "s")];
    parts.iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0).map(|(n, u)| format!("{n}{u}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_sizes_and_times_read_as_people_write_them() {
        assert_eq!(length(Duration::from_secs(36 * 3600)), "36h");
        assert_eq!(length(Duration::from_millis(5_400_250)), "1h30m250ms");
        assert_eq!(length(Duration::ZERO), "0s");
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MiB");
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |s: i64| Timestamp::from_second(1_000_000 + s).unwrap();
        assert_eq!(ago(at(-3 * 3600 - 720), now), "3h12m ago");
        assert_eq!(ago(at(0), now), "just now");
        assert_eq!(ago(at(60), now), "in 1m");
        assert_eq!(until(at(6 * 86_400 + 23 * 3600 + 59), now), "in 6d23h");
        assert_eq!(until(at(-1), now), "now");
    }
}
