//! When sweeps run, and when deletion is allowed.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::convert::{HOUR, MINUTE, duration};
use super::faults::Faults;
use crate::api;
use crate::clock::after;

/// When sweeps run, and when deletion is allowed.
#[derive(Clone, Debug)]
pub struct Schedule {
    timing: Timing,
    zone: TimeZone,
    windows: Vec<Window>,
    text: String,
}

#[derive(Clone, Debug)]
enum Timing {
    Every(Duration),
    Cron(Box<Cron>),
}

/// A time in which deletion is allowed.
#[derive(Clone, Debug)]
struct Window {
    start: Cron,
    length: Duration,
}

/// Deletion is not allowed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// When the next window opens; `None` where none ever does.
    pub opens: Option<Timestamp>,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of spec.schedule.windows is open, so nothing is taken away; ")?;
        match self.opens {
            Some(opens) => write!(f, "the next one opens at {}", opens.strftime("%Y-%m-%d %H:%MZ")),
            None => f.write_str("none ever opens: correct their start"),
        }
    }
}

impl Schedule {
    pub(super) fn parse(spec: &api::ScheduleSpec, faults: &mut Faults) -> Option<Self> {
        let zone = match &spec.time_zone {
            Some(name) => {
                let unknown = "is no time zone that is known here; write one as in Europe/Berlin";
                faults.check("spec.schedule.timeZone", name, TimeZone::get(name).map_err(|_| unknown))
            }
            None => Some(TimeZone::UTC),
        };
        let timing = match (&spec.every, &spec.cron) {
            (_, Some(text)) => cron("spec.schedule.cron", text, faults).map(|cron| Timing::Cron(Box::new(cron))),
            (Some(every), None) => {
                duration("spec.schedule.every", every, MINUTE, 168 * HOUR, faults).map(Timing::Every)
            }
            (None, None) => Some(Timing::Every(DEFAULT_EVERY)),
        };
        let mut windows = Vec::new();
        for (index, window) in spec.windows.iter().flatten().enumerate() {
            let field = |name: &str| format!("spec.schedule.windows[{index}].{name}");
            let start = cron(&field("start"), &window.start, faults);
            let length = duration(&field("duration"), &window.duration, MINUTE, 168 * HOUR, faults);
            if let (Some(start), Some(length)) = (start, length) {
                windows.push(Window { start, length });
            }
        }
        let zone = zone?;
        let named = || zone.iana_name().unwrap_or("UTC");
        let text = match (&spec.cron, timing.as_ref()?) {
            (Some(cron), _) => format!("cron {cron} ({})", named()),
            (None, Timing::Every(every)) => format!("every {}", crate::report::text::length(*every)),
            (None, Timing::Cron(_)) => String::new(),
        };
        let text = if windows.is_empty() { text } else { format!("{text}, deletes only in windows ({})", named()) };
        Some(Self { timing: timing?, zone, windows, text })
    }

    /// As people read it: `every 15m`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When the sweep is due that follows the one that was due at `last`: after `now`, so that what was missed is not made up
    /// for. With `every` the distance is kept, so that it never drifts; `None` where a cron expression never comes true
    /// again.
    pub fn next(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match &self.timing {
            Timing::Every(every) => {
                let passed = u128::try_from(now.duration_since(last).as_nanos()).unwrap_or(0);
                let steps = passed / every.as_nanos().max(1) + 1;
                let ahead = every.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
                Some(after(last, ahead))
            }
            Timing::Cron(cron) => self.occurrence(cron, now),
        }
    }

    /// The longest time by which starts of several resources may be spread: a tenth of `every`; nothing for a cron
    /// expression, whose times are meant as they are written.
    pub fn spread(&self) -> Duration {
        match &self.timing {
            Timing::Every(every) => *every / 10,
            Timing::Cron(_) => Duration::ZERO,
        }
    }

    /// Whether deletion is allowed now.
    ///
    /// # Errors
    /// That it is not, and when it will be.
    pub fn open(&self, now: Timestamp) -> Result<(), Closed> {
        if self.windows.is_empty() || self.windows.iter().any(|window| self.is_in(window, now)) {
            return Ok(());
        }
        Err(Closed { opens: self.windows.iter().filter_map(|window| self.occurrence(&window.start, now)).min() })
    }

    fn is_in(&self, window: &Window, now: Timestamp) -> bool {
        let begun = window.start.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true);
        // What cannot be told is no window.
        begun.is_ok_and(|begun| {
            SignedDuration::try_from(window.length).is_ok_and(|l| now.duration_since(begun.timestamp()) < l)
        })
    }

    fn occurrence(&self, cron: &Cron, now: Timestamp) -> Option<Timestamp> {
        let found = cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false);
        found.ok().map(|zoned| zoned.timestamp())
    }
}

/// The default of the API, for a spec that came past its schema.
const DEFAULT_EVERY: Duration = Duration::from_secs(15 * 60);

/// A cron expression with five fields.
fn cron(field: &str, text: &str, faults: &mut Faults) -> Option<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let parsed = parser.parse(text).map_err(|error| format!("is no cron expression: {error}"));
    faults.check(field, text, parsed)
}
