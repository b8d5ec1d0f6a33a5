//! The spec files of a service: read again when they change. A version that is wrong is told, and the one before stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::orders::Orders;
use crate::policy::PolicyOptions;
use crate::spec::{LoadOptions, Loaded, Objects, load};

/// Says whether specs may be used, or why not.
type Accept = dyn Fn(&[Loaded]) -> Result<(), String> + Send + Sync;

/// What `-f` names, and how the files were when they were looked at last.
pub struct Specs {
    args: Vec<String>,
    options: Box<dyn Fn() -> PolicyOptions + Send + Sync>,
    /// What standard input held: it can be read only once.
    stdin: Vec<u8>,
    /// Whether what was loaded may be used at all, such as whether its secrets are given.
    accept: Box<Accept>,
    seen: Mutex<BTreeMap<PathBuf, Option<Vec<u8>>>>,
}

impl std::fmt::Debug for Specs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Specs").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Specs {
    /// The specs that `args` name, with what standard input held, `options` for each reading, and what is asked of them
    /// beyond being valid.
    pub fn new(
        args: Vec<String>,
        stdin: Vec<u8>,
        options: impl Fn() -> PolicyOptions + Send + Sync + 'static,
        accept: impl Fn(&[Loaded]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let specs = Self { args, options: Box::new(options), stdin, accept: Box::new(accept), seen: Mutex::default() };
        *specs.seen.lock().unwrap_or_else(PoisonError::into_inner) = specs.files();
        specs
    }

    fn files(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let files = self.args.iter().filter(|arg| *arg != "-" && !arg.starts_with("env:"));
        files.map(|arg| (PathBuf::from(arg), fs::read(arg).ok())).collect()
    }

    /// The resources, if a file changed since the last look; or why they cannot be taken over.
    pub(super) fn changed(&self) -> Option<Result<Vec<Loaded>, String>> {
        let now = self.files();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return None;
        }
        // From here on a sweep by the old spec stands again: it is known what became of the new one.
        let read = self.read();
        *seen = now;
        Some(read)
    }

    fn read(&self) -> Result<Vec<Loaded>, String> {
        let env = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
        let stdin = Box::new(Cursor::new(self.stdin.clone()));
        let (policy, objects) = ((self.options)(), Objects::new());
        let loaded = load(&self.args, LoadOptions { policy, stdin, env: Box::new(env), objects });
        let loaded = loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        if loaded.is_empty() {
            return Err("-f: holds no resource".into());
        }
        (self.accept)(&loaded).map(|()| loaded)
    }

    /// Whether the file is as it was at the last look.
    pub(super) fn stands(&self, file: &Path) -> Result<(), String> {
        let shown = file.display();
        let now = fs::read(file)
            .map_err(|error| format!("{shown} cannot be read: {error}; nothing more is done without a spec"))?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(file) {
            Some(Some(then)) if *then == now => Ok(()),
            _ => Err(format!("{shown} changed; the next sweep goes by what it says now")),
        }
    }
}

/// The orders of one resource of a service.
pub(super) struct Current {
    pub(super) specs: std::sync::Arc<Specs>,
    /// The file it came from, if it was one.
    pub(super) file: Option<PathBuf>,
}

impl Orders for Current {
    fn standing(&self) -> Result<(), String> {
        self.file.as_ref().map_or(Ok(()), |file| self.specs.stands(file))
    }
}
