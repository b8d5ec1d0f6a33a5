//! Tests that share the one node. The definition is one for the whole cluster: whoever installs and removes it is alone there.

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Node;

static TURN: RwLock<()> = RwLock::new(());
const DEFINITION: &str = "workspacehygienes.hygiene.dev";

/// The node, with our image on it: `local/hygiene:test`.
pub fn node() -> &'static Node {
    static READY: OnceLock<&Node> = OnceLock::new();
    READY.get_or_init(|| {
        let node = Node::shared();
        node.load(crate::image::archive(), "docker.io/local/hygiene:test");
        node
    })
}

/// Alone, in a cluster without the definition.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    let turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
    node().admin(&["delete", "crd", DEFINITION, "--ignore-not-found", "--timeout=60s"]);
    turn
}

/// Beside others, with the definition; and whether that was there.
pub fn beside_others() -> (RwLockReadGuard<'static, ()>, bool) {
    let turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
    let there = !node().admin(&["get", "crd", DEFINITION, "--ignore-not-found", "-o", "name"]).is_empty();
    node().admin(&["apply", "--server-side", "--force-conflicts", "-f", super::cluster::DEFINITION]);
    node().admin(&["wait", "--for=condition=Established", "--timeout=60s", "crd", DEFINITION]);
    (turn, there)
}
