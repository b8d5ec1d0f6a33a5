//! What the documents and the tables both tell about the sources.

use super::table::count;
use crate::observe::{Health, Reading, Snapshot};

/// What one source answered.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    pub(super) message: String,
    pub(super) live: Option<u64>,
}

/// The sources: volume, sessions, serving, claims, history.
pub(super) fn sources(seen: &Snapshot) -> [Source; 5] {
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
    [
        source("volume", Some(&seen.volume), volume),
        Source {
            live: seen.sessions.complete().map(|sessions| sessions.ids.len()),
            ..source("sessions", Some(&seen.sessions), sessions)
        },
        source("serving", seen.serving.as_ref(), serving),
        source("claims", seen.claims.as_ref(), claims),
        source("history", Some(&seen.history), history),
    ]
}

fn source<T>(name: &'static str, reading: Option<&Reading<T>>, describe: impl Fn(&T) -> String) -> Source {
    let (state, message) = match reading {
        None => ("NotConfigured", "the spec names none".to_owned()),
        Some(Reading::Complete(answer)) => ("Complete", describe(answer)),
        Some(Reading::Unavailable(why)) => ("Unavailable", why.clone()),
    };
    Source { name, state, message, live: None }
}
