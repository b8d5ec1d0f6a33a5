//! Sessions from a database server: what every engine has in common. A connection of its own for every answer, everything
//! in one read-only, repeatable-read transaction, stopped on the server in time, proved to come from the server that it is
//! believed to come from.
//!
//! What `liveQuery` may return is the same as for SQLite; see there. An engine's quirks stay in the engine's own file.

mod address;
mod fault;
mod gather;
mod mysql;
mod postgres;
mod tls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::SessionStore;
use super::answers::{AnswerFault, Sample, Streamed, text_of_id};
use crate::clock::Clock;
use crate::names::SessionId;
use crate::observe::{IdSet, KnownIds, LiveSessions, Reading};
use crate::policy::{ReplicaRule, ServerPolicy, SessionPolicy};
use crate::secrets::Secrets;
use address::Address;
use fault::Fault;
use gather::{Gatherer, made};
pub(super) use mysql::Mysql;
pub(super) use postgres::Postgres;

/// What an engine does on its own.
#[async_trait]
pub(super) trait Engine: Send + Sync + fmt::Debug + 'static {
    /// The field of the spec that names it.
    const FIELD: &'static str;

    /// Connects, and begins a transaction that is proved to be read-only, bounded in time, and on the server it should be on.
    async fn begin(&self, terms: &Terms) -> Result<Box<dyn Snapshot>, Fault>;
}

/// What a transaction is begun on.
#[derive(Debug)]
pub(super) struct Terms {
    address: Address,
    server: ServerPolicy,
    /// Certificates of the authorities to trust, as PEM.
    ca: Option<String>,
    /// After this the server stops a statement.
    timeout: Duration,
    replica: ReplicaRule,
    /// The oldest a replica may be.
    max_staleness: Duration,
    doing: Doing,
}

/// A transaction on a server.
#[async_trait]
pub(super) trait Snapshot: Send {
    /// Which database it is.
    fn database(&self) -> &str;

    /// How far it has come.
    fn position(&self) -> Option<u64>;

    /// Hands the rows of a query to `each`: the text of its one column, or `None` for NULL.
    async fn rows(&mut self, query: Query<'_>, each: Each<'_>) -> Result<(), Fault>;

