//! What our own records say in a world, in plain values.

use jiff::Timestamp;
use workspace_hygiene::names::PlanHash;
use workspace_hygiene::observe::History;
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::records::{Approval, HeldPlan, Identity, OrphanKey};

use super::world::World;

/// Inode of the root of every world.
pub const ROOT: u64 = 2;
/// The database of every world.
pub const DATABASE: &str = "db-1";
/// How far the database of every world has come.
pub const POSITION: u64 = 1_000;
/// Who every policy is of.
pub const OWNER: &str = "local/prod/collab";
/// Approved for whatever may hold.
pub const EVERYTHING: &str = "*";
/// The hash of the plan that is stored as held.
pub const HELD_HASH: &str = "ffeeddccbbaa99887766554433221100";

/// What was bound.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Whether the identity is on the volume; else it is only remembered.
    pub on_volume: bool,
    pub id: &'static str,
    pub owner: &'static str,
    pub root: u64,
    pub database: &'static str,
    /// Whether the database had come further before than it is now.
    pub further_before: bool,
    /// The EFS file system that it was bound to.
    pub efs: Option<&'static str>,
    /// Whether it was bound with this pattern and `liveQuery`.
    pub same_query: bool,
}

/// What our records say of earlier sweeps and of people's answers.
#[derive(Clone, Debug)]
pub struct Past {
    pub bound: Option<Bound>,
    pub identity_missing: bool,
    pub damaged: bool,
    /// Whether a person approved a plan since the volume was bound.
    pub confirmed: bool,
    /// Why the plan is held that was stored.
    pub held: Option<&'static str>,
    /// What each approval covers.
    pub approved: Vec<Vec<OrphanKey>>,
    /// What held the plans that were approved, or [`EVERYTHING`].
    pub approved_for: Option<&'static str>,
    /// Whether the last sweep had the same spec.
    pub same_spec: Option<bool>,
    pub watched_since: Option<Timestamp>,
}

impl Bound {
    /// What it is, bound as it should be.
    pub fn rightly() -> Self {
        Self {
            on_volume: true,
            id: "id-1",
            owner: OWNER,
            root: ROOT,
            database: DATABASE,
            further_before: false,
            efs: None,
            same_query: true,
        }
    }
}

impl Past {
    /// A volume that is bound as it should be, to which a person has agreed.
    pub fn calm() -> Self {
        Self {
            bound: Some(Bound::rightly()),
            identity_missing: false,
            damaged: false,
            confirmed: true,
            held: None,
            approved: Vec::new(),
            approved_for: None,
            same_spec: Some(true),
            watched_since: None,
        }
    }
}

impl World {
    /// What a sweep would have read of the past.
    pub fn history(&self) -> History {
        let (past, digests) = (&self.past, &self.policy().digests);
        let identity = |bound: &Bound| Identity {
            id: bound.id.into(),
            owner: bound.owner.into(),
            root: bound.root,
            efs: bound.efs.map(str::to_owned),
            database: bound.database.into(),
            query: if bound.same_query { digests.query.clone() } else { "another".into() },
            bound: self.now,
            approved: past.confirmed,
        };
        let held = |reason: &str| HeldPlan {
            hash: PlanHash::new(HELD_HASH),
            reason: reason.into(),
            message: "it was so".into(),
            since: self.now,
            live: None,
            orphans: Vec::new(),
        };
        let approval = |orphans: &Vec<OrphanKey>| Approval {
            hash: PlanHash::new(HELD_HASH),
            by: "amy".into(),
            at: self.now,
            reason: past.approved_for.map(str::to_owned),
            orphans: orphans.clone(),
        };
        History {
            identity: past.bound.as_ref().map(identity),
            bound: past.bound.as_ref().is_some_and(|bound| bound.on_volume),
            identity_missing: past.identity_missing,
            confirmed: past.confirmed,
            held: past.held.map(held),
            approved: match past.approved_for {
                // One for each anomaly there is.
                Some(EVERYTHING) => HoldReason::ALL
                    .iter()
                    .flat_map(|reason| {
                        let of = |orphans| Approval { reason: Some(reason.word().into()), ..approval(orphans) };
                        past.approved.iter().map(of).collect::<Vec<_>>()
                    })
                    .collect(),
                _ => past.approved.iter().map(approval).collect(),
            },
            watched_since: past.watched_since,
            spec: past.same_spec.map(|same| if same { digests.evidence.clone() } else { "another".into() }),
            damage: past.damaged.then(|| "record 7 does not follow from record 6".into()),
            spent: self.spent.clone(),
            highest_live: self.highest_live,
            position: past.bound.as_ref().map(|bound| POSITION + u64::from(bound.further_before)),
            inspected: self.notes.clone(),
        }
    }

    /// What holds a sweep of this world now, if something does.
    pub fn held_reason(&self) -> Option<&'static str> {
        self.plan().held.map(|hold| hold.reason.word())
    }

    /// Each place whose root was read, as a person could approve it.
    pub fn keys(&self) -> Vec<OrphanKey> {
        let key = |place: &super::world::Place| {
            let root = place.root.as_ref()?.complete()?;
            Some(OrphanKey { name: place.name.to_string(), inode: root.inode, changed: root.changed })
        };
        let mut keys: Vec<_> = self.places.iter().filter_map(key).collect();
        keys.sort();
        keys
    }
}
