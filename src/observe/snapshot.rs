//! What one sweep saw, in small types that know neither Kubernetes nor SQL. The planner reads nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{EfsFacts, Reading};
use crate::fsio::Kind;
use crate::names::{EntryId, EntryName, PlanHash, SessionId, SweepId};
use crate::records::{Approval, HeldPlan, Identity};

mod hashes;
mod ids;

pub use ids::{IdSet, KnownIds};

/// Everything one sweep observed.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The names below the root and what is in quarantine.
    pub volume: Reading<Volume>,
    /// The live sessions.
    pub sessions: Reading<LiveSessions>,
    /// Whether the serving containers are healthy; `None` where no source is configured.
    pub serving: Option<Reading<Health>>,
    /// The ids running containers claim; `None` where no source is configured.
    pub claims: Option<Reading<IdSet>>,
    /// What is known of the EFS file system; `None` where the spec names none.
    pub efs: Option<Reading<EfsFacts>>,
    /// What our own records on the volume say.
    pub history: Reading<History>,
    /// Facts of the root directories asked for so far, by index into [`Volume::entries`].
    pub roots: BTreeMap<usize, Reading<DirectoryFacts>>,
    /// Inspections asked for so far, by index into [`Volume::entries`].
    pub inspections: BTreeMap<usize, Inspection>,
    /// Second walks of quarantined trees asked for so far.
    pub second_walks: BTreeMap<EntryId, Inspection>,
    /// How many of the live workspaces are young, where it was asked for.
    pub sample: Option<LiveSample>,
}

/// Root directories of live workspaces, drawn at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveSample {
    /// How many were looked at.
    pub taken: u64,
    /// How many of them were active less than `minAge` ago; one that could not be read is not.
    pub young: u64,
}

/// The listing of the volume.
#[derive(Clone, Debug, Default)]
pub struct Volume {
    /// Which volume this is, as far as the plan's hash is concerned.
    pub identity: String,
    /// Every entry below the root, `.hygiene` included, in name order.
    pub entries: Vec<Entry>,
    /// Every entry of the quarantine.
    pub quarantine: Vec<QuarantineEntry>,
    /// Condemned trees that are not yet removed.
    pub purging: Vec<EntryId>,
    /// Inode of the root.
    pub root: u64,
    /// Which right on the root or on our own folder is missing, and what to set; `None` where none is.
    pub missing_right: Option<String>,
}

/// One entry below the root, as the directory listing gave it: no stat is spent on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// What it is; `None` where it vanished or could not be asked.
    pub kind: Option<Kind>,
}

/// The answer of the session store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSessions {
    /// The ids `liveQuery` returned.
    pub ids: IdSet,
    /// Whether `canaryQuery` returned a row; `None` where none is configured.
    pub canary: Option<bool>,
    /// What `freshnessQuery` returned; `None` where none is configured.
    pub freshest: Option<Timestamp>,
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// Which database it is, as far as the store can tell: another one has another text here.
    pub database: String,
    /// How far the database has come: a number that only grows in the life of one, so that a smaller one shows an older
    /// copy; `None` where the engine has none.
    pub position: Option<u64>,
    /// The ids that `knownQuery` returned, whatever the state of their sessions; `None` where none is configured.
    pub known: Option<KnownIds>,
}

impl FromIterator<SessionId> for KnownIds {
    fn from_iter<I: IntoIterator<Item = SessionId>>(ids: I) -> Self {
        let mut known = Self::default();
        ids.into_iter().for_each(|id| known.insert(&id));
        known.finish()
    }
}

/// How the serving containers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All of them are well, and have been for `settle`.
    Healthy,
    /// At least one is not, and what is wrong.
    Unhealthy(String),
}

/// What our own records say; empty where there are none yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Whose volume it is; `None` where no sweep has bound it yet.
    pub identity: Option<Identity>,
    /// Whether that identity is on the volume; what is remembered of a volume in mode Report binds nothing.
    pub bound: bool,
    /// Whether the volume was bound before and its identity is gone.
    pub identity_missing: bool,
    /// Whether a person has approved a plan since the volume was bound.
    pub confirmed: bool,
    /// The plan that waits for a person.
    pub held: Option<HeldPlan>,
    /// What a person approved and is not through yet.
    pub approved: Vec<Approval>,
    /// Since when complete observations follow one another without a gap; `None` where there was none yet.
    pub watched_since: Option<Timestamp>,
    /// Hash of what the spec of the last sweep said of volume, workspaces, sessions and containers.
    pub spec: Option<String>,
    /// What is wrong with the journal, if its chain does not hold; all the rest is then unknown and empty.
    pub damage: Option<String>,
    /// Every quarantining of the longest budget period, oldest first.
    pub spent: Vec<Spent>,
    /// The highest number of live sessions of the last seven days.
    pub highest_live: Option<u64>,
    /// How far the database had come when that was last written down.
    pub position: Option<u64>,
    /// What earlier inspections of orphans that were kept found.
    pub inspected: BTreeMap<String, InspectionNote>,
}

/// One quarantining, as the budget counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When.
    pub at: Timestamp,
    /// Bytes.
    pub bytes: u64,
}

/// What an earlier inspection found, kept so that an orphan that stays does not starve the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectionNote {
    /// Inode of the workspace's root: another inode is another workspace.
    pub inode: u64,
    /// When it was last inspected.
    pub at: Timestamp,
    /// How often in a row it was inspected and kept.
    pub times: u32,
    /// The young time that was met, if that was why: the tree cannot be idle before this plus `minAge`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub active: Option<Timestamp>,
}

