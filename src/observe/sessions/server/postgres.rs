//! PostgreSQL, and what speaks its protocol: Aurora, RDS, pgbouncer in front.
//!
//! Every query of the spec is wrapped, so that its answer comes as text and carries the mark of the transaction that was
//! proved: a setting of that transaction alone, without which another server fails. Nothing is prepared by name, and the
//! transaction's settings are made inside it, since a pooler keeps neither names nor connection options.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, Error, Row, SimpleQueryMessage, Socket};
use tokio_rustls::TlsConnector;

use super::address::Host;
use super::fault::{self, Fault};
use super::{Doing, Each, Engine, Query, Snapshot, Terms, tls};
use crate::names::SessionId;
use crate::observe::sessions::freshness::{time_of_integer, time_of_real, time_of_text};
use crate::policy::{ReplicaRule, TlsMode};

/// The engine.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe::sessions) struct Postgres;

const PORT: u16 = 5432;
/// How long a request to cancel may take: it is a connection of its own, and nobody waits for it.
const CANCEL_TIME: Duration = Duration::from_secs(10);
/// What the transaction's own setting is called.
const MARK: &str = "hygiene.mark";

/// Types of an id whose text is the id, and no guess. Domains over them count too, and any enum.
const TEXTS: [&str; 8] = ["text", "character varying", "character", "name", "uuid", "smallint", "integer", "bigint"];

struct Transaction {
    client: Client,
    tls: MakeTls,
    doing: Doing,
    timeout: Duration,
    mark: String,
    database: String,
    position: Option<u64>,
    /// Whether nothing runs on the server any more.
    ended: bool,
}

impl Drop for Transaction {
    /// What still runs is cancelled, by whoever drops it: a time that is over, or a request to stop.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (token, tls) = (self.client.cancel_token(), self.tls.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { tokio::time::timeout(CANCEL_TIME, token.cancel_query(tls)).await });
        }
    }
}

#[async_trait]
impl Engine for Postgres {
    const FIELD: &'static str = "spec.sessions.postgres";

    async fn begin(&self, terms: &Terms) -> Result<Box<dyn Snapshot>, Fault> {
        let (client, tls) = connect(terms).await?;
        terms.doing.now("beginning a transaction");
        let mut transaction = Transaction {
            client,
            tls,
            doing: terms.doing.clone(),
            timeout: terms.timeout,
            mark: uuid::Uuid::now_v7().to_string(),
            database: String::new(),
            position: None,
            ended: false,
        };
        transaction.begin(terms).await?;
        Ok(Box::new(transaction))
    }
}

async fn connect(terms: &Terms) -> Result<(Client, MakeTls), Fault> {
    let setting = |why: String| Fault::Tls { field: Postgres::FIELD, why };
    let address = &terms.address;
    let encrypted = tls::config(terms.server.tls, terms.ca.as_deref()).map_err(setting)?;
    let mut config = Config::new();
    config
        .user(address.user.expose_secret())
        .dbname(&address.database)
        .application_name("hygiene")
        .ssl_mode(if encrypted.is_some() { SslMode::Require } else { SslMode::Disable })
        .connect_timeout(terms.timeout)
        .tcp_user_timeout(terms.timeout);
    match &address.host {
        Host::Tcp(host, port) => config.host(host).port(port.unwrap_or(PORT)),
        Host::Socket(..) if encrypted.is_some() => {
            return Err(setting("the host is a socket, over which nothing is encrypted; set mode: Disable".into()));
        }
        Host::Socket(path, port) => config.host_path(path).port(port.unwrap_or(PORT)),
    };
    if let Some(password) = &address.password {
        config.password(password.expose_secret());
    }
    let tls = MakeTls(encrypted.map(Arc::new));
    let connected = config.connect(tls.clone()).await;
    let (client, connection) = connected.map_err(|error| not_connected(&error, terms.server.tls))?;
    tokio::spawn(async move {
        // How it ends is told to whoever waits for an answer.
        let _ = connection.await;
    });
    Ok((client, tls))
}

