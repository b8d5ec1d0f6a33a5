//! What people say by annotations of the resource whose volume only its Jobs can reach: the sweeper follows it, and the controller
//! takes the annotation away once it hears in the report what came of it.

use std::sync::Arc;

use super::report::Heard;
use crate::controller::{Asked, answer_kind, follow_answer, is_withdrawn};
use crate::policy::{Mode, Policy};
use crate::sweep::{Context, Sources};

/// Follows what is asked, and says what came of each. In mode Report nothing is written, so an answer waits for Enforce.
pub async fn answer(policy: &Arc<Policy>, sources: &Sources, context: &Context, asked: &[Asked]) -> Vec<Heard> {
    let mut heard = Vec::new();
    for one in asked {
        let Some(kind) = answer_kind(&one.what).filter(|_| policy.mode == Mode::Enforce && !context.stop.requested())
        else {
            continue;
        };
        heard.push(follow_answer(policy, sources, context, (one, kind, is_withdrawn(one, asked))).await);
    }
    heard
}
