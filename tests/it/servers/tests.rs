//! The servers are what they say.

use std::os::unix::process::CommandExt;
use std::process::Stdio;

use super::process::{command, is_alive, output, wait_for};
use super::{Certificate, DATABASE, MariaDb, OPEN_USER, Options, PASSWORD, Postgres, USER, mariadb, postgres};

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
    std::thread::sleep(std::time::Duration::from_millis(200));
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

/// A server of which a test process has nothing but the pipe to its watchdog.
#[test]
fn a_server_ends_with_the_test_process_and_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap().keep();
    let (told, script) = (dir.join("told"), include_str!("watchdog.sh"));
    // A process that holds the pipe and is killed as a test process would be.
    let mut holder = command("sh")
        .args(["-c", "tail -f /dev/null | sh -c \"$1\" watchdog \"$2\" sh -c 'sleep 1000 & sleep 1000' >\"$3\""])
        .args(["holder", script])
        .args([&dir, &told])
        .process_group(0)
        .spawn()
        .unwrap();
    let mut server = 0;
    wait_for("the server to start", || {
        server = std::fs::read_to_string(&told).ok().and_then(|pid| pid.trim().parse().ok()).unwrap_or(0);
        server != 0 && children(server).len() == 2
    });
    let mut all = children(server);
    all.push(server);
    assert!(all.iter().all(|pid| is_alive(*pid)));
    output(command("sh").args(["-c", "kill -KILL $1", "kill", &tail_of(holder.id()).to_string()]), "");
    holder.wait().unwrap();
    assert!(!all.iter().any(|pid| is_alive(*pid)), "{all:?}");
    assert!(!dir.exists());
}

/// The first process of a pipeline that a shell waits for.
fn tail_of(shell: u32) -> u32 {
    children(shell)[0]
}

fn children(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
