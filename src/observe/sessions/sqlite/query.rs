//! The queries of the spec: checked before they run, read row by row, and cross-checked afterwards.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Error, Rows, Statement, ffi};

use super::Fault;
use super::database::Database;
use crate::names::SessionId;
use crate::observe::sessions::answers::{self, AnswerFault, Sample, Streamed};
use crate::observe::sessions::freshness::{time_of_integer, time_of_real, time_of_text};
use crate::observe::{IdSet, KnownIds};
use crate::policy::SessionPolicy;

/// A query of the spec and what it has to look like.
struct Form {
    field: &'static str,
    column: &'static str,
    parameters: usize,
}

const LIVE: Form = Form { field: "spec.sessions.liveQuery", column: "the session id", parameters: 0 };
const CANARY: Form = Form { field: "spec.sessions.canaryQuery", column: "one value", parameters: 0 };
const FRESHNESS: Form = Form { field: "spec.sessions.freshnessQuery", column: "the timestamp", parameters: 0 };
const BY_ID: Form = Form { field: "spec.sessions.liveByIDQuery", column: "one value", parameters: 1 };
const KNOWN: Form = Form { field: "spec.sessions.knownQuery", column: "the session id", parameters: 0 };
const COUNT: Form = Form { field: "spec.sessions.liveQuery (inside count(*))", column: "one value", parameters: 0 };
const WRAPPED: Form = Form { field: "spec.sessions.liveQuery (asked for one id)", column: "one value", parameters: 1 };

/// Streams `liveQuery`, then counts its rows once more in the same snapshot: an index that lost rows, or a query that
/// answers differently each time, shows itself there.
pub(super) fn live_ids(database: &Database, sql: &str) -> Result<Streamed, Fault> {
    let (mut ids, mut sample, mut streamed) = (IdSet::default(), Sample::default(), 0_u64);
    let mut statement = prepare(database, &LIVE, sql)?;
    let mut rows = run(database, &LIVE, &mut statement, None)?;
    while let Some(value) = next(database, &LIVE, &mut rows)? {
        streamed += 1;
        let id = id_of(&LIVE, value, streamed)?;
        ids.insert(&id);
        sample.offer(&id);
    }
    let counted = count(database, sql)?.and_then(|counted| u64::try_from(counted).ok()).unwrap_or_default();
    if counted != streamed {
        return Err(AnswerFault::Counts { streamed, counted }.into());
    }
    Ok(Streamed { ids: ids.finish(), sample: sample.finish() })
}

/// Streams `knownQuery`. It must know whatever `liveQuery` returned: one that does not is wrong, and would call the work
/// of known sessions unknown.
pub(super) fn known_ids(database: &Database, sql: &str, live: &IdSet) -> Result<KnownIds, Fault> {
    let mut statement = prepare(database, &KNOWN, sql)?;
    let mut rows = run(database, &KNOWN, &mut statement, None)?;
    let (mut known, mut row) = (KnownIds::default(), 0);
    while let Some(value) = next(database, &KNOWN, &mut rows)? {
        row += 1;
        known.insert(&id_of(&KNOWN, value, row)?);
    }
    let known = known.finish();
    if known.covers(live) { Ok(known) } else { Err(AnswerFault::KnownMisses.into()) }
}

/// A comment may stand open at the end of the query, `-- all` as well as `/* all`: the line end and the empty comment
/// before the parenthesis close both.
fn count(database: &Database, sql: &str) -> Result<Option<i64>, Fault> {
    let mut statement = prepare(database, &COUNT, &format!("select count(*) from (\n{sql}\n/**/)"))?;
    let mut rows = run(database, &COUNT, &mut statement, None)?;
    Ok(match next(database, &COUNT, &mut rows)? {
        Some(ValueRef::Integer(counted)) => Some(counted),
        _ => None,
    })
}

fn id_of(form: &Form, value: ValueRef<'_>, row: u64) -> Result<SessionId, AnswerFault> {
    let field = form.field;
    match value {
        ValueRef::Text(text) => answers::text_of_id(field, text, row).map(SessionId::new),
        ValueRef::Integer(number) => Ok(SessionId::new(number.to_string())),
        ValueRef::Null => Err(AnswerFault::Null { field, row }),
        ValueRef::Real(_) => Err(AnswerFault::WrongType { field, row, kind: "a REAL", way_out: "cast(id as text)" }),
        ValueRef::Blob(_) => Err(AnswerFault::WrongType { field, row, kind: "a BLOB", way_out: "lower(hex(id))" }),
    }
}

/// Whether `canaryQuery` returns a row.
pub(super) fn canary(database: &Database, sql: &str) -> Result<bool, Fault> {
    let mut statement = prepare(database, &CANARY, sql)?;
    let mut rows = run(database, &CANARY, &mut statement, None)?;
    Ok(next(database, &CANARY, &mut rows)?.is_some())
}

/// The one timestamp that `freshnessQuery` returns.
pub(super) fn freshest(database: &Database, sql: &str) -> Result<Timestamp, Fault> {
    let mut statement = prepare(database, &FRESHNESS, sql)?;
    let mut rows = run(database, &FRESHNESS, &mut statement, None)?;
    let time = match next(database, &FRESHNESS, &mut rows)? {
        None => return Err(AnswerFault::Freshness { found: "no row" }.into()),
        Some(ValueRef::Null) => return Err(AnswerFault::Freshness { found: "NULL (max() of no rows is NULL)" }.into()),
        Some(value) => time_of(value).ok_or(AnswerFault::Freshness { found: "a value that is no timestamp" })?,
    };
    match next(database, &FRESHNESS, &mut rows)? {
        None => Ok(time),
        Some(_) => Err(AnswerFault::Freshness { found: "more than one row" }.into()),
    }
}

