//! What one sweep remembers for the next: live counts of the last days, and orphans that were inspected and kept.
//! Written in Enforce only; losing it costs calls, never a workspace.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::before;
use crate::fsio::Dir;
use crate::observe::InspectionNote;

/// The file below `.hygiene`.
pub const MEMORY: &str = "memory.json";
const LIMIT: u64 = 256 * 1024 * 1024;
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
    pub fn read(hygiene: &Dir) -> Result<Self, String> {
        let content = hygiene.read_file(OsStr::new(MEMORY), LIMIT).map_err(|e| e.to_string())?;
        let Some(content) = content else { return Ok(Self::default()) };
        serde_json::from_slice(&content).map_err(|e| format!("{MEMORY}: {e}; remove the file to start anew"))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, hygiene: &Dir) -> Result<(), String> {
        let content = serde_json::to_vec(self).map_err(|e| e.to_string())?;
        hygiene.replace_file(OsStr::new(MEMORY), &content).map_err(|e| e.to_string())
    }

    /// The highest live count of the last seven days.
    pub fn highest_live(&self, now: Timestamp) -> Option<u64> {
        let since = before(now, WINDOW);
        self.live.iter().filter(|count| count.at >= since).map(|count| count.live).max()
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
