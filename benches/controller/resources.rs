//! The resources and their volumes, and when the API server tells which status of each.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use workspace_hygiene::api::WorkspaceHygiene;

use super::{Cluster, Options};

pub const NAMESPACE: &str = "bench";
/// Requests at once, where many resources are applied.
const AT_ONCE: usize = 16;
/// Longest time that anything is waited for.
const LONGEST: Duration = Duration::from_secs(600);

pub struct Resources {
    api: Api<DynamicObject>,
    mode: String,
    folder: tempfile::TempDir,
    seen: Arc<Seen>,
    /// Ends with this.
    _watching: JoinSet<()>,
}

/// What the API server told so far.
#[derive(Default)]
struct Seen {
    objects: Mutex<HashMap<String, Times>>,
    changed: Notify,
}

/// When something was first so of a resource.
#[derive(Clone, Copy, Default)]
struct Times {
    status: Option<Instant>,
    /// Of its newest generation.
    swept: Option<Instant>,
    generation: i64,
}

/// How long one resource waited.
pub struct Waited {
    pub status: Duration,
    pub swept: Duration,
}

/// When it was so of all.
pub struct All {
    pub status: Instant,
    pub swept: Instant,
}

impl Resources {
    /// Makes the volumes, and begins to watch; nothing is applied.
    pub async fn new(cluster: &Cluster, options: &Options) -> Result<Self> {
        cluster.admin(&["create", "namespace", NAMESPACE]);
        let folder = tempfile::Builder::new().prefix("hygiene-bench-").tempdir_in(&options.dir)?;
        for n in 0..options.resources {
            make_volume(&volume(folder.path(), n), options.workspaces)?;
        }
        let config = Kubeconfig::read_from(cluster.kubeconfig("admin"))?;
        let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        let client = Client::try_from(config)?;
        let api = Api::namespaced_with(client, NAMESPACE, &ApiResource::erase::<WorkspaceHygiene>(&()));
        let seen = Arc::new(Seen::default());
        let mut watching = JoinSet::new();
        watching.spawn(watch(api.clone(), Arc::clone(&seen)));
        Ok(Self { api, mode: options.mode.clone(), folder, seen, _watching: watching })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn apply(&self, n: usize, every: &str) -> Result<i64> {
        let at = volume(self.folder.path(), n);
        let object = json!({
            "apiVersion": "hygiene.dev/v1alpha1",
            "kind": "WorkspaceHygiene",
            "metadata": {"name": name(n)},
            "spec": {
                "mode": self.mode,
                "schedule": {"every": every},
                "volume": {"path": at.join("workspaces")},
                "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$"},
                "sessions": {"sqlite": {"path": at.join("sessions.db")}, "liveQuery": "select id from session"},
            },
        });
        let applied = self.api.patch(&name(n), &PatchParams::apply("bench"), &Patch::Apply(&object)).await?;
        applied.metadata.generation.context("the API server counts generations")
    }

    /// Applies one resource, and waits until it was swept.
    pub async fn apply_one(&self, n: usize) -> Result<Waited> {
        let begun = Instant::now();
        self.apply(n, "168h").await?;
        let all = self.wait(n..n + 1, 1).await?;
        Ok(Waited { status: all.status - begun, swept: all.swept - begun })
    }

    /// Applies these at once, and waits until all were swept.
    pub async fn apply_all(&self, which: Range<usize>) -> Result<All> {
        let applied = futures_util::stream::iter(which.clone().map(|n| self.apply(n, "168h")));
        applied.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        self.wait(which, 1).await
    }

    /// Gives all that were applied another schedule.
    pub async fn schedule(&self, every: &str) -> Result<()> {
        let all = self.seen.objects.lock().unwrap().len();
        let applied = futures_util::stream::iter((0..all).map(|n| self.apply(n, every)));
        applied.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        self.wait(0..all, 2).await.map(drop)
    }

    /// Waits until these have a status, and were swept by this generation.
    async fn wait(&self, which: Range<usize>, generation: i64) -> Result<All> {
        let deadline = Instant::now() + LONGEST;
        loop {
            let changed = self.seen.changed.notified();
            let all = {
                let objects = self.seen.objects.lock().unwrap();
                which.clone().try_fold(None, |latest: Option<All>, n| {
                    let times = objects.get(&name(n)).filter(|times| times.generation >= generation)?;
                    let (status, swept) = (times.status?, times.swept?);
                    Some(Some(latest.map_or(All { status, swept }, |latest| All {
                        status: latest.status.max(status),
                        swept: latest.swept.max(swept),
                    })))
                })
            };
            match all {
                Some(Some(all)) => return Ok(all),
                Some(None) => return Ok(All { status: Instant::now(), swept: Instant::now() }),
                None if Instant::now() > deadline => bail!("not all resources were swept within {LONGEST:?}"),
                None => drop(tokio::time::timeout(Duration::from_secs(1), changed).await),
            }
            // Looking through all of them at each change would take the processor from what is measured.
            if which.len() > 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn name(n: usize) -> String {
    format!("volume-{n:04}")
}

fn volume(folder: &Path, n: usize) -> PathBuf {
    folder.join(name(n))
}

/// One in ten workspaces is an orphan, and too young to go.
fn make_volume(at: &Path, workspaces: usize) -> Result<()> {
    fs::create_dir_all(at.join("workspaces"))?;
    let database = rusqlite::Connection::open(at.join("sessions.db"))?;
    database.execute_batch("create table session (id text primary key); begin")?;
    for n in 0..workspaces {
        let id = format!("aaaaaaaa-0000-4000-8000-{n:012}");
        fs::create_dir(at.join("workspaces").join(&id))?;
        if n % 10 > 0 {
            database.execute("insert into session values (?1)", [&id])?;
        }
    }
    database.execute_batch("commit")?;
    Ok(())
}

async fn watch(api: Api<DynamicObject>, seen: Arc<Seen>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => seen.note(&object),
            Ok(_) => {}
            Err(error) => eprintln!("the watch of the bench: {error}"),
        }
    }
}

impl Seen {
    fn note(&self, object: &DynamicObject) {
        let now = Instant::now();
        let generation = object.metadata.generation.unwrap_or(0);
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
        let swept = conditions
            .iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True" && one["observedGeneration"] == generation);
        let mut objects = self.objects.lock().unwrap();
        let times = objects.entry(object.metadata.name.clone().unwrap_or_default()).or_default();
        if times.generation != generation {
            times.generation = generation;
            times.swept = None;
        }
        if !conditions.is_empty() {
            times.status.get_or_insert(now);
        }
        if swept {
            times.swept.get_or_insert(now);
        }
        drop(objects);
        self.changed.notify_waiters();
    }
}
