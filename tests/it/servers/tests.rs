//! The servers are what they say.

use std::process::Stdio;
use std::time::Duration;

use super::killed::end_with_a_killed_process;
use super::process::is_alive;
use super::{
    Certificate, DATABASE, MariaDb, MySqlRouter, OPEN_USER, Options, PASSWORD, PgBouncer, PoolMode, Postgres, Proxy,
    Router, USER, mariadb, postgres,
};

const LIVE: &str = "select id from session where deleted_at is null order by id";

/// What psql prints or says, as a client that is told a URL.
fn psql(url: &str, environment: &[(&str, &str)], sql: &str) -> Result<String, String> {
    client(postgres::psql().arg(url).args(["-c", sql]).envs(environment.iter().copied()))
}

/// What the client prints or says, as [`USER`] or, without a password, as [`OPEN_USER`].
fn mysql(port: u16, arguments: &[&str], password: &str, sql: &str) -> Result<String, String> {
    let user = if password.is_empty() { OPEN_USER } else { USER };
    let mut mysql = mariadb::client();
    mysql.args(["--host=127.0.0.1", "--protocol=tcp", &format!("--port={port}"), &format!("--user={user}")]);
    client(mysql.args(arguments).args([DATABASE, "-e", sql]).env("MYSQL_PWD", password))
}

fn client(command: &mut std::process::Command) -> Result<String, String> {
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
}

#[test]
fn a_postgres_answers_the_url_it_tells_and_ends_with_its_value() {
    let server = Postgres::start();
    assert!(server.url().starts_with("postgres://hygiene:s3cret-%25%2B%2F%40%3APW@127.0.0.1:"), "{}", server.url());
    assert_eq!(psql(&server.url(), &[], LIVE).unwrap(), "ada\nbob\ncyd");
    let refused = psql(&server.url(), &[], "delete from session").unwrap_err();
    assert!(refused.contains("permission denied"), "{refused}");
    let refused = psql(&server.url_for(USER, "wrong", DATABASE), &[], LIVE).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    assert!(server.log().contains("statement: delete from session"), "{}", server.log());
    assert!(!server.log().contains(PASSWORD));
    let (pid, port) = (server.pid().unwrap(), server.port());
    drop(server);
    assert!(!is_alive(pid));
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_mariadb_answers_and_ends_with_its_value() {
    let server = MariaDb::start();
    assert!(server.url().starts_with("mysql://hygiene:s3cret-%25%2B%2F%40%3APW@127.0.0.1:"), "{}", server.url());
    assert_eq!(mysql(server.port(), &[], PASSWORD, LIVE).unwrap(), "ada\nbob\ncyd");
    assert_eq!(mysql(server.port(), &[], "", LIVE).unwrap(), "ada\nbob\ncyd");
    let refused = mysql(server.port(), &[], PASSWORD, "delete from session").unwrap_err();
    assert!(refused.contains("denied"), "{refused}");
    let refused = mysql(server.port(), &[], "wrong", LIVE).unwrap_err();
    assert!(refused.contains("Access denied"), "{refused}");
    assert!(server.statements().contains("delete from session"), "{}", server.statements());
    assert!(server.log().contains("ready for connections"), "{}", server.log());
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!is_alive(pid));
}

