//! What the operator lets resources reach: roots below which a namespace's volumes are, and what else a shared controller asks
//! on a resource's behalf.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::jobs::MOUNT;
use crate::policy::{Policy, StorePolicy};

/// A folder below which resources of some namespaces may have their volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRoot {
    /// What it is called in messages: where it is mounted is no matter of a resource's.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The namespaces.
    pub namespaces: Vec<String>,
}

const ROOT_FORM: &str = "write NAME=PATH:NAMESPACE[,NAMESPACE…]";

impl std::str::FromStr for VolumeRoot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("has no equals sign; {ROOT_FORM}"))?;
        let (path, namespaces) =
            rest.rsplit_once(':').ok_or_else(|| format!("names no namespace, and is for none without; {ROOT_FORM}"))?;
        let namespaces = namespaces_of(namespaces).map_err(|why| format!("{why}; {ROOT_FORM}"))?;
        if name.is_empty() {
            return Err(format!("has no name; {ROOT_FORM}"));
        }
        let path = PathBuf::from(path);
        let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        if !path.is_absolute() || !plain || path == Path::new("/") {
            return Err("its path must be absolute, without . and .., and not / itself".into());
        }
        Ok(Self { name: name.into(), path, namespaces })
    }
}

/// What a shared controller may ask on behalf of resources of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    kind: Kind,
    value: String,
    namespaces: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The host of a health endpoint.
    Http,
    /// A cluster of ECS.
    Ecs,
    /// A file system of EFS.
    Efs,
}

const EVIDENCE_FORM: &str = "write http=HOST:NAMESPACE[,NAMESPACE…], ecs=CLUSTER:… or efs=ID:…";

impl std::str::FromStr for Evidence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once('=').ok_or_else(|| format!("has no equals sign; {EVIDENCE_FORM}"))?;
        let kind = match kind {
            "http" => Kind::Http,
            "ecs" => Kind::Ecs,
            "efs" => Kind::Efs,
            _ => return Err(format!("is of no kind that is known; {EVIDENCE_FORM}")),
        };
        let (value, namespaces) = rest
            .rsplit_once(':')
            .ok_or_else(|| format!("names no namespace, and is for none without; {EVIDENCE_FORM}"))?;
        let namespaces = namespaces_of(namespaces).map_err(|why| format!("{why}; {EVIDENCE_FORM}"))?;
        if value.is_empty() {
            return Err(format!("allows nothing; {EVIDENCE_FORM}"));
        }
        Ok(Self { kind, value: value.into(), namespaces })
    }
}

fn namespaces_of(text: &str) -> Result<Vec<String>, String> {
    let namespaces: Vec<_> = text.split(',').map(str::to_owned).collect();
    let is_name = |name: &String| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !name.is_empty() && name.len() <= 63 && name.bytes().all(plain)
    };
    match namespaces.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("{name:?} is no namespace")),
        None => Ok(namespaces),
    }
}

/// Everything that the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// The roots.
    pub roots: Vec<VolumeRoot>,
    /// What else is asked.
    pub evidence: Vec<Evidence>,
}

/// Why a resource may not reach what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The condition's reason.
    pub reason: &'static str,
    /// What, and the way out.
    pub message: String,
}

impl Allowed {
    /// Binds the policy to the root that it lies below.
    ///
    /// # Errors
    /// What the resource names and may not reach.
    pub fn bind(&self, policy: &mut Policy) -> Result<(), Refusal> {
        let namespace = &policy.resource.namespace;
        if policy.claim.is_some() {
            return in_jobs(policy);
        }
        let root = self.root_of(namespace, &policy.root).ok_or_else(|| Refusal {
            reason: "VolumeNotAllowed",
            message: format!(
                "spec.volume.path: {} is not below a root that is for namespace {namespace}; name another path, or let the \
                 operator start with --volume-root NAME=PATH:{namespace}",
                policy.root.display()
            ),
        })?;
        let beneath = root.path.clone();
        if let StorePolicy::Sqlite { path, beneath } = &mut Arc::make_mut(&mut policy.sessions).store {
            let Some(root) = self.root_of(namespace, path) else {
                return Err(sessions_refused(format!(
                    "{} is not below a root that is for namespace {namespace}; in a controller that several share, a file must be \
                     below one of --volume-root",
                    path.display()
                )));
            };
            *beneath = Some(root.path.clone());
        }
        self.may_ask(policy)?;
        policy.beneath = Some(beneath);
        Ok(())
    }

    fn root_of(&self, namespace: &str, path: &Path) -> Option<&VolumeRoot> {
        let fits =
            |root: &&VolumeRoot| root.namespaces.iter().any(|one| one == namespace) && path.starts_with(&root.path);
        self.roots.iter().filter(fits).max_by_key(|root| root.path.components().count())
    }

