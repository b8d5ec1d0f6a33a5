//! Why a server did not answer. Each message names the field, the cause and the way out; none quotes a row, or any part of
//! a URL or of a secret.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::observe::sessions::answers::AnswerFault;

/// A reason why there is no answer.
#[derive(Debug, Error)]
pub(in crate::observe::sessions) enum Fault {
    // reaching it
    #[error("{field}: {why}")]
    Setting { field: String, why: String },
    #[error("the database server cannot be reached ({why}); check host, port and network, and that it runs")]
    Unreachable { why: String },
    #[error("the connection to the database server broke ({why}) while {doing}")]
    Broken { doing: &'static str, why: String },
    #[error(
        "the database server refused the login ({what}); check user, password and database of {field}, and that the server lets this host in"
    )]
    Login { field: &'static str, what: String },
    #[error("{field}.tls: {why}")]
    Tls { field: &'static str, why: String },
    #[error("the database server does not answer now: {0}")]
    Busy(&'static str),

    // which server it is
    #[error(
        "the database server is {what}, and what it has not received yet would look deleted; connect to the primary, or set spec.sessions.replica: Accept"
    )]
    Replica { what: &'static str },
    #[error("the lag of the replica is not known ({why}); connect to the primary")]
    LagUnknown { why: String },
    #[error(
        "the replica lags {lag} s, and spec.sessions.maxStaleness is {most} s; wait for it, or connect to the primary"
    )]
    Lags { lag: u64, most: u64 },
    #[error("it cannot be proved that the database server is the primary: {why}")]
    Unproved { why: String },
    #[error(
        "the answer came from another transaction or another server than the one that was proved ({why}); a pooler between must keep a transaction on one server (pgbouncer: pool_mode transaction or session)"
    )]
    NotOneTransaction { why: &'static str },
    #[error(
        "the sessions are now in {now}, and were read from {read}: fail-over, or another server; the next sweep reads it in full"
    )]
    AnotherDatabase { read: String, now: String },
    #[error(
        "the database is at an earlier state than when it was read in full: fail-over to a server that lags, or a restored copy"
    )]
    WentBack,

    // the queries
    #[error(
        "{doing}: still running after {timeout:?}, so it was stopped; make the query faster (an index), or raise spec.sessions.timeout"
    )]
    Timeout { doing: &'static str, timeout: Duration },
    #[error("{field}: {message}; try the query as the same user")]
    Query { field: &'static str, message: String },
    #[error("{field}: {message}; grant it: see the grants in the documentation of this engine")]
    Grant { field: &'static str, message: String },
    #[error("{field} does more than read; give a single select")]
    NotReading { field: &'static str },
    #[error(
        "{field}: row-level security hides rows from this user, and what is hidden looks deleted; grant the user BYPASSRLS, or read a view whose owner sees all rows"
    )]
    RowSecurity { field: &'static str },
    #[error("{field} returns {count} columns ({names}); select the one that is wanted")]
    Columns { field: &'static str, count: usize, names: String },
    #[error("{field} must have exactly one parameter, {form}, for the session id")]
    Parameters { field: &'static str, form: &'static str },
    #[error("{field} returns {kind}; select text, for example `{way_out}`")]
    Type { field: &'static str, kind: String, way_out: &'static str },
    #[error(
        "{field} returns text with a character that the server cannot convert to Unicode (it shows a question mark instead), so that the id is another; repair the row, or leave it out in the query"
    )]
    Unconvertible { field: &'static str },
    #[error("{doing}: the server failed ({what})")]
    Server { doing: &'static str, what: String },

    // the answers
    #[error(transparent)]
    Answer(#[from] AnswerFault),
}

/// What an I/O error says. One of the operating system's is passed on; any other could hold part of an address.
pub(super) fn io(error: &io::Error) -> String {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => error.to_string(),
        (None, io::ErrorKind::UnexpectedEof) => "the server closed it".into(),
        (None, io::ErrorKind::TimedOut) => "timed out".into(),
        (None, _) => "its name cannot be resolved, or the network failed".into(),
    }
}