fn not_connected(error: &Error, mode: TlsMode) -> Fault {
    let login = |what: &str| Fault::Login { field: Postgres::FIELD, what: what.into() };
    match error.code() {
        Some(&SqlState::INVALID_PASSWORD) => return login("the password is wrong"),
        Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            return login("no such user, or no entry in pg_hba.conf for this host, user, database and encryption");
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => return login("there is no such database"),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => return login("the user may not connect to this database"),
        Some(&SqlState::TOO_MANY_CONNECTIONS) => return Fault::Busy("it has too many connections"),
        Some(&SqlState::CANNOT_CONNECT_NOW) => return Fault::Busy("it starts, stops or recovers"),
        Some(code) => return login(&format!("SQLSTATE {}", code.code())),
        None => {}
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Fault::Tls { field: Postgres::FIELD, why: tls::fault(error, mode) };
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => Fault::Tls { field: Postgres::FIELD, why: tls::fault(error, mode) },
                None => Fault::Unreachable { why: fault::io(error) },
            };
        }
        if cause.to_string().contains("does not support TLS") {
            let why = "the server does not offer encryption; switch it on there, or set mode: Disable where the network is trusted";
            return Fault::Tls { field: Postgres::FIELD, why: why.into() };
        }
        source = cause.source();
    }
    login(if error.to_string().contains("authentication") {
        "it wants a password or another way of authentication than was given"
    } else {
        "it did not answer as PostgreSQL does"
    })
}

impl Transaction {
    async fn begin(&mut self, terms: &Terms) -> Result<(), Fault> {
        let begin = "begin transaction isolation level repeatable read read only";
        self.client.batch_execute(begin).await.map_err(|error| match error.code() {
            // pgbouncer with pool_mode statement
            Some(&SqlState::PROTOCOL_VIOLATION) => {
                Fault::NotOneTransaction { why: "it refused to begin a transaction" }
            }
            _ => self.fault("beginning a transaction", &error),
        })?;
        let milliseconds = self.timeout.as_millis().max(1).to_string();
        // The driver logs what a function of the user's tells on the side, which may quote rows. A server that finds its
        // client gone stops what it does for it: since version 14.
        let set = "select set_config('statement_timeout', $1, true), set_config('lock_timeout', '0', true), \
                   set_config('idle_in_transaction_session_timeout', $1, true), \
                   set_config('row_security', 'off', true), set_config('timezone', 'UTC', true), \
                   set_config('datestyle', 'ISO', true), set_config('hygiene.mark', $2, true), set_config('client_min_messages', 'error', true), \
                   (select set_config(name, '1000', true) from pg_settings \
                    where name = 'client_connection_check_interval')";
        self.ask("beginning a transaction", set, &[&milliseconds, &self.mark]).await?;
        self.prove_settings(&milliseconds).await?;
        self.identify(terms).await
    }

    /// A setting that was made is read again: a pooler or a proxy may swallow it.
    async fn prove_settings(&self, milliseconds: &str) -> Result<(), Fault> {
        let read = "select current_setting('transaction_read_only'), current_setting('transaction_isolation'), \
                    current_setting('row_security'), current_setting('hygiene.mark'), \
                    (select setting from pg_settings where name = 'statement_timeout')";
        let row = self.ask("beginning a transaction", read, &[]).await?;
        let wanted = ["on", "repeatable read", "off", &self.mark, milliseconds];
        for (index, wanted) in wanted.into_iter().enumerate() {
            if text(&row, index)?.as_deref() != Some(wanted) {
                return Err(Fault::NotOneTransaction { why: "its settings are not the ones that were made" });
            }
        }
        Ok(())
    }