#[test]
fn a_postgres_is_stopped_killed_and_started_again() {
    let server = Postgres::start();
    server.stop_signal();
    let mut asked = postgres::psql();
    let mut asked = asked.arg(server.url()).args(["-c", LIVE]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(asked.try_wait().unwrap().is_none(), "a stopped server answers nothing");
    server.continue_signal();
    assert!(asked.wait().unwrap().success());

    server.admin("insert into session(id) values ('dan')");
    server.kill();
    assert!(psql(&server.url(), &[], LIVE).unwrap_err().contains("refused"));
    server.restart();
    assert_eq!(psql(&server.url(), &[], LIVE).unwrap(), "ada\nbob\ncyd\ndan");
    server.restart();
    assert_eq!(psql(&server.url(), &[], LIVE).unwrap(), "ada\nbob\ncyd\ndan");
}

#[test]
fn a_mariadb_is_stopped_killed_and_started_again() {
    let server = MariaDb::start();
    server.stop_signal();
    let refused = mysql(server.port(), &["--connect-timeout=1"], PASSWORD, LIVE).unwrap_err();
    assert!(refused.contains("ERROR 2"), "{refused}");
    server.continue_signal();

    server.admin("insert into session(id) values ('dan')");
    server.kill();
    assert!(mysql(server.port(), &[], PASSWORD, LIVE).is_err());
    server.restart();
    assert_eq!(mysql(server.port(), &[], PASSWORD, LIVE).unwrap(), "ada\nbob\ncyd\ndan");
    server.restart();
    assert_eq!(mysql(server.port(), &[], PASSWORD, LIVE).unwrap(), "ada\nbob\ncyd\ndan");
}

#[test]
fn a_standby_streams_pauses_and_is_promoted() {
    let primary = Postgres::start();
    let standby = primary.standby();
    primary.admin("insert into session(id) values ('dan')");
    standby.catch_up_with(&primary);
    assert_eq!(psql(&standby.url(), &[], LIVE).unwrap(), "ada\nbob\ncyd\ndan");
    assert_eq!(standby.query("select pg_is_in_recovery()"), "t");

    standby.pause_replay();
    primary.admin("insert into session(id) values ('eve')");
    assert_eq!(standby.query(LIVE), "ada\nbob\ncyd\ndan");
    standby.resume_replay();
    standby.catch_up_with(&primary);
    assert_eq!(standby.query(LIVE), "ada\nbob\ncyd\ndan\neve");

    standby.promote();
    standby.admin("insert into session(id) values ('fay')");
    assert_eq!(standby.query("select pg_is_in_recovery()"), "f");
    assert_eq!(primary.query(LIVE), "ada\nbob\ncyd\ndan\neve");
    assert_eq!(standby.system_identifier(), primary.system_identifier());
}

#[test]
fn a_replica_receives_stops_and_is_promoted() {
    let primary = MariaDb::start();
    primary.admin("insert into session(id) values ('dan')");
    let replica = primary.replica();
    assert_eq!(mysql(replica.port(), &[], PASSWORD, LIVE).unwrap(), "ada\nbob\ncyd\ndan");
    assert_ne!(replica.server_id(), primary.server_id());

    replica.stop_replication();
    primary.admin("insert into session(id) values ('eve')");
    assert_eq!(replica.query(LIVE), "ada\nbob\ncyd\ndan");
    replica.start_replication();
    replica.catch_up_with(&primary);
    assert_eq!(replica.query(LIVE), "ada\nbob\ncyd\ndan\neve");

    assert_eq!(replica.query("select @@read_only"), "1");
    replica.promote();
    assert_eq!(replica.query("select @@read_only"), "0");
    replica.admin("insert into session(id) values ('fay')");
    assert_eq!(primary.query(LIVE), "ada\nbob\ncyd\ndan\neve");
}

#[test]
fn copies_of_a_postgres_have_its_identifier_and_others_have_not() {
    let (server, other) = (Postgres::start(), Postgres::start());
    server.admin("insert into session(id) values ('dan')");
    let copy = server.copy_data_dir();
    server.admin("insert into session(id) values ('eve')");
    assert_eq!(copy.query(LIVE), "ada\nbob\ncyd\ndan");
    assert_eq!(copy.system_identifier(), server.system_identifier());
    assert_ne!(other.system_identifier(), server.system_identifier());
    server.shutdown();
    assert_eq!(server.copy_data_dir().query(LIVE), "ada\nbob\ncyd\ndan\neve");
}

#[test]
fn copies_of_a_mariadb_have_its_id_and_others_have_not() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    server.admin("insert into session(id) values ('dan')");
    let copy = server.copy_data_dir();
    server.admin("insert into session(id) values ('eve')");
    assert_eq!(copy.query(LIVE), "ada\nbob\ncyd\ndan");
    assert_eq!(copy.query("select @@server_id"), server.server_id().to_string());
    assert_ne!(other.server_id(), server.server_id());
    server.shutdown();
    assert_eq!(server.copy_data_dir().query(LIVE), "ada\nbob\ncyd\ndan\neve");
}

