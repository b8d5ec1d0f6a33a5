//! Specs as users write them, read through the front door once, and what each of them says in plain values.

use std::sync::LazyLock;

use serde_json::json;
use workspace_hygiene::api::WorkspaceHygiene;
use workspace_hygiene::policy::{Policy, PolicyOptions};

/// A pattern, and the same in words of Rust.
pub struct Shape {
    pub pattern: &'static str,
    pub session: fn(&str) -> Option<&str>,
}

/// A list of keep globs, and the same in words of Rust.
pub struct Keeps {
    pub globs: &'static [&'static str],
    pub keeps: fn(&str) -> bool,
}

/// What a spec says.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub shape: usize,
    pub keep: usize,
    pub min_age_s: u64,
    pub per_sweep: u32,
    pub period_s: u64,
    pub directories: u32,
    pub kilobytes: u64,
    pub max_orphans: u32,
    pub max_percent: u32,
    pub max_drop: u32,
    pub minimum_live: u64,
    pub staleness_s: u64,
    pub retention_s: u64,
    pub suspend: bool,
    pub enforce: bool,
    pub keep_files: bool,
    pub any_activity: bool,
    /// The hour of the day, in UTC, in which deletion is allowed.
    pub window: Option<u8>,
}

pub const SHAPES: [Shape; 5] = [
    Shape { pattern: "^(?<session>.*)$", session: |name| (!name.contains('\n')).then_some(name) },
    Shape { pattern: "^ws-(?<session>.*)$", session: |name| name.strip_prefix("ws-").filter(|id| !id.contains('\n')) },
    Shape {
        pattern: "^(?<session>[0-9a-f-]{36})$",
        session: |name| (name.len() == 36 && name.chars().all(|c| "0123456789abcdef-".contains(c))).then_some(name),
    },
    Shape {
        pattern: "^(?:team-[a-z]+-)?(?<session>[0-9A-Fa-f]{8})$",
        session: |name| {
            let id = match name.strip_prefix("team-").and_then(|rest| rest.split_once('-')) {
                Some((team, id)) if !team.is_empty() && team.chars().all(|c| c.is_ascii_lowercase()) => id,
                _ => name,
            };
            (id.len() == 8 && id.chars().all(|c| c.is_ascii_hexdigit())).then_some(id)
        },
    },
    Shape {
        pattern: "^(?:(?<session>[a-z0-9]+)|tmp-.*)$",
        session: |name| {
            (!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())).then_some(name)
        },
    },
];

pub const KEEPS: [Keeps; 4] = [
    Keeps { globs: &[], keeps: |_| false },
    Keeps { globs: &["shared-*"], keeps: |name| name.starts_with("shared-") },
    Keeps { globs: &["nothing", "*0", "ws-a*"], keeps: |name| name.ends_with('0') || name.starts_with("ws-a") },
    Keeps { globs: &["*"], keeps: |_| true },
];

/// The defaults of the resource, with limits out of the way and the widest pattern.
const PLAIN: Spec = Spec {
    shape: 0,
    keep: 0,
    min_age_s: 86_400,
    per_sweep: 10,
    period_s: 86_400,
    directories: 100,
    kilobytes: 1_000,
    max_orphans: 50,
    max_percent: 100,
    max_drop: 30,
    minimum_live: 1,
    staleness_s: 3_600,
    retention_s: 604_800,
    suspend: false,
    enforce: true,
    keep_files: true,
    any_activity: true,
    window: None,
};

/// A spec and the policy that is made of it.
pub struct Case {
    pub spec: Spec,
    pub policy: Policy,
}

/// The specs that worlds choose from: first [`PLAIN`] with each other shape, then mixtures.
pub static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let shapes = (0..SHAPES.len()).map(|shape| Spec { shape, ..PLAIN });
    let all = shapes.chain((0..195).map(mixture));
    all.map(|spec| Case { spec, policy: spec.policy() }).collect()
});

/// A mixture that is about half plain; `n` decides it.
fn mixture(n: u64) -> Spec {
    let mut dice = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut roll = move |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from((dice >> 33) % sides).unwrap()
    };
    Spec {
        shape: roll(5),
        keep: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3][roll(15)],
        min_age_s: [86_400, 86_400, 3_600, 1, 0, 90_000 * 3_600][roll(6)],
        per_sweep: [10, 10, 1, 2, 3, 1000][roll(6)],
        period_s: [86_400, 86_400, 3_600, 1][roll(4)],
        directories: [100, 100, 1, 2, 3, 5][roll(6)],
        kilobytes: [1_000, 1_000, 1_000, 1_000, 1, 2, 5][roll(7)],
        max_orphans: [50, 50, 50, 50, 50, 50, 50, 0, 2, 6][roll(10)],
        max_percent: [100, 100, 30, 80, 0][roll(5)],
        max_drop: [30, 30, 100, 10, 0][roll(5)],
        minimum_live: [1, 1, 1, 1, 2, 4][roll(6)],
        staleness_s: [3_600, 3_600, 60][roll(3)],
        retention_s: [604_800, 604_800, 86_400, 0][roll(4)],
        suspend: roll(31) == 0,
        enforce: roll(4) != 0,
        keep_files: roll(4) != 0,
        any_activity: roll(4) != 0,
        window: [None, None, None, None, None, None, None, None, None, None, Some(0), Some(12)][roll(12)],
    }
}

impl Spec {
    /// The policy, by way of the resource.
    pub fn policy(&self) -> Policy {
        let mut schedule = json!({"every": "15m"});
        if let Some(hour) = self.window {
            schedule["windows"] = json!([{"start": format!("0 {hour} * * *"), "duration": "1h"}]);
        }
        let resource: WorkspaceHygiene = serde_json::from_value(json!({
            "apiVersion": "hygiene.dev/v1alpha1",
            "kind": "WorkspaceHygiene",
            "metadata": {"name": "collab", "namespace": "prod"},
            "spec": {
                "mode": if self.enforce { "Enforce" } else { "Report" },
                "suspend": self.suspend,
                "schedule": schedule,
                "volume": {"path": "/mnt/efs/workspaces"},
                "workspaces": {
                    "pattern": SHAPES[self.shape].pattern,
                    "minAge": duration(self.min_age_s),
                    "keep": KEEPS[self.keep].globs,
                    "keepFile": if self.keep_files { "Allow" } else { "Ignore" },
                    "activity": if self.any_activity { "Any" } else { "Modified" },
                },
                "sessions": {
                    "sqlite": {"path": "/mnt/db/sessions.db"},
                    "liveQuery": "select id from session",
                    "maxStaleness": duration(self.staleness_s),
                    "minimumLive": self.minimum_live,
                },
                "limits": {
                    "perSweep": self.per_sweep,
                    "budget": {
                        "period": duration(self.period_s),
                        "directories": self.directories,
                        "size": format!("{}k", self.kilobytes),
                    },
                    "breaker": {
                        "maxOrphans": self.max_orphans,
                        "maxOrphanPercent": self.max_percent,
                        "maxSessionDropPercent": self.max_drop,
                    },
                },
                "quarantine": {"retention": duration(self.retention_s)},
            },
        }))
        .unwrap();
        Policy::from_resource(
            &resource,
            PolicyOptions { allow_short_times: true, cluster: "local".into(), ..PolicyOptions::default() },
        )
        .unwrap()
    }
}

fn duration(seconds: u64) -> String {
    if seconds >= 3_600 { format!("{}h", seconds / 3_600) } else { format!("{seconds}s") }
}