    /// Which database this is, and whether it is the primary.
    async fn identify(&mut self, terms: &Terms) -> Result<(), Fault> {
        const DOING: &str = "asking which server it is";
        let which = "select pg_is_in_recovery()::text, current_database()::text, \
                     (select oid::text from pg_database where datname = current_database()), \
                     (extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()))::bigint::text, \
                     current_setting('hygiene.mark')";
        let row = self.ask_here(DOING, which).await?;
        let (Some(recovers), Some(name), Some(oid)) = (text(&row, 0)?, text(&row, 1)?, text(&row, 2)?) else {
            return Err(Fault::Unproved { why: "it does not say".into() });
        };
        let replica = match recovers.as_str() {
            "false" => false,
            _ if terms.replica == ReplicaRule::Refuse => return Err(Fault::Replica { what: "a standby" }),
            _ => true,
        };
        if replica {
            let lag = text(&row, 3)?.and_then(|seconds| seconds.parse::<i64>().ok());
            let Some(lag) = lag else {
                return Err(Fault::LagUnknown { why: "it has replayed no transaction yet".into() });
            };
            let (lag, most) = (lag.unsigned_abs(), terms.max_staleness.as_secs());
            if lag > most {
                return Err(Fault::Lags { lag, most });
            }
        }
        let control = "select system_identifier::text, current_setting('hygiene.mark') from pg_control_system()";
        let row = self.ask_here(DOING, control).await.map_err(|fault| Fault::Unproved { why: fault.to_string() })?;
        let system = text(&row, 0)?.ok_or_else(|| Fault::Unproved { why: "it tells no system identifier".into() })?;
        let (timeline, position) = self.position(replica).await?;
        self.database = format!("postgres {system} timeline {timeline} {name}#{oid}");
        self.position = position;
        Ok(())
    }

    /// The timeline, which a promotion changes, and the position in the log. A service that is not quite PostgreSQL may tell
    /// neither.
    async fn position(&self, replica: bool) -> Result<(String, Option<u64>), Fault> {
        const DOING: &str = "asking how far it has come";
        let sql = if replica {
            "select (select lpad(to_hex(timeline_id), 8, '0') from pg_control_checkpoint()), \
             (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint::text"
        } else {
            "select left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), \
             (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint::text"
        };
        self.run(DOING, "savepoint hygiene").await?;
        let answer = match self.client.query_typed(sql, &[]).await {
            Ok(rows) => match rows.first() {
                Some(row) => {
                    let timeline = text(row, 0)?.unwrap_or_default();
                    (timeline, text(row, 1)?.and_then(|position| position.parse().ok()))
                }
                None => ("unknown".into(), None),
            },
            Err(error) if error.as_db_error().is_some() => ("unknown".into(), None),
            Err(error) => return Err(self.fault(DOING, &error)),
        };
        self.run(DOING, "rollback to savepoint hygiene").await?;
        Ok(answer)
    }

    async fn run(&self, doing: &'static str, sql: &str) -> Result<(), Fault> {
        self.client.batch_execute(sql).await.map_err(|error| self.fault(doing, &error))
    }

    /// The one row that a question of our own returns.
    async fn ask(&self, doing: &'static str, sql: &str, values: &[&str]) -> Result<Row, Fault> {
        let values: Vec<_> = values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let rows = self.client.query_typed(sql, &values).await.map_err(|error| self.fault(doing, &error))?;
        rows.into_iter().next().ok_or(Fault::NotOneTransaction { why: "it returned no row" })
    }

    /// The same where it comes from this transaction: its last column is the mark.
    async fn ask_here(&self, doing: &'static str, sql: &str) -> Result<Row, Fault> {
        let row = self.ask(doing, sql, &[]).await?;
        if text(&row, row.len().saturating_sub(1))?.as_deref() == Some(&self.mark) {
            return Ok(row);
        }
        Err(Fault::NotOneTransaction { why: "an answer does not carry its mark" })
    }

