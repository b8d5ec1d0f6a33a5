//! MySQL and MariaDB, and what speaks their protocol: Aurora, RDS.
//!
//! Every query of the spec is wrapped, so that its answer carries the mark of the session that was proved: a variable of that
//! session alone. Settings that could hide rows are made and read again inside the session, since a proxy may swallow them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn, DriverError, Error, IoError, Opts, OptsBuilder, Row, SslOpts, TlsError, Value};
use rustls::CertificateError;
use secrecy::ExposeSecret;

use super::address::Host;
use super::fault::{self, Fault};
use super::{Doing, Each, Engine, Query, Snapshot, Terms, tls};
use crate::names::SessionId;
use crate::observe::sessions::answers::AnswerFault;
use crate::observe::sessions::freshness::{time_of_integer, time_of_real, time_of_text};
use crate::policy::{ReplicaRule, TlsMode};

/// The engine.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe::sessions) struct Mysql;

const PORT: u16 = 3306;
/// How long a request to cancel may take: it is a connection of its own, and nobody waits for it.
const CANCEL_TIME: Duration = Duration::from_secs(10);
/// The character set of what is no text.
const BINARY: u16 = 63;
/// The highest number, which is no limit.
const NO_LIMIT: &str = "18446744073709551615";
const ASKING: &str = "asking which server it is";

struct Transaction {
    /// Only taken when it is dropped.
    connection: Option<Conn>,
    opts: Opts,
    doing: Doing,
    timeout: Duration,
    mark: String,
    database: String,
    position: Option<u64>,
    /// Whether what tells one database from another is missing; told at the end, after what a query may say of it.
    sees_no_table: bool,
    /// Whether nothing runs on the server any more.
    ended: bool,
}

impl Drop for Transaction {
    /// What still runs is killed, by whoever drops it: a time that is over, or a request to stop.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|_| !self.ended) else { return };
        let (id, opts) = (connection.id(), self.opts.clone());
        drop(connection);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let kill = async {
                    let mut other = Conn::new(opts).await?;
                    // The address may lead to another server by now, where the number is that of somebody else.
                    let running: Vec<Row> = other.query("show full processlist").await?;
                    let is_ours = |row: &Row| {
                        named(row, "Id").is_some_and(|running| running == id.to_string())
                            && named(row, "Info").is_some_and(|statement| statement.contains("@hygiene_mark"))
                    };
                    if running.iter().any(is_ours) {
                        other.query_drop(format!("kill {id}")).await?;
                    }
                    other.disconnect().await
                };
                tokio::time::timeout(CANCEL_TIME, kill).await
            });
        }
    }
}

#[async_trait]
impl Engine for Mysql {
    const FIELD: &'static str = "spec.sessions.mysql";

    async fn begin(&self, terms: &Terms) -> Result<Box<dyn Snapshot>, Fault> {
        let (connection, opts) = connect(terms).await?;
        terms.doing.now("beginning a transaction");
        let mut transaction = Transaction {
            connection: Some(connection),
            opts,
            doing: terms.doing.clone(),
            timeout: terms.timeout,
            mark: uuid::Uuid::now_v7().to_string(),
            database: String::new(),
            position: None,
            sees_no_table: false,
            ended: false,
        };
        transaction.begin(terms).await?;
        Ok(Box::new(transaction))
    }
}

