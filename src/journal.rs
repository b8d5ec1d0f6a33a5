//! The journal: an append-only list of what was meant and what came of it, one JSON object a line. Each line carries the
//! SHA-256 of the line before, so that a line changed or removed later shows. Every process writes a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fsio::{Dir, FsError, sync_file, write_all};
use crate::names::{EntryId, SweepId};
use crate::observe::Spent;

/// The `prev` of the first record.
const GENESIS: &str = "0";
/// Longest journal file that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 30;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The sweep or command it belongs to.
    pub sweep: SweepId,
    /// Who wrote it: user, host, process, version.
    pub actor: String,
    /// What it says.
    #[serde(flatten)]
    pub event: Event,
    /// SHA-256 of the line before.
    pub prev: String,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A step is about to be taken.
    Intent(Step),
    /// A step was taken.
    Done(Step),
    /// A step was not taken, or undone.
    Abandoned(Step),
    /// A condemned tree is gone.
    Purged(Step),
}

impl Event {
    /// The step it is about.
    pub fn step(&self) -> &Step {
        match self {
            Self::Intent(step) | Self::Done(step) | Self::Abandoned(step) | Self::Purged(step) => step,
        }
    }
}

/// A step and its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The step.
    pub op: Op,
    /// The quarantine entry.
    pub entry: EntryId,
    /// The workspace's name below the root.
    pub name: String,
    /// Inode of the workspace's root.
    pub inode: u64,
    /// Entries in the tree.
    pub entries: u64,
    /// Bytes allocated by the tree.
    pub bytes: u64,
    /// Why, and on what evidence.
    pub why: String,
}

/// A step that changes the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// From the root into quarantine.
    Quarantine,
    /// From quarantine back under its name.
    Restore,
    /// From quarantine to the purge; irreversible.
    Condemn,
    /// Removal of a condemned tree.
    Purge,
}

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
    last: u64,
    head: Option<String>,
}

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A file-system call failed.
    #[error("journal: {0}")]
    Fs(#[from] FsError),
    /// A line is not a record.
    #[error("journal: {file} line {line} is no record ({why}): a line was damaged; restore the file from a backup")]
    Damaged {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A file of the journal was listed and could not be found.
    #[error("journal: {file} was listed and then not found; sweep again")]
    Vanished {
        /// The file.
        file: String,
    },
    /// An earlier record could not be made durable.
    #[error(
        "journal: a record could not be made durable, or somebody else writes, so nothing more is done; sweep again"
    )]
    Closed,
    /// The chain does not hold.
    #[error("journal: the chain breaks at {file} line {line}: a line was changed, added or removed by somebody else")]
    BrokenChain {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
}

impl Ledger {
    /// Whether we moved this inode into quarantine under this id: recorded as done, or meant and not yet settled, which
    /// settling will find done.
    pub fn moved(&self, id: &EntryId, inode: u64) -> bool {
        let meant = |step: &Step| step.op == Op::Quarantine && step.entry == *id && step.inode == inode;
        self.quarantined.get(id).is_some_and(|moved| moved.inode == inode) || self.open.iter().any(meant)
    }

