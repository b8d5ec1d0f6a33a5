//! `--secret`: what is missing is told first, and nothing of a value is ever shown.

use super::{command_in, world_with};
use crate::servers::{PASSWORD, Postgres};

const SESSIONS: &str = "{postgres: {url: {secretKeyRef: {name: db, key: url}}, tls: {mode: Disable}}, \
                        liveQuery: 'select told(id) from session where deleted_at is null'}";

#[test]
fn a_secret_that_is_missing_is_told_before_anything_runs_and_none_is_ever_logged() {
    let server = Postgres::start();
    server.admin(
        "create function told(id text) returns text language plpgsql as
         $$ begin raise notice 'a row: %', id; raise warning 'a row: %', id; return id; end $$",
    );
    let mut world = world_with(1);
    world.part("sessions", SESSIONS);
    let spec = world.spec_file();
    let run = |args: &[&str]| {
        let mut command = command_in(&world, args);
        command.args(["-f", spec.to_str().unwrap(), "--log-level", "trace"]).env("DB_URL", server.url());
        super::Ran::from(command.output().unwrap())
    };
    for (args, part) in [
        (&["plan"][..], "spec.sessions.postgres.url.secretKeyRef: db/url was not given; add --secret db/url=env:VAR"),
        (&["plan", "--secret", "db/url=env:NO_SUCH"], "the environment variable NO_SUCH is not set"),
    ] {
        let ran = run(args).exits(2);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let ran = run(&["plan", "-o", "json", "--secret", "db/url=env:DB_URL"]).exits(0);
    assert_eq!(ran.json()["sources"]["sessions"]["state"], "Complete", "{}", ran.stdout);
    assert!(ran.stderr.contains("begin transaction isolation level"), "the driver logs too: {}", ran.stderr);
    for said in [&ran.stdout, &ran.stderr] {
        for secret in ["s3cret", PASSWORD, "127.0.0.1", "a row: "] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }
}
