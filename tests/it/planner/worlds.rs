//! Worlds read from a tape. About half of what they hold is an orphan that may go, and most else lies at a border;
//! most worlds are calm, so that something does go.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use jiff::Timestamp;
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::names::{EntryId, EntryName, PlanHash, SessionId, SweepId};
use workspace_hygiene::observe::{
    DirectoryFacts, Evidence, Inspection, InspectionNote, KeepFileState, QuarantineEntry, Reading, Sidecar, Spent,
    WalkOutcome,
};

use super::specs::{CASES, SHAPES};
use super::spellings::{ODD_NAMES, SPELLINGS};
use super::tape::Tape;
use super::world::{HOUR, Kept, Place, SECOND, SOURCES, World, later};

/// Sizes of trees, most of them small.
const BYTES: [u64; 14] = [400, 0, 400, 0, 400, 0, 400, 1_000, 1_001, 300_000, 1_000_000, 1_000_001, 400, u64::MAX];

/// The last of the choices in one of sixteen cases, and the one before it as often.
fn one_in_sixteen(tape: &mut Tape<'_>, [usual, other, rare]: [Option<bool>; 3]) -> Option<bool> {
    match tape.byte() % 16 {
        1 => other,
        15 => rare,
        _ => usual,
    }
}

impl World {
    pub fn of(tape: &mut Tape<'_>) -> Self {
        // One in three has a plain spec, whose limits are out of the way.
        let specs = if tape.chance(85) { SHAPES.len() } else { CASES.len() };
        let case = tape.below(specs);
        let now = Timestamp::from_second(1_767_225_600 + i64::from(tape.byte())).unwrap();
        let mut world = World {
            case,
            now,
            down: BTreeSet::new(),
            places: Vec::new(),
            quarantine: Vec::new(),
            live: Vec::new(),
            canary: one_in_sixteen(tape, [Some(true), None, Some(false)]),
            freshest: None,
            healthy: one_in_sixteen(tape, [Some(true), None, Some(false)]),
            claims: tape.chance(128).then(Vec::new),
            spent: Vec::new(),
            highest_live: tape.chance(60).then(|| u64::from(tape.byte() % 8)),
            notes: BTreeMap::new(),
            past: World::past(tape),
            known: None,
            sample: None,
            missing_right: false,
            efs: None,
            dice: [(); 4].map(|()| tape.byte()),
        };
        if tape.chance(12) {
            world.down.insert(tape.pick(&SOURCES));
        }
        if tape.chance(80) {
            let staleness = i128::from(world.spec().staleness_s) * SECOND;
            world.freshest = Some(world.at(-tape.pick(&[
                0,
                0,
                -staleness,
                staleness,
                staleness,
                -staleness - 1,
                staleness + 1,
                HOUR,
            ])));
        }
        for known in 0..tape.pick(&[2, 1, 3, 4, 5, 6, 2, 3, 4, 5, 6, 3, 0]) {
            world.live.push(format!("live-{known}"));
        }
        let period = i128::from(world.spec().period_s) * SECOND;
        for _ in 0..tape.below(8).saturating_sub(4) {
            let at = world.at(-tape.pick(&[0, period - 1, period, period + 1, -SECOND]));
            world.spent.push(Spent { at, bytes: tape.pick(&[0, 400, 0, 400, 0, 400, 1_000, 700_000, u64::MAX]) });
        }
        if tape.chance(20) {
            world.add_plain_places(tape);
        }
        if tape.chance(2) {
            world.add_crowd(tape);
        }
        if tape.chance(6) {
            world.add_young(3 + tape.below(3));
        }
        let places = tape.pick(&[3, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12]);
        for _ in 0..if tape.chance(5) { 0 } else { places } {
            world.add_place(tape);
        }
        for number in 0..tape.below(10).saturating_sub(5) {
            let kept = world.quarantined(tape, number);
            world.quarantine.push(kept);
        }
        world.list();
        world.unsettle(tape);
        world
    }

    /// More orphans than the per-cent breaker overlooks.
    fn add_plain_places(&mut self, tape: &mut Tape<'_>) {
        let prefix = ["p", "ws-p", "0a1b2c3d-0000-4000-8000-000000001f", "000001", "p"][self.spec().shape];
        for n in 16..26 + tape.below(4) {
            self.add_alike(prefix, n, |_, _| {});
        }
    }

