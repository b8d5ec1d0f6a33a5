//! What a plan must say, written from DESIGN.md in another style: strings instead of hashes, whole nanoseconds instead of
//! saturating times, every objection collected at once and the reason picked by precedence, limits as sums over what
//! comes before.

mod holds;
mod limits;
mod quarantine;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::observe::{DirectoryFacts, InspectionNote, KeepFileState, Reading, WalkOutcome};

use self::holds::{Counted, is_approvable};
use self::limits::Limits;
use super::specs::{KEEPS, SHAPES};
use super::world::{HOUR, Kept, Place, SECOND, Source, World};

/// The reasons in the order in which they are told where several apply.
const PRECEDENCE: [&str; 29] = [
    "Reserved",
    "NotUTF8",
    "ForeignName",
    "Symlink",
    "NotADirectory",
    "KindUnknown",
    "KeepGlob",
    "UnusableID",
    "DuplicateID",
    "SourceUnavailable",
    "LiveSession",
    "NearMatch",
    "Claimed",
    "RootUnreadable",
    "MountPoint",
    "KeepFile",
    "FutureTime",
    "TooYoung",
    "NestedVolume",
    "Held",
    "RowUnknown",
    "NotMovable",
    "BackOff",
    "NotInspected",
    "ActiveInside",
    "FutureInside",
    "MountPointInside",
    "InspectionIncomplete",
    "LargerThanBudget",
];

/// What must come out.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub held: Option<(&'static str, &'static str)>,
    /// Whether there is a plan that a person can approve.
    pub asks: bool,
    pub verdicts: Vec<&'static str>,
    pub victims: Vec<usize>,
    pub quarantine: BTreeMap<String, (&'static str, &'static str)>,
    pub workspaces: usize,
    pub orphans: usize,
    pub inspections: Vec<usize>,
    pub second_walks: Vec<String>,
}

/// Ids that speak for a place, without the ways of spelling them.
struct Known {
    names: Vec<String>,
    live: BTreeSet<String>,
    claims: BTreeSet<String>,
    /// Sessions in any state, where they were asked for.
    rows: Option<BTreeSet<String>>,
}

type Reasons = BTreeSet<&'static str>;

fn first(reasons: &Reasons) -> Option<&'static str> {
    PRECEDENCE.into_iter().find(|reason| reasons.contains(reason))
}

fn ns(time: Timestamp) -> i128 {
    time.as_nanosecond()
}

/// The id without the ways of spelling it that the generated ids differ in.
pub fn plain(id: &str) -> String {
    let mut folded = id.trim().to_ascii_lowercase();
    for (other, one) in [
        ("e\u{301}", "\u{e9}"),
        ("\u{c9}", "\u{e9}"),
        ("\u{df}", "ss"),
        ("\u{212a}", "k"),
        ("\u{ff2b}", "k"),
        ("\u{ff4b}", "k"),
    ] {
        if !folded.is_ascii() {
            folded = folded.replace(other, one);
        }
    }
    if folded.len() < 32 {
        return folded;
    }
    let digits: String = folded.replace("urn:uuid:", "").chars().filter(|c| !"{}-".contains(*c)).collect();
    if digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit()) { digits } else { folded }
}

impl World {
    fn has(&self, source: Source) -> bool {
        !self.down.contains(&source)
    }

