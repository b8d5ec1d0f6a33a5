//! What happens in a sequence, and how one is drawn from a seed.

use super::random::Random;

/// Slots whose sessions come and go; slot 0 is the one that is always there.
pub const SLOTS: u32 = 6;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;
/// More than this without a complete observation is a gap: a day, and what a daily sweep may begin late.
pub const GAP: i64 = DAY + HOUR + HOUR / 4;

/// How the database answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Db {
    Fine,
    /// Neither question is answered.
    Broken,
    /// The list is, a single id is not.
    HalfBroken,
    /// Another database, with sessions of its own.
    Another,
    /// Another database that holds the same sessions.
    Twin,
    /// What it held when time last passed.
    Copy,
    Emptied,
    /// Rows of the last hours are missing.
    Lagging,
    /// Its freshest row is old.
    Stale,
    NoCanary,
}

/// What happens in the middle of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    Kill,
    Stop,
    OrdersChange,
    Break,
    /// This one answer takes longer than an answer may be old.
    Slow,
    Undelete(u32),
    Write {
        slot: u32,
        deep: bool,
    },
    Keep(u32),
    /// An empty directory under a name that is free just then.
    Recreate(u32),
}

/// The slot that is asked about where the mischief happens.
pub const ASKED: u32 = u32::MAX;

/// Mischief at the n-th point at which a sweep asks for anything that a test hands it, or while it waits for the n-th answer
/// about one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trick {
    pub at: u32,
    pub answer: bool,
    pub what: Mischief,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFile {
    Empty,
    Hours(i64),
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Held,
    Current,
    Wrong,
}

/// One change of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Suspend(bool),
    Enforce(bool),
    MinAge(usize),
    Keep(usize),
    Pattern(usize),
    PerSweep(u32),
    Budget { hours: i64, directories: u32, bytes: u64 },
    MaxOrphans(u32),
    Retention(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create {
        slot: u32,
        row: bool,
        dir: bool,
        size: u32,
        idle: i64,
    },
    DeleteRow(u32),
    EraseRow(u32),
    RemoveDir(u32),
    Undelete(u32),
    /// Into the tree wherever it is: under its name, or by an open handle in quarantine.
    Write {
        slot: u32,
        deep: bool,
    },
    Keep {
        slot: u32,
        what: KeepFile,
        quiet: bool,
    },
    EmptyDir(u32),
    Spec(Change),
    Db(Db),
    Pass(i64),
    /// Time passes with a sweep every so often.
    Watch {
        hours: i64,
        every: i64,
        trick: Option<Trick>,
    },
    /// How far the host's clock is ahead of the file server's.
    Skew(i64),
    Sweep(Option<Trick>),
    /// A plan, and the sweep that follows it.
    Both,
    Plan,
    Answer {
        approve: bool,
        which: Which,
    },
    Adopt(bool),
    Restore {
        slot: u32,
        pin: bool,
    },
    Purge {
        slot: u32,
        trick: Option<Trick>,
    },
}

/// How a sequence begins.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// A volume that no sweep has seen yet.
    pub fresh: bool,
    /// Live sessions without a directory.
    pub others: u32,
    /// Hours in quarantine.
    pub retention: i64,
}

pub fn sequence(seed: u64) -> (Setup, Vec<Action>) {
    let mut random = Random::new(seed);
    let setup = Setup {
        fresh: random.chance(20),
        others: random.pick(&[12, 12, 12, 3]),
        retention: random.pick(&[24, 24, 48]),
    };
    let mut actions = Vec::new();
    for slot in 1..SLOTS {
        if random.chance(55) {
            let (row, idle) =
                random.pick(&[(false, 2 * DAY), (false, 2 * DAY), (true, 2 * DAY), (false, 0), (true, 0)]);
            actions.push(Action::Create { slot, row, dir: true, size: random.below(4), idle });
        }
    }
    for _ in 0..8 + random.below(7) {
        actions.push(action(&mut random));
    }
    (setup, actions)
}

