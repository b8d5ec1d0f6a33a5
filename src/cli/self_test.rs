//! `hygiene self-test`: whether a controller that was installed works. One half makes a throw-away volume with a session
//! database where the controller sees it; the other applies a resource about that volume and waits for its report.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueHint};
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::exit::{Ended, Exit};
use super::options::duration;
use super::output;
use super::run::Run;
use crate::api::{API_VERSION, KIND, WorkspaceHygiene};
use crate::cluster;

/// The session that is live, and the one that is not there any more.
const LIVE: &str = "5e1f7e57-0000-4000-8000-000000000001";
const GONE: &str = "5e1f7e57-0000-4000-8000-000000000002";
/// How old the workspaces look: older than minAge.
const AGE: Duration = Duration::from_secs(7 * 86_400);
/// Longest time for one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Time between two looks at the status.
const LOOK: Duration = Duration::from_millis(500);

/// Try a controller on a throw-away volume; needs no spec
///
/// `make` makes the volume and its database in a directory that the controller sees; it removes nothing. `ask` applies a
/// resource in mode Report about them, waits for its report, says whether it is right, and deletes the resource. `helm test`
/// runs both.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene self-test make /self-test
  hygiene controller --namespace team-a --volume-root self-test=/self-test:team-a
  hygiene self-test ask /self-test --namespace team-a")]
pub(super) struct SelfTest {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Make(Make),
    Ask(Ask),
}

/// Make a volume with one live and one orphaned workspace, and their session database
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene self-test make /self-test")]
struct Make {
    /// The directory to make them in
    #[arg(value_hint = ValueHint::DirPath)]
    directory: PathBuf,
}

/// Apply a resource about that volume, and wait until a controller has reported on it
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene self-test ask /self-test --namespace team-a --timeout 2m")]
struct Ask {
    /// The directory, as the controller sees it
    #[arg(value_hint = ValueHint::DirPath)]
    directory: PathBuf,

    /// The namespace of the resource [default: that of the pod, or of the kubeconfig's context]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The name of the resource; one of that name that is about the same directory is replaced
    #[arg(long, value_name = "NAME", default_value = "self-test")]
    name: String,

    /// How long to wait for the report
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
}

impl SelfTest {
    pub(super) async fn run(self, run: &Run) -> Ended {
        match self.command {
            Command::Make(make) => make.run(SystemTime::from(run.process.clock.now())),
            Command::Ask(ask) => ask.run(run).await,
        }
    }
}

fn volume(directory: &Path) -> PathBuf {
    directory.join("volume")
}

fn database(directory: &Path) -> PathBuf {
    directory.join("sessions.db")
}

impl Make {
    fn run(self, now: SystemTime) -> Ended {
        for id in [LIVE, GONE] {
            let workspace = volume(&self.directory).join(id);
            make_workspace(&workspace, now - AGE).with_context(|| format!("{} cannot be made", workspace.display()))?;
        }
        let path = database(&self.directory);
        make_database(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        output::say(format_args!("made a volume of two workspaces in {}", self.directory.display()));
        Ok(Exit::Done)
    }
}

fn make_workspace(path: &Path, at: SystemTime) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    let file = path.join("notes.txt");
    fs::write(&file, "made by hygiene self-test\n")?;
    for path in [&*file, path] {
        File::open(path)?.set_modified(at)?;
    }
    Ok(())
}

/// A second time it is the same: a container may be started again.
fn make_database(path: &Path) -> rusqlite::Result<()> {
    let database = Connection::open(path)?;
    database.execute_batch("create table if not exists session (id text primary key, deleted_at text)")?;
    let insert = "insert or ignore into session (id, deleted_at) values (?1, null), (?2, '2026-01-01')";
    database.execute(insert, [LIVE, GONE])?;
    Ok(())
}