    fn add_place(&mut self, tape: &mut Tape<'_>) {
        let name = self.name(tape);
        if let Some(id) = name.as_str().and_then(|text| self.session(text)) {
            let spelt = self.spelt_otherwise(tape, id);
            match tape.byte() {
                200..=225 => self.live.push(id.to_owned()),
                226 => self.live.push(spelt),
                236..=248 => self.claims.get_or_insert_default().push(id.to_owned()),
                249..=255 => self.claims.get_or_insert_default().push(spelt),
                _ => {}
            }
        }
        let kinds = [Some(Kind::Symlink), Some(Kind::Other), None];
        let kind = if tape.chance(20) { tape.pick(&kinds) } else { Some(Kind::Directory) };
        let root = match tape.byte() {
            248..=251 => Some(Reading::Unavailable("Permission denied".into())),
            252..=255 => None,
            _ => Some(Reading::Complete(self.facts(tape))),
        };
        if let (true, Some(Reading::Complete(facts)), Some(name)) = (tape.chance(35), &root, name.as_str()) {
            let note = self.note(tape, facts.inode);
            self.notes.insert(name.into(), note);
        }
        let inspection = (!tape.chance(45)).then(|| self.inspection(tape));
        self.places.push(Place { name, kind, root, inspection });
    }

    fn name(&self, tape: &mut Tape<'_>) -> EntryName {
        if tape.chance(40) {
            return EntryName::new(OsString::from_vec(tape.pick(&ODD_NAMES).to_vec()));
        }
        let n = tape.byte();
        let id = match self.spec().shape {
            _ if tape.chance(70) => {
                let spellings = tape.pick(&SPELLINGS);
                tape.pick(spellings).to_owned()
            }
            0 | 1 => format!("s{n:02}"),
            2 => format!("0a1b2c3d-0000-4000-8000-0000000000{n:02x}"),
            3 => format!("000000{n:02x}"),
            _ => format!("x{n}"),
        };
        EntryName::new(match self.spec().shape {
            1 => format!("ws-{id}"),
            3 => format!("{}{id}", tape.pick(&["", "", "team-a-", "team-b-"])),
            _ => id,
        })
    }

