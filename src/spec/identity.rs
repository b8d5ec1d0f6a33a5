//! What must be told apart across all sources: names and volumes.

use std::path::{Path, PathBuf};

use super::Fault;
use super::document::Item;
use super::fault::shown_text;
use crate::api::{self, WorkspaceHygiene};

/// The resources seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<Known>);

#[derive(Debug)]
struct Known {
    namespace: String,
    name: String,
    volume: Option<PathBuf>,
    place: String,
}

impl Seen {
    /// Adds `resource`, with a fault where its name or its volume is another one's already.
    pub(super) fn check(&mut self, item: &Item, resource: &WorkspaceHygiene, faults: &mut Vec<Fault>) {
        let metadata = &resource.metadata;
        let known = Known {
            namespace: metadata.namespace.clone().unwrap_or_else(|| api::DEFAULT_NAMESPACE.to_owned()),
            name: metadata.name.clone().unwrap_or_default(),
            volume: resource.spec.volume.path.as_ref().map(PathBuf::from),
            place: item.place(),
        };
        let same_name = |other: &&Known| other.namespace == known.namespace && other.name == known.name;
        if let Some(other) = self.0.iter().find(same_name).filter(|_| !known.name.is_empty()) {
            let message = format!("is also defined at {}, in namespace {}", other.place, other.namespace);
            faults.push(item.fault("metadata.name", shown_text("metadata.name", &known.name), message));
        }
        if let Some(volume) = &known.volume {
            let overlapping = |other: &&Known| other.volume.as_ref().is_some_and(|other| overlap(other, volume));
            if let Some(other) = self.0.iter().find(overlapping) {
                let message = format!(
                    "overlaps with the volume of {}/{} at {}; give each resource a volume of its own",
                    other.namespace, other.name, other.place
                );
                let field = "spec.volume.path";
                faults.push(item.fault(field, shown_text(field, &volume.to_string_lossy()), message));
            }
        }
        self.0.push(known);
    }
}

fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
