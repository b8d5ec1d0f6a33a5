//! What `freshnessQuery` returns, as a time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::types::ValueRef;

/// Numbers above this are milliseconds: as seconds they would lie beyond the year 5138.
const MOST_SECONDS: i64 = 100_000_000_000;

/// The time a value means, `None` where it means none. Text without an offset is UTC, as SQLite's own functions write it.
pub(super) fn time_of(value: ValueRef<'_>) -> Option<Timestamp> {
    match value {
        ValueRef::Integer(n) if n.unsigned_abs() > MOST_SECONDS.unsigned_abs() => Timestamp::from_millisecond(n).ok(),
        ValueRef::Integer(n) => Timestamp::from_second(n).ok(),
        ValueRef::Real(n) => real(n),
        ValueRef::Text(text) => text_time(std::str::from_utf8(text).ok()?),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

fn real(n: f64) -> Option<Timestamp> {
    // `as` saturates, and the ends are no timestamps
    let milliseconds = if n.abs() > MOST_SECONDS as f64 { n } else { n * 1000.0 };
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

fn text_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    // jiff reads `…[Europe/Berlin]` as a civil time and drops the zone: hours off is worse than no answer.
    if text.contains('[') {
        return None;
    }
    TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_of_one_instant_is_that_instant() {
        let noon: Timestamp = "2024-06-01T12:00:00Z".parse().unwrap();
        for text in [
            "2024-06-01T12:00:00Z",
            "2024-06-01T14:00:00+02:00",
            "2024-06-01 14:00:00+02:00",
            "2024-06-01 12:00:00",
            "2024-06-01T12:00:00",
            "2024-06-01 12:00",
            "2024-06-01 12:00:00.000",
        ] {
            assert_eq!(time_of(ValueRef::Text(text.as_bytes())), Some(noon), "{text}");
        }
        let seconds = noon.as_second();
        assert_eq!(time_of(ValueRef::Integer(seconds)), Some(noon));
        assert_eq!(time_of(ValueRef::Integer(seconds * 1000)), Some(noon));
        assert_eq!(time_of(ValueRef::Real(seconds as f64)), Some(noon));
        assert_eq!(time_of(ValueRef::Real(seconds as f64 * 1000.0)), Some(noon));
        let text = b"2024-06-01 12:00:00.250";
        assert_eq!(time_of(ValueRef::Text(text)), Timestamp::from_millisecond(seconds * 1000 + 250).ok());
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in ["", "yesterday", "12:00:00", "1717243200", "2024-06-01T12:00:00[Europe/Berlin]", "2024-13-01"] {
            assert_eq!(time_of(ValueRef::Text(text.as_bytes())), None, "{text}");
        }
        assert_eq!(time_of(ValueRef::Null), None);
        assert_eq!(time_of(ValueRef::Blob(b"2024-06-01")), None);
        assert_eq!(time_of(ValueRef::Integer(i64::MAX)), None);
        assert_eq!(time_of(ValueRef::Integer(i64::MIN)), None);
        assert_eq!(time_of(ValueRef::Real(f64::INFINITY)), None);
    }
}