    /// Looks at the files that the resource names, so that what is wrong with them is told at once: the store itself follows no
    /// symlink at any opening. Asks the file system, which may keep whoever asks waiting.
    ///
    /// # Errors
    /// A symlink could lead to somebody else's file.
    pub fn look_at_files(&self, policy: &Policy) -> Result<(), Refusal> {
        let StorePolicy::Sqlite { path, .. } = &policy.sessions.store else { return Ok(()) };
        if policy.claim.is_some() {
            return Ok(());
        }
        let Some(root) = self.root_of(&policy.resource.namespace, path) else { return Ok(()) };
        let (real, base) = (std::fs::canonicalize(path), std::fs::canonicalize(&root.path));
        match (real, base, path.strip_prefix(&root.path)) {
            (Ok(real), Ok(base), Ok(below)) if real != base.join(below) => {
                let shown = path.display();
                Err(sessions_refused(format!(
                    "{shown} leads over a symlink, which could lead to another namespace's; name the file itself"
                )))
            }
            // One that is not there is unavailable at each sweep, and nothing is deleted by it.
            _ => Ok(()),
        }
    }

    fn may_ask(&self, policy: &Policy) -> Result<(), Refusal> {
        let namespace = &policy.resource.namespace;
        let containers = policy.containers.as_ref();
        let http = containers.and_then(|one| one.http.as_ref()).map(|http| http.url.host.clone());
        let ecs = containers.and_then(|one| one.ecs.as_ref()).map(|ecs| ecs.cluster.clone());
        let efs = policy.efs.as_ref().map(|efs| efs.id.clone());
        let asked = [
            (Kind::Http, "http", "spec.containers.http.url", http),
            (Kind::Ecs, "ecs", "spec.containers.ecs.cluster", ecs),
            (Kind::Efs, "efs", "spec.volume.efs.fileSystemID", efs),
        ];
        for (kind, word, field, value) in asked {
            let Some(value) = value else { continue };
            let allows = |one: &Evidence| one.kind == kind && one.value == value && one.namespaces.contains(namespace);
            if !self.evidence.iter().any(allows) {
                let message = format!(
                    "{field}: {value} is not allowed for namespace {namespace}; remove it, or let the operator start with \
                     --allow-evidence {word}={value}:{namespace}"
                );
                return Err(Refusal { reason: "EvidenceNotAllowed", message });
            }
        }
        Ok(())
    }
}

/// What a Job asks is asked in its own namespace and by its own identity, so the operator has nothing to allow; its files are
/// those of the claim.
fn in_jobs(policy: &Policy) -> Result<(), Refusal> {
    match &policy.sessions.store {
        StorePolicy::Sqlite { path, .. } if !path.starts_with(MOUNT) => Err(sessions_refused(format!(
            "{} is not on the claim, which a Job has at {MOUNT}; name a file below it",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn sessions_refused(what: String) -> Refusal {
    Refusal { reason: "SessionsNotAllowed", message: format!("spec.sessions.sqlite.path: {what}") }
}

/// Whether one of the two lies in the other.
pub(super) fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_names_path_and_namespaces_or_is_refused() {
        let root: VolumeRoot = "efs=/mnt/a:b:team-a,team-b".parse().unwrap();
        assert_eq!((root.path.as_path(), root.namespaces.len()), (Path::new("/mnt/a:b"), 2));
        for text in [
            "efs",
            "efs=/mnt",
            "efs=/mnt:",
            "efs=mnt:a",
            "efs=/:a",
            "=/mnt:a",
            "efs=/mnt/../etc:a",
            "efs=/mnt:A",
            "efs=/mnt:a,,b",
        ] {
            assert!(text.parse::<VolumeRoot>().is_err(), "{text}");
        }
        let evidence: Evidence = "http=collab.team-a.svc:team-a".parse().unwrap();
        assert_eq!((evidence.kind, evidence.value.as_str()), (Kind::Http, "collab.team-a.svc"));
        for text in ["http", "ftp=a:b", "http=a", "http=:a", "efs=fs-1:"] {
            assert!(text.parse::<Evidence>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_namespace_reaches_only_roots_that_name_it() {
        let roots = ["a=/mnt/a:team-a", "b=/mnt/b:team-b,team-c"].map(|root| root.parse().unwrap());
        let allowed = Allowed { roots: roots.into(), evidence: Vec::new() };
        let reaches = |namespace: &str, path: &str| allowed.root_of(namespace, Path::new(path)).is_some();
        assert!(reaches("team-a", "/mnt/a/x") && reaches("team-c", "/mnt/b") && reaches("team-b", "/mnt/b/x/y"));
        assert!(!reaches("team-a", "/mnt/b/x") && !reaches("team-b", "/mnt/bx") && !reaches("team-d", "/mnt/a/x"));
        assert!(overlap(Path::new("/a/b"), Path::new("/a")) && !overlap(Path::new("/a/b"), Path::new("/a/bc")));
    }
}
