//! `hygiene sweeper` over the same volume, as the pod of a Job runs it, with its orders on a real API server.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The namespace of the resource, and its name and that of its claim.
const NAME: (&str, &str) = ("default", "bench");

/// The resource on an API server of its own.
pub struct Sweeper {
    _cluster: Cluster,
    /// What is run: `env`, with the rest of the command line.
    pub arguments: Vec<OsString>,
}

impl Sweeper {
    /// Applies the resource that is planned for, with its volume on a claim that is mounted at `dir`.
    pub fn prepare(dir: &Path, hygiene: &OsStr) -> Result<Self> {
        let cluster = Cluster::start();
        cluster.install_definition();
        let mut resource = crate::world::resource(dir, NAME.1);
        resource["spec"]["volume"] = json!({"persistentVolumeClaim": {"claimName": NAME.1, "subPath": "volume"}});
        cluster.admin_with(&["apply", "-f", "-"], &resource.to_string());
        let object = cluster.admin(&["get", "wsh", NAME.1, "-n", NAME.0, "-o", "json"]);
        let metadata = serde_json::from_str::<Value>(&object)?["metadata"].take();
        let uid = metadata["uid"].as_str().context("the resource has no uid")?.to_owned();
        let spec = dir.join("resource.json");
        fs::write(&spec, object)?;
        let option = |name: &str, value: PathBuf| OsString::from(format!("--{name}={}", value.display()));
        let arguments = vec![
            format!("KUBECONFIG={}", cluster.kubeconfig("admin").display()).into(),
            hygiene.into(),
            "sweeper".into(),
            option("file", spec),
            option("claim-mount", PathBuf::from(format!("{}={}", NAME.1, dir.display()))),
            option("state-dir", dir.join("state")),
            option("termination-log", dir.join("report.json")),
            format!("--uid={uid}").into(),
            format!("--generation={}", metadata["generation"]).into(),
            "--listen=127.0.0.1:0".into(),
        ];
        Ok(Self { _cluster: cluster, arguments })
    }
}