impl Ask {
    async fn run(self, run: &Run) -> Ended {
        let (client, own) = cluster::connect(REQUEST).await.map_err(|why| anyhow!(why))?;
        let namespace = self.namespace.as_deref().unwrap_or(&own);
        let resource = Resource { api: cluster::resources(client, namespace), name: &self.name };
        let object = self.object(namespace);
        self.make_way(&resource, &object).await?;
        let begun = run.process.clock.now();
        answered(resource.api.create(&PostParams::default(), &object))
            .await
            .with_context(|| format!("{namespace}/{} cannot be created", self.name))?;
        let mut seen = Value::Null;
        let report = loop {
            // An API server that is away for a moment is asked again.
            if let Ok(Some(object)) = answered(resource.api.get_opt(&self.name)).await {
                seen = object.data.get("status").cloned().unwrap_or_default();
            }
            let waited = run.process.clock.now().duration_since(begun).unsigned_abs();
            match judge(&seen) {
                Some(report) => break report,
                None if run.stopped() => break Err("stopped before there was a report".into()),
                None if waited > self.timeout => break Err(format!("no report within {} s", self.timeout.as_secs())),
                None => tokio::time::sleep(LOOK).await,
            }
        };
        resource.delete().await?;
        match report {
            Ok(report) => {
                output::print(&format!("{namespace}/{}: {report}\n", self.name))?;
                Ok(Exit::Done)
            }
            Err(why) => {
                output::complain(format_args!("{namespace}/{}: {why}; the last status: {seen}", self.name));
                Ok(Exit::Failed)
            }
        }
    }

    fn object(&self, namespace: &str) -> DynamicObject {
        let spec = json!({
            "mode": "Report",
            "volume": {"path": volume(&self.directory)},
            "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$", "minAge": "24h", "activity": "Modified"},
            "sessions": {
                "sqlite": {"path": database(&self.directory)},
                "liveQuery": "select id from session where deleted_at is null",
            },
        });
        let mut object = DynamicObject::new(&self.name, &ApiResource::erase::<WorkspaceHygiene>(&())).within(namespace);
        object.types = Some(kube::api::TypeMeta { api_version: API_VERSION.into(), kind: KIND.into() });
        object.data = json!({"spec": spec});
        object
    }

    /// What an earlier test left behind is in the way; what is somebody else's is not touched.
    async fn make_way(&self, resource: &Resource<'_>, object: &DynamicObject) -> anyhow::Result<()> {
        let before = answered(resource.api.get_opt(&self.name)).await.context("the API server does not tell")?;
        let Some(before) = before else { return Ok(()) };
        let path = "/spec/volume/path";
        if before.data.pointer(path) != object.data.pointer(path) {
            return Err(anyhow!(
                "a resource {} is there already, about another volume; name another with --name",
                self.name
            ));
        }
        resource.delete().await
    }
}

/// The resource of the test.
struct Resource<'a> {
    api: Api<DynamicObject>,
    name: &'a str,
}

impl Resource<'_> {
    async fn delete(&self) -> anyhow::Result<()> {
        match answered(self.api.delete(self.name, &DeleteParams::default())).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 404) => {
                Ok(())
            }
            Err(error) => Err(error.context(format!("{} cannot be deleted; delete it by hand", self.name))),
        }
    }
}

async fn answered<T>(asked: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    Ok(tokio::time::timeout(REQUEST, asked).await.context("the API server did not answer in time")??)
}

/// What the report says; `None` as long as there is none.
fn judge(status: &Value) -> Option<Result<String, String>> {
    let conditions = status.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_true =
        |kind: &str| conditions.iter().find(|one| one["type"] == kind).is_some_and(|one| one["status"] == "True");
    if is_true("Stalled") {
        return Some(Err("the controller does not sweep it".into()));
    }
    if !is_true("Ready") || status["observedGeneration"].as_i64() < Some(1) {
        return None;
    }
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
    let found = (number("/lastSweep/directories"), number("/sessions/live"), number("/lastSweep/orphans"));
    Some(match found {
        (Some(2), Some(1), Some(1)) => Ok("2 workspaces, 1 live session, 1 orphan, as it should be".into()),
        _ => Err(format!("of 2 workspaces with 1 live session and 1 orphan it reported {found:?}")),
    })
}
