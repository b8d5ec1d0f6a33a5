//! The specs of a sequence. Each is read from YAML once; what no digest covers is then set in place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use workspace_hygiene::policy::{Mode, Policy, PolicyOptions};
use workspace_hygiene::spec::{LoadOptions, load};

use super::actions::{Change, DAY, HOUR};

/// The part of the spec that decides what an orphan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    pub min_age: usize,
    pub keep: usize,
    pub pattern: usize,
}

pub const MIN_AGE: [i64; 2] = [HOUR, DAY];
const PATTERN: [&str; 2] = ["^(?<session>[0-9a-f-]{36})$", "^(?<session>[0-9a-z-]{36})$"];
/// The slot whose name the second spelling of `keep` matches.
pub const KEPT_BY_GLOB: u32 = 1;

#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub evidence: Evidence,
    pub enforce: bool,
    pub suspend: bool,
    pub per_sweep: u32,
    /// Hours, directories, bytes.
    pub budget: (i64, u32, u64),
    pub max_orphans: u32,
    /// Hours.
    pub retention: i64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            evidence: Evidence { min_age: 0, keep: 0, pattern: 0 },
            enforce: true,
            suspend: false,
            per_sweep: 10,
            budget: (24, 100, 1 << 30),
            max_orphans: 50,
            retention: 24,
        }
    }
}

impl Spec {
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Suspend(suspend) => self.suspend = suspend,
            Change::Enforce(enforce) => self.enforce = enforce,
            Change::MinAge(min_age) => self.evidence.min_age = min_age,
            Change::Keep(keep) => self.evidence.keep = keep,
            Change::Pattern(pattern) => self.evidence.pattern = pattern,
            Change::PerSweep(per_sweep) => self.per_sweep = per_sweep,
            Change::Budget { hours, directories, bytes } => self.budget = (hours, directories, bytes),
            Change::MaxOrphans(most) => self.max_orphans = most,
            Change::Retention(hours) => self.retention = hours,
        }
    }

    pub fn min_age(&self) -> i64 {
        MIN_AGE[self.evidence.min_age]
    }
}

/// One policy for each kind of evidence.
pub struct Policies(Vec<(Evidence, Policy)>);

impl Policies {
    pub fn of(dir: &Path) -> Self {
        let mut all = Vec::new();
        for min_age in 0..2 {
            for keep in 0..2 {
                for pattern in 0..2 {
                    let evidence = Evidence { min_age, keep, pattern };
                    all.push((evidence, read(dir, evidence)));
                }
            }
        }
        Self(all)
    }

    pub fn policy(&self, spec: &Spec) -> Arc<Policy> {
        let (_, base) = self.0.iter().find(|(evidence, _)| *evidence == spec.evidence).unwrap();
        let mut policy = base.clone();
        policy.mode = if spec.enforce { Mode::Enforce } else { Mode::Report };
        policy.suspend = spec.suspend;
        policy.limits.per_sweep = spec.per_sweep;
        let hours = |hours: i64| Duration::from_secs((hours * HOUR).unsigned_abs());
        policy.limits.budget.period = hours(spec.budget.0);
        policy.limits.budget.directories = spec.budget.1;
        policy.limits.budget.bytes = spec.budget.2;
        policy.limits.breaker.max_orphans = spec.max_orphans;
        policy.limits.purge.entries_per_second = 1_000_000;
        policy.retention = hours(spec.retention);
        Arc::new(policy)
    }
}

fn read(dir: &Path, evidence: Evidence) -> Policy {
    let keep = if evidence.keep == 0 { String::new() } else { format!("'*{KEPT_BY_GLOB}'") };
    let text = format!(
        "apiVersion: hygiene.dev/v1alpha1\nkind: WorkspaceHygiene\nmetadata: {{name: model}}\nspec:\n  mode: Enforce\n  \
         volume: {{path: {volume}}}\n  workspaces: {{pattern: '{pattern}', minAge: {min_age}s, keep: [{keep}]}}\n  \
         sessions: {{sqlite: {{path: {db}}}, liveQuery: select id from session}}\n",
        volume = dir.join("volume").display(),
        pattern = PATTERN[evidence.pattern],
        min_age = MIN_AGE[evidence.min_age],
        db = dir.join("sessions.db").display(),
    );
    let file = dir.join("spec.yaml");
    std::fs::write(&file, text).unwrap();
    let options = PolicyOptions { allow_short_times: true, cluster: "local".into(), ..PolicyOptions::default() };
    load(&[file.display().to_string()], LoadOptions::of_process(options))
        .expect("the spec is in order")
        .remove(0)
        .policy
}