    /// What a question of ours about a query of the spec answers, where it comes from this transaction: its last column is
    /// the mark.
    async fn marked(&self, query: Query<'_>, sql: &str, value: Option<Value<'_>>) -> Result<bool, Untold> {
        self.doing.now(query.field);
        let mut values: Vec<(&(dyn ToSql + Sync), Type)> = Vec::new();
        let declared = value.as_ref().map(|value| value.declared.clone());
        if let (Some(value), Some(declared)) = (&value, declared) {
            values.push((value, declared));
        }
        let rows = self.client.query_typed(sql, &values).await.map_err(Untold::Server)?;
        let row = rows.first().ok_or(Untold::Fault(Fault::NotOneTransaction { why: "it returned no row" }))?;
        let mark = text(row, 1).map_err(Untold::Fault)?;
        if mark.as_deref() != Some(&self.mark) {
            return Err(Untold::Fault(Fault::NotOneTransaction { why: "an answer does not carry its mark" }));
        }
        Ok(text(row, 0).map_err(Untold::Fault)?.as_deref() == Some("true"))
    }

    fn told(&self, query: Query<'_>, error: Untold) -> Fault {
        match error {
            Untold::Server(error) => self.fault(query.field, &error),
            Untold::Fault(fault) => fault,
        }
    }

    /// How many columns a query returns, and of what type the only one is: found out without running it.
    async fn check(&self, query: Query<'_>) -> Result<(), Fault> {
        self.doing.now(query.field);
        let sql = format!("with hygiene_query as (\n{}\n) select * from hygiene_query limit 0", query.sql);
        let messages = self.client.simple_query_raw(&sql).await.map_err(|error| self.fault(query.field, &error))?;
        pin_mut!(messages);
        while let Some(message) = messages.try_next().await.map_err(|error| self.fault(query.field, &error))? {
            if let SimpleQueryMessage::RowDescription(columns) = message
                && columns.len() != 1
            {
                let names: Vec<_> = columns.iter().take(5).map(|column| column.name()).collect();
                return Err(Fault::Columns { field: query.field, count: columns.len(), names: names.join(", ") });
            }
        }
        Ok(())
    }

    /// The type of the only column, seen in a first row: where there is none it does not matter.
    async fn type_of(&self, query: Query<'_>) -> Result<Option<String>, Fault> {
        let sql = format!(
            "with hygiene_query(hygiene_value) as (\n{}\n) \
             select case t.typtype when 'e' then 'text' when 'd' then format_type(t.typbasetype, null) \
             else format_type(t.oid, null) end \
             from (select hygiene_value from hygiene_query limit 1) as one, pg_type as t \
             where t.oid = pg_typeof(one.hygiene_value)",
            query.sql
        );
        let rows = self.client.query_typed(&sql, &[]).await.map_err(|error| self.fault(query.field, &error))?;
        rows.first().map_or(Ok(None), |row| text(row, 0))
    }

    /// What an error means. The server's own text is passed on for statements that do not compile or are not allowed, where
    /// it is about the query; any other could quote a value.
    fn fault(&self, doing: &'static str, error: &Error) -> Fault {
        let Some(db) = error.as_db_error() else {
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                if let Some(error) = cause.downcast_ref::<io::Error>() {
                    return Fault::Broken { doing, why: fault::io(error) };
                }
                source = cause.source();
            }
            let why = if error.is_closed() { "the server closed it" } else { "its answer cannot be read" };
            return Fault::Broken { doing, why: why.into() };
        };
        let message = db.message().to_owned();
        match db.code() {
            &SqlState::QUERY_CANCELED => Fault::Timeout { doing, timeout: self.timeout },
            &SqlState::READ_ONLY_SQL_TRANSACTION => Fault::NotReading { field: doing },
            &SqlState::FEATURE_NOT_SUPPORTED if message.contains("data-modifying") => {
                Fault::NotReading { field: doing }
            }
            &SqlState::INSUFFICIENT_PRIVILEGE if message.contains("row-level security") => {
                Fault::RowSecurity { field: doing }
            }
            &SqlState::INSUFFICIENT_PRIVILEGE => Fault::Grant { field: doing, message },
            &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW => {
                Fault::Busy("it stops or starts")
            }
            &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Fault::Timeout { doing, timeout: self.timeout },
            &SqlState::UNDEFINED_OBJECT if message.contains(MARK) => {
                Fault::NotOneTransaction { why: "an answer does not carry its mark" }
            }
            code if code.code().starts_with("42") || code.code().starts_with("0A") => {
                Fault::Query { field: doing, message }
            }
            code => Fault::Server { doing, what: format!("SQLSTATE {}", code.code()) },
        }
    }
}