    fn id_of<'a>(&self, place: &'a Place) -> Option<&'a str> {
        (SHAPES[self.spec().shape].session)(place.name.as_str()?)
    }

    fn workspaces(&self) -> impl Iterator<Item = &Place> {
        (self.places.iter()).filter(|place| {
            place.name.as_str() != Some(".hygiene")
                && place.kind == Some(Kind::Directory)
                && self.id_of(place).is_some()
        })
    }

    fn last_activity(&self, root: &DirectoryFacts) -> i128 {
        let all = [Some(root.modified), Some(root.changed), root.born];
        let times = if self.spec().any_activity { &all[..] } else { &all[..1] };
        times.iter().flatten().map(|time| ns(*time)).max().unwrap()
    }

    fn is_young(&self, time: i128) -> bool {
        ns(self.now) - time < i128::from(self.spec().min_age_s) * SECOND
    }

    fn pinned(&self, file: &KeepFileState) -> bool {
        self.spec().keep_files
            && match file {
                KeepFileState::Absent => false,
                KeepFileState::Pins => true,
                KeepFileState::PinsUntil(end) => ns(*end) > ns(self.now),
            }
    }

    /// Everything that name, rows, claims and root have against `place` being an orphan.
    fn against(&self, place: &Place, known: &Known) -> Reasons {
        let mut reasons = Reasons::new();
        let mut object = |applies: bool, reason| reasons.extend(applies.then_some(reason));
        let text = place.name.as_str();
        object(text == Some(".hygiene"), "Reserved");
        object(text.is_none(), "NotUTF8");
        object(place.kind == Some(Kind::Symlink), "Symlink");
        object(place.kind == Some(Kind::Other), "NotADirectory");
        object(place.kind.is_none(), "KindUnknown");
        object(text.is_some_and(KEEPS[self.spec().keep].keeps), "KeepGlob");
        object(!self.down.is_empty(), "SourceUnavailable");
        match self.id_of(place) {
            None => object(true, "ForeignName"),
            Some(id) => {
                let own = plain(id);
                object(["", ".", ".."].contains(&id), "UnusableID");
                object(known.names.iter().filter(|name| **name == own).count() > 1, "DuplicateID");
                object(self.live.iter().any(|live| live == id), "LiveSession");
                object(known.live.contains(&own), "NearMatch");
                object(known.claims.contains(&own), "Claimed");
            }
        }
        match &place.root {
            Some(Reading::Complete(root)) => {
                object(root.mount_point, "MountPoint");
                object(self.pinned(&root.keep_file), "KeepFile");
                object(self.last_activity(root) > ns(self.now) + 5 * SECOND, "FutureTime");
                object(self.is_young(self.last_activity(root)), "TooYoung");
            }
            _ => object(true, "RootUnreadable"),
        }
        reasons
    }

    /// Everything that keeps the orphan `place` in this sweep, limits aside.
    fn against_now(&self, place: &Place, known: &Known, in_force: &[&str]) -> Reasons {
        let mut reasons = Reasons::new();
        let mut object = |applies: bool, reason| reasons.extend(applies.then_some(reason));
        let Some(Reading::Complete(root)) = &place.root else { unreachable!("an orphan's root was read") };
        let note = place.name.as_str().and_then(|name| self.notes.get(name)).filter(|note| note.inode == root.inode);
        let approved = self.approved(place);
        object(in_force.iter().any(|reason| !(approved && self.approval_passes(reason))), "Held");
        object(!approved && self.is_row_unknown(place, known), "RowUnknown");
        object(root.immovable.is_some(), "NotMovable");
        object(note.is_some_and(|note| self.pause_ends(note) > ns(self.now)), "BackOff");
        match place.inspection.as_ref().map(|inspection| &inspection.outcome) {
            None => object(true, "NotInspected"),
            Some(WalkOutcome::Idle { newest, bytes, .. }) => {
                object(self.is_young(ns(*newest)), "ActiveInside");
                object(*bytes > self.spec().kilobytes * 1_000, "LargerThanBudget");
            }
            Some(WalkOutcome::Young { .. }) => object(true, "ActiveInside"),
            Some(WalkOutcome::Future { .. }) => object(true, "FutureInside"),
            Some(WalkOutcome::MountPoint { .. }) => object(true, "MountPointInside"),
            Some(WalkOutcome::ForeignIdentity { .. }) => object(true, "NestedVolume"),
            Some(WalkOutcome::Incomplete { .. }) => object(true, "InspectionIncomplete"),
        }
        reasons
    }

    fn pause_ends(&self, note: &InspectionNote) -> i128 {
        if let Some(active) = note.active {
            return ns(active) + i128::from(self.spec().min_age_s) * SECOND;
        }
        let mut pause = HOUR / 4;
        for _ in 1..note.times.min(100) {
            pause = (2 * pause).min(24 * HOUR);
        }
        ns(note.at) + pause
    }

    pub fn expected(&self) -> Expected {
        if !self.has(Source::Volume) {
            let held = Some(("Gate", "SourceUnavailable"));
            let (verdicts, victims, inspections) = (Vec::new(), Vec::new(), Vec::new());
            let (quarantine, second_walks) = (BTreeMap::new(), Vec::new());
            return Expected {
                held,
                asks: false,
                verdicts,
                victims,
                quarantine,
                workspaces: 0,
                orphans: 0,
                inspections,
                second_walks,
            };
        }
        let known = Known {
            names: self.places.iter().filter_map(|place| self.id_of(place)).map(plain).collect(),
            live: self.live.iter().map(|id| plain(id)).collect(),
            claims: self.claims.iter().flatten().map(|id| plain(id)).collect(),
            rows: self.known.as_ref().map(|known| known.iter().map(|id| plain(id)).collect()),
        };
        let objections: Vec<_> = self.places.iter().map(|place| first(&self.against(place, &known))).collect();
        let mut line: Vec<usize> = (0..self.places.len()).filter(|&i| objections[i].is_none()).collect();
        let orphans = line.len();
        let told = |wanted: &str, also: &dyn Fn(&Place) -> bool| {
            let places = self.places.iter().zip(&objections);
            places.filter(|(place, reason)| **reason == Some(wanted) && also(place)).count()
        };
        let counted = Counted {
            workspaces: self.workspaces().count(),
            live: told("LiveSession", &|_| true),
            near: told("NearMatch", &|_| true),
            strangers: told("TooYoung", &|place| known.rows.is_none() || self.is_row_unknown(place, &known)),
            unapproved: line.iter().filter(|&&i| !self.approved(&self.places[i])).count(),
        };
        let held = self.hold(&counted);
        let reason = held.map(|(_, reason)| reason);
        let in_force = self.in_force(&counted);
        line.sort_by_key(|&i| match &self.places[i].root {
            Some(Reading::Complete(root)) => (self.last_activity(root), self.places[i].name.clone()),
            _ => unreachable!("an orphan's root was read"),
        });
        let mut verdicts: Vec<&str> = objections.iter().map(|reason| reason.unwrap_or("?")).collect();
        let limits = Limits::of(self);
        let mut inspections = Vec::new();
        let mut ready = Vec::new();
        for i in line {
            verdicts[i] = match first(&self.against_now(&self.places[i], &known, &in_force)) {
                Some("NotInspected") if limits.directories_spent() => "BudgetSpent",
                Some(reason) => {
                    inspections.extend((reason == "NotInspected").then_some(i));
                    reason
                }
                None => {
                    ready.push(i);
                    "?"
                }
            };
        }
        let sizes: Vec<u128> = ready.iter().map(|&i| size(&self.places[i])).collect();
        let mut victims = Vec::new();
        for (turn, &i) in ready.iter().enumerate() {
            verdicts[i] = limits.answer(&sizes[..=turn]);
            victims.extend((verdicts[i] == "NoLiveSession").then_some(i));
        }
        let quarantine = quarantine::expected(self, held.is_some());
        let second_walks = quarantine::walks(self, &quarantine);
        let (workspaces, asks) = (counted.workspaces, reason.is_some_and(is_approvable));
        Expected { held, asks, verdicts, victims, quarantine, workspaces, orphans, inspections, second_walks }
    }

    pub(super) fn speaks_for(&self, kept: &Kept, session: &str, name: &str) -> Option<&'static str> {
        let same = |other: &String| plain(other) == plain(session);
        let reasons = [
            ("SessionLive", self.has(Source::Sessions) && self.live.iter().any(same)),
            ("Claimed", self.has(Source::Claims) && self.claims.iter().flatten().any(same)),
            ("KeepGlob", (KEEPS[self.spec().keep].keeps)(name)),
            ("KeepFile", self.pinned(&kept.entry.keep_file)),
        ];
        reasons.into_iter().find(|(_, applies)| *applies).map(|(reason, _)| reason)
    }
}

fn size(place: &Place) -> u128 {
    match place.inspection.as_ref().map(|inspection| &inspection.outcome) {
        Some(WalkOutcome::Idle { bytes, .. }) => u128::from(*bytes),
        _ => unreachable!("it was found idle"),
    }
}
