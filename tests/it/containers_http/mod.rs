//! `spec.containers.http`: what the endpoint answers, and what becomes of a sweep.

mod acting;
mod answers;
pub mod server;
mod settle;
mod tls;

use std::process::{Command, Stdio};

use workspace_hygiene::observe::containers::{self, ContainerEvidence, Look};
use workspace_hygiene::observe::{Health, Reading};
use workspace_hygiene::policy::HttpPolicy;

use crate::world::{DAY, World, id};

/// The session that is live in every world.
const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

/// A world with one live workspace, so many orphans, and this endpoint; `more` goes on in `spec.containers.http`, `beside`
/// beside it.
fn world_with(orphans: u32, url: &str, more: &str, beside: &str) -> World {
    let mut world = World::new();
    world.part("containers", &format!("{{http: {{url: \"{url}\"{more}}}{beside}}}"));
    world.workspace(LIVE, 60 * DAY);
    for n in 1..=orphans {
        world.workspace(&id(n), (60 - n) * DAY);
    }
    world
}

/// How the built binary ended on this world: its code, what it printed, and what it said.
fn run(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(world, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn command(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
    command.args(args).arg("-f").arg(world.spec_file()).stdin(Stdio::null());
    command.env("HYGIENE_STATE_DIR", world.path("state")).env_remove("HYGIENE_LOG").env_remove("HYGIENE_CLUSTER");
    // A proxy that is nowhere: whoever asked it would get no answer.
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    command
}

fn policy(url: &str, more: &str) -> HttpPolicy {
    world_with(0, url, more, "").policy().containers.clone().unwrap().http.unwrap()
}

/// What one look at this endpoint finds.
fn look(url: &str, more: &str) -> Health {
    look_at(&containers::Http::new(policy(url, more)))
}

fn look_at(endpoint: &containers::Http) -> Health {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    match runtime.block_on(endpoint.serving(Look::Fresh)) {
        Some(Reading::Complete(health)) => health,
        other => panic!("{other:?}"),
    }
}

/// What is wrong with the endpoint, its address left out.
#[track_caller]
fn wrong(url: &str, more: &str) -> String {
    match look(url, more) {
        Health::Unhealthy(why) => why.strip_prefix(&format!("{url} ")).expect(&why).to_owned(),
        Health::Healthy => panic!("it is healthy"),
    }
}