#[test]
fn a_postgres_presents_each_certificate() {
    let presented = |certificate| {
        let server = Postgres::with_tls(certificate);
        let ca = server.ca().into_os_string().into_string().unwrap();
        psql(&server.url(), &[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", &ca)], LIVE)
    };
    assert_eq!(presented(Certificate::Right).unwrap(), "ada\nbob\ncyd");
    let refused = presented(Certificate::WrongName).unwrap_err();
    assert!(refused.contains("does not match host name"), "{refused}");
    let refused = presented(Certificate::OtherAuthority).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    let refused = presented(Certificate::Expired).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
}

#[test]
fn a_mariadb_presents_each_certificate() {
    let presented = |certificate| {
        let server = MariaDb::with_tls(certificate);
        let ca = format!("--ssl-ca={}", server.ca().display());
        mysql(server.port(), &[&ca, "--ssl-verify-server-cert"], PASSWORD, LIVE)
    };
    assert_eq!(presented(Certificate::Right).unwrap(), "ada\nbob\ncyd");
    for wrong in [Certificate::WrongName, Certificate::OtherAuthority, Certificate::Expired] {
        let refused = presented(wrong).unwrap_err();
        assert!(refused.contains("SSL"), "{refused}");
    }
}

#[test]
fn options_reach_the_server() {
    let server = Postgres::start_with(Options::default().trusting().set("work_mem=1MB"));
    assert_eq!(psql(&server.url_for(USER, "wrong", DATABASE), &[], "show work_mem").unwrap(), "1MB");
    let server = MariaDb::start_with(Options::default().set("max-allowed-packet=1M"));
    assert_eq!(server.query("select @@max_allowed_packet"), "1048576");
}

#[test]
fn a_pgbouncer_answers_in_each_mode_and_ends_with_its_value() {
    let server = Postgres::start();
    for mode in [PoolMode::Session, PoolMode::Transaction, PoolMode::Statement] {
        let pooler = PgBouncer::in_front_of(&server, mode);
        assert_ne!(pooler.port(), server.port());
        let asked = || psql(&pooler.url(), &[("PGOPTIONS", "-c work_mem=1MB")], LIVE);
        assert_eq!(asked().unwrap(), "ada\nbob\ncyd");
        let mut transaction = postgres::psql();
        let transaction = client(transaction.arg(pooler.url()).args(["-c", "begin", "-c", "select 1", "-c", "commit"]));
        assert_eq!(transaction.is_ok(), mode != PoolMode::Statement, "{transaction:?}");
        let dropped = psql(&pooler.url(), &[("PGOPTIONS", "-c work_mem=1MB")], "show work_mem");
        assert_eq!(dropped.unwrap(), "4MB", "connection options are dropped");
        assert!(pooler.log().contains("login attempt"), "{}", pooler.log());
        let pid = pooler.pid();
        drop(pooler);
        assert!(!is_alive(pid));
    }
}

#[test]
fn a_proxy_passes_cuts_and_stalls() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    // A server that says ten letters for each byte it is told.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while client.read_exact(&mut [0]).is_ok() {
                    client.write_all(b"0123456789").ok();
                }
            });
        }
    });
    let connected = || {
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        client
    };
    let asked = |mut client: &TcpStream| {
        client.write_all(b"?").unwrap();
        let mut said = [0; 10];
        let mut read = 0;
        while read < said.len() {
            match client.read(&mut said[read..]) {
                Ok(0) => return (read, "cut"),
                Ok(more) => read += more,
                Err(_) => return (read, "silent"),
            }
        }
        (read, "all")
    };
    let first = connected();
    assert_eq!(asked(&first), (10, "all"));
    assert_eq!((proxy.passed(), proxy.connections()), (10, 1));

    proxy.cut_after(14);
    assert_eq!(asked(&first), (10, "all"));
    assert_eq!(asked(&first), (4, "cut"));
    assert_eq!(asked(&connected()), (10, "all"), "each connection has bytes of its own");
    proxy.cut_after(0);
    assert_eq!(asked(&connected()), (0, "cut"));

    proxy.stall_after(7);
    let stalled = connected();
    assert_eq!(asked(&stalled), (7, "silent"));
    proxy.pass();
    let mut rest = [0; 3];
    (&stalled).read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"789");
    assert_eq!(asked(&stalled), (10, "all"));
    proxy.cut_all();
    assert_eq!((&stalled).read(&mut rest).unwrap(), 0);
    assert_eq!(proxy.connections(), 4);
    proxy.stall_after(0);
    let stalled = connected();
    assert_eq!(asked(&stalled), (0, "silent"));
    drop(proxy);
    assert_eq!((&stalled).read(&mut rest).unwrap(), 0);
}