/// An error of a question about a query, before it is known what it means there.
enum Untold {
    Server(Error),
    Fault(Fault),
}

#[async_trait]
impl Snapshot for Transaction {
    fn database(&self) -> &str {
        &self.database
    }

    fn position(&self) -> Option<u64> {
        self.position
    }

    async fn rows(&mut self, query: Query<'_>, each: Each<'_>) -> Result<(), Fault> {
        self.check(query).await?;
        if let Some(kind) = self.type_of(query).await?
            && !TEXTS.contains(&kind.as_str())
            && kind != "citext"
        {
            let way_out = if kind == "bytea" { "encode(id, 'hex')" } else { "id::text" };
            return Err(Fault::Type { field: query.field, kind, way_out });
        }
        self.doing.now(query.field);
        let sql = format!(
            "with hygiene_query(hygiene_id) as (\n{}\n) select hygiene_id::text from hygiene_query \
             where current_setting('{MARK}') = $1",
            query.sql
        );
        let fault = |error: Error| self.fault(query.field, &error);
        let rows = self.client.query_typed_raw(&sql, [(&self.mark, Type::TEXT)]).await.map_err(fault)?;
        pin_mut!(rows);
        while let Some(row) = rows.next().await {
            let row = row.map_err(fault)?;
            let Bytes(value) = row.try_get(0).map_err(fault)?;
            each(value)?;
        }
        Ok(())
    }

    async fn count(&mut self, query: Query<'_>) -> Result<u64, Fault> {
        self.doing.now("counting the rows of a query");
        let sql = format!(
            "with hygiene_query as (\n{}\n) select count(*)::text, current_setting('{MARK}') from hygiene_query",
            query.sql
        );
        let row = self.ask_here(query.field, &sql).await?;
        let counted = text(&row, 0)?.and_then(|count| count.parse().ok());
        counted.ok_or(Fault::NotOneTransaction { why: "count(*) returned no number" })
    }

    async fn any(&mut self, query: Query<'_>) -> Result<bool, Fault> {
        let sql = format!("select (exists (\n{}\n))::text, current_setting('{MARK}')", query.sql);
        self.marked(query, &sql, None).await.map_err(|error| self.told(query, error))
    }

    async fn finds(&mut self, query: Query<'_>, id: &SessionId) -> Result<Option<bool>, Fault> {
        let sql = format!("select (exists (\n{}\n))::text, current_setting('{MARK}')", query.sql);
        // Of no type, so that the server takes it for what it is compared with.
        let value = Value { text: id.as_str(), declared: Type::UNKNOWN };
        self.run(query.field, "savepoint hygiene").await?;
        match self.marked(query, &sql, Some(value)).await {
            Ok(found) => Ok(Some(found)),
            Err(Untold::Server(error)) => match error.code() {
                // No uuid, no number, a number too large: no id of that column.
                Some(
                    &SqlState::INVALID_TEXT_REPRESENTATION
                    | &SqlState::NUMERIC_VALUE_OUT_OF_RANGE
                    | &SqlState::INVALID_DATETIME_FORMAT
                    | &SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                ) => self.run(query.field, "rollback to savepoint hygiene").await.map(|()| None),
                Some(&SqlState::PROTOCOL_VIOLATION | &SqlState::UNDEFINED_PARAMETER) => {
                    Err(Fault::Parameters { field: query.field, form: "$1" })
                }
                _ => Err(self.fault(query.field, &error)),
            },
            Err(Untold::Fault(fault)) => Err(fault),
        }
    }

