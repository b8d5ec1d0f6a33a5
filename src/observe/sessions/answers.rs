//! What every engine makes of what its queries returned, and what it refuses.

use thiserror::Error;

use crate::names::SessionId;
use crate::observe::IdSet;

/// An answer that is not believed. No message quotes a row.
#[derive(Debug, Error)]
pub(super) enum AnswerFault {
    #[error("{field} returned NULL as an id in row {row}; add `where id is not null`, or repair the row")]
    Null { field: &'static str, row: u64 },
    #[error("{field} returned {kind} as an id in row {row}; select text, for example `{way_out}`")]
    WrongType { field: &'static str, row: u64, kind: &'static str, way_out: &'static str },
    #[error(
        "{field} returned text that is not valid Unicode as an id in row {row}; repair the row, or leave it out in the query"
    )]
    NotUnicode { field: &'static str, row: u64 },
    #[error(
        "spec.sessions.liveQuery returned {streamed} rows, but count(*) says {counted} in the same snapshot; leave out random() and the like, and check the database (a broken index loses rows: `pragma integrity_check` in SQLite, `amcheck` in PostgreSQL, `check table` in MySQL)"
    )]
    Counts { streamed: u64, counted: u64 },
    #[error(
        "spec.sessions.freshnessQuery returned {found}; it must return one ISO 8601 text (UTC where it has no offset) or one Unix time in seconds or milliseconds"
    )]
    Freshness { found: &'static str },
    #[error(
        "{field} does not find a session that spec.sessions.liveQuery returns in the same snapshot; make both agree (is the parameter compared with the id, in the same spelling?)"
    )]
    Misses { field: &'static str },
    #[error(
        "{field} finds a session that cannot exist; it must return no row for an id that is not live (count(*) and exists() always return one: use `select 1 … where id = …`)"
    )]
    FindsAnything { field: &'static str },
    #[error(
        "spec.sessions.knownQuery does not return every session that spec.sessions.liveQuery returns in the same snapshot; it must return the ids of sessions in any state, in the same spelling"
    )]
    KnownMisses,
    #[error(
        "spec.sessions.canaryQuery returns no row, so this database is not believed when it says that a session is gone; restore the canary"
    )]
    CanaryGone,
}

/// What `liveQuery` returned.
pub(super) struct Streamed {
    pub(super) ids: IdSet,
    /// At most three ids that can be a directory name: the first, the last, and one between.
    pub(super) sample: Vec<SessionId>,
}

impl Streamed {
    /// An id that no live session has, of the form that the others have, so that a query can compare it.
    pub(super) fn nobody(&self) -> SessionId {
        let like = self.sample.first().map_or("", SessionId::as_str);
        let is_number = !like.is_empty() && like.bytes().all(|byte| byte.is_ascii_digit());
        let is_uuid = like.len() == 36 && uuid::Uuid::try_parse(like).is_ok();
        (0_u64..)
            .map(|n| match (is_number, is_uuid) {
                // As a smallint, so that no column is too narrow for it.
                (true, _) => format!("-{}", n + 1),
                (_, true) => format!("00000000-0000-4000-8000-{n:012}"),
                _ => format!("hygiene-no-such-session-{n}"),
            })
            .map(SessionId::new)
            .find(|id| !self.ids.contains(id))
            .unwrap_or_else(|| SessionId::new(""))
    }
}

/// The text of an id, exactly as it is stored.
pub(super) fn text_of_id<'a>(field: &'static str, text: &'a [u8], row: u64) -> Result<&'a str, AnswerFault> {
    // U+FFFD stands where something that was no Unicode was converted: whatever the id was, it is not this.
    match std::str::from_utf8(text) {
        Ok(text) if text.is_ascii() || !text.contains(char::REPLACEMENT_CHARACTER) => Ok(text),
        _ => Err(AnswerFault::NotUnicode { field, row }),
    }
}

/// Keeps the first id, the last, and the one whose number is the highest power of two: from the later half, without
/// knowing how many there will be, and without chance.
#[derive(Default)]
pub(super) struct Sample {
    seen: u64,
    first: Option<SessionId>,
    between: Option<SessionId>,
    last: Option<SessionId>,
}

impl Sample {
    pub(super) fn offer(&mut self, id: &SessionId) {
        if !id.is_usable() {
            return; // nobody will ever ask for it
        }
        self.seen += 1;
        if self.seen == 1 {
            self.first = Some(id.clone());
            return;
        }
        if self.seen.is_power_of_two() {
            self.between = Some(id.clone());
        }
        self.last.get_or_insert_with(|| SessionId::new("")).set(id.as_str());
    }

    pub(super) fn finish(self) -> Vec<SessionId> {
        let mut sample: Vec<_> = [self.first, self.between, self.last].into_iter().flatten().collect();
        sample.dedup();
        sample
    }
}