impl InspectionNote {
    /// When the next inspection is worth its calls: once the time that was met can have become old, or after a pause that
    /// doubles from a quarter of an hour up to a day.
    pub fn next(&self, min_age: Duration) -> Timestamp {
        const FIRST: Duration = Duration::from_secs(15 * 60);
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        match self.active {
            Some(active) => crate::clock::after(active, min_age),
            None => {
                let doublings = self.times.saturating_sub(1).min(16);
                crate::clock::after(self.at, FIRST.saturating_mul(1 << doublings).min(LONGEST))
            }
        }
    }
}

/// The root directory of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// Inode number.
    pub inode: u64,
    /// Device.
    pub device: (u32, u32),
    /// Last modification of its list of entries.
    pub modified: Timestamp,
    /// Last change of its inode.
    pub changed: Timestamp,
    /// Birth, where the file system reports it.
    pub born: Option<Timestamp>,
    /// Whether something is mounted on it.
    pub mount_point: bool,
    /// Its keep file.
    pub keep_file: KeepFileState,
    /// Which right we lack to move it, and what to set; `None` where none is missing.
    pub immovable: Option<Box<str>>,
}

impl DirectoryFacts {
    /// The newest time that counts as activity.
    pub fn newest(&self, activity: crate::policy::Activity) -> Timestamp {
        match activity {
            crate::policy::Activity::Modified => self.modified,
            crate::policy::Activity::Any => self.modified.max(self.changed).max(self.born.unwrap_or(Timestamp::MIN)),
        }
    }
}

/// What a workspace's `.hygiene-keep` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepFileState {
    /// There is none.
    Absent,
    /// It pins for ever: it is empty, or what it says is no date.
    Pins,
    /// It pins until this time.
    PinsUntil(Timestamp),
}

/// What a walk over a whole tree found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// When the walk began.
    pub started: Timestamp,
    /// What it found.
    pub outcome: WalkOutcome,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkOutcome {
    /// The whole tree was seen, and nothing in it is young.
    Idle {
        /// The newest activity in the tree.
        newest: Timestamp,
        /// Entries, the root included.
        entries: u64,
        /// Bytes allocated.
        bytes: u64,
    },
    /// Something is younger than it may be; the walk stopped there.
    Young {
        /// Its time.
        at: Timestamp,
        /// Where, below the workspace's root.
        path: String,
    },
    /// Something carries a time to come.
    Future {
        /// Its time.
        at: Timestamp,
        /// Where.
        path: String,
    },
    /// Something inside is a mount point.
    MountPoint {
        /// Where.
        path: String,
    },
    /// Something inside is itself a volume of ours.
    ForeignIdentity {
        /// Where.
        path: String,
    },
    /// The walk could not see everything.
    Incomplete {
        /// What failed, where, and why.
        why: String,
    },
}

/// One entry of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Its id.
    pub id: EntryId,
    /// Its sidecar, or why it cannot be read; such an entry is kept and reported.
    pub sidecar: Reading<Sidecar>,
    /// Inode of the tree, `None` where the tree is missing.
    pub tree: Option<u64>,
    /// The keep file inside the tree.
    pub keep_file: KeepFileState,
    /// Whether the journal holds our own finished quarantining of this inode under this id.
    pub journalled: bool,
    /// Whether the workspace's name exists below the root again.
    pub name_taken: bool,
}

/// What is written beside a quarantined tree before it is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// The entry's id.
    pub id: EntryId,
    /// The workspace's name below the root.
    pub name: String,
    /// The session id its name yields.
    pub session: SessionId,
    /// Inode of the workspace's root.
    pub inode: u64,
    /// mtime of the workspace's root.
    pub modified: Timestamp,
    /// Birth time of the workspace's root, where reported.
    pub born: Option<Timestamp>,
    /// When it was quarantined.
    pub quarantined: Timestamp,
    /// Before this it is not condemned. Fixed here; a longer retention in the spec lengthens it, a shorter one does not.
    pub deadline: Timestamp,
    /// What it was decided on.
    pub evidence: Evidence,
}

impl Sidecar {
    /// Before this it is not condemned: the deadline fixed when it entered, or the one a longer retention gives now.
    pub fn due(&self, retention: Duration) -> Timestamp {
        self.deadline.max(crate::clock::after(self.quarantined, retention))
    }

    /// The same, where nobody watched for a while: after such a gap the whole retention begins again, since a row or a
    /// claim may have come and gone unseen.
    pub fn due_when_watched(&self, retention: Duration, watched_since: Option<Timestamp>) -> Timestamp {
        let Some(since) = watched_since.filter(|since| *since > self.quarantined) else { return self.due(retention) };
        let promised = Duration::try_from(self.deadline.duration_since(self.quarantined)).unwrap_or_default();
        self.due(retention).max(crate::clock::after(since, retention.max(promised)))
    }
}

/// What a quarantining was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The sweep that decided.
    pub sweep: SweepId,
    /// The plan that decided.
    pub plan: PlanHash,
    /// How many sessions were live.
    pub live: u64,
    /// When the sessions were read.
    pub sessions_read: Timestamp,
    /// When the walk that found the tree idle began.
    pub inspection_started: Timestamp,
    /// The newest activity that walk found. When the tree is condemned nothing inside may be newer than this: stricter
    /// than "newer than the start of that walk", and free of any difference between two clocks.
    pub newest: Timestamp,
    /// Entries in the tree.
    pub entries: u64,
    /// Bytes allocated by the tree.
    pub bytes: u64,
}
