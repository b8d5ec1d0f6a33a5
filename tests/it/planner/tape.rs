//! Choices read from a tape of bytes: cheap to generate, and shrunk by cutting and lowering bytes. A byte past the end is
//! zero, and zero is always the plainest choice.

use proptest::prelude::*;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use super::world::World;

const LENGTH: usize = 768;

/// Reads choices.
pub struct Tape<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Tape<'_> {
    /// The plainest choice, always.
    pub fn blank() -> Self {
        Self { bytes: &[], at: 0 }
    }

    pub fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = usize::from(self.byte()) | usize::from(if end > 256 { self.byte() } else { 0 }) << 8;
        wide % end
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// True in about `share` of 256 cases.
    pub fn chance(&mut self, share: u8) -> bool {
        self.byte() >= 0u8.wrapping_sub(share) && share > 0
    }
}

/// Worlds, each made from a tape.
#[derive(Debug)]
pub struct Worlds;

impl Strategy for Worlds {
    type Tree = WorldTree;
    type Value = World;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut state = any::<u64>().new_tree(runner)?.current();
        let bytes = std::iter::repeat_with(|| splitmix(&mut state)).flat_map(u64::to_le_bytes).take(LENGTH).collect();
        Ok(WorldTree { best: bytes, tried: None, cut: Cut::default() })
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a debug build draws a tape in a microsecond, proptest's own vectors take a
/// hundred.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A tape that fails, and the smaller one that is being tried.
#[derive(Debug)]
pub struct WorldTree {
    best: Vec<u8>,
    tried: Option<Vec<u8>>,
    cut: Cut,
}

/// Where on the tape the next simplification is tried.
#[derive(Clone, Copy, Debug)]
struct Cut {
    size: usize,
    at: usize,
    way: u8,
    rounds: u8,
}

impl Default for Cut {
    fn default() -> Self {
        Self { size: LENGTH / 2, at: 0, way: 0, rounds: 0 }
    }
}

impl WorldTree {
    fn next(&mut self) -> bool {
        while self.cut.rounds < 3 {
            let Cut { size, at, way, .. } = self.cut;
            if at >= self.best.len() {
                self.cut = Cut { at: 0, size: size / 2, ..self.cut };
                if self.cut.size == 0 {
                    self.cut = Cut { rounds: self.cut.rounds + 1, ..Cut::default() };
                }
                continue;
            }
            let mut tape = self.best.clone();
            let end = (at + size).min(tape.len());
            match way {
                0 => drop(tape.drain(at..end)),
                1 => tape[at..end].fill(0),
                _ => tape[at..end].iter_mut().for_each(|byte| *byte = byte.saturating_sub(1)),
            }
            self.cut = if way < 2 { Cut { way: way + 1, ..self.cut } } else { Cut { way: 0, at: end, ..self.cut } };
            if tape != self.best {
                self.tried = Some(tape);
                return true;
            }
        }
        false
    }
}

impl ValueTree for WorldTree {
    type Value = World;

    fn current(&self) -> World {
        World::of(&mut Tape { bytes: self.tried.as_ref().unwrap_or(&self.best), at: 0 })
    }

    fn simplify(&mut self) -> bool {
        if let Some(tried) = self.tried.take() {
            self.best = tried;
            self.cut.way = 0;
        }
        self.next()
    }

    fn complicate(&mut self) -> bool {
        self.tried = None;
        self.next()
    }
}

/// Runs `test` on `cases` worlds, or on as many as `PROPTEST_CASES` says. A failure is shrunk, and its seed printed and
/// kept in `regressions.txt` beside this file, from where every later run tries it first.
#[track_caller]
pub fn in_every_world(cases: u32, test: impl Fn(&World) -> Result<(), TestCaseError>) {
    let default = Config::default();
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    let config = Config {
        cases: if asked { default.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/it/planner/regressions.txt"))),
        source_file: Some(file!()),
        ..default
    };
    match TestRunner::new(config).run(&Worlds, |world| test(&world)) {
        Ok(()) => {}
        Err(TestError::Fail(why, world)) => panic!("{why}\n{world:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