/// The time a value means, `None` where it means none. Text without an offset is UTC, as SQLite's own functions write it.
fn time_of(value: ValueRef<'_>) -> Option<Timestamp> {
    match value {
        ValueRef::Integer(n) => time_of_integer(n),
        ValueRef::Real(n) => time_of_real(n),
        ValueRef::Text(text) => time_of_text(std::str::from_utf8(text).ok()?),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// The query that answers for one id.
pub(super) struct ById<'d> {
    database: &'d Database,
    statement: Statement<'d>,
    form: &'static Form,
    is_wrapped: bool,
}

impl<'d> ById<'d> {
    /// `liveByIDQuery`, or where there is none the wrapped `liveQuery`.
    pub(super) fn prepare(database: &'d Database, policy: &SessionPolicy) -> Result<Self, Fault> {
        match &policy.live_by_id_query {
            Some(sql) => {
                Ok(Self { database, statement: prepare(database, &BY_ID, sql)?, form: &BY_ID, is_wrapped: false })
            }
            None => Self::wrapped(database, policy),
        }
    }

    /// The wrapped `liveQuery`, right by construction, slow where the query is. Its name must not be one that the query
    /// itself uses; `cast` lets an INTEGER id be found by its text.
    pub(super) fn wrapped(database: &'d Database, policy: &SessionPolicy) -> Result<Self, Fault> {
        prepare(database, &LIVE, &policy.live_query)?; // faults are told about the query as it was written
        let sql = format!(
            "with hygiene_live(hygiene_id) as (\n{}\n/**/) \
             select 1 from hygiene_live where cast(hygiene_id as text) = ?1",
            policy.live_query
        );
        Ok(Self { database, statement: prepare(database, &WRAPPED, &sql)?, form: &WRAPPED, is_wrapped: true })
    }

    /// Whether the query returns a row for this id.
    pub(super) fn finds(&mut self, id: &SessionId) -> Result<bool, Fault> {
        let mut rows = run(self.database, self.form, &mut self.statement, Some(id))?;
        Ok(next(self.database, self.form, &mut rows)?.is_some())
    }

    /// Proves the query against what was streamed from the same snapshot: it finds live ids, and not any id.
    pub(super) fn validate(&mut self, streamed: &Streamed) -> Result<(), Fault> {
        let field = self.form.field;
        let sample = match streamed.sample.as_slice() {
            // It is a filter over the very rows that were streamed, so that one proves it: the first, which ends the scan.
            [first, ..] if self.is_wrapped => std::slice::from_ref(first),
            sample => sample,
        };
        for id in sample {
            if !self.finds(id)? {
                return Err(AnswerFault::Misses { field }.into());
            }
        }
        if self.is_wrapped {
            return Ok(());
        }
        if self.finds(&streamed.nobody())? { Err(AnswerFault::FindsAnything { field }.into()) } else { Ok(()) }
    }
}

/// Compiles a query of the spec: one statement, reading only, one column, the right number of parameters.
fn prepare<'d>(database: &'d Database, form: &Form, sql: &str) -> Result<Statement<'d>, Fault> {
    let field = form.field;
    database.call().doing(field);
    database.call().check()?;
    if sql.contains('\0') {
        return Err(Fault::Query { field, message: "it contains a NUL, at which SQLite would stop reading it".into() });
    }
    let statement = database.connection().prepare(sql).map_err(|error| match error {
        Error::MultipleStatement => Fault::Statements { field },
        Error::Empty => Fault::Query { field, message: "it is empty".into() },
        Error::SqlInputError { error, msg, .. } | Error::SqliteFailure(error, Some(msg))
            if error.extended_code == ffi::SQLITE_ERROR =>
        {
            Fault::Query { field, message: msg }
        }
        error => database.fault(field, error),
    })?;
    let count = statement.column_count();
    if !statement.readonly() || count == 0 {
        return Err(Fault::NotReading { field });
    }
    if count > 1 {
        let names = statement.column_names().take(5).collect::<Vec<_>>().join(", ");
        return Err(Fault::Columns { field, count, names, column: form.column });
    }
    match statement.parameter_count() {
        found if found == form.parameters => Ok(statement),
        found => Err(Fault::Parameters { field, found, wanted: form.parameters }),
    }
}

fn run<'s>(
    database: &Database,
    form: &Form,
    statement: &'s mut Statement<'_>,
    id: Option<&SessionId>,
) -> Result<Rows<'s>, Fault> {
    database.call().doing(form.field);
    match id {
        Some(id) => statement.query([id.as_str()]),
        None => statement.query([]),
    }
    .map_err(|error| database.fault(form.field, error))
}

/// The next row's one value. A statement that was interrupted may look as if it had ended, so the end is checked.
fn next<'r>(database: &Database, form: &Form, rows: &'r mut Rows<'_>) -> Result<Option<ValueRef<'r>>, Fault> {
    let fault = |error| database.fault(form.field, error);
    match rows.next().map_err(fault)? {
        Some(row) => row.get_ref(0).map(Some).map_err(fault),
        None => database.call().check().map(|()| None),
    }
}
