//! The journal as people and scripts read it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::documents::ResourceDocument;
use super::explanation;
use super::plan::View;
use super::table::{Tone, count, plain};
use crate::journal::{Event, Record};
use crate::policy::Policy;

/// What `journal` prints.
#[derive(Debug, Serialize)]
pub struct JournalDocument {
    /// `Journal`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// The records, oldest first, as they are in the journal.
    pub records: Vec<Record>,
}

impl JournalDocument {
    /// The document of those records that `wanted` asks for.
    pub fn new(policy: &Policy, records: Vec<Record>, wanted: impl Fn(&Record) -> bool) -> Self {
        let records = records.into_iter().filter(wanted).collect();
        Self { kind: "Journal", resource: (&policy.resource).into(), records }
    }

    /// The journal as text.
    pub fn text(&self, view: View<'_>) -> String {
        let title = format!("Journal of {}/{}", self.resource.namespace, self.resource.name);
        let title = view.style.paint(Tone::Strong, &plain(&title));
        if self.records.is_empty() {
            return format!("{title}\n\nno records\n");
        }
        let total = count(self.records.len() as u64, "record", "records");
        format!("{title}\n{}\n{total}\n", explanation::journal(view, &self.records))
    }
}

/// The numbers of those intents whose outcome a later record tells.
pub fn settled_intents(records: &[Record]) -> BTreeSet<u64> {
    let mut open: Vec<&Record> = Vec::new();
    let mut settled = BTreeSet::new();
    for record in records {
        match &record.event {
            Event::Intent(_) => open.push(record),
            Event::Done(step) | Event::Abandoned(step) => open.retain(|intent| {
                let meant = intent.event.step();
                let ends = meant.is_some_and(|meant| meant.entry == step.entry && meant.op == step.op);
                if ends {
                    settled.insert(intent.seq);
                }
                !ends
            }),
            _ => {}
        }
    }
    settled
}
