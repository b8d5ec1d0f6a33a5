//! Which stops of a task were planned.

use std::time::Duration;

use aws_sdk_ecs::types::Task;
use jiff::Timestamp;

use super::calls::short;
use crate::clock::before;
use crate::observe::aws::word;
use crate::report::text::length;

/// After an unplanned stop nothing is deleted for so long (DESIGN, promise 13). ECS shows a stopped task for an hour.
const WINDOW: Duration = Duration::from_secs(30 * 60);

/// Why a task that was stopped, or is being stopped, closes the gate; `None` where its stop was planned or is long ago.
pub(super) fn unplanned(task: &Task, now: Timestamp) -> Option<String> {
    let why = cause(task)?;
    let at = [task.stopping_at(), task.execution_stopped_at(), task.stopped_at()];
    // The last of them: a task that took long to stop was not well for long. A time that cannot be read is no old one.
    let at =
        at.into_iter().flatten().map(|at| Timestamp::from_nanosecond(at.as_nanos())).collect::<Result<Vec<_>, _>>();
    let at = at.ok().and_then(|at| at.into_iter().max());
    if at.is_some_and(|at| at < before(now, WINDOW)) {
        return None;
    }
    let ago = at.and_then(|at| Duration::try_from(now.duration_since(at)).ok());
    let ago = ago.map_or_else(String::new, |ago| format!(" {} ago", length(Duration::from_secs(ago.as_secs()))));
    let name = short(task.task_arn().unwrap_or_default());
    Some(format!("task {name} {why}{ago}: nothing is deleted for {} after an unplanned stop", length(WINDOW)))
}

/// What stopped the task; `None` where somebody meant it to. What is not known to be meant was not.
fn cause(task: &Task) -> Option<String> {
    let (code, reason) = (task.stop_code().map(|code| code.as_str()), task.stopped_reason().unwrap_or_default());
    // What the reason says is never repeated: a part of it is what people and programs wrote.
    let said = reason.to_ascii_lowercase();
    if said.contains("elb") && said.contains("health check") {
        return Some("was stopped by the health checks of its load balancer".into());
    }
    if said.contains("health check") {
        return Some("was stopped by its health check".into());
    }
    match code {
        // A person, or a program by StopTask.
        Some("UserInitiated") => None,
        // The words of ECS where a service is scaled in, or a deployment takes the place of another.
        Some("ServiceSchedulerInitiated") if said.starts_with("scaling activity initiated by") => None,
        Some(code) => Some(format!("stopped by itself ({})", word(code))),
        None => Some("stopped, and ECS does not say why,".into()),
    }
}
