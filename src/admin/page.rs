//! The page for people: HTML without a script. Everything that is not ours is escaped, in [`Shown`] and nowhere else.

use std::fmt::{self, Display, Write as _};
use std::sync::Arc;

use jiff::Timestamp;

use super::VERSION;
use super::board::{Board, OrphanLine, QuarantineLine, ResourceView, SweepLine};
use super::pulse::PulseState;
use crate::report::table::plain;
use crate::report::text::{ago, length, size, until};

/// Looks alike in light and dark, and down to 320 CSS pixels.
pub(super) const STYLE: &str = include_str!("style.css");
/// Nothing may be loaded but the style, and no script may run.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// After how many seconds the page is loaded anew. As a header, since a page cannot keep people from turning it off there.
pub(super) const REFRESH: &str = "30";

/// A text of somebody else, fit for HTML: one line, no control characters, nothing that is markup.
struct Shown<'a>(&'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in plain(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The whole page.
pub(super) fn html(board: &Board, pulse: PulseState, now: Timestamp) -> String {
    let views = board.views();
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Workspace Hygiene</title>\n\
         <link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n<header>\n<h1>Workspace Hygiene</h1>\n",
    );
    let word = match (pulse.stalled, board.is_ready()) {
        (true, _) => "<strong class=\"bad\">the event loop is stalled</strong>",
        (false, false) => "<strong class=\"warn\">starting: not everything was looked at yet</strong>",
        (false, true) => "<strong class=\"good\">running</strong>",
    };
    push(&mut out, format_args!("<p>{word} · version {VERSION} · as of {}</p>\n</header>\n<main>\n", stamp(now)));
    if let Some(fault) = board.fault_now() {
        let fault = Shown(&fault);
        push(
            &mut out,
            format_args!("<p class=\"box bad\"><strong>A newer spec is not in force:</strong> {fault}</p>\n"),
        );
    }
    if views.is_empty() {
        out += "<p>No resource has been looked at yet.</p>\n";
    }
    for (number, view) in views.iter().enumerate() {
        resource(&mut out, number, view, now);
    }
    out += "</main>\n<footer><p>This page only shows, and loads itself anew every 30 seconds. The same as data: \
            <a href=\"status\">status</a>, <a href=\"metrics\">metrics</a>, <a href=\"healthz\">health</a>, \
            <a href=\"readyz\">readiness</a>.</p></footer>\n</body>\n</html>\n";
    out
}

fn resource(out: &mut String, number: usize, view: &Arc<ResourceView>, now: Timestamp) {
    push(
        out,
        format_args!(
            "<section aria-labelledby=\"r{number}\">\n<h2 id=\"r{number}\">{}/{}</h2>\n<p>mode {} · {} · {}{}</p>\n",
            Shown(&view.namespace),
            Shown(&view.name),
            Shown(&view.mode),
            Code(&view.root),
            Shown(&view.schedule),
            view.status.next_sweep_time.as_ref().map_or_else(String::new, |next| {
                format!(" · next sweep {}", relative(next.0, until(next.0, now)))
            }),
        ),
    );
    hold(out, view, now);
    conditions(out, view, now);
    figures(out, view, now);
    sweeps(out, &view.sweeps, now);
    orphans(out, &view.orphans, now);
    quarantine(out, &view.quarantine, now);
    out.push_str("</section>\n");
}

