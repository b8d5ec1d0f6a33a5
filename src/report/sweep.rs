//! A sweep as people read it: what went where, until when, and how to get it back.

use std::fmt::Write as _;

use super::plan::{self, View};
use super::table::{Tone, count, plain, quoted};
use super::text::{length, size, until};
use crate::act::{Acted, StepError};
use crate::clock::after;
use crate::policy::{Mode, Policy};
use crate::sweep::Swept;

/// The report as text.
pub fn text(view: View<'_>, policy: &Policy, swept: &Swept) -> String {
    if policy.mode == Mode::Report {
        let line = "mode: Report changed nothing on the volume. This is what a sweep saw:";
        let line = view.style.paint(Tone::Strong, line);
        return format!("{line}\n\n{}", plan::text(view, policy, &swept.observed));
    }
    let observed = &swept.observed;
    let title = format!("Sweep {} of {}/{}", swept.id, policy.resource.namespace, policy.resource.name);
    let mut out = plan::heading(view, policy, observed, &title);
    out += &plan::held(view, observed);
    out += &plan::counts(view, observed);
    out += &not_moved(view, policy, swept);
    out += &quarantined(view, policy, swept);
    out += &moved(view, &swept.acted);
    out += &errors(view, &swept.acted.errors);
    out += &summary(swept);
    out
}

/// The verdicts, but for the workspaces that were moved: those have a table of their own.
fn not_moved(view: View<'_>, policy: &Policy, swept: &Swept) -> String {
    let everything_moved = swept.acted.quarantined.len() == swept.observed.plan.orphans as usize;
    if everything_moved && !view.all { String::new() } else { plan::verdicts(view, policy, &swept.observed) }
}

fn quarantined(view: View<'_>, policy: &Policy, swept: &Swept) -> String {
    let names = &swept.acted.quarantined;
    let Some(first) = names.first() else { return String::new() };
    let plan = &swept.observed.plan;
    let mut grid = view.style.grid(&["QUARANTINED", "SESSION", "SIZE", "ENTRIES"]);
    for name in names {
        let victim = plan.victims.iter().find(|victim| victim.name.as_str() == Some(name));
        grid.row([
            (Tone::Warn, name),
            (Tone::Plain, victim.map_or("-", |victim| victim.session.as_str())),
            (Tone::Plain, &victim.map_or_else(|| "-".into(), |victim| size(victim.bytes))),
            (Tone::Plain, &victim.map_or_else(|| "-".into(), |victim| victim.entries.to_string())),
        ]);
    }
    let end = after(plan.now, policy.retention);
    let mut out = format!("\n{}", grid.finish());
    let _ = writeln!(
        out,
        "They stay in quarantine for {}, until {} ({}). To put one back:\n  hygiene quarantine restore {} {}",
        length(policy.retention),
        end.strftime("%Y-%m-%d %H:%MZ"),
        until(end, plan.now),
        view.spec,
        quoted(&plain(first)),
    );
    out
}

/// What was put back, condemned and purged.
pub(super) fn moved(view: View<'_>, acted: &Acted) -> String {
    let mut grid = view.style.grid(&["DONE", "NAME"]);
    for name in &acted.restored {
        grid.row([(Tone::Good, "put back"), (Tone::Plain, name)]);
    }
    for name in acted.condemned.iter().filter(|name| !acted.purged.contains(name)) {
        grid.row([(Tone::Alarm, "condemned"), (Tone::Plain, name)]);
    }
    for name in &acted.purged {
        grid.row([(Tone::Alarm, "purged"), (Tone::Plain, name)]);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.finish()) }
}

/// What failed, and the way out.
pub(super) fn errors(view: View<'_>, errors: &[StepError]) -> String {
    let mut grid = view.style.grid(&["FAILED", "STEP", "BECAUSE"]);
    for error in errors {
        grid.row([(Tone::Alarm, &error.name), (Tone::Plain, error.step), (Tone::Plain, &error.message)]);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.finish()) }
}

/// What the purge freed, where it freed anything.
pub(super) fn reclaimed(acted: &Acted) -> String {
    let freed = acted.reclaimed;
    if freed.directories == 0 {
        return String::new();
    }
    let (trees, entries) = (count(freed.directories, "tree", "trees"), count(freed.entries, "entry", "entries"));
    format!("; {trees} with {entries} removed, {} freed", size(freed.bytes))
}

fn summary(swept: &Swept) -> String {
    let acted = &swept.acted;
    let done = [acted.quarantined.len(), acted.restored.len(), acted.condemned.len(), acted.purged.len()];
    let mut line = if acted.stopped {
        "stopped on request, before everything was done; the next sweep goes on".to_owned()
    } else if done.iter().sum::<usize>() == 0 && acted.errors.is_empty() && acted.paused.is_none() {
        match (&swept.observed.plan.held, swept.observed.plan.orphans) {
            (Some(_), _) => "nothing was changed: the sweep is held".to_owned(),
            (None, 0) => "nothing to do: no workspace is an orphan".to_owned(),
            (None, _) => "nothing to do now: the orphans stay for the reasons above".to_owned(),
        }
    } else {
        let [quarantined, restored, condemned, _] = done;
        format!("{quarantined} quarantined, {restored} put back, {condemned} condemned{}", reclaimed(acted))
    };
    if let Some(why) = &acted.paused {
        let _ = write!(line, "; paused before everything was done, and the next sweep goes on: {why}");
    }
    if acted.left_to_shards > 0 {
        let trees = count(acted.left_to_shards, "condemned tree is", "condemned trees are");
        let _ = write!(line, "; {trees} left to the shards of the purge");
    }
    if !acted.errors.is_empty() {
        let _ = write!(line, "; {} failed", count(acted.errors.len() as u64, "step", "steps"));
    }
    format!("\n{line}\n")
}
