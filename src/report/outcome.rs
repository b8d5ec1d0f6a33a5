//! What came of a sweep in figures, for whoever counts, shows and tells it: small, and the same whether the sweep ran in this
//! process or in a Job that sent it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::{Orphan, cut, orphans, quarantined};
use crate::act::{Reclaimed, StepError};
use crate::api::{HoldKind, SweepResult};
use crate::plan::{self, HoldReason};
use crate::policy::Policy;
use crate::sweep::Swept;

/// Most orphans and entries of the quarantine that are shown.
const LINES: usize = 50;
/// Longest text of an error or of a cause, in bytes.
const LONGEST: usize = 512;

/// What came of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    /// Id of the sweep.
    pub sweep: String,
    /// How it ended.
    pub result: Option<SweepResult>,
    /// Workspaces below the root.
    pub workspaces: u64,
    /// Orphans among them.
    pub orphans: u64,
    /// Workspaces moved to quarantine.
    pub quarantined: u64,
    /// Workspaces put back.
    pub restored: u64,
    /// Workspaces condemned.
    pub condemned: u64,
    /// Workspaces whose tree is gone.
    pub purged: u64,
    /// What that freed.
    pub reclaimed: Reclaimed,
    /// How many steps failed, by step.
    pub errors: BTreeMap<String, u64>,
    /// The first of them: step and message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<(String, String)>,
    /// What held it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// What is shown beside the figures; of a sweep elsewhere nothing is.
    #[serde(skip)]
    pub samples: Option<Samples>,
}

/// What held a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whether it ends by itself.
    pub kind: HoldKind,
    /// The reason in one word.
    pub reason: String,
    /// What happened, without the commands that end it.
    pub cause: String,
}

/// Orphans and entries of the quarantine, the first of each.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Orphans that stay where they are.
    pub orphans: Vec<Orphan>,
    /// Name, when it entered, when it is due, bytes.
    pub quarantine: Vec<(String, jiff::Timestamp, jiff::Timestamp, u64)>,
}

impl PartialEq for Samples {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Outcome {
    /// What came of `swept`.
    pub fn of(policy: &Policy, swept: &Swept) -> Self {
        let (plan, acted) = (&swept.observed.plan, &swept.acted);
        let mut errors = BTreeMap::new();
        for error in &acted.errors {
            *errors.entry(error.step.to_owned()).or_default() += 1;
        }
        let told = |error: &StepError| (error.step.to_owned(), cut(&error.message, LONGEST));
        let quarantine = quarantined(policy, swept).into_iter().take(LINES).collect();
        Self {
            sweep: swept.id.to_string(),
            result: Some(super::status::result(swept)),
            workspaces: plan.workspaces,
            orphans: plan.orphans,
            quarantined: acted.quarantined.len() as u64,
            restored: acted.restored.len() as u64,
            condemned: acted.condemned.len() as u64,
            purged: acted.purged.len() as u64,
            reclaimed: acted.reclaimed,
            errors,
            first_error: acted.errors.first().map(told),
            held: plan.held.as_ref().map(|hold| Held {
                kind: match hold.reason.kind() {
                    plan::HoldKind::Gate => HoldKind::Gate,
                    plan::HoldKind::Breaker => HoldKind::Breaker,
                },
                reason: hold.reason.word().into(),
                cause: cut(&hold.cause, LONGEST),
            }),
            samples: Some(Samples { orphans: orphans(policy, swept).take(LINES).collect(), quarantine }),
        }
    }

    /// Whether it stopped before everything was done.
    pub fn stopped(&self) -> bool {
        self.result == Some(SweepResult::Stopped)
    }

    /// Whether a source was not there.
    pub fn source_unavailable(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.reason == HoldReason::SourceUnavailable.word())
    }

    /// Steps that failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}