fn action(random: &mut Random) -> Action {
    let slot = random.slot();
    let deep = random.chance(50);
    match random.below(100) {
        0..8 => Action::Create {
            slot,
            row: random.chance(60),
            dir: random.chance(85),
            size: random.below(4),
            idle: random.pick(&[0, 0, 2 * HOUR, 2 * DAY, 30 * DAY]),
        },
        8..13 => Action::DeleteRow(slot),
        13 => Action::EraseRow(slot),
        14..16 => Action::RemoveDir(slot),
        16..20 => Action::Undelete(slot),
        20..26 => Action::Write { slot, deep },
        26..31 => Action::Keep {
            slot,
            what: random.pick(&[KeepFile::Empty, KeepFile::Hours(30), KeepFile::Hours(-1), KeepFile::Remove]),
            quiet: random.chance(60),
        },
        31..34 => Action::EmptyDir(slot),
        34..43 => Action::Spec(change(random)),
        43..48 => Action::Db(random.pick(&[
            Db::Broken,
            Db::HalfBroken,
            Db::Another,
            Db::Twin,
            Db::Copy,
            Db::Emptied,
            Db::Lagging,
            Db::Stale,
            Db::NoCanary,
        ])),
        48..51 => Action::Db(Db::Fine),
        51..56 => Action::Pass(random.pick(&[HOUR / 4, 2 * HOUR, 20 * HOUR, 26 * HOUR, 3 * DAY, 8 * DAY])),
        56..65 => Action::Watch {
            hours: random.pick(&[26, 26, 26, 50, 170]),
            every: random.pick(&[23, 23, 12]),
            trick: random.chance(40).then(|| trick(random)),
        },
        65 => Action::Skew(random.pick(&[0, 90, -90, 2 * HOUR, -2 * DAY])),
        66..75 => Action::Sweep(None),
        75..84 => Action::Sweep(Some(trick(random))),
        84..87 => Action::Both,
        87 => Action::Plan,
        88..93 => Action::Answer {
            approve: random.chance(75),
            which: random.pick(&[Which::Held, Which::Held, Which::Current, Which::Current, Which::Wrong]),
        },
        93..95 => Action::Adopt(random.chance(80)),
        95..97 => Action::Restore { slot, pin: deep },
        _ => Action::Purge { slot, trick: random.chance(50).then(|| trick(random)) },
    }
}

fn trick(random: &mut Random) -> Trick {
    let answer = random.chance(50);
    let slot = if answer { ASKED } else { random.slot() };
    let what = match random.below(14) {
        0..4 => Mischief::Kill,
        4 => Mischief::Stop,
        5 => Mischief::OrdersChange,
        6 => Mischief::Break,
        7 => Mischief::Slow,
        8..10 => Mischief::Undelete(slot),
        10 => Mischief::Write { slot, deep: true },
        11 => Mischief::Write { slot, deep: false },
        12 => Mischief::Keep(slot),
        _ => Mischief::Recreate(slot),
    };
    Trick { at: random.below(if answer { 4 } else { 25 }), answer, what }
}

fn change(random: &mut Random) -> Change {
    match random.below(14) {
        0 => Change::Suspend(true),
        1 | 2 => Change::Suspend(false),
        3 => Change::Enforce(false),
        4 | 5 => Change::Enforce(true),
        6 => Change::MinAge(random.pick(&[0, 1])),
        7 => Change::Keep(random.pick(&[0, 1])),
        8 => Change::Pattern(random.pick(&[0, 0, 1])),
        9 => Change::PerSweep(random.pick(&[1, 2, 10])),
        10 => random.pick(&[
            Change::Budget { hours: 24, directories: 1, bytes: 1 << 30 },
            Change::Budget { hours: 168, directories: 2, bytes: 1 << 30 },
            Change::Budget { hours: 24, directories: 100, bytes: 8_192 },
            Change::Budget { hours: 24, directories: 100, bytes: 1 << 30 },
        ]),
        11 | 12 => Change::MaxOrphans(random.pick(&[0, 1, 2, 50])),
        _ => Change::Retention(random.pick(&[24, 24, 48, 168])),
    }
}
