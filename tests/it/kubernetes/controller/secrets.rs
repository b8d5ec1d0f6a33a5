//! Values of Secrets: of the resource's own namespace, read when they are used, shown nowhere.

use super::{Controller, annotate, apply, cluster, condition, in_namespace, namespace, object, status, wait};
use crate::servers::Postgres;
use crate::world::{DAY, World, id};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

#[test]
fn a_secret_is_read_at_each_sweep_and_never_told() {
    let namespace = namespace("secrets");
    let postgres = Postgres::start();
    postgres.admin(&format!("delete from session; insert into session(id) values ('{LIVE}')"));
    let mut world = in_namespace(World::new(), &namespace);
    world.part("mode", "Report");
    world.part(
        "sessions",
        "{postgres: {url: {secretKeyRef: {name: db, key: url}}, tls: {mode: Disable}}, timeout: 10s, \
         liveQuery: 'select id from session where deleted_at is null'}",
    );
    world.workspace(LIVE, 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    apply(&world);
    let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false", "--log-level", "trace"]);
    let sources = || condition(&status(&namespace), "SourcesAvailable")["message"].to_string();
    wait("refusal", &mut controller, || sources().contains("Secret") && sources().contains("is not there"));

    let ask = |value: &str| annotate(&namespace, &format!("hygiene.dev/sweep-requested-at={value}"));
    let secret = |url: &str| {
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace},
            "stringData": {"url": url},
        });
        cluster().admin_with(&["apply", "-f", "-"], &manifest.to_string());
    };
    secret("postgres://amy:hunter2-of-old@127.0.0.1:1/app");
    ask("1");
    wait("refused connection", &mut controller, || !sources().contains("is not there") && sources() != "null");
    assert_eq!(condition(&status(&namespace), "Ready")["status"], "False");
    secret(&postgres.url());
    ask("2");
    wait("rows", &mut controller, || condition(&status(&namespace), "Ready")["status"] == "True");
    assert_eq!(status(&namespace)["sessions"]["live"], 1);

    let password = postgres.url();
    let password =
        password.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user.to_owned());
    let shown = [controller.text(), object(&namespace, "test").to_string()].concat();
    assert!(!shown.contains("hunter2"), "a secret was told");
    if let Some((_, password)) = password.as_deref().and_then(|user| user.split_once(':')) {
        assert!(!shown.contains(password), "a secret was told");
    }
    assert_eq!(controller.stop().code(), Some(0));
}
