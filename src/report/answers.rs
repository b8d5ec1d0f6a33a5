//! What came of an approval, a dismissal or an adoption, and a plan that is held.

use jiff::Timestamp;
use serde::Serialize;

use super::documents::ResourceDocument;
use super::plan::View;
use super::table::{Tone, count, plain};
use super::text::ago;
use crate::names::PlanHash;
use crate::policy::Policy;
use crate::records::{AnswerKind, Difference, HeldPlan, Identity, OrphanKey};
use crate::sweep::{Adoption, Answered};

/// What `approve` and `dismiss` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerDocument {
    /// `Approval` or `Dismissal`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// The plan.
    pub plan_hash: PlanHash,
    /// Who said it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How many orphans the plan has.
    pub orphans: u64,
    /// Whether the answer is on the volume; else it is in the state directory, from where the first sweep in mode Enforce
    /// takes it.
    pub on_volume: bool,
}

/// What `adopt` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionDocument {
    /// `Adoption`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// What the volume was bound to; null where it was to nothing.
    pub before: Option<Identity>,
    /// What it is bound to from here on.
    pub after: Identity,
    /// In what the two differ.
    pub differences: Vec<Difference>,
    /// What is wrong with our records, where something is.
    pub damage: Option<String>,
    /// Whether it was done.
    pub done: bool,
}

/// What `plan --held` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldDocument {
    /// `HeldPlan`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// The plan; null where none is held.
    pub plan_hash: Option<PlanHash>,
    /// Why, in one word.
    pub reason: Option<String>,
    /// Why, as a sentence.
    pub message: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// All its orphans, in name order.
    pub orphans: Vec<OrphanKey>,
}

impl AnswerDocument {
    /// The document of an answer.
    pub fn new(policy: &Policy, answered: Answered) -> Self {
        let Answered { answer, on_volume } = answered;
        let kind = match answer.kind {
            AnswerKind::Approve => "Approval",
            AnswerKind::Dismiss => "Dismissal",
        };
        let orphans = answer.orphans.len() as u64;
        let (resource, at) = ((&policy.resource).into(), answer.at);
        Self { kind, resource, plan_hash: answer.hash, by: answer.by, at, orphans, on_volume }
    }

    /// The answer as text.
    pub fn text(&self, view: View<'_>, policy: &Policy) -> String {
        let orphans = count(self.orphans, "orphan", "orphans");
        let first = match self.kind {
            "Approval" => format!(
                "approved: plan {} with {orphans}. Each is asked about anew; {} at most go in one sweep: hygiene sweep {}",
                self.plan_hash, policy.limits.per_sweep, view.spec
            ),
            _ => format!("dismissed: plan {} with {orphans}; the next sweep looks afresh", self.plan_hash),
        };
        let mut text = plain(&first) + "\n";
        if !self.on_volume {
            text += "it is remembered outside the volume, and counts from the first sweep in mode: Enforce on\n";
        }
        text
    }
}

impl AdoptionDocument {
    /// The document of an adoption.
    pub fn new(policy: &Policy, adoption: Adoption) -> Self {
        let Adoption { before, after, differences, damage, done } = adoption;
        Self { kind: "Adoption", resource: (&policy.resource).into(), before, after, differences, damage, done }
    }

    /// The adoption as text.
    pub fn text(&self, view: View<'_>) -> String {
        let title = format!("Volume of {}/{}", self.resource.namespace, self.resource.name);
        let mut out = format!("{}\n", view.style.paint(Tone::Strong, &plain(&title)));
        let mut grid = view.style.grid(&["WHAT", "BOUND TO", "NOW"]);
        match &self.before {
            None => {
                for (what, now) in [("owner", &self.after.owner), ("database", &self.after.database)] {
                    grid.row([(Tone::Plain, what), (Tone::Dim, "nothing"), (Tone::Warn, now)]);
                }
            }
            Some(_) => {
                for Difference { what, bound, now } in &self.differences {
                    grid.row([(Tone::Plain, what), (Tone::Plain, bound), (Tone::Warn, now)]);
                }
            }
        }
        if !grid.is_empty() {
            out += &format!("\n{}", grid.finish());
        }
        if self.before.is_some() && self.differences.is_empty() {
            out += "\nit is bound to what is found now\n";
        }
        if let Some(damage) = &self.damage {
            out += &format!("\n{}\n", plain(damage));
        }
        if self.done {
            out += "\nbound; the next plan waits for approval\n";
        }
        out
    }
}

impl HeldDocument {
    /// The document of the plan that is held, if one is.
    pub fn new(policy: &Policy, held: Option<HeldPlan>) -> Self {
        let resource = (&policy.resource).into();
        let kind = "HeldPlan";
        match held {
            None => {
                Self { kind, resource, plan_hash: None, reason: None, message: None, since: None, orphans: Vec::new() }
            }
            Some(held) => Self {
                kind,
                resource,
                plan_hash: Some(held.hash),
                reason: Some(held.reason),
                message: Some(held.message),
                since: Some(held.since),
                orphans: held.orphans,
            },
        }
    }

    /// The held plan as text.
    pub fn text(&self, view: View<'_>, now: Timestamp) -> String {
        let title = format!("Held plan of {}/{}", self.resource.namespace, self.resource.name);
        let mut out = format!("{}\n\n", view.style.paint(Tone::Strong, &plain(&title)));
        let (Some(hash), Some(since)) = (&self.plan_hash, self.since) else {
            return out + "no plan is held\n";
        };
        let mut line = |name: &str, text: &str| out += &format!("{name:<10}{}\n", plain(text));
        line("plan", &format!("{hash}, since {} ({})", since.strftime("%Y-%m-%d %H:%M:%SZ"), ago(since, now)));
        line("reason", self.reason.as_deref().unwrap_or("-"));
        line("because", self.message.as_deref().unwrap_or("-"));
        let mut grid = view.style.grid(&["ORPHAN", "ROOT LAST CHANGED", "INODE"]);
        for orphan in &self.orphans {
            let (changed, inode) = (ago(orphan.changed, now), orphan.inode.to_string());
            grid.row([(Tone::Warn, orphan.name.as_str()), (Tone::Plain, &changed), (Tone::Dim, &inode)]);
        }
        if !grid.is_empty() {
            out += &format!("\n{}", grid.finish());
        }
        let orphans = count(self.orphans.len() as u64, "orphan", "orphans");
        out + &format!(
            "\n{orphans}. To let them go: hygiene approve {} {hash}\nTo drop the plan and look afresh: hygiene dismiss {} {hash}\n",
            view.spec, view.spec
        )
    }
}
