//! Appending to the journal.

use std::ffi::OsString;
use std::fs::File;

use jiff::Timestamp;

use super::ledger::FILE_LIMIT;
use super::{Event, GENESIS, JournalError, Ledger, Record, digest, lines, reserve};
use crate::fsio::{Dir, cut_file, sync_file, write_all};
use crate::names::SweepId;

/// Appends to the journal. Made from a ledger that was just read, by the holder of the lock.
#[derive(Debug)]
pub struct Journal<'a> {
    dir: &'a Dir,
    hygiene: &'a Dir,
    file: Option<(OsString, File)>,
    /// How much of the file is whole.
    length: u64,
    closed: bool,
    ledger: Ledger,
    sweep: SweepId,
    actor: String,
}

impl<'a> Journal<'a> {
    /// Goes on where `ledger` ends. Nothing is written before the first [`Journal::append`].
    ///
    /// `hygiene` is our folder, where the reserve is.
    pub fn new(dir: &'a Dir, hygiene: &'a Dir, ledger: Ledger, sweep: SweepId, actor: String) -> Self {
        Self { dir, hygiene, file: None, length: 0, closed: false, ledger, sweep, actor }
    }

    /// Keeps the journal small; see the module `rotate`. Nothing may be appended afterwards.
    ///
    /// # Errors
    /// When a file cannot be read or written. Nothing is lost then.
    pub fn finish(self, now: Timestamp) -> Result<(), JournalError> {
        if self.closed {
            return Ok(());
        }
        super::rotate::rotate(self.dir, &self.ledger, now)
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
        if let Err(error) = self.put(seq, &line) {
            // What reached the file is unknown. The next process reads it and goes on; this one writes no more.
            self.closed = true;
            return Err(error);
        }
        self.ledger.head = Some(head);
        self.ledger.last = seq;
        self.ledger.add(&record);
        Ok(())
    }

    /// Writes one line, with the space set aside where the volume is full.
    fn put(&mut self, seq: u64, line: &[u8]) -> Result<(), JournalError> {
        match self.write(seq, line) {
            Err(JournalError::Fs(e)) if reserve::is_full(&e) && reserve::give_free(self.hygiene) => {
                tracing::warn!("the volume is full: the journal now uses the space set aside for it");
                if let Some((name, file)) = &self.file {
                    cut_file(file, name, self.length)?;
                }
                self.write(seq, line)
            }
            other => other,
        }?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn write(&mut self, seq: u64, line: &[u8]) -> Result<(), JournalError> {
        if self.file.is_none() {
            let name = OsString::from(format!("{seq:020}.jsonl"));
            self.file = Some((name.clone(), self.fresh(&name)?));
            self.ledger.files += 1;
        }
        let Some((name, file)) = &mut self.file else { return Err(JournalError::Closed) };
        write_all(file, name, line)?;
        Ok(sync_file(file, name)?)
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
                self.dir.rename_file_new(name, self.dir, &aside)?;
                self.dir.create_file(name)?
            }
            other => other?,
        };
        self.dir.sync()?;
        Ok(file)
    }
}