    pub fn session<'a>(&self, name: &'a str) -> Option<&'a str> {
        (super::specs::SHAPES[self.spec().shape].session)(name)
    }

    /// The id as another system may spell it.
    pub fn spelt_otherwise(&self, tape: &mut Tape<'_>, id: &str) -> String {
        match SPELLINGS.iter().find(|spellings| spellings.contains(&id)) {
            Some(spellings) => tape.pick(spellings).to_owned(),
            None => tape.pick(&[id.to_uppercase(), format!("{id}\n"), format!(" {id}")]),
        }
    }

    /// A time at one of the borders of `minAge`.
    fn border(&self, tape: &mut Tape<'_>) -> Timestamp {
        let age = i128::from(self.spec().min_age_s) * SECOND;
        let ages = [age, age + 1, age - 1, 0, -5 * SECOND, -5 * SECOND - 1, -HOUR, SECOND];
        match tape.byte() {
            254 => Timestamp::MIN,
            255 => Timestamp::MAX,
            _ => self.at(-tape.pick(&ages)),
        }
    }

    fn long_ago(&self, tape: &mut Tape<'_>) -> Timestamp {
        self.at(-i128::from(self.spec().min_age_s) * SECOND - i128::from(tape.byte() % 6) * HOUR)
    }

    pub fn facts(&self, tape: &mut Tape<'_>) -> DirectoryFacts {
        let modified = if tape.chance(25) { self.border(tape) } else { self.long_ago(tape) };
        let changed = if tape.chance(25) { self.border(tape) } else { self.long_ago(tape) };
        let born = if tape.chance(12) { Some(self.border(tape)) } else { None };
        let keep_file = if tape.chance(25) { self.keep_file(tape) } else { KeepFileState::Absent };
        let mount_point = tape.chance(8);
        DirectoryFacts {
            inode: 100 + u64::from(tape.byte()),
            device: (0, 7),
            modified,
            changed,
            born,
            mount_point,
            keep_file,
            immovable: tape.chance(6).then(|| "it is append-only".into()),
        }
    }

    fn keep_file(&self, tape: &mut Tape<'_>) -> KeepFileState {
        let ends = [self.at(HOUR), self.at(1), self.now, self.at(-1), Timestamp::MAX];
        if tape.chance(100) { KeepFileState::Pins } else { KeepFileState::PinsUntil(tape.pick(&ends)) }
    }

    fn note(&self, tape: &mut Tape<'_>, inode: u64) -> InspectionNote {
        let at = self.at(-tape.pick(&[0, 900 * SECOND, 900 * SECOND - 1, 1_800 * SECOND, HOUR, 24 * HOUR, -HOUR]));
        let times = tape.pick(&[1, 0, 2, 3, 8, u32::MAX]);
        let active = tape.chance(90).then(|| self.border(tape));
        InspectionNote { inode: inode + u64::from(tape.chance(60)), at, times, active }
    }

    pub fn inspection(&self, tape: &mut Tape<'_>) -> Inspection {
        let path = "src/main.rs".to_owned();
        let outcome = match tape.byte() {
            0..=200 => WalkOutcome::Idle { newest: self.long_ago(tape), entries: 12, bytes: tape.pick(&BYTES) },
            201..=205 => WalkOutcome::Idle { newest: self.border(tape), entries: 1, bytes: 0 },
            206..=220 => WalkOutcome::Young { at: self.border(tape), path },
            221..=226 => WalkOutcome::Future { at: self.border(tape), path },
            227..=234 => WalkOutcome::MountPoint { path },
            235..=236 => WalkOutcome::ForeignIdentity { path },
            _ => WalkOutcome::Incomplete { why: "src: Permission denied".into() },
        };
        Inspection { started: self.now, outcome }
    }

    fn quarantined(&mut self, tape: &mut Tape<'_>, number: usize) -> Kept {
        let taken = if tape.chance(60) { tape.pick(&["s07", "ws-s07", "shared-0"]).to_owned() } else { String::new() };
        let name = if taken.is_empty() { self.name(tape).as_str().unwrap_or("ws-b2").to_owned() } else { taken };
        let session = self.session(&name).unwrap_or(&name).to_owned();
        match tape.byte() {
            226..=235 => self.live.push(session.clone()),
            236..=240 => self.live.push(self.spelt_otherwise(tape, &session)),
            241..=255 => self.claims.get_or_insert_default().push(session.clone()),
            _ => {}
        }
        let retention = i128::from(self.spec().retention_s) * SECOND;
        let quarantined = self.at(-tape.pick(&[2 * retention + HOUR, retention, retention - 1, retention + 1, HOUR]));
        let promised = tape.pick(&[retention, retention, 24 * HOUR, 2 * retention, 400 * HOUR]);
        let newest = later(quarantined, -30 * HOUR);
        let inode = 1_000 + number as u64;
        let sidecar = Sidecar {
            id: EntryId::new(format!("q{number}")),
            name,
            session: SessionId::new(session),
            inode,
            modified: newest,
            born: None,
            quarantined,
            deadline: later(quarantined, promised),
            evidence: Evidence {
                sweep: SweepId::new("sweep-1"),
                plan: PlanHash::new("00112233445566778899aabbccddeeff"),
                live: 3,
                sessions_read: quarantined,
                inspection_started: quarantined,
                newest,
                entries: 12,
                bytes: 400,
            },
        };
        let second_walk = (!tape.chance(60)).then(|| match tape.byte() {
            0..=127 => Inspection { started: self.now, outcome: WalkOutcome::Idle { newest, entries: 12, bytes: 400 } },
            128..=159 => {
                let newest = later(newest, tape.pick(&[1, 0, -1, HOUR]));
                Inspection { started: self.now, outcome: WalkOutcome::Idle { newest, entries: 12, bytes: 400 } }
            }
            _ => self.inspection(tape),
        });
        let entry = QuarantineEntry {
            id: sidecar.id.clone(),
            tree: if tape.chance(12) { tape.pick(&[None, Some(7)]) } else { Some(inode) },
            keep_file: if tape.chance(25) { self.keep_file(tape) } else { KeepFileState::Absent },
            journalled: !tape.chance(12),
            name_taken: tape.chance(50),
            sidecar: if tape.chance(12) { Reading::Unavailable("not JSON".into()) } else { Reading::Complete(sidecar) },
        };
        Kept { entry, second_walk }
    }
}