async fn connect(terms: &Terms) -> Result<(Conn, Opts), Fault> {
    let setting = |why: String| Fault::Tls { field: Mysql::FIELD, why };
    let (address, mode) = (&terms.address, terms.server.tls);
    let mut opts = OptsBuilder::default()
        .user(Some(address.user.expose_secret()))
        .pass(address.password.as_ref().map(|password| password.expose_secret().to_owned()))
        .db_name(Some(&address.database))
        .prefer_socket(false)
        .stmt_cache_size(0)
        // Else the driver asks for both, of a session that is not set up yet.
        .max_allowed_packet(Some(64 << 20))
        .wait_timeout(Some(28_800));
    match &address.host {
        Host::Tcp(host, port) => opts = opts.ip_or_hostname(host).tcp_port(port.unwrap_or(PORT)),
        Host::Socket(..) if mode != TlsMode::Disable => {
            return Err(setting("the host is a socket, over which nothing is encrypted; set mode: Disable".into()));
        }
        Host::Socket(path, _) => opts = opts.socket(path.to_str()),
    }
    let encrypted = encrypted(mode, terms.ca.as_deref()).map_err(setting)?;
    let open = async |ssl: Option<SslOpts>| {
        let opts: Opts = opts.clone().ssl_opts(ssl).into();
        (Conn::new(opts.clone()).await, opts)
    };
    let (mut connected, mut used) = open(encrypted.clone()).await;
    // The driver cannot leave the name unchecked: it is handed one that the certificate, whose authority was right, is for.
    if mode == TlsMode::VerifyCa
        && let Some(name) = connected.as_ref().err().and_then(presented)
        && let Some(encrypted) = encrypted
    {
        (connected, used) = open(Some(encrypted.with_danger_tls_hostname_override(Some(name)))).await;
    }
    connected.map(|connection| (connection, used)).map_err(|error| not_connected(&error, mode))
}

fn encrypted(mode: TlsMode, ca: Option<&str>) -> Result<Option<SslOpts>, String> {
    let opts = match mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => SslOpts::default().with_danger_accept_invalid_certs(true),
        TlsMode::VerifyFull | TlsMode::VerifyCa => SslOpts::default(),
    };
    let Some(ca) = ca else { return Ok(Some(opts)) };
    tls::certificates(ca)?;
    Ok(Some(opts.with_root_certs(vec![ca.as_bytes().to_vec().into()]).with_disable_built_in_roots(true)))
}

/// The first name that a certificate is for whose authority was right.
fn presented(error: &Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) =
        rejected(error)?
    else {
        return None;
    };
    // As DnsName("name"), and a name may begin with a star that stands for any.
    presented.iter().find_map(|name| Some(name.split('"').nth(1)?.replace('*', "any")))
}

