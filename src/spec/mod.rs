//! Reads resources from files, standard input, the environment and what a cluster holds, and tells all that is wrong with them at once.
//!
//! What is accepted here is what the API server accepts, and no more: the same schema, the same defaults, the same CEL
//! rules. Beyond that an unknown field is a fault, because a misspelt guard would be a missing guard.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use serde_json::Value;

use crate::api::WorkspaceHygiene;
use crate::policy::{Policy, PolicyOptions};

mod cel;
mod defaults;
mod document;
mod fault;
mod field;
mod identity;
mod object;
mod repair;
mod schema;
mod source;
mod words;
mod yaml;

pub use fault::Fault;
pub use object::{ObjectVersion, judge};
pub use source::{SpecFile, object_name};

/// A resource that was read, with its policy.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The resource with all defaults filled in. What only a cluster knows of it (`status`, `metadata.generation`, …)
    /// was dropped.
    pub resource: WorkspaceHygiene,
    /// The spec, parsed and validated.
    pub policy: Policy,
    /// Where it was read: the file, and which document of it where it has several.
    pub origin: String,
    /// The file it was read from, if it was one.
    pub file: Option<SpecFile>,
    /// The version of the object that it was, if it was one.
    pub object: Option<ObjectVersion>,
}

/// What an API server has of the `-f` values that name objects, or why that is not known.
pub type Objects = BTreeMap<String, Result<Value, String>>;

/// Finds the value of an environment variable, if it is set and text.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What loading depends on besides the `-f` values.
pub struct LoadOptions<'a> {
    /// What the conversion to a policy depends on.
    pub policy: PolicyOptions,
    /// What `-f -` reads.
    pub stdin: Box<dyn Read + 'a>,
    /// What `-f env:VAR` reads.
    pub env: Box<Environment<'a>>,
    /// The values that name objects (see [`object_name`]), with what they name. All others are files.
    pub objects: Objects,
}

impl LoadOptions<'static> {
    /// Standard input and environment of this process. For the place where arguments are parsed.
    pub fn of_process(policy: PolicyOptions) -> Self {
        let env = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
        Self { policy, stdin: Box::new(io::stdin()), env: Box::new(env), objects: Objects::new() }
    }
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Reads the resources that `-f` names: a file, `-` for standard input, or `env:VAR`, each with one document or several, or
/// lists of `kind: List`; or an object of a cluster.
///
/// # Errors
///
/// All faults of all sources, in the order of the sources and of their lines.
pub fn load(args: &[String], options: LoadOptions<'_>) -> Result<Vec<Loaded>, Vec<Fault>> {
    let LoadOptions { policy, mut stdin, env, objects } = options;
    let mut loaded = Vec::new();
    let mut seen = identity::Seen::default();
    let mut faults = Vec::new();
    if args.is_empty() {
        faults.push(Fault::whole("-f", "names no spec; give a file, - for standard input, env:VAR, or NAMESPACE/NAME"));
    }
    for source in source::read_all(args, &mut stdin, &env, objects, &mut faults) {
        let mut found = Vec::new();
        for item in document::items(&source, &mut found) {
            let checked = document::check(&item, &policy, &mut found);
            if let Some(resource) = &checked.resource {
                seen.check(&item, resource, &mut found);
            }
            if let (Some(resource), Some(policy)) = (checked.resource, checked.policy) {
                let (file, object) = (source.file.clone(), source.version());
                let mut one = Loaded { resource, policy, origin: item.origin, file, object: None };
                object.iter().for_each(|version| version.write(&mut one));
                loaded.push(Loaded { object, ..one });
            }
        }
        // A document's faults come from several passes; a reader goes through the file from top to bottom.
        found.sort_by_key(|fault| fault.line);
        faults.append(&mut found);
    }
    if faults.is_empty() { Ok(loaded) } else { Err(faults) }
}
