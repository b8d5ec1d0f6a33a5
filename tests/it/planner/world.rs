//! A world in plain values: what the planner sees of it is a snapshot, what the oracle sees is this.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::names::{EntryName, SessionId};
use workspace_hygiene::observe::efs::FileSystem;
use workspace_hygiene::observe::{
    DirectoryFacts, EfsFacts, Entry, Health, IdSet, Inspection, InspectionNote, KnownIds, LiveSample, LiveSessions,
    Mounted, QuarantineEntry, Reading, Snapshot, Spent, Volume,
};
use workspace_hygiene::plan::{Plan, plan};
use workspace_hygiene::policy::Policy;

use super::past::{DATABASE, Past, ROOT};
use super::specs::{CASES, KEEPS, SHAPES, Spec};

pub const SECOND: i128 = 1_000_000_000;
pub const HOUR: i128 = 3_600 * SECOND;
pub const VOLUME: &str = "/mnt/efs/workspaces#2";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Volume,
    Sessions,
    Serving,
    Claims,
    Efs,
    History,
}

pub const SOURCES: [Source; 6] =
    [Source::Volume, Source::Sessions, Source::Serving, Source::Claims, Source::History, Source::Efs];

/// What AWS says of the file system that the spec names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Efs {
    /// Nothing tells that it is not what is mounted.
    Sound,
    /// Another one is mounted.
    Elsewhere,
    /// It is a copy.
    Copy,
}

/// The file system that every spec names which names one.
pub const FILE_SYSTEM: &str = "fs-1";

/// One entry below the root.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: EntryName,
    pub kind: Option<Kind>,
    pub root: Option<Reading<DirectoryFacts>>,
    pub inspection: Option<Inspection>,
}

/// One entry of the quarantine.
#[derive(Clone, Debug)]
pub struct Kept {
    pub entry: QuarantineEntry,
    pub second_walk: Option<Inspection>,
}

#[derive(Clone)]
pub struct World {
    /// Index into the list of specs.
    pub case: usize,
    pub now: Timestamp,
    pub down: BTreeSet<Source>,
    pub places: Vec<Place>,
    pub quarantine: Vec<Kept>,
    pub live: Vec<String>,
    pub canary: Option<bool>,
    pub freshest: Option<Timestamp>,
    pub healthy: Option<bool>,
    pub claims: Option<Vec<String>>,
    pub spent: Vec<Spent>,
    pub highest_live: Option<u64>,
    pub notes: BTreeMap<String, InspectionNote>,
    pub past: Past,
    /// The ids of sessions in any state, where they were asked for.
    pub known: Option<Vec<String>>,
    /// How many live workspaces were looked at, and how many of them are young.
    pub sample: Option<(u64, u64)>,
    pub missing_right: bool,
    pub efs: Option<Efs>,
    /// Says nothing of the world: what a test does to it is chosen by these.
    pub dice: [u8; 4],
}

impl Efs {
    fn facts(self) -> EfsFacts {
        let mounted = match self {
            Self::Elsewhere => Mounted::Another("the root is mounted from 10.0.0.1".into()),
            Self::Sound | Self::Copy => Mounted::Unknown("the root is on ext4".into()),
        };
        let replica_of = (self == Self::Copy).then(|| "fs-9".into());
        let system = FileSystem { id: FILE_SYSTEM.into(), replica_of, ..FileSystem::default() };
        EfsFacts { system, mounted }
    }
}