fn rejected(error: &Error) -> Option<&rustls::Error> {
    match error {
        Error::Io(IoError::Tls(TlsError::Tls(error))) => Some(error),
        Error::Io(IoError::Io(error)) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn not_connected(error: &Error, mode: TlsMode) -> Fault {
    let field = Mysql::FIELD;
    let login = |what: String| Fault::Login { field, what };
    if let Some(error) = rejected(error) {
        return Fault::Tls { field, why: tls::fault(error, mode) };
    }
    match error {
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            let why = "the server does not offer encryption; switch it on there, or set mode: Disable where the network is trusted";
            Fault::Tls { field, why: why.into() }
        }
        Error::Io(IoError::Io(error)) => Fault::Unreachable { why: fault::io(error) },
        Error::Io(IoError::Tls(_)) => {
            let why = format!("the encrypted connection could not be made in mode {mode:?}");
            Fault::Tls { field, why }
        }
        Error::Server(error) => match error.code {
            1045 | 1698 => login("no such user, or the password is wrong".into()),
            1044 => login("the user may not use this database".into()),
            1049 => login("there is no such database".into()),
            1040 | 1203 => Fault::Busy("it has too many connections"),
            1053 => Fault::Busy("it stops"),
            code => login(format!("error {code}")),
        },
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => login("it wants another way of authentication than mysql_native_password or caching_sha2_password".into()),
        _ => login("it did not answer as MySQL does".into()),
    }
}

impl Transaction {
    fn connection(&mut self) -> Result<&mut Conn, Fault> {
        self.connection.as_mut().ok_or(Fault::NotOneTransaction { why: "it is over" })
    }

    async fn run(&mut self, doing: &'static str, sql: &str) -> Result<(), Fault> {
        let done = self.connection()?.query_drop(sql).await;
        done.map_err(|error| self.fault(doing, &error))
    }

    /// The rows of a question of our own.
    async fn ask(&mut self, doing: &'static str, sql: &str) -> Result<Vec<Row>, Fault> {
        let rows = self.connection()?.query(sql).await;
        rows.map_err(|error| self.fault(doing, &error))
    }

    /// The texts of the one row that a question of our own returns; NULL is empty.
    async fn texts(&mut self, doing: &'static str, sql: &str) -> Result<Vec<String>, Fault> {
        let rows = self.ask(doing, sql).await?;
        let row = rows.first().ok_or(Fault::NotOneTransaction { why: "it returned no row" })?;
        Ok((0..row.len()).map(|index| text(row, index).unwrap_or_default()).collect())
    }

    /// The same where they come from this session: its last column is the mark, which is left out.
    async fn texts_here(&mut self, doing: &'static str, sql: &str) -> Result<Vec<String>, Fault> {
        let mut found = self.texts(doing, sql).await?;
        if found.pop().as_ref() == Some(&self.mark) {
            return Ok(found);
        }
        Err(Fault::NotOneTransaction { why: "an answer does not carry its mark" })
    }

    async fn begin(&mut self, terms: &Terms) -> Result<(), Fault> {
        const DOING: &str = "beginning a transaction";
        let version = self.texts(DOING, "select version()").await?.remove(0);
        let mariadb = version.contains("MariaDB");
        let timeout = self.timeout;
        let (time_limit, read_only, isolation, begun) = if mariadb {
            // In seconds, and 0 is none.
            let seconds = format!("{:.6}", timeout.as_secs_f64().max(0.000_001));
            (("max_statement_time", seconds), "tx_read_only", "tx_isolation", "@@in_transaction")
        } else {
            let milliseconds = timeout.as_millis().max(1).to_string();
            // It does not say whether a transaction was begun.
            (("max_execution_time", milliseconds), "transaction_read_only", "transaction_isolation", "1")
        };
        let seconds = timeout.as_secs().max(1);
        for sql in [
            "set names utf8mb4".to_owned(),
            format!("set session sql_select_limit = {NO_LIMIT}"),
            format!("set session {} = {}", time_limit.0, time_limit.1),
            format!("set session lock_wait_timeout = {seconds}"),
            "set session time_zone = '+00:00'".into(),
            // A misspelt column in double quotes is then an error, and no text; an id is not padded to its column's width.
            "set session sql_mode = concat(replace(@@session.sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', ''), ',ANSI_QUOTES')"
                .into(),
            "set session transaction isolation level repeatable read".into(),
            "set session transaction read only".into(),
            format!("set @hygiene_mark = '{}'", self.mark),
            "start transaction with consistent snapshot, read only".into(),
        ] {
            self.run(DOING, &sql).await?;
        }
        let read = format!(
            "select @@session.sql_select_limit, @@session.{isolation}, @@session.{read_only}, @hygiene_mark, \
             @@session.{} = {}, @@session.character_set_results, {begun}, \
             @@session.time_zone, find_in_set('ANSI_QUOTES', @@session.sql_mode) > 0, \
             find_in_set('PAD_CHAR_TO_FULL_LENGTH', @@session.sql_mode)",
            time_limit.0, time_limit.1
        );
        let found = self.texts(DOING, &read).await?;
        let made = [NO_LIMIT, "REPEATABLE-READ", "1", &self.mark, "1", "utf8mb4", "1", "+00:00", "1", "0"];
        if found != made {
            return Err(Fault::NotOneTransaction { why: "its settings are not the ones that were made" });
        }
        self.prove_primary(mariadb, terms).await?;
        self.identify(mariadb).await
    }

    /// The primary is neither read-only nor a replica of anybody. A replica need not be read-only, so whether it is one is
    /// asked too.
    async fn prove_primary(&mut self, mariadb: bool, terms: &Terms) -> Result<(), Fault> {
        let variables = "select @@global.read_only, @@global.innodb_read_only, @hygiene_mark";
        let variables = self.texts_here(ASKING, variables).await?;
        let read_only = variables.iter().any(|value| !matches!(value.as_str(), "0" | "OFF"));
        let status = if mariadb { "show all slaves status" } else { "show replica status" };
        let sources = self.ask(ASKING, status).await.map_err(|fault| match fault {
            Fault::Grant { message, .. } => Fault::Grant {
                field: Mysql::FIELD,
                message: format!("whether the server is a replica cannot be seen ({message})"),
            },
            other => Fault::Unproved { why: other.to_string() },
        })?;
        if sources.is_empty() && !read_only {
            return Ok(());
        }
        if terms.replica == ReplicaRule::Refuse {
            let what = if sources.is_empty() { "read-only, as a replica or an Aurora reader is" } else { "a replica" };
            return Err(Fault::Replica { what });
        }
        let unknown = |why: &str| Fault::LagUnknown { why: why.into() };
        let [source] = sources.as_slice() else {
            return Err(unknown("it replicates from none, or from several"));
        };
        let lag = ["Seconds_Behind_Master", "Seconds_Behind_Source"].iter().find_map(|name| named(source, name));
        let lag: u64 = lag.and_then(|lag| lag.parse().ok()).ok_or_else(|| unknown("its replication does not run"))?;
        let most = terms.max_staleness.as_secs();
        if lag > most { Err(Fault::Lags { lag, most }) } else { Ok(()) }
    }

    /// Which database this is, and how far it has come.
    async fn identify(&mut self, mariadb: bool) -> Result<(), Fault> {
        if mariadb {
            // There is no id that a server keeps: when the oldest table was made tells one database from another.
            let sql = "select database(), @@global.server_id, @@global.gtid_domain_id, \
                       (select unix_timestamp(min(create_time)) from information_schema.tables \
                        where table_schema = database() and table_type = 'BASE TABLE'), @hygiene_mark";
            let found = self.texts_here(ASKING, sql).await?;
            let [name, server, domain, made] = found.as_slice() else {
                return Err(Fault::Unproved { why: "it does not say".into() });
            };
            self.sees_no_table = made.is_empty();
            self.database = format!("mariadb server {server} domain {domain} {name}@{made}");
            let status = self.ask(ASKING, "show global status like 'Innodb_lsn_current'").await?;
            self.position = status.first().and_then(|row| text(row, 1)).and_then(|lsn| lsn.parse().ok());
            return Ok(());
        }
        let sql = "select database(), @@global.server_uuid, @@global.gtid_executed, @hygiene_mark";
        let found = self.texts_here(ASKING, sql).await?;
        let [name, server, executed] = found.as_slice() else {
            return Err(Fault::Unproved { why: "it does not say".into() });
        };
        self.database = format!("mysql {server} {name}");
        self.position = transactions(executed);
        Ok(())
    }

    /// What a question of ours about a query of the spec answers, where it comes from this session: its last column is the
    /// mark.
    fn marked(&self, rows: &[Row]) -> Result<String, Fault> {
        let row = rows.first().ok_or(Fault::NotOneTransaction { why: "it returned no row" })?;
        if text(row, 1).as_deref() != Some(&self.mark) {
            return Err(Fault::NotOneTransaction { why: "an answer does not carry its mark" });
        }
        text(row, 0).ok_or(Fault::NotOneTransaction { why: "an answer of another form" })
    }

    /// Whether each question mark was stored as one: the server puts one where it cannot convert a character, and the id that
    /// comes of it is another.
    async fn prove_whole(&mut self, query: Query<'_>) -> Result<(), Fault> {
        let marks = |text: &str| format!("length({text}) - length(replace({text}, '?', ''))");
        let (shown, stored) = (marks("convert(hygiene_id using utf8mb4)"), marks("cast(hygiene_id as binary)"));
        let sql = format!(
            "with hygiene_query(hygiene_id) as (\n{}\n/**/) \
             select exists (select 1 from hygiene_query where {shown} > {stored}), @hygiene_mark",
            query.sql
        );
        let rows = self.ask(query.field, &sql).await?;
        if self.marked(&rows)? == "0" { Ok(()) } else { Err(Fault::Unconvertible { field: query.field }) }
    }

    async fn prepared(&mut self, query: Query<'_>, sql: &str, id: &SessionId) -> Result<bool, Fault> {
        self.doing.now(query.field);
        let fault = |this: &Self, error: &Error| this.fault(query.field, error);
        let statement = match self.connection()?.prep(sql).await {
            Ok(statement) => statement,
            Err(error) => return Err(fault(self, &error)),
        };
        if statement.num_params() != 1 {
            return Err(Fault::Parameters { field: query.field, form: "?" });
        }
        let rows = match self.connection()?.exec::<Row, _, _>(&statement, (id.as_str(),)).await {
            Ok(rows) => rows,
            Err(error) => return Err(fault(self, &error)),
        };
        let found = self.marked(&rows)? == "1";
        let closed = self.connection()?.close(statement).await;
        closed.map_err(|error| fault(self, &error))?;
        Ok(found)
    }

    /// What an error means. The server's own text is passed on for statements that do not compile or are not allowed, where
    /// it is about the query; any other could quote a value.
    fn fault(&self, doing: &'static str, error: &Error) -> Fault {
        match error {
            Error::Server(error) => match error.code {
                // the time limit of MySQL, that of MariaDB, a kill, and a lock that was waited for
                3024 | 1969 | 1317 | 1205 => Fault::Timeout { doing, timeout: self.timeout },
                1792 => Fault::NotReading { field: doing },
                1142..=1143 | 1227 | 1370 | 1044 | 1356 => {
                    Fault::Grant { field: doing, message: without_user(&error.message) }
                }
                1053 | 1927 => Fault::Busy("it stops"),
                1222 | 4002 => Fault::Columns { field: doing, count: 2, names: "several".into() },
                _ if error.state.starts_with("42") => Fault::Query { field: doing, message: error.message.clone() },
                code => Fault::Server { doing, what: format!("error {code}") },
            },
            Error::Io(IoError::Io(error)) => Fault::Broken { doing, why: fault::io(error) },
            Error::Driver(DriverError::ConnectionClosed) => Fault::Broken { doing, why: "the server closed it".into() },
            _ => Fault::Broken { doing, why: "its answer cannot be read".into() },
        }
    }
}

/// How many transactions a set like `uuid:1-5:7,uuid:1-3` holds; `None` where it holds none.
fn transactions(executed: &str) -> Option<u64> {
    let mut count = 0_u64;
    for interval in executed.split(',').flat_map(|of_server| of_server.trim().split(':').skip(1)) {
        let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
        // A tag of MySQL 8.3 stands between, and is no number.
        let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else { continue };
        count = count.saturating_add(last.saturating_sub(first).saturating_add(1));
    }
    (count > 0).then_some(count)
}

/// The text of a column, `None` for NULL.
fn text(row: &Row, index: usize) -> Option<String> {
    match row.as_ref(index)? {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(n) => Some(n.to_string()),
        Value::UInt(n) => Some(n.to_string()),
        Value::Double(n) => Some(n.to_string()),
        Value::Float(n) => Some(n.to_string()),
        _ => None,
    }
}

fn named(row: &Row, name: &str) -> Option<String> {
    let index = row.columns_ref().iter().position(|column| column.name_str() == name)?;
    text(row, index)
}

/// What a message of the server says of a right that is missing, without whose: the name is part of the URL.
fn without_user(message: &str) -> String {
    let Some((before, user)) = message.split_once(" user ") else { return message.to_owned() };
    let after = [" for ", " to "].iter().find_map(|word| user.split_once(word).map(|(_, what)| [*word, what].concat()));
    format!("{before} the user{}", after.unwrap_or_default())
}

/// The one column of a query whose values are ids: a text or a whole number.
fn id_column(query: Query<'_>, columns: &[Column]) -> Result<(), Fault> {
    let [column] = columns else {
        let names = columns.iter().take(5).map(|column| column.name_str().into_owned()).collect::<Vec<_>>().join(", ");
        return Err(Fault::Columns { field: query.field, count: columns.len(), names });
    };
    let is_binary = column.character_set() == BINARY;
    let is_choice = column.flags().intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG);
    let (kind, way_out) = match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_LONGLONG => {
            if !column.flags().contains(ColumnFlags::ZEROFILL_FLAG) {
                return Ok(());
            }
            ("a number that is filled up with zeros", "id + 0")
        }
        ColumnType::MYSQL_TYPE_STRING
        | ColumnType::MYSQL_TYPE_VAR_STRING
        | ColumnType::MYSQL_TYPE_VARCHAR
        | ColumnType::MYSQL_TYPE_ENUM
        | ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB => {
            if !is_binary || is_choice {
                return Ok(());
            }
            ("bytes", "lower(hex(id))")
        }
        ColumnType::MYSQL_TYPE_NULL => return Ok(()), // each row is refused as NULL
        _ => ("a value that is neither text nor a whole number", "cast(id as char)"),
    };
    Err(Fault::Type { field: query.field, kind: kind.into(), way_out })
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
        self.doing.now(query.field);
        // In a table of its own the mark is compared once, and not for each row.
        let here = format!("(select 1 from dual where @hygiene_mark = '{}') as hygiene_here", self.mark);
        let sql = wrapped(query, &format!("select hygiene_query.* from {here}, hygiene_query"));
        let mut has_marks = false;
        let mut watched = |value: Option<&[u8]>| {
            has_marks |= value.is_some_and(|text| text.contains(&b'?'));
            each(value)
        };
        // The connection stays where it is, so that whoever drops this in mid-stream finds it.
        let streamed = stream(self.connection()?, query, &sql, &mut watched).await;
        streamed.map_err(|error| match error {
            Stopped::Server(error) => self.fault(query.field, &error),
            Stopped::Fault(fault) => fault,
        })?;
        if has_marks { self.prove_whole(query).await } else { Ok(()) }
    }

    async fn count(&mut self, query: Query<'_>) -> Result<u64, Fault> {
        self.doing.now("counting the rows of a query");
        let rows = self.ask(query.field, &wrapped(query, "select count(*), @hygiene_mark from hygiene_query")).await?;
        let counted = self.marked(&rows)?.parse();
        counted.map_err(|_| Fault::NotOneTransaction { why: "count(*) returned no number" })
    }

    async fn any(&mut self, query: Query<'_>) -> Result<bool, Fault> {
        self.doing.now(query.field);
        let sql = format!("select exists (\n{}\n/**/), @hygiene_mark", query.sql);
        let rows = self.ask(query.field, &sql).await?;
        Ok(self.marked(&rows)? == "1")
    }

    async fn finds(&mut self, query: Query<'_>, id: &SessionId) -> Result<Option<bool>, Fault> {
        let sql = format!("select exists (\n{}\n/**/), @hygiene_mark", query.sql);
        self.prepared(query, &sql, id).await.map(Some)
    }

    async fn lists(&mut self, query: Query<'_>, id: &SessionId) -> Result<bool, Fault> {
        // Byte for byte: a collation takes more for equal. What is UTF-8 already is not converted, which is half the time.
        let select = "select exists (select 1 from hygiene_query where case when charset(hygiene_id) = 'utf8mb4' \
                      then cast(hygiene_id as binary) else cast(convert(hygiene_id using utf8mb4) as binary) end \
                      = cast(convert(? using utf8mb4) as binary)), @hygiene_mark";
        let sql = format!("with hygiene_query(hygiene_id) as (\n{}\n/**/) {select}", query.sql);
        self.prepared(query, &sql, id).await
    }

    async fn times(&mut self, query: Query<'_>) -> Result<Vec<Option<Timestamp>>, Fault> {
        self.doing.now(query.field);
        let sql = format!(
            "with hygiene_query(hygiene_time) as (\n{}\n/**/) select hygiene_time, @hygiene_mark from hygiene_query limit 2",
            query.sql
        );
        let rows = self.ask(query.field, &sql).await?;
        let time_of = |row: &Row| {
            if text(row, 1).as_deref() != Some(&self.mark) {
                return Err(Fault::NotOneTransaction { why: "an answer does not carry its mark" });
            }
            let Some(value) = text(row, 0) else { return Ok(None) };
            let kind = row.columns_ref().first().map(Column::column_type);
            let time = match kind {
                Some(
                    ColumnType::MYSQL_TYPE_TINY
                    | ColumnType::MYSQL_TYPE_SHORT
                    | ColumnType::MYSQL_TYPE_INT24
                    | ColumnType::MYSQL_TYPE_LONG
                    | ColumnType::MYSQL_TYPE_LONGLONG,
                ) => value.parse().ok().and_then(time_of_integer),
                Some(
                    ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DOUBLE | ColumnType::MYSQL_TYPE_FLOAT,
                ) => value.parse().ok().and_then(time_of_real),
                _ => time_of_text(&value),
            };
            let no_time = AnswerFault::Freshness { found: "a value that is no timestamp" };
            time.map(Some).ok_or_else(|| no_time.into())
        };
        rows.iter().map(time_of).collect()
    }

    async fn prove(&mut self) -> Result<(), Fault> {
        const DOING: &str = "proving that it was one transaction";
        self.doing.now(DOING);
        self.texts_here(DOING, "select @hygiene_mark").await?;
        if self.sees_no_table {
            let why = "the user sees no table of the database, whose age tells it from another; \
                       grant select on the table of the sessions";
            return Err(Fault::Unproved { why: why.into() });
        }
        Ok(())
    }

    async fn end(mut self: Box<Self>) -> Result<(), Fault> {
        self.doing.now("ending the transaction");
        self.run("ending the transaction", "rollback").await?;
        self.ended = true;
        if let Some(connection) = self.connection.take() {
            // Everything was answered: how it is closed does not matter.
            let _ = connection.disconnect().await;
        }
        Ok(())
    }
}

