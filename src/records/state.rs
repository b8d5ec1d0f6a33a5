//! The folder outside the volume for what must be remembered in mode Report.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::fsio::Dir;
use crate::names::hex;
use crate::policy::Policy;

/// Where the state of all resources is; `None` where nobody says so.
#[derive(Clone, Debug, Default)]
pub struct StateDir(Option<PathBuf>);

impl StateDir {
    /// The state directory at `path`, which is made when something is first written.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    /// The folder of one resource and volume, if it is there. Changes nothing.
    ///
    /// # Errors
    /// When it cannot be read, or others may write to it: what it says lets workspaces go.
    pub fn open(&self, policy: &Policy) -> Result<Option<Dir>, String> {
        let Some(path) = self.folder(policy) else { return Ok(None) };
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{}: {e}", path.display())),
            Ok(_) => {}
        }
        let dir = Dir::open_root(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let facts = dir.own_facts().map_err(|e| format!("{}: {e}", path.display()))?;
        let us = rustix::process::geteuid().as_raw();
        if facts.uid != us || facts.mode & 0o022 != 0 {
            return Err(format!(
                "{} belongs to user {} with mode {:04o}; what lets workspaces go must belong to user {us} and be writable \
                 by nobody else: name another --state-dir",
                path.display(),
                facts.uid,
                facts.mode
            ));
        }
        Ok(Some(dir))
    }

    /// The folder of one resource and volume, made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made or used, or nobody says where it should be.
    pub fn ensure(&self, policy: &Policy) -> Result<Dir, String> {
        let path = self.folder(policy).ok_or("there is no state directory; name one with --state-dir")?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|e| format!("{}: {e}; name another with --state-dir", path.display()))?;
        self.open(policy)?.ok_or_else(|| format!("{} vanished", path.display()))
    }

    /// Named after resource and root, and told apart by a hash of both.
    fn folder(&self, policy: &Policy) -> Option<PathBuf> {
        let mut sha = Sha256::new();
        for part in [policy.owner().as_bytes(), policy.root.as_os_str().as_encoded_bytes()] {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        let tag = hex(&sha.finalize()[..4]);
        let name = format!("{}-{}-{tag}", policy.resource.namespace, policy.resource.name);
        Some(self.0.as_ref()?.join(OsStr::new(&name)))
    }
}
