//! Which sessions the tasks of a family or a service claim, by a tag of each.

use aws_sdk_ecs::types::Task;

use super::calls::short;
use crate::names::SessionId;
use crate::observe::IdSet;

/// The last status of a task that is no more.
pub(super) const STOPPED: &str = "STOPPED";

/// The ids that the tasks claim. One that is asked to stop and has not stopped yet still writes, so it still claims.
///
/// # Errors
/// When a task does not say which session is its own: it could be any.
pub(super) fn ids(tasks: &[Task], tag: &str) -> Result<IdSet, String> {
    let mut ids = IdSet::default();
    for task in tasks.iter().filter(|task| task.last_status() != Some(STOPPED)) {
        let name = short(task.task_arn().unwrap_or_default());
        let value = task.tags().iter().find(|one| one.key() == Some(tag)).and_then(|one| one.value());
        let Some(value) = value else {
            return Err(format!(
                "task {name} has no tag {tag}, so which session is its own is not known: give it the tag when it is run \
                 (RunTask, tags), or stop it"
            ));
        };
        let id = SessionId::new(value);
        if !id.is_usable() {
            return Err(format!(
                "the tag {tag} of task {name} cannot be the name of a directory: write the session id into it"
            ));
        }
        ids.insert(&id);
    }
    Ok(ids.finish())
}
