//! What the documents and the tables both tell about the sources.

use super::table::count;
use crate::api::human_size;
use crate::observe::{EfsFacts, Health, Mounted, Reading, Snapshot};

/// What one source answered.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    pub(super) message: String,
    pub(super) live: Option<u64>,
}

/// The sources: volume, sessions, serving, claims, efs where the spec names one, history.
pub(super) fn sources(seen: &Snapshot) -> Vec<Source> {
    let volume = |volume: &crate::observe::Volume| {
        let (entries, quarantine) = (volume.entries.len(), volume.quarantine.len());
        format!("{} below the root, {quarantine} in quarantine", count(entries as u64, "entry", "entries"))
    };
    let sessions = |sessions: &crate::observe::LiveSessions| count(sessions.ids.len(), "live session", "live sessions");
    let serving = |health: &Health| match health {
        Health::Healthy => "the serving containers are healthy".to_owned(),
        Health::Unhealthy(why) => format!("unhealthy: {why}"),
    };
    let claims = |ids: &crate::observe::IdSet| count(ids.len(), "claim", "claims");
    let history = |history: &crate::observe::History| match history.highest_live {
        None => "no earlier sweep is remembered".to_owned(),
        Some(highest) => format!("at most {} in the last 7 days", count(highest, "live session", "live sessions")),
    };
    let efs = seen.efs.as_ref().map(|efs| source("efs", Some(efs), file_system));
    [
        source("volume", Some(&seen.volume), volume),
        Source {
            live: seen.sessions.complete().map(|sessions| sessions.ids.len()),
            ..source("sessions", Some(&seen.sessions), sessions)
        },
        source("serving", seen.serving.as_ref(), serving),
        source("claims", seen.claims.as_ref(), claims),
    ]
    .into_iter()
    .chain(efs)
    .chain([source("history", Some(&seen.history), history)])
    .collect()
}

/// What is known of an EFS file system, in one line.
pub(super) fn file_system(efs: &EfsFacts) -> String {
    let mounted = match &efs.mounted {
        Mounted::ByTarget(address) => format!("mounted here from its mount target {address}"),
        Mounted::ByHelper => "mounted here, as the mount helper says".to_owned(),
        Mounted::Unknown(why) => {
            format!("that it is mounted here is not shown, so the identity file alone decides: {why}")
        }
        Mounted::Another(why) => why.clone(),
    };
    format!("{}, {}; {mounted}", efs.system.id, human_size(efs.system.size.total))
}

fn source<T>(name: &'static str, reading: Option<&Reading<T>>, describe: impl Fn(&T) -> String) -> Source {
    let (state, message) = match reading {
        None => ("NotConfigured", "the spec names none".to_owned()),
        Some(Reading::Complete(answer)) => ("Complete", describe(answer)),
        Some(Reading::Unavailable(why)) => ("Unavailable", why.clone()),
    };
    Source { name, state, message, live: None }
}