    async fn lists(&mut self, query: Query<'_>, id: &SessionId) -> Result<bool, Fault> {
        let sql = format!(
            "with hygiene_query(hygiene_id) as (\n{}\n) \
             select (exists (select 1 from hygiene_query where hygiene_id::text = $1))::text, current_setting('{MARK}')",
            query.sql
        );
        let value = Value { text: id.as_str(), declared: Type::TEXT };
        self.marked(query, &sql, Some(value)).await.map_err(|error| self.told(query, error))
    }

    async fn times(&mut self, query: Query<'_>) -> Result<Vec<Option<Timestamp>>, Fault> {
        self.check(query).await?;
        let kind = self.type_of(query).await?;
        self.doing.now(query.field);
        let sql = format!(
            "with hygiene_query(hygiene_time) as (\n{}\n) \
             select hygiene_time::text, current_setting('{MARK}') from hygiene_query limit 2",
            query.sql
        );
        let rows = self.client.query_typed(&sql, &[]).await.map_err(|error| self.fault(query.field, &error))?;
        let time_of = |row: &Row| -> Result<Option<Timestamp>, Fault> {
            if text(row, 1)?.as_deref() != Some(&self.mark) {
                return Err(Fault::NotOneTransaction { why: "an answer does not carry its mark" });
            }
            let Some(value) = text(row, 0)? else { return Ok(None) };
            let time = match kind.as_deref() {
                Some("smallint" | "integer" | "bigint") => value.parse().ok().and_then(time_of_integer),
                Some("numeric" | "real" | "double precision") => value.parse().ok().and_then(time_of_real),
                _ => time_of_text(&value),
            };
            time.map(Some).ok_or_else(|| {
                crate::observe::sessions::answers::AnswerFault::Freshness { found: "a value that is no timestamp" }
                    .into()
            })
        };
        rows.iter().map(time_of).collect()
    }

    async fn prove(&mut self) -> Result<(), Fault> {
        const DOING: &str = "proving that it was one transaction";
        self.doing.now(DOING);
        self.ask_here(DOING, &format!("select current_setting('{MARK}')")).await.map(|_| ())
    }

    async fn end(mut self: Box<Self>) -> Result<(), Fault> {
        self.doing.now("ending the transaction");
        self.run("ending the transaction", "rollback").await?;
        self.ended = true;
        Ok(())
    }
}

/// The text of a column, `None` for NULL.
fn text(row: &Row, index: usize) -> Result<Option<String>, Fault> {
    row.try_get(index).map_err(|_| Fault::NotOneTransaction { why: "an answer of another form" })
}

/// A text that is sent as such, whatever type it is declared to be of.
#[derive(Debug)]
struct Value<'a> {
    text: &'a str,
    declared: Type,
}

impl ToSql for Value<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The bytes of a text, whether they are Unicode or not.
struct Bytes<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Makes encrypted connections; none where there is no configuration.
#[derive(Clone)]
struct MakeTls(Option<Arc<ClientConfig>>);

struct Connect {
    config: Option<Arc<ClientConfig>>,
    name: Option<ServerName<'static>>,
}

struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl MakeTlsConnect<Socket> for MakeTls {
    type Stream = Encrypted;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connect> {
        Ok(Connect { config: self.0.clone(), name: ServerName::try_from(domain.to_owned()).ok() })
    }
}

impl TlsConnect<Socket> for Connect {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let (Some(config), Some(name)) = (self.config, self.name) else {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            };
            TlsConnector::from(config).connect(name, stream).await.map(Encrypted)
        })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
