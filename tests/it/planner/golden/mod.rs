//! Golden plans: named situations, each with the whole plan that must come of it. The snapshots beside the tests were read
//! by a person; `cargo insta review` (or `INSTA_UPDATE=always`) takes over a change that was meant.

mod adoption;
mod approval;
mod entries;
mod holds;
mod limits;
mod quarantine;
mod render;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::names::{EntryId, EntryName, PlanHash, SessionId, SweepId};
use workspace_hygiene::observe::{
    DirectoryFacts, Entry, Evidence, History, Inspection, KeepFileState, LiveSessions, QuarantineEntry, Reading,
    Sidecar, Snapshot, Volume, WalkOutcome,
};
use workspace_hygiene::policy::{Policy, PolicyOptions};
use workspace_hygiene::records::{Approval, HeldPlan, Identity, OrphanKey, orphan_key};
use workspace_hygiene::spec::{LoadOptions, Objects, load};

pub const MIB: u64 = 1 << 20;

/// A spec as a user writes it, with what `parts` says below `spec:`.
fn policy(parts: &str) -> Policy {
    let workspaces = "  workspaces: {pattern: '^ws-(?<session>.+)$'}\n";
    let sessions = "  sessions: {sqlite: {path: /mnt/db/sessions.db}, liveQuery: select id from session}\n";
    let given = |key: &str| parts.lines().any(|line| line.trim_start().starts_with(key));
    let text = format!(
        "apiVersion: hygiene.dev/v1alpha1\nkind: WorkspaceHygiene\nmetadata: {{name: collab, namespace: prod}}\n\
         spec:\n  mode: Enforce\n  volume: {{path: /mnt/efs/workspaces}}\n{}{}  {parts}\n",
        if given("workspaces:") { "" } else { workspaces },
        if given("sessions:") { "" } else { sessions },
    );
    let options = LoadOptions {
        policy: PolicyOptions { cluster: "live".into(), ..PolicyOptions::default() },
        stdin: Box::new(std::io::empty()),
        env: Box::new(move |name| (name == "SPEC").then(|| text.clone())),
        objects: Objects::new(),
    };
    match load(&["env:SPEC".to_owned()], options) {
        Ok(mut loaded) => loaded.remove(0).policy,
        Err(faults) => panic!("{faults:?}"),
    }
}

/// A volume, a session store and a quarantine.
pub struct Scene {
    policy: Policy,
    seen: Snapshot,
    places: BTreeMap<EntryName, Place>,
    live: Vec<String>,
}

pub struct Place {
    pub kind: Option<Kind>,
    pub root: Option<Reading<DirectoryFacts>>,
    pub inspection: Option<Inspection>,
}

impl Place {
    pub fn root(&mut self) -> &mut DirectoryFacts {
        match &mut self.root {
            Some(Reading::Complete(root)) => root,
            _ => panic!("it has no root"),
        }
    }

    /// A walk found this.
    pub fn found(&mut self, outcome: WalkOutcome) {
        self.inspection = Some(Inspection { started: now(), outcome });
    }

    /// A walk found it as idle as its root.
    pub fn idle(&mut self, bytes: u64) {
        let newest = self.root().modified;
        self.found(WalkOutcome::Idle { newest, entries: 50_000, bytes });
    }
}

pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub fn hours_ago(hours: i64) -> Timestamp {
    ago(hours * 3_600)
}

impl Scene {
    /// Three live sessions with their workspaces.
    pub fn new() -> Self {
        Self::with("suspend: false")
    }

    /// The same with a spec that says more.
    pub fn with(parts: &str) -> Self {
        let sessions = LiveSessions {
            ids: std::iter::empty().collect(),
            canary: None,
            freshest: None,
            at: now(),
            database: "db-1".into(),
            position: None,
            known: None,
        };
        let policy = policy(parts);
        let identity = Identity {
            id: "id-1".into(),
            owner: policy.owner(),
            root: 2,
            efs: None,
            database: "db-1".into(),
            query: policy.digests.query.clone(),
            bound: hours_ago(1_000),
            approved: true,
        };
        let history = History {
            identity: Some(identity),
            bound: true,
            confirmed: true,
            spec: Some(policy.digests.evidence.clone()),
            watched_since: Some(hours_ago(1_000)),
            ..History::default()
        };
        let seen = Snapshot {
            volume: Reading::Complete(Volume { identity: "fs-1".into(), root: 2, ..Volume::default() }),
            sessions: Reading::Complete(sessions),
            serving: None,
            claims: None,
            efs: None,
            history: Reading::Complete(history),
            roots: BTreeMap::new(),
            inspections: BTreeMap::new(),
            second_walks: BTreeMap::new(),
            sample: None,
        };
        let mut scene = Self { policy, seen, places: BTreeMap::new(), live: Vec::new() };
        for name in ["amy", "ben", "cleo"] {
            scene.live(name);
        }
        scene
    }

    /// A live session with its workspace, idle since the day before yesterday.
    pub fn live(&mut self, id: &str) {
        self.row(id);
        self.directory(&format!("ws-{id}"), 48);
    }

    /// A live session.
    pub fn row(&mut self, id: &str) {
        self.live.push(id.into());
    }

    /// A directory idle for so many hours, found so by a walk; 1 MiB.
    pub fn orphan(&mut self, name: &str, hours: i64) -> &mut Place {
        let place = self.directory(name, hours);
        place.idle(MIB);
        place
    }

