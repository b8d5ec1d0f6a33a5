//! The built binary with servers: where the values of a spec come from, and that no part of them is ever shown.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;

use super::{Database, Engine};
use crate::guards::LIVE;
use crate::servers::{Certificate, MariaDb, PASSWORD, Postgres, USER, ca};
use crate::world::{DAY, World, id};

struct Used {
    world: World,
    database: Database,
    engine: &'static str,
}

impl Used {
    fn new(database: Database, tls: &str) -> Self {
        database.admin(&format!("delete from session; insert into session(id) values ('{LIVE}')"));
        let engine = if database.engine == Engine::MariaDb { "mysql" } else { "postgres" };
        let mut world = World::fresh();
        world.part(
            "sessions",
            &format!(
                "{{{engine}: {{url: {{secretKeyRef: {{name: db, key: url}}}}, tls: {tls}}}, timeout: 5s, \
                 liveQuery: 'select id from session where deleted_at is null'}}"
            ),
        );
        world.workspace(LIVE, 60 * DAY);
        world.workspace(&id(1), 60 * DAY);
        Self { world, database, engine }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
        command.args(args).arg("-f").arg(self.world.spec_file()).args(["--log-level", "trace"]);
        command.env("HYGIENE_STATE_DIR", self.world.path("state")).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command.env("DB_URL", self.database.url()).env_remove("HYGIENE_LOG");
        command
    }

    /// Runs the binary with the URL from the environment.
    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        said(&self.command(args).args(["--secret", "db/url=env:DB_URL"]).output().unwrap())
    }
}

/// How it ended, and everything it said, which holds no part of the URL.
#[track_caller]
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap()).concat();
    hides(&text);
    (output.status.code(), text)
}

#[track_caller]
fn hides(text: &str) {
    // As it is, and as it stands in a URL.
    for secret in [PASSWORD, "s3cret", "%2B%2F%40%3APW"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

/// Everything below a folder, but the workspaces' own files.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    found
}

#[rstest]
fn from_the_first_plan_to_the_journal_no_part_of_a_secret_is_shown(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let used = Used::new(Database::start(engine), "{mode: Disable}");
    let (code, text) = used.run(&["sweep", "-o", "json"]);
    assert_eq!(code, Some(3), "{text}");
    let hash = text.split("\"planHash\": \"").nth(1).or_else(|| text.split("\"plan\": \"").nth(1));
    let hash = hash.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("{text}")).to_owned();
    assert_eq!(used.run(&["approve", &hash]).0, Some(0));
    let (code, text) = used.run(&["sweep"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!used.world.root().join(id(1)).exists(), "{text}");
    for args in [&["plan"] as &[_], &["explain", LIVE], &["quarantine", "list"], &["journal"], &["plan", "-o", "yaml"]]
    {
        assert_eq!(used.run(args).0, Some(0), "{args:?}");
    }
    // With everything that can go wrong: no such table, a wrong password, a server that is gone.
    used.database.admin("alter table session rename to sessions_of_old");
    assert!(used.run(&["plan"]).1.contains("spec.sessions.liveQuery"));
    let wrong = used.database.url().replace(&format!("{USER}:"), &format!("{USER}:s3cret"));
    let mut command = used.command(&["plan"]);
    let (_, text) = said(&command.env("DB_URL", wrong).args(["--secret", "db/url=env:DB_URL"]).output().unwrap());
    assert!(text.contains("refused the login"), "{text}");
    match engine {
        Engine::Postgres => used.database.postgres().kill(),
        _ => used.database.mariadb().kill(),
    }
    assert_eq!(used.run(&["sweep"]).0, Some(3));
    let own: Vec<_> =
        [used.world.root().join(".hygiene"), used.world.path("state")].iter().flat_map(|f| files(f)).collect();
    assert!(own.iter().any(|(path, _)| path.contains("journal")));
    own.iter().for_each(|(_, text)| hides(text));
}

#[test]
fn values_come_from_the_environment_and_from_files_and_a_missing_one_is_named_before_anything_runs() {
    let database = Database::on_postgres(Postgres::with_tls(Certificate::Right));
    let tls = "{mode: VerifyFull, ca: {configMapKeyRef: {name: db-ca, key: ca.pem}}}";
    let used = Used::new(database, tls);
    let (url, missing) = (used.world.path("url"), used.world.path("none"));
    fs::write(&url, format!("{}\n", used.database.url())).unwrap();
    let run = |given: &[&str]| said(&used.command(&["plan"]).args(given).output().unwrap());
    let authority = format!("db-ca/ca.pem=file:{}", ca().display());
    let from_file = format!("db/url=file:{}", url.display());
    for url in [from_file.as_str(), "db/url=env:DB_URL"] {
        let (code, text) = run(&["--secret", url, "--config-map", &authority]);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("1 live") || text.contains("live"), "{text}");
    }
    let (code, text) = run(&[]);
    assert_eq!(code, Some(2), "{text}");
    let field =
        format!("spec.sessions.{}.url.secretKeyRef: db/url was not given; add --secret db/url=env:VAR", used.engine);
    assert!(text.contains(&field) && text.contains("--config-map db-ca/ca.pem=env:VAR"), "{text}");
    let (code, text) = run(&["--secret", "db/url=env:NOBODY_SET_THIS", "--config-map", &authority]);
    assert!(code == Some(2) && text.contains("NOBODY_SET_THIS is not set"), "{text}");
    let (code, text) = run(&["--secret", "db/url=s3cret-on-the-command-line", "--config-map", &authority]);
    assert_eq!(code, Some(2), "{text}");
    // A file may still come: that it is not there makes the sessions unavailable, and nothing worse.
    let (code, text) = run(&["--secret", &format!("db/url=file:{}", missing.display()), "--config-map", &authority]);
    assert!(code == Some(0) && text.contains("No such file"), "{text}");
}

/// Nobody gets a core that holds the password, however the process ends.
#[test]
fn a_process_that_dies_leaves_no_core() {
    let used = Used::new(Database::on_mariadb(MariaDb::start()), "{mode: Disable}");
    used.database.mariadb().stop_signal();
    let mut command = used.command(&["plan"]);
    command.args(["--secret", "db/url=env:DB_URL", "--no-progress"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.current_dir(used.world.root().parent().unwrap()).spawn().unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    let begun = Instant::now();
    let mut core = String::new();
    while !core.contains(" 0 ") {
        assert!(begun.elapsed() < Duration::from_secs(20), "{core}");
        let limits = fs::read_to_string(&limits).unwrap();
        core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default().to_owned();
        core = core.split_whitespace().skip(4).map(|word| format!(" {word} ")).collect();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::ABORT).unwrap();
    assert!(!child.wait().unwrap().success());
    let cores = fs::read_dir(used.world.root().parent().unwrap()).unwrap();
    assert!(cores.map(|entry| entry.unwrap().file_name()).all(|name| !name.to_string_lossy().starts_with("core")));
}
