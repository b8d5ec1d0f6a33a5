//! What the whole journal adds up to.

use std::collections::{BTreeMap, BTreeSet};

use super::rotate::{self, Anchor};
use super::{Event, GENESIS, JournalError, Op, Record, Step, digest, lines};
use crate::fsio::Dir;
use crate::names::EntryId;
use crate::observe::Spent;

/// Longest journal file that is read, in bytes.
pub(super) const FILE_LIMIT: u64 = 1 << 30;

/// A workspace that was moved to quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Inode of its root.
    pub inode: u64,
    /// Its name below the volume's root.
    pub name: String,
}

/// What the whole journal adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Intents without an outcome, in order.
    pub open: Vec<Step>,
    /// Every entry that was moved to quarantine and neither restored nor condemned since.
    pub quarantined: BTreeMap<EntryId, Moved>,
    /// Inode of every entry that was condemned: nothing else in the purge folder is ours to remove.
    pub condemned: BTreeMap<EntryId, u64>,
    /// Entries whose tree is gone.
    pub purged: BTreeSet<EntryId>,
    /// Every quarantining, oldest first.
    pub spent: Vec<Spent>,
    /// Number of the last record.
    pub last: u64,
    pub(super) head: Option<String>,
    pub(super) files: usize,
}

impl Ledger {
    /// Whether we moved this inode into quarantine under this id: recorded as done, or meant and not yet settled, which
    /// settling will find done.
    pub fn moved(&self, id: &EntryId, inode: u64) -> bool {
        let meant = |step: &Step| step.op == Op::Quarantine && step.entry == *id && step.inode == inode;
        self.quarantined.get(id).is_some_and(|moved| moved.inode == inode) || self.open.iter().any(meant)
    }

    /// Whether something that is still to be done, or can still be undone, rests on a record.
    pub(super) fn needs(&self, record: &Record) -> bool {
        let Some(step) = record.event.step() else { return false };
        let open = self.open.iter().any(|open| open.entry == step.entry);
        let condemned = self.condemned.contains_key(&step.entry) && !self.purged.contains(&step.entry);
        open || condemned || self.quarantined.contains_key(&step.entry)
    }

    pub(super) fn add(&mut self, record: &Record) {
        let close = |open: &mut Vec<Step>, step: &Step| open.retain(|o| o.entry != step.entry || o.op != step.op);
        match &record.event {
            Event::Intent(step) => self.open.push(step.clone()),
            Event::Abandoned(step) => {
                close(&mut self.open, step);
            }
            Event::Done(step) => {
                close(&mut self.open, step);
                match step.op {
                    Op::Quarantine => {
                        let moved = Moved { inode: step.inode, name: step.name.clone() };
                        self.quarantined.insert(step.entry.clone(), moved);
                        self.spent.push(Spent { at: record.at, bytes: step.bytes });
                    }
                    Op::Condemn => {
                        self.quarantined.remove(&step.entry);
                        self.condemned.insert(step.entry.clone(), step.inode);
                    }
                    Op::Restore | Op::Purge => {
                        self.quarantined.remove(&step.entry);
                    }
                }
            }
            Event::Purged(step) => {
                self.purged.insert(step.entry.clone());
            }
            Event::Held(_) | Event::Approved(_) | Event::Dismissed(_) | Event::Bound(_) => {}
        }
    }
}

/// Reads the journal in `dir` from its first line, checks the chain, calls `each` with every record, and adds them up.
///
/// A file's last line that has no newline or is no record was never made durable, so nothing was done on the strength of
/// it: it is left out. Should it have been durable and damaged later, the tree it told of counts as not ours, and stays.
///
/// # Errors
/// When a file cannot be read, a line is no record, or the chain does not hold.
pub fn read(dir: &Dir, mut each: impl FnMut(&Record)) -> Result<Ledger, JournalError> {
    let mut ledger = Ledger::default();
    let begins = Anchor::read(dir)?;
    if let Some(anchor) = &begins {
        ledger.last = anchor.seq;
        ledger.head = Some(anchor.hash.clone());
    }
    let dropped = begins.map_or(0, |anchor| anchor.seq);
    // The hash of every line from `dropped` on: a file that was put together with others may still be there.
    let mut seen: Vec<String> = Vec::new();
    for name in rotate::files(dir)? {
        let file = crate::fsio::printable(&name);
        ledger.files += 1;
        // Listed and then not there: its records are unknown, not absent.
        let content = dir.read_file(&name, FILE_LIMIT)?.ok_or_else(|| JournalError::Vanished { file: file.clone() })?;
        let mut rest = lines(&content).enumerate().peekable();
        while let Some((index, text)) = rest.next() {
            let line = index + 1;
            let record: Record = match serde_json::from_slice(text) {
                Ok(record) => record,
                // A machine that lost power may leave a last line half written, filled up with anything.
                Err(error) if rest.peek().is_none() => {
                    tracing::warn!(file, line, %error, "a torn last line of the journal is left out");
                    break;
                }
                Err(e) => return Err(JournalError::Damaged { file, line, why: e.to_string() }),
            };
            let hash = digest(text);
            if record.seq <= ledger.last {
                let again =
                    record.seq.checked_sub(dropped + 1).and_then(|index| seen.get(usize::try_from(index).ok()?));
                if record.seq <= dropped || again == Some(&hash) {
                    continue;
                }
            }
            let expected = ledger.head.as_deref().unwrap_or(GENESIS);
            if record.prev != expected || record.seq != ledger.last + 1 {
                return Err(JournalError::BrokenChain { file, line });
            }
            ledger.head = Some(hash.clone());
            ledger.last = record.seq;
            ledger.add(&record);
            seen.push(hash);
            each(&record);
        }
    }
    Ok(ledger)
}