#[test]
fn a_proxy_is_between_client_and_server() {
    let server = Postgres::start();
    let proxy = Proxy::to(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    assert_eq!(psql(&url, &[], LIVE).unwrap(), "ada\nbob\ncyd");
    let all = proxy.passed();
    assert!(all > 100, "{all}");
    proxy.cut_after(all - 10);
    assert!(psql(&url, &[], LIVE).unwrap_err().contains("server closed the connection"));
    assert_eq!(proxy.passed(), all - 10);
    let server = MariaDb::start();
    let proxy = Proxy::to(server.port());
    assert_eq!(mysql(proxy.port(), &[], PASSWORD, LIVE).unwrap(), "ada\nbob\ncyd");
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_router_sends_a_later_statement_to_a_second_postgres() {
    let start = || Postgres::start_with(Options::default().trusting());
    let (first, second) = (start(), start());
    let router = Router::between(first.port(), second.port());
    let asked = || {
        let mut three = postgres::psql();
        three.arg(first.url().replace(&first.port().to_string(), &router.port().to_string()));
        let ports = client(three.args(["-c", "show port"].repeat(3))).unwrap();
        ports.lines().map(|port| if port == first.port().to_string() { 1 } else { 2 }).collect::<Vec<_>>()
    };
    assert_eq!(asked(), [1, 1, 1]);
    assert_eq!(router.ready(), 4);
    router.switch_after(2);
    assert_eq!(asked(), [1, 2, 2]);
    router.switch_after(1);
    assert_eq!(asked(), [2, 2, 2]);
    router.switch_after(3);
    assert_eq!(asked(), [1, 1, 2]);
    router.switch_now();
    assert_eq!(asked(), [2, 2, 2]);
}

#[test]
fn a_router_sends_a_later_command_to_a_second_mariadb() {
    let (first, second) = (MariaDb::start(), MariaDb::start());
    let router = MySqlRouter::between(first.port(), second.port());
    let asked = || {
        let ports = mysql(router.port(), &[], "", "select @@port; select @@port; select @@port").unwrap();
        ports.lines().map(|port| if port == first.port().to_string() { 1 } else { 2 }).collect::<Vec<_>>()
    };
    assert_eq!(asked(), [1, 1, 1]);
    assert_eq!(router.commands(), 3);
    router.switch_after(1);
    assert_eq!(asked(), [1, 2, 2]);
    router.switch_after(2);
    assert_eq!(asked(), [1, 1, 2]);
    router.switch_now();
    assert_eq!(asked(), [2, 2, 2]);
    let refused = mysql(router.port(), &[], PASSWORD, LIVE);
    assert!(refused.is_err(), "who has a password is let in by one server at most");
}

#[test]
fn servers_end_with_a_test_process_that_is_killed_and_leave_no_files() {
    end_with_a_killed_process(
        "servers::tests::servers_end_with_a_test_process_that_is_killed_and_leave_no_files",
        || {
            let (postgres, mariadb) = (Postgres::start(), MariaDb::start());
            let pooler = PgBouncer::in_front_of(&postgres, PoolMode::Session);
            let mut pids = vec![postgres.pid().unwrap(), mariadb.pid().unwrap(), pooler.pid()];
            let children = children(pids[0]);
            assert!(children.len() > 2, "PostgreSQL has children: {children:?}");
            pids.extend(children);
            ((postgres, mariadb, pooler), pids)
        },
    );
}

fn children(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