    /// A directory with a root idle for so many hours.
    pub fn directory(&mut self, name: &str, hours: i64) -> &mut Place {
        let inode = 1_000 + self.places.len() as u64;
        let time = hours_ago(hours);
        let root = DirectoryFacts {
            inode,
            device: (0, 7),
            modified: time,
            changed: time,
            born: None,
            mount_point: false,
            keep_file: KeepFileState::Absent,
            immovable: None,
        };
        let (kind, root) = (Some(Kind::Directory), Some(Reading::Complete(root)));
        self.places.entry(EntryName::new(name)).or_insert(Place { kind, root, inspection: None })
    }

    /// An entry that is no directory, or not known to be one.
    pub fn entry(&mut self, name: impl Into<std::ffi::OsString>, kind: Option<Kind>) {
        self.places.insert(EntryName::new(name), Place { kind, root: None, inspection: None });
    }

    pub fn seen(&mut self) -> &mut Snapshot {
        &mut self.seen
    }

    pub fn sessions(&mut self) -> &mut LiveSessions {
        match &mut self.seen.sessions {
            Reading::Complete(sessions) => sessions,
            Reading::Unavailable(_) => panic!("the sessions were not read"),
        }
    }

    pub fn history(&mut self) -> &mut History {
        match &mut self.seen.history {
            Reading::Complete(history) => history,
            Reading::Unavailable(_) => panic!("the history was not read"),
        }
    }

    pub fn volume(&mut self) -> &mut Volume {
        match &mut self.seen.volume {
            Reading::Complete(volume) => volume,
            Reading::Unavailable(_) => panic!("the volume was not read"),
        }
    }

    /// What the volume is bound to.
    pub fn identity(&mut self) -> &mut Identity {
        self.history().identity.as_mut().unwrap()
    }

    /// The names below the root that a person could approve, as they are now.
    fn keys(&self, names: &[&str]) -> Vec<OrphanKey> {
        let key = |(name, place): (&EntryName, &Place)| {
            let root = place.root.as_ref()?.complete()?;
            names.contains(&name.as_str()?).then(|| orphan_key(name, root.inode, root.changed))
        };
        self.places.iter().filter_map(key).collect()
    }

    /// A person approves that these go, as they are now.
    pub fn approved(&mut self, names: &[&str]) {
        let (hash, by) = (PlanHash::new("0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"), "amy".into());
        let approval = Approval { hash, by, at: hours_ago(1), reason: None, orphans: self.keys(names) };
        self.history().approved.push(approval);
    }

    /// An earlier sweep stored its plan, with these orphans.
    pub fn held(&mut self, reason: &str, message: &str, names: &[&str]) {
        self.history().held = Some(HeldPlan {
            hash: PlanHash::new("0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"),
            reason: reason.into(),
            message: message.into(),
            since: hours_ago(5),
            live: None,
            orphans: self.keys(names),
        });
    }

    /// A workspace that was quarantined so many hours ago, with a retention of so many hours.
    pub fn quarantined(&mut self, id: &str, name: &str, hours: i64, retention: i64) -> &mut QuarantineEntry {
        let quarantined = hours_ago(hours);
        let newest = hours_ago(hours + 30);
        let sidecar = Sidecar {
            id: EntryId::new(id),
            name: name.into(),
            session: SessionId::new(name.strip_prefix("ws-").unwrap_or(name)),
            inode: 77,
            modified: newest,
            born: None,
            quarantined,
            deadline: quarantined + SignedDuration::from_hours(retention),
            evidence: Evidence {
                sweep: SweepId::new("s1"),
                plan: PlanHash::new("00112233445566778899aabbccddeeff"),
                live: 3,
                sessions_read: quarantined,
                inspection_started: quarantined,
                newest,
                entries: 50_000,
                bytes: MIB,
            },
        };
        let (tree, keep_file) = (Some(77), KeepFileState::Absent);
        let (id, sidecar) = (sidecar.id.clone(), Reading::Complete(sidecar));
        let entry = QuarantineEntry { id, sidecar, tree, keep_file, journalled: true, name_taken: false };
        let volume = self.volume();
        volume.quarantine.push(entry);
        volume.quarantine.last_mut().unwrap()
    }

    /// What the second walk of a quarantined tree found.
    pub fn walked_again(&mut self, id: &str, outcome: WalkOutcome) {
        self.seen.second_walks.insert(EntryId::new(id), Inspection { started: now(), outcome });
    }

    /// The second walk found the quarantined tree as idle as the first.
    pub fn still_idle(&mut self, id: &str, hours: i64) {
        self.walked_again(id, WalkOutcome::Idle { newest: hours_ago(hours + 30), entries: 50_000, bytes: MIB });
    }

    fn snapshot(&self) -> Snapshot {
        let mut seen = self.seen.clone();
        if let Reading::Complete(volume) = &mut seen.volume {
            volume.entries = self.places.iter().map(|(n, p)| Entry { name: n.clone(), kind: p.kind }).collect();
        }
        if let Reading::Complete(sessions) = &mut seen.sessions {
            sessions.ids = self.live.iter().map(SessionId::new).collect();
        }
        for (index, place) in self.places.values().enumerate() {
            seen.roots.extend(place.root.clone().map(|root| (index, root)));
            seen.inspections.extend(place.inspection.clone().map(|inspection| (index, inspection)));
        }
        seen
    }
}
