//! The oracle's limits: whether an orphan goes is a matter of sums over those before it in line.

use super::super::world::{SECOND, World};

/// What one sweep may take.
pub struct Limits {
    directories_left: i128,
    per_sweep: i128,
    /// Less than nothing where more was spent than the budget now allows.
    bytes_left: i128,
}

impl Limits {
    pub fn of(world: &World) -> Self {
        let spec = world.spec();
        let since = world.now.as_nanosecond() - i128::from(spec.period_s) * SECOND;
        let spent: Vec<_> = world.spent.iter().filter(|spent| spent.at.as_nanosecond() > since).collect();
        Self {
            directories_left: i128::from(spec.directories) - spent.len() as i128,
            per_sweep: i128::from(spec.per_sweep),
            bytes_left: i128::from(spec.kilobytes) * 1_000 - spent.iter().map(|s| i128::from(s.bytes)).sum::<i128>(),
        }
    }

    pub fn directories_spent(&self) -> bool {
        self.directories_left <= 0
    }

    /// The verdict on the last of `sizes`, the sizes of all that may go up to it, in order.
    pub fn answer(&self, sizes: &[u128]) -> &'static str {
        if self.goes(sizes) {
            "NoLiveSession"
        } else if self.too_many_bytes(sizes) || self.directories_left < self.per_sweep {
            "BudgetSpent"
        } else {
            "PerSweepLimit"
        }
    }

    fn goes(&self, sizes: &[u128]) -> bool {
        let count = sizes.len() as i128;
        count <= self.directories_left && count <= self.per_sweep && sum(sizes) <= self.bytes_left
    }

    /// Whether one of them did not fit beside those that go.
    fn too_many_bytes(&self, sizes: &[u128]) -> bool {
        let going = (0..sizes.len()).take_while(|&n| self.goes(&sizes[..=n])).count();
        sizes[going..].iter().any(|size| sum(&sizes[..going]) + sum(&[*size]) > self.bytes_left)
    }
}

fn sum(sizes: &[u128]) -> i128 {
    i128::try_from(sizes.iter().sum::<u128>()).unwrap()
}
