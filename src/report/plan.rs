//! A plan as people read it: what was seen, what holds, what would go and why.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::documents::{Counts, HoldDocument, mode};
use super::figures;
use super::quarantine::{told_apart, with_ids};
use super::table::{Style, Tone, count, plain};
use super::text::{ago, size, until};
use crate::names::EntryName;
use crate::observe::{Reading, WalkOutcome};
use crate::plan::{Decision, KeepReason, RetainReason, Verdict};
use crate::policy::{Mode, Policy};
use crate::sweep::Observed;

/// Most verdicts that are listed one by one unless all are asked for: more than this nobody reads.
const LISTED: usize = 200;

/// How a report is drawn.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Colours and width.
    pub style: Style,
    /// Whether every entry is listed, the expected ones as well.
    pub all: bool,
    /// The options that name the spec, for commands that are shown: `-f spec.yaml`.
    pub spec: &'a str,
}

/// The plan as text.
pub fn text(view: View<'_>, policy: &Policy, observed: &Observed) -> String {
    let title = format!("Plan for {}/{}", policy.resource.namespace, policy.resource.name);
    let mut out = heading(view, policy, observed, &title);
    out += &held(view, observed);
    out += &counts(view, observed);
    out += &verdicts(view, policy, observed);
    out += &quarantine(view, policy, observed);
    out += &outlook(view, policy, observed);
    out
}

/// The title, the volume, the plan's hash and the sources.
pub(super) fn heading(view: View<'_>, policy: &Policy, observed: &Observed, title: &str) -> String {
    let Observed { snapshot, plan } = observed;
    let mut out = format!("{}\n\n", view.style.paint(Tone::Strong, &plain(title)));
    let mut line = |name: &str, tone: Tone, text: &str| {
        let _ = writeln!(out, "{name:<10}{}", view.style.paint(tone, &plain(text)));
    };
    line("root", Tone::Plain, &policy.root.to_string_lossy());
    line("mode", Tone::Plain, &format!("{}{}", mode(policy.mode), if policy.suspend { ", suspended" } else { "" }));
    line("plan", Tone::Plain, &format!("{} at {}", plan.hash, plan.now.strftime("%Y-%m-%d %H:%M:%SZ")));
    for source in figures::sources(snapshot) {
        let tone = match source.state {
            "Complete" => Tone::Plain,
            "Unavailable" => Tone::Alarm,
            _ => Tone::Dim,
        };
        let state = if source.state == "Unavailable" { "UNAVAILABLE: " } else { "" };
        line(source.name, tone, &format!("{state}{}", source.message));
    }
    out
}

/// Why nothing is quarantined or condemned, if so.
pub(super) fn held(view: View<'_>, observed: &Observed) -> String {
    observed.plan.held.as_ref().map(|hold| hold_line(view, &hold.into())).unwrap_or_default()
}

/// A hold, with its commands as they can be typed.
pub(super) fn hold_line(view: View<'_>, hold: &HoldDocument) -> String {
    let title = format!("HELD by the {} {}", hold.kind.to_lowercase(), hold.reason);
    let message = plain(&hold.message.replace("-f SPEC", view.spec));
    // Each command on a line of its own, to be copied.
    let message = message
        .replace(": hygiene ", ":\n  hygiene ")
        .replace(". To ", "\nTo ")
        .replace(". Look at the plan", ".\nLook at the plan");
    format!("\n{}: {message}\n", view.style.paint(Tone::Alarm, &title))
}

/// How many entries have each verdict and reason.
pub(super) fn counts(view: View<'_>, observed: &Observed) -> String {
    let plan = &observed.plan;
    if plan.verdicts.is_empty() {
        return String::new();
    }
    let mut grid = view.style.grid(&["VERDICT", "REASON", "ENTRIES"]);
    let counts = Counts::of(plan);
    for (tone, verdict, reasons) in
        [(Tone::Warn, "Quarantine", &counts.quarantine), (Tone::Plain, "Keep", &counts.keep)]
    {
        for (reason, n) in reasons {
            grid.row([(tone, verdict), (tone, reason), (Tone::Plain, &n.to_string())]);
        }
    }
    let totals = format!(
        "{}, {}",
        count(plan.workspaces, "workspace", "workspaces"),
        count(plan.orphans, "of them an orphan", "of them orphans")
    );
    format!("\n{}{}\n", grid.finish(), totals)
}

