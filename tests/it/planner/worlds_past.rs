//! What makes a world uneasy: records, answers of people, and crowds that are large enough for a share of one per cent.

use workspace_hygiene::fsio::Kind;
use workspace_hygiene::names::EntryName;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::records::OrphanKey;

use super::past::{Bound, Past};
use super::tape::Tape;
use super::world::{Efs, FILE_SYSTEM, HOUR, Place, World, later};

/// Ids that cannot be the name of a directory.
const UNUSABLE: [&str; 5] = ["a/b", "", ".", "..", "a\0b"];

/// The reasons of plans that were stored; the last one is of a newer version of this program.
const STORED: [&str; 8] = [
    "TooManyOrphans",
    "SessionsDropped",
    "NotTheSame",
    "ServiceSuffers",
    "AwaitsApproval",
    "NearMatches",
    "RowsBehindVolume",
    "NewerThanThis",
];

impl World {
    /// What the records say, read before there are places.
    pub fn past(tape: &mut Tape<'_>) -> Past {
        let mut past = Past::calm();
        let mut bound = Bound::rightly();
        if tape.chance(10) {
            match tape.below(6) {
                0 => bound.owner = "other/prod/collab",
                1 => bound.root = 3,
                2 => bound.database = "db-2",
                3 => bound.further_before = true,
                _ => bound.same_query = false,
            }
            // A second difference: the worse of the two is told.
            bound.database = if tape.chance(60) { "db-2" } else { bound.database };
        }
        bound.id = tape.pick(&["id-1", "id-2"]);
        match tape.byte() {
            229..=240 => past.bound = None,
            241..=253 => past.bound = Some(Bound { on_volume: false, ..bound }),
            254..=255 => (past.bound, past.identity_missing) = (None, true),
            _ => past.bound = Some(bound),
        }
        past.damaged = tape.chance(3);
        past.confirmed = !tape.chance(20);
        past.held = tape.chance(12).then(|| tape.pick(&STORED));
        past.same_spec = match tape.byte() {
            236..=247 => None,
            248..=255 => Some(false),
            _ => Some(true),
        };
        past
    }

    /// What must be known of the places first: what of them was approved, known and sampled.
    pub fn unsettle(&mut self, tape: &mut Tape<'_>) {
        if tape.chance(70) {
            let approvals = 1 + usize::from(tape.chance(40));
            self.past.approved = (0..approvals).map(|_| self.approval(tape)).collect();
            // Mostly for what holds now, so that there is something that lets through.
            let now = self.held_reason();
            self.past.approved_for =
                tape.pick(&[now, now, now, None, Some("SessionsDropped"), Some("RowsBehindVolume")]);
        }
        if tape.chance(70) {
            self.know(tape);
        }
        if tape.chance(60) {
            let live = self.live.len() as u64;
            self.sample = Some(tape.pick(&[(live, live), (live, live / 2), (live, 0), (5, 4), (5, 1), (0, 0)]));
        }
        self.missing_right = tape.chance(3);
        if tape.chance(5) {
            self.live.push(tape.pick(&UNUSABLE).to_owned());
        }
        // Around the times at which entries of the quarantine came in.
        let came_in = self.quarantine.first().and_then(|kept| kept.entry.sidecar.complete()).map(|s| s.quarantined);
        self.past.watched_since = match (tape.byte(), came_in) {
            (0..=80, _) => None,
            (81..=120, Some(came_in)) => Some(later(came_in, tape.pick(&[0, -1, 1, HOUR]))),
            (121..=140, _) => Some(self.now),
            (141..=150, _) => Some(self.at(-tape.pick(&[168, 24, 169, 1]) * HOUR)),
            _ => Some(self.at(-10_000 * HOUR)),
        };
        self.efs = match tape.byte() {
            0..=149 => None,
            250..=252 => Some(Efs::Elsewhere),
            253..=255 => Some(Efs::Copy),
            _ => Some(Efs::Sound),
        };
        if let Some(bound) = &mut self.past.bound {
            bound.efs = match tape.byte() {
                0..=149 => None,
                250..=255 => Some("fs-2"),
                _ => Some(FILE_SYSTEM),
            };
        }
    }

    /// All places, some of them, none, or such as changed since.
    fn approval(&self, tape: &mut Tape<'_>) -> Vec<OrphanKey> {
        let all = tape.chance(90);
        let mut keys = self.keys();
        if tape.chance(20) {
            keys.clear();
        }
        keys.retain_mut(|key| {
            if all {
                return true;
            }
            match tape.byte() {
                0..=30 => key.inode += 1,
                31..=60 => key.changed = later(key.changed, if key.changed.as_nanosecond() > 0 { -1 } else { 1 }),
                61..=75 => key.name.push('x'),
                76..=140 => return false,
                _ => {}
            }
            true
        });
        keys.sort();
        keys
    }

    /// A query for sessions in any state; what it does not return it never knew.
    fn know(&mut self, tape: &mut Tape<'_>) {
        let all = tape.chance(150);
        let mut known = self.live.clone();
        if tape.chance(10) {
            known.clear();
        }
        let ids: Vec<_> = self.places.iter().filter_map(|p| Some(self.session(p.name.as_str()?)?.to_owned())).collect();
        for id in ids {
            match tape.byte() {
                200..=255 if !all => {}
                170..=199 => known.push(self.spelt_otherwise(tape, &id)),
                _ => known.push(id),
            }
        }
        self.known = Some(known);
    }

    /// Live workspaces enough for one near match to be less than one per cent of them, and young strangers.
    pub fn add_crowd(&mut self, tape: &mut Tape<'_>) {
        let live = 99 + tape.below(5);
        let prefix = ["c", "ws-c", "0a1b2c3d-0000-4000-8000-000000002f", "000002", "c"];
        for n in 0..live {
            self.add_alike(prefix[self.spec().shape], n, |world, id| world.live.push(id));
        }
        let (young, near, unusable) =
            (tape.pick(&[0, 0, 3, 4, 5, 6]), tape.pick(&[0, 0, 1, 2]), tape.pick(&[0, 0, 1, 2]));
        self.add_young(young);
        let prefix = ["n", "ws-n", "0a1b2c3d-0000-4000-8000-000000003f", "000003", "n"];
        for n in 0..near {
            self.add_alike(prefix[self.spec().shape], n, |world, id| world.live.push(format!(" {id}")));
        }
        self.live.extend((0..unusable).map(|n| UNUSABLE[n].to_owned()));
        self.sample = tape.pick(&[None, Some((40, 40)), Some((40, 20)), Some((40, 1))]);
    }

    /// Workspaces that were active just now, and no session of them.
    pub fn add_young(&mut self, count: usize) {
        let prefix = ["y", "ws-y", "0a1b2c3d-0000-4000-8000-000000004f", "000004", "y"];
        for n in 0..count {
            self.add_alike(prefix[self.spec().shape], n, |_, _| {});
            let now = self.now;
            if let Some(Place { root: Some(Reading::Complete(root)), .. }) = self.places.last_mut() {
                (root.modified, root.changed) = (now, now);
            }
        }
    }

    /// One more plain place; `also` is told its id.
    pub fn add_alike(&mut self, prefix: &str, n: usize, also: impl FnOnce(&mut Self, String)) {
        let name = format!("{prefix}{n:02x}");
        let root = Some(Reading::Complete(self.facts(&mut Tape::blank())));
        let inspection = Some(self.inspection(&mut Tape::blank()));
        let id = self.session(&name).unwrap_or_default().to_owned();
        also(self, id);
        self.places.push(Place { name: EntryName::new(name), kind: Some(Kind::Directory), root, inspection });
    }
}
