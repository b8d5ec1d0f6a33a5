//! What people say by annotations of the resource whose volume only its Jobs can reach: the sweeper follows it, and the controller
//! takes the annotation away once it hears in the report what came of it.

use std::sync::Arc;

use super::report::Heard;
use crate::controller::{Asked, answer_kind, plan_hash};
use crate::policy::{Mode, Policy};
use crate::records::AnswerKind;
use crate::sweep::{self, Context, Sources, SweepError};

/// Follows what is asked, and says what came of each. In mode Report nothing is written, so an answer waits for Enforce.
pub async fn answer(policy: &Arc<Policy>, sources: &Sources, context: &Context, asked: &[Asked]) -> Vec<Heard> {
    let mut heard = Vec::new();
    for one in asked {
        let Some(kind) = answer_kind(&one.what).filter(|_| policy.mode == Mode::Enforce) else { continue };
        if context.stop.requested() {
            break;
        }
        let by = one.by.as_deref().unwrap_or("an unknown manager");
        let who = format!("the annotation hygiene.dev/{}, set by {by}", one.what);
        let told = Heard { what: one.what.clone(), value: one.value.clone(), settled: true, ..Heard::default() };
        let dismissed = |other: &Asked| other.what == "dismiss-plan" && other.value == one.value;
        if kind == AnswerKind::Approve && asked.iter().any(dismissed) {
            heard.push(told.with_note("the same plan is dismissed by another annotation, which counts"));
            continue;
        }
        let Some(hash) = plan_hash(&one.value) else {
            let note = "its value is no plan's hash: it has 32 hexadecimal digits, as status.hold.planHash";
            heard.push(told.with_note(note));
            continue;
        };
        let context = Context { actor: format!("{who}, heard by {}", context.actor), ..context.clone() };
        let answered = sweep::answer(Arc::clone(policy), sources.clone(), context, kind, hash.clone()).await;
        heard.push(match answered {
            Ok(answered) => {
                let note = format!("plan {hash} with {} orphans, by {who}", answered.answer.orphans.len());
                tracing::info!(what = one.what, "{note}");
                Heard { followed: true, ..told }.with_note(&note)
            }
            Err(why) => {
                tracing::warn!(what = one.what, %why, "the annotation could not be followed");
                let settled = matches!(why, SweepError::NoSuchPlan { .. } | SweepError::NothingHeld);
                Heard { settled, ..told }.with_note(&why.to_string())
            }
        });
    }
    heard
}
