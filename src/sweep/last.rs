//! The last state of a resource, kept for whoever asks later: on the volume in mode Enforce, else in the state directory.
//! Nothing is decided by it.

use std::ffi::OsStr;
use std::sync::Arc;

use jiff::Timestamp;

use super::held::open_root;
use super::{Context, SweepError, Swept, on_own_thread};
use crate::fsio::Dir;
use crate::observe::volume::Hygiene;
use crate::policy::{Mode, Policy};
use crate::report::status::{LastState, Ran};

const STATUS: &str = "status.json";
/// Longest such file that is read, in bytes.
const LIMIT: u64 = 64 * 1024;

/// The sweep, with the state that comes of it.
pub(super) fn tell(policy: &Policy, context: &Context, swept: Swept, start: Timestamp) -> Swept {
    let before = read(policy, context).unwrap_or_default();
    let state = before.after(policy, &swept, Ran { start, end: context.clock.now() });
    Swept { state: Some(Box::new(state)), ..swept }
}

/// Keeps it in `dir`. Where that fails only whoever asks later knows less.
pub(super) fn keep(dir: &Dir, swept: &Swept) {
    let Some(state) = &swept.state else { return };
    let content = serde_json::to_vec(state).map_err(|error| error.to_string());
    let kept = content.and_then(|json| dir.replace_file(OsStr::new(STATUS), &json).map_err(|error| error.to_string()));
    if let Err(why) = kept {
        tracing::warn!(why, "the state of the resource is not kept");
    }
}

/// Keeps it in the state directory.
pub(super) fn keep_aside(policy: &Policy, context: &Context, swept: &Swept) {
    match context.state.ensure(policy) {
        Ok(dir) => keep(&dir, swept),
        Err(why) => tracing::debug!(why, "the state of the resource is not kept"),
    }
}

/// The state that was kept last; `None` where there is none, or none that can be read.
fn read(policy: &Policy, context: &Context) -> Option<LastState> {
    let on_volume = || {
        let root = open_root(policy).ok()?;
        in_folder(&Hygiene::open(&root, &policy.root).ok()??.dir)
    };
    let aside = || in_folder(&context.state.open(policy).ok()??);
    match policy.mode {
        Mode::Enforce => on_volume().or_else(aside),
        Mode::Report => aside().or_else(on_volume),
    }
}

fn in_folder(dir: &Dir) -> Option<LastState> {
    serde_json::from_slice(&dir.read_file(OsStr::new(STATUS), LIMIT).ok()??).ok()
}

/// The state that the last sweep left; `None` where there was none. Writes nothing, takes no lock.
///
/// # Errors
/// When the thread that looks dies.
pub async fn last_state(policy: Arc<Policy>, context: Context) -> Result<Option<LastState>, SweepError> {
    on_own_thread(move |_| Ok(read(&policy, &context))).await
}
