//! A connection for one call: read-only, in one read transaction, allowed to do nothing but read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, ffi};

use super::Fault;
use super::call::Call;
use super::file::{self, File, FileSystemOf, Identity};

/// Virtual-machine instructions between two looks at the clock: well below a millisecond.
const INSTRUCTIONS: i32 = 1000;

/// Pause between two attempts at a locked database.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// No id, timestamp or sensible intermediate value is longer; without a bound one `hex(zeroblob(1e9))` costs 2 GB.
const LONGEST_VALUE: i32 = 64 << 20;

/// Most memory SQLite may hold in this process: sorting is kept in memory, since a temporary file could end up on the
/// volume, and a query that runs away must not take the process with it.
pub(super) const MEMORY: i64 = 1 << 30;

/// An open database, its snapshot fixed.
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
    call: Arc<Call>,
}

/// What becomes of a path with a symlink in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symlinks {
    /// It is followed.
    Followed,
    /// The file is not opened.
    Refused,
}

impl Database {
    /// Opens the file at `path` as it is now and fixes the snapshot.
    pub(super) fn open(
        path: &Path,
        call: &Arc<Call>,
        file_system: FileSystemOf,
        symlinks: Symlinks,
    ) -> Result<Self, Fault> {
        call.doing("opening spec.sessions.sqlite.path");
        let found = File::look(path)?;
        let unreadable = |why: String| Fault::Unreadable { path: path.into(), why };
        let remote = file::not_known_to_be_local(file_system(path).map_err(|e| unreadable(e.to_string()))?);
        let owner = found.owner_locked_out(path, rustix::process::geteuid().as_raw());
        if (remote.is_some() || owner.is_some()) && is_wal(path, symlinks) {
            return Err(refuse_wal(path, remote, owner));
        }
        let connection = Connection::open_with_flags(path, flags(symlinks)).map_err(|e| unreadable(what(&e)))?;
        let mut database = Self { connection, path: path.into(), identity: found.identity, call: Arc::clone(call) };
        let tables = database.begin().map_err(|error| database.fault("reading spec.sessions.sqlite.path", error))?;
        if tables == 0 {
            return Err(Fault::NoTables { path: path.into() });
        }
        // The journal mode may have changed since it was probed; this is the one of the snapshot.
        if remote.is_some() && database.in_wal_mode()? {
            return Err(refuse_wal(path, remote, None));
        }
        database.confine().map_err(|error| database.fault("reading spec.sessions.sqlite.path", error))?;
        call.check()?;
        Ok(database)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the path still leads to the file that was read; what another file says is not known.
    pub(super) fn still_there(&self) -> Result<(), Fault> {
        if File::look(&self.path)?.identity == self.identity {
            return Ok(());
        }
        Err(Fault::Replaced { path: self.path.clone() })
    }

    /// Sets the limits, then begins the transaction; the first read in it fixes the snapshot. Returns the number of tables.
    fn begin(&mut self) -> rusqlite::Result<i64> {
        let connection = &mut self.connection;
        self.call.interrupt_with(connection.get_interrupt_handle());
        let call = Arc::clone(&self.call);
        connection.progress_handler(INSTRUCTIONS, Some(move || call.must_stop()))?;
        let call = Arc::clone(&self.call);
        connection.busy_handler(Some(move |_| {
            thread::sleep(LOCK_POLL);
            !call.must_stop()
        }))?;
        // A misspelt column in double quotes would be taken for a text, the same for each row: no id, no error.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        connection.pragma_update(None, "hard_heap_limit", MEMORY)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
        connection.execute_batch("begin deferred")?;
        connection.query_row("select count(*) from sqlite_schema where type in ('table', 'view')", [], |row| row.get(0))
    }

    fn in_wal_mode(&self) -> Result<bool, Fault> {
        let mode = self.connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        Ok(mode.map_err(|error| self.fault("reading spec.sessions.sqlite.path", error))?.eq_ignore_ascii_case("wal"))
    }

    /// From here on statements are somebody else's text.
    fn confine(&mut self) -> rusqlite::Result<()> {
        self.connection.authorizer(Some(only_reading))
    }

    /// What an error of SQLite's means. Its own text is passed on for statements that do not compile, where it is about
    /// the query; while rows are read it could quote one, so then only the code's meaning is.
    pub(super) fn fault(&self, doing: &'static str, error: rusqlite::Error) -> Fault {
        let path = || self.path.clone();
        let Some(code) = error.sqlite_error().copied() else {
            return Fault::Read { doing, what: what(&error) };
        };
        match code.extended_code {
            ffi::SQLITE_READONLY_ROLLBACK => return Fault::HotJournal { path: path() },
            // -shm or -wal can be neither opened nor made
            ffi::SQLITE_READONLY_RECOVERY
            | ffi::SQLITE_READONLY_CANTLOCK
            | ffi::SQLITE_READONLY_CANTINIT
            | ffi::SQLITE_READONLY_DIRECTORY => return Fault::SideFiles { path: path() },
            _ => {}
        }
        match code.code {
            ffi::ErrorCode::OperationInterrupted => self.call.stopped(),
            ffi::ErrorCode::DatabaseBusy | ffi::ErrorCode::DatabaseLocked => self.call.locked(),
            // while a query runs too: a table-valued function such as pragma_table_info() compiles its pragma then
            ffi::ErrorCode::AuthorizationForStatementDenied => Fault::NotReading { field: doing },
            ffi::ErrorCode::NotADatabase => Fault::NotADatabase { path: path() },
            ffi::ErrorCode::CannotOpen => Fault::SideFiles { path: path() },
            ffi::ErrorCode::OutOfMemory => Fault::Memory { doing, mebibytes: MEMORY >> 20 },
            _ => Fault::Read { doing, what: code.to_string() },
        }
    }
}

fn flags(symlinks: Symlinks) -> OpenFlags {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match symlinks {
        Symlinks::Followed => flags,
        // SQLite looks at each part of the path itself, at the moment it opens the file.
        Symlinks::Refused => flags | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    }
}

/// Whether the database is in WAL mode, found out without making the files that WAL needs: with `nolock` SQLite reads
/// the header and then declines WAL. Any other answer is left to the real connection, which finds the same again.
fn is_wal(path: &Path, symlinks: Symlinks) -> bool {
    let flags = flags(symlinks) | OpenFlags::SQLITE_OPEN_URI;
    let Ok(probe) = Connection::open_with_flags(file::uri(path, "nolock=1"), flags) else { return false };
    let read = probe.query_row("select count(*) from sqlite_schema", [], |_| Ok(()));
    read.is_err_and(|error| error.sqlite_error_code() == Some(ffi::ErrorCode::CannotOpen))
}

fn refuse_wal(path: &Path, remote: Option<String>, owner: Option<u32>) -> Fault {
    let path = path.into();
    match (remote, owner) {
        (None, Some(owner)) => Fault::OwnerLockedOut { path, owner },
        (remote, _) => Fault::WalNotLocal { path, file_system: remote.unwrap_or_default() },
    }
}

fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

/// The meaning of an error without any text of SQLite's that may quote values.
fn what(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => code.to_string(),
        None => "the answer could not be read".into(),
    }
}