fn hold(out: &mut String, view: &ResourceView, now: Timestamp) {
    if let Some(hold) = &view.status.hold {
        let since = hold.since.as_ref().map_or_else(String::new, |at| format!(", {}", relative(at.0, ago(at.0, now))));
        let (reason, message) = (Shown(&hold.reason), Shown(&hold.message));
        push(
            out,
            format_args!(
                "<div class=\"box warn\">\n<h3>Held by a {:?}: {reason}{since}</h3>\n<p>{message}</p>\n",
                hold.kind
            ),
        );
    } else if view.commands.is_empty() {
        return;
    } else {
        out.push_str("<div class=\"box\">\n");
    }
    if !view.commands.is_empty() {
        out.push_str("<p>What unblocks it:</p>\n<ul class=\"commands\">\n");
        for command in &view.commands {
            push(out, format_args!("<li>{}</li>\n", Code(command)));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</div>\n");
}

fn conditions(out: &mut String, view: &ResourceView, now: Timestamp) {
    let rows = view.status.conditions.iter().map(|condition| {
        let at = condition.last_transition_time.0;
        let since = relative(at, ago(at, now));
        [
            Shown(&condition.type_).to_string(),
            Shown(&condition.status).to_string(),
            Shown(&condition.reason).to_string(),
            Shown(&condition.message).to_string(),
            since,
        ]
    });
    table(out, "Conditions", ["Condition", "Status", "Reason", "Message", "Since"], rows);
}

fn figures(out: &mut String, view: &ResourceView, now: Timestamp) {
    let status = &view.status;
    let mut rows = Vec::new();
    if let Some(live) = status.sessions.as_ref().and_then(|sessions| sessions.live) {
        rows.push(("Live sessions", live.to_string()));
    }
    let a_month =
        |cost: &Option<String>| cost.as_deref().map_or_else(String::new, |cost| format!(", {} a month", Shown(cost)));
    if let Some(volume) = status.volume.as_ref().filter(|volume| volume.size.is_some()) {
        let size = volume.size.as_deref().unwrap_or_default();
        rows.push(("Volume", format!("{}{}", Shown(size), a_month(&volume.monthly_cost))));
    }
    if let Some(backlog) = &status.backlog {
        let drained = backlog
            .estimated_drain_time
            .as_ref()
            .map_or_else(String::new, |at| format!(", drained {}", relative(at.0, until(at.0, now))));
        let cost = a_month(&backlog.monthly_cost);
        rows.push(("Backlog", format!("{}{cost}{drained}", backlog.directories)));
    }
    if let Some(quarantine) = &status.quarantine {
        let of = quarantine.size.as_deref().map_or_else(String::new, |size| format!(", {}", Shown(size)));
        rows.push(("In quarantine", format!("{}{of}", quarantine.directories)));
    }
    if let Some(budget) = &status.budget {
        let left = budget.size_left.as_deref().map_or_else(String::new, |size| format!(", {}", Shown(size)));
        rows.push(("Budget left", format!("{}{left}", budget.directories_left)));
    }
    if let Some(reclaimed) = &status.reclaimed {
        let freed = reclaimed.size.as_deref().map_or_else(String::new, |size| format!(", {}", Shown(size)));
        let cost = a_month(&reclaimed.monthly_cost);
        rows.push(("Given back", format!("{}{freed}{cost}", reclaimed.directories)));
    }
    if !rows.is_empty() {
        out.push_str("<dl>\n");
        for (name, value) in rows {
            push(out, format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
        }
        out.push_str("</dl>\n");
    }
}

fn sweeps(out: &mut String, sweeps: &[SweepLine], now: Timestamp) {
    let rows = sweeps.iter().map(|sweep| {
        let took = std::time::Duration::try_from(sweep.end.duration_since(sweep.start)).unwrap_or_default();
        let took = std::time::Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let held = sweep.held.as_deref().map_or_else(String::new, |why| format!(": {}", Shown(why)));
        [
            relative(sweep.start, ago(sweep.start, now)),
            length(took),
            format!("{}{held}", Shown(&sweep.result)),
            sweep.orphans.to_string(),
            sweep.quarantined.to_string(),
            sweep.restored.to_string(),
            sweep.purged.to_string(),
            sweep.errors.to_string(),
            Code(&sweep.id).to_string(),
        ]
    });
    let heads = ["Began", "Took", "Result", "Orphans", "Quarantined", "Put back", "Purged", "Errors", "Sweep"];
    table(out, "Last sweeps", heads, rows);
}

fn orphans(out: &mut String, orphans: &[OrphanLine], now: Timestamp) {
    let rows = orphans.iter().map(|orphan| {
        [
            Code(&orphan.name).to_string(),
            orphan.last_activity.map_or_else(|| "unknown".into(), |at| relative(at, ago(at, now))),
            orphan.bytes.map_or_else(|| "unknown".into(), size),
            Shown(&orphan.reason).to_string(),
        ]
    });
    table(out, "Orphans", ["Name", "Last activity", "Size", "Reason"], rows);
}

fn quarantine(out: &mut String, entries: &[QuarantineLine], now: Timestamp) {
    let rows = entries.iter().map(|entry| {
        [
            Code(&entry.name).to_string(),
            relative(entry.quarantined, ago(entry.quarantined, now)),
            relative(entry.due, until(entry.due, now)),
            size(entry.bytes),
        ]
    });
    table(out, "Quarantine", ["Name", "Entered", "Purged at the earliest", "Size"], rows);
}

/// A table, or nothing where there are no rows. The first cell is the row's head; the columns' names stand in each cell, too,
/// where the screen is too narrow for columns.
fn table<const N: usize>(out: &mut String, title: &str, heads: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    push(out, format_args!("<table>\n<caption>{title}</caption>\n<thead><tr>"));
    for head in heads {
        push(out, format_args!("<th scope=\"col\">{head}</th>"));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (at, (head, cell)) in heads.iter().zip(row).enumerate() {
            match at {
                0 => push(out, format_args!("<th scope=\"row\">{cell}</th>")),
                _ => push(out, format_args!("<td data-head=\"{head}\">{cell}</td>")),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
}

/// A name or a command, which never changes the direction of what stands around it.
struct Code<'a>(&'a str);

impl Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<code><bdi>{}</bdi></code>", Shown(self.0))
    }
}

fn relative(at: Timestamp, words: String) -> String {
    format!("<time datetime=\"{at}\" title=\"{at}\">{words}</time>")
}

fn stamp(at: Timestamp) -> String {
    format!("<time datetime=\"{at}\">{}</time>", at.strftime("%Y-%m-%d %H:%M:%SZ"))
}

fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = out.write_fmt(text);
}