impl World {
    pub fn spec(&self) -> &'static Spec {
        &CASES[self.case].spec
    }

    pub fn policy(&self) -> &'static Policy {
        &CASES[self.case].policy
    }

    /// What a sweep would have observed of this world.
    pub fn snapshot(&self) -> Snapshot {
        let ids = |ids: &Vec<String>| ids.iter().map(SessionId::new).collect::<IdSet>();
        let places = || self.places.iter().enumerate();
        let sessions = LiveSessions {
            ids: ids(&self.live),
            canary: self.canary,
            freshest: self.freshest,
            at: self.now,
            database: DATABASE.into(),
            position: Some(super::past::POSITION),
            known: self.known.as_ref().map(|known| known.iter().map(SessionId::new).collect::<KnownIds>()),
        };
        let volume = Volume {
            identity: VOLUME.into(),
            entries: self.places.iter().map(|p| Entry { name: p.name.clone(), kind: p.kind }).collect(),
            quarantine: self.quarantine.iter().map(|kept| kept.entry.clone()).collect(),
            purging: Vec::new(),
            root: ROOT,
            missing_right: self.missing_right.then(|| "the root is read-only".into()),
        };
        let health = |well| if well { Health::Healthy } else { Health::Unhealthy("collab-0 is not ready".into()) };
        Snapshot {
            volume: self.read(Source::Volume, volume),
            sessions: self.read(Source::Sessions, sessions),
            serving: self.configured(Source::Serving, self.healthy.map(health)),
            claims: self.configured(Source::Claims, self.claims.as_ref().map(ids)),
            efs: self.configured(Source::Efs, self.efs.map(Efs::facts)),
            history: self.read(Source::History, self.history()),
            roots: places().filter_map(|(i, p)| Some((i, p.root.clone()?))).collect(),
            inspections: places().filter_map(|(i, p)| Some((i, p.inspection.clone()?))).collect(),
            sample: self.sample.map(|(taken, young)| LiveSample { taken, young }),
            second_walks: (self.quarantine.iter())
                .filter_map(|kept| Some((kept.entry.id.clone(), kept.second_walk.clone()?)))
                .collect(),
        }
    }

    fn read<T>(&self, source: Source, value: T) -> Reading<T> {
        if self.down.contains(&source) { Reading::Unavailable("timed out".into()) } else { Reading::Complete(value) }
    }

    /// A source that may not be configured; one that is down is.
    fn configured<T>(&self, source: Source, value: Option<T>) -> Option<Reading<T>> {
        match value {
            Some(value) => Some(self.read(source, value)),
            None => self.down.contains(&source).then(|| Reading::Unavailable("timed out".into())),
        }
    }

    pub fn plan(&self) -> Plan {
        plan(self.policy(), &self.snapshot(), self.now)
    }

    /// The time that is so many nanoseconds after now, or the nearest there is.
    pub fn at(&self, nanoseconds: i128) -> Timestamp {
        later(self.now, nanoseconds)
    }

    /// Brings the places into the order of a listing, each name once.
    pub fn list(&mut self) {
        self.places.sort_by(|a, b| a.name.cmp(&b.name));
        self.places.dedup_by(|a, b| a.name == b.name);
    }
}

/// The time that is so many nanoseconds after `time`, or the nearest there is.
pub fn later(time: Timestamp, nanoseconds: i128) -> Timestamp {
    let end = if nanoseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_nanosecond(time.as_nanosecond() + nanoseconds).unwrap_or(end)
}

/// The names of a plan's victims, in order.
pub fn victims(plan: &Plan) -> Vec<EntryName> {
    plan.victims.iter().map(|victim| victim.name.clone()).collect()
}

/// One line for each thing: a failure is read by people.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pattern, globs) = (SHAPES[self.spec().shape].pattern, KEEPS[self.spec().keep].globs);
        writeln!(f, "pattern {pattern}, keep {globs:?}, {:?}", self.spec())?;
        writeln!(f, "now: {}, down: {:?}", self.now, self.down)?;
        writeln!(f, "live: {:?}, canary {:?}, freshest {:?}", self.live, self.canary, self.freshest)?;
        writeln!(f, "healthy: {:?}, claims {:?}", self.healthy, self.claims)?;
        writeln!(f, "spent: {:?}, highest live {:?}, notes {:?}", self.spent, self.highest_live, self.notes)?;
        writeln!(
            f,
            "known: {:?}, sample {:?}, right missing: {}, efs {:?}",
            self.known, self.sample, self.missing_right, self.efs
        )?;
        writeln!(f, "{:?}", self.past)?;
        writeln!(f, "dice: {:?}", self.dice)?;
        self.places.iter().try_for_each(|place| writeln!(f, "{place:?}"))?;
        self.quarantine.iter().try_for_each(|kept| writeln!(f, "{kept:?}"))
    }
}