/// The entries worth a look, one by one: victims, orphans that stay, and what keeps its place for an unusual reason.
pub(super) fn verdicts(view: View<'_>, policy: &Policy, observed: &Observed) -> String {
    let Observed { snapshot, plan } = observed;
    let Some(volume) = snapshot.volume.complete() else { return String::new() };
    let mut rows: Vec<(usize, &EntryName, &Verdict)> = Vec::new();
    for (index, (entry, verdict)) in volume.entries.iter().zip(&plan.verdicts).enumerate() {
        if view.all || !is_expected(verdict) {
            rows.push((index, &entry.name, verdict));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    // Stable: within a group the entries stay in name order.
    rows.sort_by(|a, b| match rank(a.2).cmp(&rank(b.2)) {
        Ordering::Equal => a.2.reason().cmp(b.2.reason()),
        other => other,
    });
    let shown = if view.all { rows.len() } else { LISTED };
    let hidden = rows.len().saturating_sub(shown);
    let mut grid = view.style.grid(&["NAME", "VERDICT", "REASON", "ACTIVE", "SIZE", "BECAUSE"]);
    for (index, name, verdict) in rows.into_iter().take(shown) {
        let tone = match verdict {
            Verdict::Quarantine(_) => Tone::Warn,
            Verdict::Keep(_) => Tone::Plain,
        };
        let root = snapshot.roots.get(&index).and_then(Reading::complete);
        let (mut active, mut bytes) = (root.map(|root| root.newest(policy.activity)), None);
        match snapshot.inspections.get(&index).map(|inspection| &inspection.outcome) {
            Some(WalkOutcome::Idle { newest, bytes: found, .. }) => (active, bytes) = (Some(*newest), Some(*found)),
            Some(WalkOutcome::Young { at, .. } | WalkOutcome::Future { at, .. }) => active = Some(*at),
            _ => {}
        }
        grid.row([
            (tone, &name.to_string()),
            (tone, verdict.kind()),
            (tone, verdict.reason()),
            (Tone::Plain, &active.map_or_else(|| "-".into(), |at| ago(at, plan.now))),
            (Tone::Plain, &bytes.map_or_else(|| "-".into(), size)),
            (Tone::Plain, &verdict.message(policy, plan.now)),
        ]);
    }
    let mut out = format!("\n{}", grid.finish());
    if hidden > 0 {
        let _ = writeln!(out, "… and {hidden} more; --all lists every entry");
    }
    out
}

/// What is as it should be: counted, not listed.
fn is_expected(verdict: &Verdict) -> bool {
    use KeepReason as K;
    matches!(verdict, Verdict::Keep(K::LiveSession | K::Claimed | K::Reserved | K::SourceUnavailable))
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Quarantine(_) => 0,
        Verdict::Keep(reason) if reason.is_orphan() => 1,
        Verdict::Keep(_) if !is_expected(verdict) => 2,
        Verdict::Keep(_) => 3,
    }
}

/// What happens to the entries of the quarantine.
pub(super) fn quarantine(view: View<'_>, policy: &Policy, observed: &Observed) -> String {
    let Observed { snapshot, plan } = observed;
    let Some(volume) = snapshot.volume.complete() else { return String::new() };
    let mut out = String::new();
    if !plan.quarantine.is_empty() {
        let headers = ["IN QUARANTINE", "DECISION", "REASON", "GOES", "SIZE", "BECAUSE", "ENTRY"];
        let names = plan.quarantine.iter().map(|entry| entry.name.as_deref());
        let mut grid = view.style.grid(with_ids(&headers, view.all || !told_apart(names)));
        for entry in &plan.quarantine {
            let found = volume.quarantine.binary_search_by(|one| one.id.cmp(&entry.id)).ok();
            let sidecar = found.and_then(|index| volume.quarantine[index].sidecar.complete());
            let tone = match &entry.decision {
                Decision::Restore(_) => Tone::Good,
                Decision::Condemn => Tone::Alarm,
                Decision::Retain(RetainReason::Retention(_)) => Tone::Plain,
                Decision::Retain(_) => Tone::Warn,
            };
            let because = match &entry.decision {
                // The column before says it.
                Decision::Retain(RetainReason::Retention(_)) => String::new(),
                other => other.message(plan.now),
            };
            grid.row([
                (tone, entry.name.as_deref().unwrap_or("(unknown)")),
                (tone, entry.decision.kind()),
                (tone, entry.decision.reason()),
                (Tone::Plain, &sidecar.map_or_else(|| "-".into(), |s| until(s.due(policy.retention), plan.now))),
                (Tone::Plain, &sidecar.map_or_else(|| "-".into(), |s| size(s.evidence.bytes))),
                (Tone::Plain, &because),
                (Tone::Dim, entry.id.as_str()),
            ]);
        }
        out = format!("\n{}", grid.finish());
    }
    if !volume.purging.is_empty() {
        let trees = count(volume.purging.len() as u64, "condemned tree is", "condemned trees are");
        let _ = writeln!(out, "\n{trees} still being removed: the next sweep goes on with it");
    }
    out
}

/// What a sweep would do, or why there is nothing to do.
fn outlook(view: View<'_>, policy: &Policy, observed: &Observed) -> String {
    let Observed { snapshot, plan } = observed;
    let tally = |wanted: &str| plan.quarantine.iter().filter(|entry| entry.decision.kind() == wanted).count() as u64;
    let (victims, restores, condemned) = (plan.victims.len() as u64, tally("Restore"), tally("Condemn"));
    let line = match snapshot.volume.complete() {
        None => "nothing to do: the volume cannot be read".to_owned(),
        Some(_) if victims + restores + condemned > 0 => {
            let bytes = plan.victims.iter().map(|victim| victim.bytes).sum();
            let what = format!(
                "quarantine {} ({}), put back {restores} and condemn {condemned}",
                count(victims, "workspace", "workspaces"),
                size(bytes)
            );
            match policy.mode {
                Mode::Enforce => format!("a sweep would now {what}: hygiene sweep {}", view.spec),
                Mode::Report => format!("in mode: Enforce a sweep would now {what}"),
            }
        }
        Some(volume) if volume.entries.is_empty() => {
            format!("nothing to do: {} is empty. Is the volume mounted?", policy.root.display())
        }
        Some(_) if plan.held.is_some() => {
            "nothing would be quarantined or condemned while the sweep is held".to_owned()
        }
        Some(_) if plan.workspaces == 0 => format!(
            "nothing to do: no name below {} yields a session id. Is spec.workspaces.pattern right?",
            policy.root.display()
        ),
        Some(_) if plan.orphans == 0 => "nothing to do: no workspace is an orphan".to_owned(),
        Some(_) => "nothing to do now: the orphans stay for the reasons above".to_owned(),
    };
    format!("\n{}\n", plain(&line))
}
