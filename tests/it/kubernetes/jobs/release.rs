//! The release of the chart that sweeps the claims of these tests, by Jobs alone.

use std::sync::{Mutex, PoisonError, RwLockReadGuard};

use serde_json::json;

use super::super::{program, turns};
use super::node;
use crate::servers::process::output;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/workspace-hygiene");
/// The release, and what of it has its name.
const NAME: &str = "sweeps";
/// Its namespace.
const SYSTEM: &str = "jobs-system";
/// The ServiceAccount that it runs as.
pub const CONTROLLER: &str = "system:serviceaccount:jobs-system:sweeps-workspace-hygiene";
/// The namespaces whose resources it sweeps: one for each test.
pub const NAMESPACES: [&str; 9] = [
    "jobs-life",
    "jobs-server",
    "jobs-serving",
    "jobs-stops",
    "jobs-trouble",
    "jobs-quota",
    "jobs-shards",
    "jobs-evidence",
    "jobs-orders",
];

/// A part in the release, which is there as long as it is held.
pub struct Release {
    _turn: RwLockReadGuard<'static, ()>,
}

/// Installs the release, or finds it again.
pub fn release() -> Release {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let (turn, definition_was_there) = turns::beside_others();
    let deployment = format!("deployment/{NAME}-workspace-hygiene");
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        for namespace in NAMESPACES.iter().chain([&SYSTEM]) {
            node().admin(&["create", "namespace", namespace]);
        }
        // With pods as the restricted profile wants them; the image is in no registry.
        for namespace in NAMESPACES {
            node().admin(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
        }
        let watched = format!("watchNamespaces={{{}}}", NAMESPACES.join(","));
        let values = [
            "image.repository=local/hygiene,image.tag=test,image.pullPolicy=Never",
            "crds.enabled=false,selfTest.enabled=false,clusterName=node",
            "controller.startupDelay=0s,controller.logLevel=debug",
            "networkPolicy.enabled=true",
            &watched,
        ];
        let mut helm = node().command(&program("helm"));
        helm.args(["install", NAME, CHART, "--namespace", SYSTEM, "--wait", "--timeout", "3m"]);
        output(helm.args(values.iter().flat_map(|one| ["--set", one])), "");
        let short = json!([{
            "op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--unsafe-short-times",
        }]);
        node().admin(&["-n", SYSTEM, "patch", &deployment, "--type=json", "-p", &short.to_string()]);
        *installed = true;
    } else if !definition_was_there {
        // It would come to it by itself, some time.
        node().admin(&["-n", SYSTEM, "rollout", "restart", &deployment]);
    }
    node().admin(&["-n", SYSTEM, "rollout", "status", &deployment, "--timeout=3m"]);
    Release { _turn: turn }
}

/// The end of what the controller logs.
pub fn log() -> String {
    let select = "app.kubernetes.io/component=controller";
    node().admin(&["-n", SYSTEM, "logs", "--prefix", "--tail=60", "-l", select])
}