    /// How many rows a query returns.
    async fn count(&mut self, query: Query<'_>) -> Result<u64, Fault>;

    /// Whether a query returns a row.
    async fn any(&mut self, query: Query<'_>) -> Result<bool, Fault>;

    /// Whether the query by id returns a row for this one; `None` where it cannot be compared with such an id.
    async fn finds(&mut self, query: Query<'_>, id: &SessionId) -> Result<Option<bool>, Fault>;

    /// Whether `liveQuery` returns this id, compared as text.
    async fn lists(&mut self, query: Query<'_>, id: &SessionId) -> Result<bool, Fault>;

    /// The times that a query returns, at most two of them; `None` for NULL.
    async fn times(&mut self, query: Query<'_>) -> Result<Vec<Option<Timestamp>>, Fault>;

    /// Proves that the transaction is still the one that was begun.
    async fn prove(&mut self) -> Result<(), Fault>;

    /// Ends the transaction.
    async fn end(self: Box<Self>) -> Result<(), Fault>;
}

/// Takes one row after the other.
pub(super) type Each<'a> = &'a mut (dyn FnMut(Option<&[u8]>) -> Result<(), AnswerFault> + Send);

/// A query of the spec.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    field: &'static str,
    sql: &'a str,
}

/// The step in which no query is too slow yet.
const CONNECTING: &str = "connecting";

/// Which step runs, for the message when it does not end.
#[derive(Clone, Debug)]
pub(super) struct Doing(Arc<Mutex<&'static str>>);

impl Doing {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(CONNECTING)))
    }

    fn now(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn what(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database server as a session store.
pub(super) struct Server<E> {
    engine: E,
    server: ServerPolicy,
    policy: Arc<SessionPolicy>,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    proof: Mutex<Proof>,
}

/// What the last full reading proved, for the answers about single ids that rely on it.
#[derive(Clone, Default)]
struct Proof {
    /// The database it read, and how far that had come.
    read: Option<(String, Option<u64>)>,
    /// Whether `liveByIDQuery` found ids that were live.
    by_id: bool,
}

impl<E: fmt::Debug> fmt::Debug for Server<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("engine", &self.engine).field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<E: Engine> Server<E> {
    /// A store on a server. Nothing is connected before the first call.
    pub(super) fn new(
        engine: E,
        server: ServerPolicy,
        policy: Arc<SessionPolicy>,
        secrets: Arc<dyn Secrets>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { engine, server, policy, secrets, clock, proof: Mutex::default() }
    }

    fn live_query(&self) -> Query<'_> {
        Query { field: "spec.sessions.liveQuery", sql: &self.policy.live_query }
    }

    fn canary_query(&self) -> Option<Query<'_>> {
        Some(Query { field: "spec.sessions.canaryQuery", sql: self.policy.canary_query.as_ref()? })
    }

    fn by_id_query(&self) -> Option<Query<'_>> {
        Some(Query { field: "spec.sessions.liveByIDQuery", sql: self.policy.live_by_id_query.as_ref()? })
    }

    /// Awaits `work` for at most `timeout`. What is dropped because its time is over, or because nobody waits for it any
    /// more, cancels what it left running on the server.
    async fn in_time<T>(&self, doing: &Doing, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let timeout = self.policy.timeout;
        let done = tokio::time::timeout(timeout, work).await;
        done.unwrap_or_else(|_| match doing.what() {
            CONNECTING => Err(Fault::Unreachable { why: format!("no connection after {timeout:?}") }),
            doing => Err(Fault::Timeout { doing, timeout }),
        })
    }

    async fn begin(&self, doing: &Doing) -> Result<Box<dyn Snapshot>, Fault> {
        doing.now("reading the connection's secrets");
        let address = address::read(&self.server.address, E::FIELD, &*self.secrets).await?;
        let ca = match &self.server.ca {
            Some(key) => Some(address::secret(&format!("{}.tls.ca", E::FIELD), key, &*self.secrets).await?),
            None => None,
        };
        let ca = ca.map(|ca| secrecy::ExposeSecret::expose_secret(&ca).to_owned());
        doing.now(CONNECTING);
        let terms = Terms {
            address,
            server: self.server.clone(),
            ca,
            timeout: self.policy.timeout,
            replica: self.policy.replica,
            max_staleness: self.policy.max_staleness,
            doing: doing.clone(),
        };
        self.engine.begin(&terms).await
    }

    /// Everything in one snapshot: canary, freshness, the rows, their count, and the proof of the query by id.
    async fn read(&self, snapshot: &mut dyn Snapshot, at: Timestamp) -> Result<(LiveSessions, Proof), Fault> {
        let canary = match self.canary_query() {
            Some(query) => Some(snapshot.any(query).await?),
            None => None,
        };
        let freshest = match &self.policy.freshness_query {
            Some(sql) => Some(freshest(snapshot, sql).await?),
            None => None,
        };
        let streamed = self.stream(snapshot).await?;
        let known = match &self.policy.known_query {
            Some(sql) => Some(known(snapshot, sql, &streamed.ids).await?),
            None => None,
        };
        self.validate(snapshot, &streamed).await?;
        let (database, position) = (snapshot.database().to_owned(), snapshot.position());
        let proof = Proof { read: Some((database.clone(), position)), by_id: !streamed.sample.is_empty() };
        Ok((LiveSessions { ids: streamed.ids, canary, freshest, at, database, position, known }, proof))
    }

    /// Streams `liveQuery`, then counts its rows once more in the same snapshot: a limit of the server, an index that lost
    /// rows, or a query that answers differently each time, shows itself there.
    async fn stream(&self, snapshot: &mut dyn Snapshot) -> Result<Streamed, Fault> {
        let query = self.live_query();
        let add = |(ids, sample): &mut (IdSet, Sample), id: &SessionId| {
            ids.insert(id);
            sample.offer(id);
        };
        let finish = |(ids, sample): (IdSet, Sample)| Streamed { ids: ids.finish(), sample: sample.finish() };
        let (mut gatherer, mut streamed) = (Gatherer::new(Default::default(), add, finish), 0_u64);
        let mut each = |value: Option<&[u8]>| {
            streamed += 1;
            gatherer.add(text_of(query.field, value, streamed)?);
            Ok(())
        };
        snapshot.rows(query, &mut each).await?;
        // The ids are sorted while the server counts.
        let ids = gatherer.end();
        let counted = snapshot.count(query).await?;
        if counted != streamed {
            return Err(AnswerFault::Counts { streamed, counted }.into());
        }
        Ok(made(ids).await)
    }

    /// Proves the query that answers for one id against what was streamed from the same snapshot: it finds live ids, and not
    /// any id.
    async fn validate(&self, snapshot: &mut dyn Snapshot, streamed: &Streamed) -> Result<(), Fault> {
        let Some(query) = self.by_id_query() else {
            // It is a filter over the very rows that were streamed, so that one proves it: the first, which ends the scan.
            let Some(first) = streamed.sample.first() else { return Ok(()) };
            let found = snapshot.lists(self.live_query(), first).await?;
            return if found { Ok(()) } else { Err(AnswerFault::Misses { field: self.live_query().field }.into()) };
        };
        for id in &streamed.sample {
            if snapshot.finds(query, id).await? != Some(true) {
                return Err(AnswerFault::Misses { field: query.field }.into());
            }
        }
        match snapshot.finds(query, &streamed.nobody()).await? {
            Some(true) => Err(AnswerFault::FindsAnything { field: query.field }.into()),
            Some(false) | None => Ok(()),
        }
    }

    /// Connects anew each time: a connection that was kept would go on asking a server that is the primary no more.
    async fn ask(&self, id: &SessionId, snapshot: &mut dyn Snapshot) -> Result<bool, Fault> {
        let proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let by_id = match self.by_id_query() {
            Some(query) => snapshot.finds(query, id).await?,
            None => None,
        };
        if by_id == Some(true) {
            return Ok(true);
        }
        // "Not live" is the answer that lets somebody's work go, so it needs more than one query's word.
        if (by_id.is_none() || !proof.by_id) && snapshot.lists(self.live_query(), id).await? {
            return Ok(true);
        }
        if let Some(canary) = self.canary_query()
            && !snapshot.any(canary).await?
        {
            return Err(AnswerFault::CanaryGone.into());
        }
        match proof.read {
            Some((read, _)) if read != snapshot.database() => {
                Err(Fault::AnotherDatabase { read, now: snapshot.database().to_owned() })
            }
            Some((_, before)) if snapshot.position() < before => Err(Fault::WentBack),
            _ => Ok(false),
        }
    }
}

/// Ends a transaction whatever came of it; what it answered counts once it is proved to have been one.
async fn end<T>(mut snapshot: Box<dyn Snapshot>, done: Result<T, Fault>) -> Result<T, Fault> {
    let done = match done {
        Ok(done) => snapshot.prove().await.map(|()| done),
        fault => fault,
    };
    // What went wrong before is worth more than that the end failed too.
    match (done, snapshot.end().await) {
        (Ok(_), Err(fault)) => Err(fault),
        (done, _) => done,
    }
}

fn text_of<'a>(field: &'static str, value: Option<&'a [u8]>, row: u64) -> Result<&'a str, AnswerFault> {
    value.map_or(Err(AnswerFault::Null { field, row }), |text| text_of_id(field, text, row))
}

async fn freshest(snapshot: &mut dyn Snapshot, sql: &str) -> Result<Timestamp, Fault> {
    let times = snapshot.times(Query { field: "spec.sessions.freshnessQuery", sql }).await?;
    match times.as_slice() {
        [Some(time)] => Ok(*time),
        [None] => Err(AnswerFault::Freshness { found: "NULL (max() of no rows is NULL)" }.into()),
        [] => Err(AnswerFault::Freshness { found: "no row" }.into()),
        _ => Err(AnswerFault::Freshness { found: "more than one row" }.into()),
    }
}

/// Streams `knownQuery`. It must know whatever `liveQuery` returned.
async fn known(snapshot: &mut dyn Snapshot, sql: &str, live: &IdSet) -> Result<KnownIds, Fault> {
    let query = Query { field: "spec.sessions.knownQuery", sql };
    let (mut gatherer, mut row) = (Gatherer::new(KnownIds::default(), KnownIds::insert, KnownIds::finish), 0);
    let mut each = |value: Option<&[u8]>| {
        row += 1;
        gatherer.add(text_of(query.field, value, row)?);
        Ok(())
    };
    snapshot.rows(query, &mut each).await?;
    let known = gatherer.end();
    let counted = snapshot.count(query).await?;
    if counted != row {
        return Err(AnswerFault::Counts { streamed: row, counted }.into());
    }
    let known = made(known).await;
    if known.covers(live) { Ok(known) } else { Err(AnswerFault::KnownMisses.into()) }
}

#[async_trait]
impl<E: Engine> SessionStore for Server<E> {
    async fn live(&self) -> Reading<LiveSessions> {
        let at = self.clock.now(); // before the snapshot: no answer may look fresher than it is
        let doing = Doing::new();
        let read = self.in_time(&doing, async {
            let mut snapshot = self.begin(&doing).await?;
            let read = self.read(&mut *snapshot, at).await;
            end(snapshot, read).await
        });
        let read = read.await;
        let mut proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        match &read {
            Ok((_, proved)) => *proof = proved.clone(),
            // What was read stays: a server that came in its place must not be believed before it was read in full.
            Err(_) => proof.by_id = false,
        }
        drop(proof);
        read.map(|(sessions, _)| sessions).into()
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        match self.are_live(std::slice::from_ref(id)).await {
            Reading::Complete(live) => Reading::Complete(live.first().copied().unwrap_or(true)),
            Reading::Unavailable(why) => Reading::Unavailable(why),
        }
    }

    async fn are_live(&self, ids: &[SessionId]) -> Reading<Vec<bool>> {
        let doing = Doing::new();
        let asked = self.in_time(&doing, async {
            let mut snapshot = self.begin(&doing).await?;
            let ask = async {
                let mut live = Vec::with_capacity(ids.len());
                for id in ids {
                    live.push(self.ask(id, &mut *snapshot).await?);
                }
                Ok(live)
            };
            let live = ask.await;
            end(snapshot, live).await
        });
        asked.await.into()
    }
}
