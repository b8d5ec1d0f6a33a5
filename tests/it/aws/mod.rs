//! ECS as evidence and EFS as the volume, by the built binary against a stand-in for AWS.

mod claims;
mod efs;
mod life;
mod moto;
mod partial;
mod proxy;
mod purge;
mod serving;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use self::proxy::Proxy;
use crate::world::{DAY, World, id};

/// The session that is live in every world.
const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";
/// What must never be shown.
const TOKEN: &str = "s3cret-session-token";
/// A service and claims by a tag of tasks of the family `session`.
const BOTH: &str = "serving: {service: collab}, claims: {family: session, sessionTag: session}";

/// A cluster with the service `collab`, which has one task that is well; and what stands between it and the binary.
struct Cloud {
    proxy: Proxy,
    cluster: String,
    /// The task of the service.
    task: String,
}

impl Cloud {
    fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = format!("cluster-{}", NEXT.fetch_add(1, Ordering::SeqCst));
        moto::force(&json!({"do": "service", "cluster": cluster, "service": "collab", "count": 1}));
        let mut cloud = Self { proxy: Proxy::start(), cluster, task: String::new() };
        cloud.task = cloud.serving_task(&json!({}));
        cloud
    }

    /// A world on this cluster with one live workspace and so many orphans; `ecs` goes on in `containers.ecs`, `beside`
    /// beside it.
    fn world(&self, orphans: u32, ecs: &str, beside: &str) -> World {
        let mut world = World::on_disk();
        let cluster = &self.cluster;
        world.part("containers", &format!("{{ecs: {{cluster: {cluster}, region: eu-central-1, {ecs}}}{beside}}}"));
        world.workspace(LIVE, 60 * DAY);
        for n in 1..=orphans {
            world.workspace(&id(n), (60 - n) * DAY);
        }
        world
    }

    /// One more task of the service.
    fn serving_task(&self, values: &Value) -> String {
        let ask = json!({"do": "task", "cluster": self.cluster, "service": "collab", "values": values});
        moto::force(&ask)[0].as_str().unwrap().to_owned()
    }

    /// A task of the family `session` with these tags.
    fn session_task(&self, tags: &Value, values: &Value) -> String {
        let ask = json!({"do": "task", "cluster": self.cluster, "family": "session", "tags": tags, "values": values});
        moto::force(&ask)[0].as_str().unwrap().to_owned()
    }

    fn set_task(&self, arn: &str, values: &Value) {
        moto::force(&json!({"do": "set_task", "arn": arn, "values": values}));
    }

    fn set_service(&self, values: &Value) {
        moto::force(&json!({"do": "set_service", "cluster": self.cluster, "service": "collab", "values": values}));
    }

    /// The built binary on this cloud.
    fn command(&self, world: &World, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
        command.args(args).arg("-f").arg(world.path("spec.yaml")).stdin(Stdio::null());
        self.environment(world, &mut command);
        command
    }

    /// Credentials and addresses, and nothing of the user's.
    fn environment(&self, world: &World, command: &mut Command) {
        command
            .env("HYGIENE_STATE_DIR", world.path("state"))
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.proxy.port))
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", "s3cret-access-key")
            .env("AWS_SESSION_TOKEN", TOKEN)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/nonexistent")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
        for name in ["HYGIENE_LOG", "HYGIENE_CLUSTER", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"] {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name);
        }
    }

    /// How the binary ended on the world's spec: its code, what it printed, and what it said.
    fn run(&self, world: &World, args: &[&str]) -> (Option<i32>, String, String) {
        world.spec_file();
        self.run_as_written(world, args)
    }

    /// The same by the spec that was written last, with nothing made ready for it.
    fn run_as_written(&self, world: &World, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(world, args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        for secret in [TOKEN, "s3cret-access-key", "hunter2"] {
            assert!(!stdout.contains(secret) && !stderr.contains(secret), "{secret}: {stdout}{stderr}");
        }
        (output.status.code(), stdout, stderr)
    }

    /// What the binary printed as JSON.
    #[track_caller]
    fn json(&self, world: &World, args: &[&str]) -> Value {
        let (_, stdout, stderr) = self.run(world, &[args, &["-o", "json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"))
    }

    fn plan(&self, world: &World) -> Value {
        self.json(world, &["plan", "--unsafe-short-times"])
    }

    /// A sweep that does not wait for the service to settle.
    fn sweep(&self, world: &World) -> Value {
        self.json(world, &["sweep", "--no-settle", "--unsafe-short-times"])
    }
}

/// What holds a plan or a report, and why.
fn held(document: &Value) -> (&str, &str) {
    let hold = &document["held"];
    (hold["reason"].as_str().unwrap_or_default(), hold["message"].as_str().unwrap_or_default())
}

/// Names in a list of a report.
fn names(document: &Value, list: &str) -> Vec<String> {
    let names = document[list].as_array().unwrap_or_else(|| panic!("{document:#}"));
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}