/// A comment may stand open at the end of the query: the line end and the empty comment before the parenthesis close it.
fn wrapped(query: Query<'_>, select: &str) -> String {
    format!("with hygiene_query as (\n{}\n/**/) {select}", query.sql)
}

/// Why a stream of rows ended early.
enum Stopped {
    Server(Error),
    Fault(Fault),
}

async fn stream(connection: &mut Conn, query: Query<'_>, sql: &str, each: Each<'_>) -> Result<(), Stopped> {
    let mut rows = connection.query_iter(sql).await.map_err(Stopped::Server)?;
    id_column(query, rows.columns_ref()).map_err(Stopped::Fault)?;
    while let Some(row) = rows.next().await.map_err(Stopped::Server)? {
        let value = match row.as_ref(0) {
            Some(Value::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        each(value).map_err(|fault| Stopped::Fault(fault.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::transactions;

    #[test]
    fn transactions_are_counted_over_all_servers_and_intervals() {
        let one = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        assert_eq!(transactions(""), None);
        assert_eq!(transactions(&format!("{one}:1-5")), Some(5));
        assert_eq!(transactions(&format!("{one}:1-5:7,\n{one}:1-3")), Some(9));
        assert_eq!(transactions(&format!("{one}:1-5:tag:1-2")), Some(7));
    }
}
