//! A plan as people read it in a snapshot.

use std::fmt::{self, Display, Write};

use workspace_hygiene::plan::{Plan, check, plan};
use workspace_hygiene::report::text::size;

use super::{Scene, now};

impl Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.snapshot();
        let plan = plan(&self.policy, &seen, now());
        assert_eq!(check(&self.policy, &seen, &plan), vec![]);
        writeln!(f, "{} workspaces, {} orphans", plan.workspaces, plan.orphans)?;
        match &plan.held {
            None => writeln!(f, "nothing holds")?,
            Some(hold) => writeln!(f, "held: {} {}: {}", hold.reason.kind().word(), hold.reason.word(), hold.message)?,
        }
        let names: Vec<_> = self.places.keys().map(ToString::to_string).collect();
        self.verdicts(f, &plan, &names)?;
        for victim in &plan.victims {
            writeln!(f, "victim: {} ({})", victim.name, size(victim.bytes))?;
        }
        for entry in &plan.quarantine {
            let (name, decision) = (entry.name.as_deref().unwrap_or("?"), &entry.decision);
            let (kind, reason) = (decision.kind(), decision.reason());
            writeln!(f, "quarantine: {} {name}: {kind} {reason}: {}", entry.id, decision.message(now()))?;
        }
        let wanted = &plan.wanted;
        if !wanted.inspections.is_empty() {
            let asked: Vec<_> = wanted.inspections.iter().map(|index| names[*index].as_str()).collect();
            writeln!(f, "wanted: inspect {} until {} are confirmed", shortened(&asked), wanted.confirmed)?;
        }
        for id in &wanted.second_walks {
            writeln!(f, "wanted: walk {id} again")?;
        }
        Ok(())
    }
}

impl Scene {
    /// One line for all entries that are told the same.
    fn verdicts(&self, f: &mut fmt::Formatter<'_>, plan: &Plan, names: &[String]) -> fmt::Result {
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for (verdict, name) in plan.verdicts.iter().zip(names) {
            let mut line = String::new();
            write!(line, "{} {}: {}", verdict.kind(), verdict.reason(), verdict.message(&self.policy, now()))?;
            match lines.iter_mut().find(|(other, _)| *other == line) {
                Some((_, names)) => names.push(name),
                None => lines.push((line, vec![name])),
            }
        }
        lines.iter().try_for_each(|(line, names)| writeln!(f, "{}\n  {line}", shortened(names)))
    }
}

fn shortened(names: &[&str]) -> String {
    match names {
        [first, .., last] if names.len() > 4 => format!("{first} … {last} ({})", names.len()),
        _ => names.join(", "),
    }
}
