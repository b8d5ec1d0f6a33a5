//! Why the store did not answer. Each message names the field, the cause and the way out, and quotes no row.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::observe::sessions::answers::AnswerFault;

/// A reason why there is no answer.
#[derive(Debug, Error)]
pub(super) enum Fault {
    // the file
    #[error("spec.sessions.sqlite.path: there is no file {path}; correct the path, or mount what it is on (a database is never created here)", path = path.display())]
    Missing { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} cannot be opened ({why}); let this user read the file and search its directories", path = path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("spec.sessions.sqlite.path: {path} leads over a symlink, which could lead to another namespace's file; name the file itself", path = path.display())]
    Symlink { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} is {what}, not a database; name the database file itself", path = path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    #[error("spec.sessions.sqlite.path: {path} is empty (0 bytes), so it holds no sessions table; correct the path, or restore the database", path = path.display())]
    Empty { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} is not a SQLite database, or it is encrypted; correct the path", path = path.display())]
    NotADatabase { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} is a database without any table; correct the path, or restore the database", path = path.display())]
    NoTables { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} was replaced by another file since it was read in full; the next sweep reads the new one", path = path.display())]
    Replaced { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} is in WAL mode on {file_system}, where a reader can miss commits; move it to a local disk, or set `pragma journal_mode=delete` once with its services stopped", path = path.display())]
    WalNotLocal { path: PathBuf, file_system: String },
    #[error("spec.sessions.sqlite.path: {path} is in WAL mode and closed; opening it as another user would leave -wal and -shm files that uid {owner} cannot write; run as uid {owner}, or while its service has it open", path = path.display())]
    OwnerLockedOut { path: PathBuf, owner: u32 },
    #[error("spec.sessions.sqlite.path: {path} is in WAL mode, and {path}-wal or {path}-shm can be neither opened nor made; make its directory writable for this user, or keep the service that writes it running", path = path.display())]
    SideFiles { path: PathBuf },
    #[error("spec.sessions.sqlite.path: {path} was left in mid-transaction (there is a {path}-journal to roll back), and that needs write access; open it once with its service or the sqlite3 shell", path = path.display())]
    HotJournal { path: PathBuf },

    // time, memory, threads
    #[error(
        "{doing}: the database stayed locked by another process until the {timeout:?} of spec.sessions.timeout were over; end its long transaction, or raise spec.sessions.timeout"
    )]
    Locked { doing: &'static str, timeout: Duration },
    #[error(
        "{doing}: still running after {timeout:?}, so it was stopped; make the query faster (an index), or raise spec.sessions.timeout"
    )]
    Timeout { doing: &'static str, timeout: Duration },
    #[error(
        "{doing}: hangs in a file-system call, {timeout:?} of spec.sessions.timeout are over and it cannot be stopped; see to the file system of spec.sessions.sqlite.path"
    )]
    Blocked { doing: &'static str, timeout: Duration },
    #[error(
        "spec.sessions.sqlite.path: {threads} earlier queries still hang in file-system calls; see to its file system, or restart this process"
    )]
    Hanging { threads: usize },
    #[error(
        "{doing}: needs more than {mebibytes} MiB of memory; leave out `distinct`, `union` and `order by` (an id returned twice is counted once)"
    )]
    Memory { doing: &'static str, mebibytes: i64 },
    #[error("the query was cancelled")]
    Cancelled,
    #[error("the thread that reads spec.sessions.sqlite ended without an answer; this is a bug, please report it")]
    Lost,
    #[error("no thread could be started to read spec.sessions.sqlite ({0}); raise the limit on processes")]
    Thread(io::Error),

    // the queries
    #[error("{field}: {message}; try the query in the sqlite3 shell")]
    Query { field: &'static str, message: String },
    #[error("{field} is more than one statement; give a single select")]
    Statements { field: &'static str },
    #[error("{field} does more than read; give a single select (no pragma, attach, transaction or change)")]
    NotReading { field: &'static str },
    #[error("{field} returns {count} columns ({names}); select {column} alone")]
    Columns { field: &'static str, count: usize, names: String, column: &'static str },
    #[error("{field} has {found} parameters, but {wanted} are bound; {}", if *wanted == 0 { "write it without any" } else { "write the session id as ?1, and nothing else as a parameter" })]
    Parameters { field: &'static str, found: usize, wanted: usize },
    #[error(
        "{doing}: SQLite stopped while reading ({what}); try the query in the sqlite3 shell, or `pragma integrity_check`"
    )]
    Read { doing: &'static str, what: String },

    #[error(transparent)]
    Answer(#[from] AnswerFault),
}
