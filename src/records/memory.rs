//! What one sweep remembers for the next: live counts of the last days, since when it was observed without a gap, what
//! the spec said, and orphans that were inspected and kept.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{RecordsError, read, write};
use crate::clock::{after, before};
use crate::fsio::Dir;
use crate::observe::InspectionNote;

/// The file below `.hygiene`.
pub const MEMORY: &str = "memory.json";
/// The watch is written down again once so much of it is not, so that an idle volume is not written to by each sweep.
const WATCH_STEP: Duration = Duration::from_secs(60 * 60);
/// Longest time between two complete observations that are one unbroken watch: a day (DESIGN, promise 1), what of the watch
/// may not be written down yet, and some minutes for a daily sweep that begins late.
const GAP: Duration = Duration::from_secs(24 * 60 * 60 + 60 * 60 + 15 * 60);
/// How long a live count is remembered for `maxSessionDropPercent`.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Live counts are kept as the highest of each stretch of this length.
const STRETCH: Duration = Duration::from_secs(6 * 60 * 60);

/// What one sweep remembers for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// The highest live count of each stretch, by its start, oldest first.
    pub live: Vec<LiveCount>,
    /// Orphans that were inspected and kept, by name.
    pub inspected: BTreeMap<String, InspectionNote>,
    /// The stretch of time in which complete observations followed one another without a gap of more than a day.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub watch: Option<Watch>,
    /// Hash of what the spec said of volume, workspaces, sessions and containers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spec: Option<String>,
    /// How far the file server's clock is ahead of the host's that swept last, in seconds.
    #[serde(default)]
    pub server_ahead_seconds: i64,
    /// Sweeps, one after the other, in which the service was not well when something was to be taken away.
    #[serde(skip_serializing_if = "is_none", default)]
    pub closures: u32,
    /// How far the database had come when the watch was last written down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<u64>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// An unbroken stretch of complete observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The first.
    pub since: Timestamp,
    /// The last.
    pub until: Timestamp,
}

/// A live count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCount {
    /// When it was seen, the start of its stretch.
    pub at: Timestamp,
    /// How many sessions were live at most.
    pub live: u64,
}

impl Memory {
    /// Reads what is remembered; nothing where there is no memory yet.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn read(dir: &Dir) -> Result<Self, RecordsError> {
        Ok(read(dir, MEMORY)?.unwrap_or_default())
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Dir) -> Result<(), String> {
        write(dir, MEMORY, self)
    }

    /// Whether any sweep has written it: every one that observed in full leaves a watch.
    pub fn was_written(&self) -> bool {
        self.watch.is_some()
    }

    /// Since when the volume is watched without a gap, seen from `now`: after a gap since now.
    pub fn watched_since(&self, now: Timestamp) -> Timestamp {
        match self.watch {
            Some(watch) if now <= after(watch.until, GAP) => watch.since.min(now),
            _ => now,
        }
    }

    /// A complete observation was made, of a database that has come this far. Its position is written down with the watch,
    /// since it changes all the time.
    pub fn observed(&mut self, now: Timestamp, position: Option<u64>) {
        let since = self.watched_since(now);
        match self.watch {
            Some(watch)
                if watch.since == since
                    && now < after(watch.until, WATCH_STEP)
                    && self.position.is_some() == position.is_some() => {}
            _ => (self.watch, self.position) = (Some(Watch { since, until: now }), position.or(self.position)),
        }
    }

    /// How far the file server's clock is ahead of ours.
    pub fn server_ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.server_ahead_seconds)
    }

    /// Notes how far the file server's clock is ahead of ours.
    pub fn saw_server_ahead(&mut self, ahead: SignedDuration) {
        self.server_ahead_seconds = ahead.as_secs();
    }

    /// A person said that so many live sessions are right: from here on that is the number to fall from.
    pub fn believe_live(&mut self, at: Timestamp, live: u64) {
        self.live = vec![LiveCount { at, live }];
    }

    /// The highest live count of the last seven days; where nobody looked for that long, the highest that was known before.
    pub fn highest_live(&self, now: Timestamp) -> Option<u64> {
        let since = before(now, WINDOW);
        let recent = self.live.iter().filter(|count| count.at >= since).map(|count| count.live).max();
        recent.or_else(|| self.live.iter().map(|count| count.live).max())
    }

    /// Adds a live count, and forgets what is older than seven days.
    pub fn saw_live(&mut self, now: Timestamp, live: u64) {
        let since = before(now, WINDOW);
        self.live.retain(|count| count.at >= since);
        match self.live.last_mut().filter(|last| last.at > before(now, STRETCH)) {
            Some(last) => last.live = last.live.max(live),
            None => self.live.push(LiveCount { at: now, live }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_live_count_of_seven_days_is_remembered_and_an_older_one_forgotten() {
        let at = |hours: i64| Timestamp::from_second(1_700_000_000 + hours * 3600).unwrap();
        let mut memory = Memory::default();
        memory.saw_live(at(0), 90);
        memory.saw_live(at(1), 100);
        memory.saw_live(at(24), 50);
        assert_eq!(memory.highest_live(at(25)), Some(100));
        assert_eq!(memory.highest_live(at(7 * 24 + 1)), Some(50));
        for hour in 25..400 {
            memory.saw_live(at(hour), 50);
        }
        assert!(memory.live.len() < 40, "bounded: {}", memory.live.len());
        assert_eq!(memory.highest_live(at(400)), Some(50));
    }
}
