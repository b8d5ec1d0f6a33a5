//! An explanation as people read it.

use std::fmt::Write as _;

use super::{ExplanationDocument, InspectionDocument, RootDocument};
use crate::journal::{Event, Record};
use crate::report::plan::{View, hold_line};
use crate::report::table::{Tone, count, plain};
use crate::report::text::{ago, size, until};

impl ExplanationDocument {
    /// The explanation as text.
    pub fn text(&self, view: View<'_>) -> String {
        let title = format!("{} in {}/{}", self.name, self.resource.namespace, self.resource.name);
        let mut out = format!("{}\n\n", view.style.paint(Tone::Strong, &plain(&title)));
        let mut line = |name: &str, text: &str| {
            let _ = writeln!(out, "{name:<12}{}", plain(text));
        };
        line("session", self.session.as_ref().map_or("none: the name is foreign", |id| id.as_str()));
        match &self.verdict {
            None => line("verdict", "none: there is no such entry below the root"),
            Some(verdict) => {
                line("verdict", &format!("{} ({}): {}", verdict.verdict, verdict.reason, verdict.message));
                line("decided by", verdict.decided_by.unwrap_or("no guard keeps it"));
            }
        }
        if let Some(root) = &self.root {
            line("root", &self.root_line(root));
        }
        if let Some(inspection) = &self.inspection {
            line("whole tree", &self.tree_line(inspection));
        }
        line("plan", &format!("{} at {}", self.plan_hash, self.generated_at));
        if let Some(hold) = &self.held {
            out += &hold_line(view, hold);
        }
        out += &self.guards(view);
        out += &self.in_quarantine(view);
        out += &journal(view, &self.journal);
        out
    }

    fn root_line(&self, root: &RootDocument) -> String {
        if let Some(why) = &root.unreadable {
            return format!("cannot be read: {why}");
        }
        let mut text = format!("inode {}", root.inode.unwrap_or_default());
        for (what, at) in
            [("active", root.active), ("mtime", root.modified), ("ctime", root.changed), ("born", root.born)]
        {
            if let Some(at) = at {
                let _ = write!(text, ", {what} {}", ago(at, self.generated_at));
            }
        }
        if root.mount_point == Some(true) {
            text += ", something is mounted on it";
        }
        match root.keep_file.as_deref() {
            None | Some("Absent") => {}
            Some("Pins") => text += ", its .hygiene-keep pins it",
            Some(end) => {
                let _ = write!(text, ", its .hygiene-keep pins until {end}");
            }
        }
        text
    }

    fn tree_line(&self, tree: &InspectionDocument) -> String {
        let mut text = tree.outcome.to_owned();
        if let (Some(entries), Some(bytes)) = (tree.entries, tree.bytes) {
            let _ = write!(text, ": {}, {}", count(entries, "entry", "entries"), size(bytes));
        }
        if let Some(at) = tree.active {
            let _ = write!(text, ", last active {} ({at})", ago(at, self.generated_at));
        }
        for detail in [&tree.path, &tree.why].into_iter().flatten() {
            let _ = write!(text, ", {detail}");
        }
        text
    }

    fn guards(&self, view: View<'_>) -> String {
        let mut grid = view.style.grid(&["", "GUARD", "ANSWER", "BECAUSE"]);
        for guard in &self.guards {
            let tone = match guard.answer {
                "Keeps" => Tone::Good,
                "NotAsked" => Tone::Dim,
                _ => Tone::Plain,
            };
            let answer = match guard.answer {
                "Keeps" => "KEEPS",
                "NotAsked" => "not asked",
                _ => "passes",
            };
            grid.row([
                (Tone::Strong, if guard.decided { "=>" } else { "" }),
                (tone, guard.guard),
                (tone, answer),
                (Tone::Plain, guard.message.as_deref().unwrap_or("")),
            ]);
        }
        if grid.is_empty() { String::new() } else { format!("\n{}", grid.finish()) }
    }

    fn in_quarantine(&self, view: View<'_>) -> String {
        let mut out = String::new();
        let now = self.generated_at;
        for entry in &self.quarantine {
            let _ = writeln!(
                out,
                "\n{}",
                view.style.paint(Tone::Strong, &plain(&format!("in quarantine as {}", entry.id)))
            );
            let mut line = |name: &str, text: &str| {
                let _ = writeln!(out, "  {name:<12}{}", plain(text));
            };
            line("decision", &format!("{} ({}): {}", entry.decision, entry.reason, entry.message));
            if let (Some(since), Some(due)) = (entry.quarantined, entry.due) {
                line("since", &format!("{since} ({}), goes {} ({due})", ago(since, now), until(due, now)));
            }
            if let Some(evidence) = &entry.evidence {
                line(
                    "evidence",
                    &format!(
                        "sweep {}, plan {}, {} live sessions at {}, idle since {}, {}, {}",
                        evidence.sweep,
                        evidence.plan,
                        evidence.live,
                        evidence.sessions_read,
                        evidence.newest,
                        count(evidence.entries, "entry", "entries"),
                        size(evidence.bytes)
                    ),
                );
            }
        }
        out
    }
}

/// Records of the journal as a table, with all ids if all is asked for; nothing where there are none.
pub fn journal(view: View<'_>, records: &[Record]) -> String {
    let headers = ["TIME", "STEP", "OUTCOME", "NAME", "SIZE", "BECAUSE", "ENTRY", "SWEEP"];
    // Two ids of 36 characters leave a terminal no room for the reason.
    let mut grid = view.style.grid(if view.all { &headers } else { &headers[..6] });
    for record in records {
        let step = record.event.step();
        let (tone, outcome) = match &record.event {
            Event::Intent(_) => (Tone::Dim, "meant"),
            Event::Done(_) => (Tone::Plain, "done"),
            Event::Abandoned(_) => (Tone::Warn, "not done"),
            Event::Purged(_) => (Tone::Alarm, "gone"),
            Event::Held(_) => (Tone::Alarm, "held"),
            Event::Approved(_) => (Tone::Good, "approved"),
            Event::Dismissed(_) => (Tone::Good, "dismissed"),
            Event::Bound(_) => (Tone::Good, "bound"),
        };
        let plan = record.event.remark().and_then(|remark| remark.plan.as_ref());
        let bytes = step.map_or(0, |step| step.bytes);
        let what = match (step, plan) {
            (Some(step), _) => format!("{:?}", step.op),
            (None, Some(_)) => "Plan".into(),
            (None, None) => "Volume".into(),
        };
        grid.row([
            (Tone::Plain, &record.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
            (tone, &what),
            (tone, outcome),
            (Tone::Plain, step.map(|step| step.name.as_str()).or(plan.map(|plan| plan.as_str())).unwrap_or("-")),
            (Tone::Plain, &if bytes > 0 { size(bytes) } else { "-".into() }),
            (Tone::Plain, record.event.why()),
            (Tone::Dim, step.map_or("-", |step| step.entry.as_str())),
            (Tone::Dim, record.sweep.as_str()),
        ]);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.finish()) }
}