    fn add(&mut self, record: &Record) {
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
    let mut files: Vec<OsString> = dir.names()?.into_iter().map(|(name, _)| name).collect();
    files.retain(|name| name.as_encoded_bytes().ends_with(b".jsonl"));
    files.sort();
    let mut ledger = Ledger::default();
    for name in files {
        let file = crate::fsio::printable(&name);
        // Listed and then not there: its records are unknown, not absent.
        let content = dir.read_file(&name, FILE_LIMIT)?.ok_or_else(|| JournalError::Vanished { file: file.clone() })?;
        let mut rest = lines(&content).enumerate().peekable();
        while let Some((index, text)) = rest.next() {
            let line_number = index + 1;
            let record: Record = match serde_json::from_slice(text) {
                Ok(record) => record,
                // A machine that lost power may leave a last line half written, filled up with anything.
                Err(error) if rest.peek().is_none() => {
                    tracing::warn!(file, line = line_number, %error, "a torn last line of the journal is left out");
                    break;
                }
                Err(e) => return Err(JournalError::Damaged { file, line: line_number, why: e.to_string() }),
            };
            let expected = ledger.head.as_deref().unwrap_or(GENESIS);
            if record.prev != expected || record.seq != ledger.last + 1 {
                return Err(JournalError::BrokenChain { file, line: line_number });
            }
            ledger.head = Some(digest(text));
            ledger.last = record.seq;
            ledger.add(&record);
            each(&record);
        }
    }
    Ok(ledger)
}

fn digest(line: &[u8]) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Appends to the journal. Made from a ledger that was just read, by the holder of the lock.
#[derive(Debug)]
pub struct Journal<'a> {
    dir: &'a Dir,
    file: Option<(OsString, File)>,
    closed: bool,
    ledger: Ledger,
    sweep: SweepId,
    actor: String,
}

impl<'a> Journal<'a> {
    /// Goes on where `ledger` ends. Nothing is written before the first [`Journal::append`].
    pub fn new(dir: &'a Dir, ledger: Ledger, sweep: SweepId, actor: String) -> Self {
        Self { dir, file: None, closed: false, ledger, sweep, actor }
    }

    /// What the journal adds up to, with everything appended so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The sweep the records belong to.
    pub fn sweep(&self) -> &SweepId {
        &self.sweep
    }

    /// Appends one record and makes it durable.
    ///
    /// # Errors
    /// When it could not be made durable: then nothing may be done on the strength of it.
    pub fn append(&mut self, at: Timestamp, event: Event) -> Result<(), JournalError> {
        if self.closed {
            return Err(JournalError::Closed);
        }
        let seq = self.ledger.last + 1;
        let prev = self.ledger.head.clone().unwrap_or_else(|| GENESIS.into());
        let record = Record { seq, at, sweep: self.sweep.clone(), actor: self.actor.clone(), event, prev };
        let mut line = serde_json::to_vec(&record).map_err(|e| JournalError::Damaged {
            file: "(new record)".into(),
            line: 0,
            why: e.to_string(),
        })?;
        let head = digest(&line);
        line.push(b'\n');
        if self.file.is_none() {
            let name = OsString::from(format!("{seq:020}.jsonl"));
            self.file = Some((name.clone(), self.fresh(&name)?));
        }
        let Some((name, file)) = &mut self.file else { return Err(JournalError::Closed) };
        if let Err(error) = write_all(file, name, &line).and_then(|()| sync_file(file, name)) {
            // What reached the file is unknown. The next process reads it and goes on; this one writes no more.
            self.closed = true;
            return Err(error.into());
        }
        self.ledger.head = Some(head);
        self.ledger.last = seq;
        self.ledger.add(&record);
        Ok(())
    }

    /// A file of our own. One of that name can only be what a killed predecessor left without a whole record: it is set
    /// aside. One that holds a record means that somebody else writes, and then nothing more is done.
    fn fresh(&self, name: &OsString) -> Result<File, JournalError> {
        let file = match self.dir.create_file(name) {
            Err(e) if e.errno == rustix::io::Errno::EXIST => {
                let content = self.dir.read_file(name, FILE_LIMIT)?.ok_or(JournalError::Closed)?;
                if lines(&content).any(|line| serde_json::from_slice::<Record>(line).is_ok()) {
                    return Err(JournalError::Closed);
                }
                let mut aside = name.clone();
                aside.push(format!(".torn-{}", self.sweep));
                self.dir.rename_new(name, self.dir, &aside)?;
                self.dir.create_file(name)?
            }
            other => other?,
        };
        self.dir.sync()?;
        Ok(file)
    }
}

/// The whole lines of a file, without their newlines.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    content[..whole].split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1])
}
