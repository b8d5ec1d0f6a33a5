//! What stands in a Job's way, in words that a person can act on: from the states of the Job and its pods, and from the events
//! about them. What Kubernetes says is quoted; it knows of no values of Secrets.

mod job;
mod mounts;
mod pod;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use crate::api::JobStatus;
use crate::report::status::cut;
pub(crate) use job::of_job;
pub(crate) use pod::of_pod;

/// Longest message, in bytes.
const LONGEST: usize = JobStatus::LONGEST_MESSAGE;

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One word for it, `Sweeper…`, as conditions and events have it.
    pub(crate) reason: &'static str,
    /// What it is, of what, and the way out; at most 512 bytes on one line.
    pub(crate) message: String,
}

impl Trouble {
    /// `what`, then what Kubernetes says to it, then the way out. Where there is no room for all of it the quotation is cut.
    fn new(reason: &'static str, what: &str, quoted: &str, way_out: &str) -> Self {
        let quoted = one_line(quoted);
        let room = LONGEST.saturating_sub(what.len() + ": ".len() + "; ".len() + way_out.len());
        let quoted = if quoted.is_empty() { quoted } else { format!(": {}", cut(&quoted, room)) };
        let message = one_line(&format!("{what}{quoted}; {way_out}"));
        Self { reason, message: cut(&message, LONGEST) }
    }
}

/// The text on one line, without the dot at its end.
fn one_line(text: &str) -> String {
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

/// What stands in the quotes that follow `before` first.
fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("{before}\""))?;
    rest.split_once('"').map(|(quoted, _)| quoted)
}

/// The message of an event.
fn message(event: &Event) -> &str {
    event.message.as_deref().unwrap_or_default()
}

/// Of the events about the object with this uid the newest with one of these reasons. Another object had the same name before.
fn newest<'a>(events: impl IntoIterator<Item = &'a Event>, uid: Option<&str>, reasons: &[&str]) -> Option<&'a Event> {
    let of_it = |event: &&Event| event.involved_object.uid.is_none() || event.involved_object.uid.as_deref() == uid;
    let wanted = |event: &&Event| has_reason(event, reasons);
    // Most times are whole seconds, in which something can have been well first and then not.
    events.into_iter().filter(of_it).filter(wanted).max_by_key(|event| (last(event), is_warning(event)))
}

fn has_reason(event: &Event, reasons: &[&str]) -> bool {
    event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
}

fn is_warning(event: &Event) -> bool {
    event.type_.as_deref() == Some("Warning")
}

/// When an event happened last; each of its authors writes another of these.
fn last(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let times = [
        series.map(|time| time.0),
        event.last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
        event.first_timestamp.as_ref().map(|time| time.0),
        event.metadata.creation_timestamp.as_ref().map(|time| time.0),
    ];
    times.into_iter().flatten().max()
}
