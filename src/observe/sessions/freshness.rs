//! What `freshnessQuery` returns, as a time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Numbers above this are milliseconds: as seconds they would lie beyond the year 5138.
const MOST_SECONDS: i64 = 100_000_000_000;

/// The time a whole number means: seconds or milliseconds since 1970.
pub(super) fn time_of_integer(n: i64) -> Option<Timestamp> {
    if n.unsigned_abs() > MOST_SECONDS.unsigned_abs() {
        Timestamp::from_millisecond(n).ok()
    } else {
        Timestamp::from_second(n).ok()
    }
}

/// The time a number means: seconds or milliseconds since 1970.
pub(super) fn time_of_real(n: f64) -> Option<Timestamp> {
    // `as` saturates, and the ends are no timestamps
    let milliseconds = if n.abs() > MOST_SECONDS as f64 { n } else { n * 1000.0 };
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

/// The time a text means; without an offset it is UTC.
pub(super) fn time_of_text(text: &str) -> Option<Timestamp> {
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
            assert_eq!(time_of_text(text), Some(noon), "{text}");
        }
        let seconds = noon.as_second();
        assert_eq!(time_of_integer(seconds), Some(noon));
        assert_eq!(time_of_integer(seconds * 1000), Some(noon));
        assert_eq!(time_of_real(seconds as f64), Some(noon));
        assert_eq!(time_of_real(seconds as f64 * 1000.0), Some(noon));
        let text = "2024-06-01 12:00:00.250";
        assert_eq!(time_of_text(text), Timestamp::from_millisecond(seconds * 1000 + 250).ok());
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in ["", "yesterday", "12:00:00", "1717243200", "2024-06-01T12:00:00[Europe/Berlin]", "2024-13-01"] {
            assert_eq!(time_of_text(text), None, "{text}");
        }
        assert_eq!(time_of_integer(i64::MAX), None);
        assert_eq!(time_of_integer(i64::MIN), None);
        assert_eq!(time_of_real(f64::INFINITY), None);
    }
}
