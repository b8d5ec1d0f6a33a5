//! The resource `WorkspaceHygiene`: its spec, its status and the CustomResourceDefinition made of them.
//!
//! These types say what may be written, not what it means: texts stay texts until [`crate::policy`] parses them, so
//! that one odd resource never breaks the reading of a whole list. Nothing here does I/O.
#![deny(missing_docs)]

mod crd;
pub mod forms;
pub mod spec;
pub mod status;
pub mod text;

#[cfg(test)]
mod tests;

pub use crd::{crd, crd_yaml, open_api_schema};
pub use spec::*;
pub use status::*;
pub use text::{DurationString, PriceString, SizeString, TextError, human_size};

/// The API group of the resource.
pub const GROUP: &str = "hygiene.dev";
/// The version of the resource.
pub const VERSION: &str = "v1alpha1";
/// The kind of the resource.
pub const KIND: &str = "WorkspaceHygiene";
/// `apiVersion` of the resource: group and version.
pub const API_VERSION: &str = "hygiene.dev/v1alpha1";
/// The label of what is made for resources whose volumes Jobs sweep, their pods among it.
pub const SWEEPER_LABEL: (&str, &str) = ("app.kubernetes.io/name", "workspace-hygiene-sweeper");
/// The container of ours in these pods.
pub const SWEEPER_CONTAINER: &str = "sweeper";
/// The namespace of a resource that names none.
pub const DEFAULT_NAMESPACE: &str = "default";
