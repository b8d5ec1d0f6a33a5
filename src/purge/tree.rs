//! One directory after the other: what is removed in which order, and what is made of each error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::now;
use super::shared::{Halted, InCall, Shared};
use crate::fsio::{Dir, FsError, Kind};

/// How often a directory is read again that still holds something after everything in it was removed: somebody adds to it,
/// or the listing left something out.
const PASSES: u32 = 4;
/// Entries of a wide directory that one worker takes at once.
const BATCH: u64 = 256;
/// A directory with so many entries that are removed faster than in [`FAST`] is wide: others may help with it.
///
/// Two workers are nearly twice as fast there on a local file system, where the kernel does half of the work after it gave
/// the directory free. On a network each waits for the whole call of the other, and would only seem slow.
const WIDE: u64 = 1024;
const FAST: Duration = Duration::from_millis(50);
/// Pieces of one directory that are given away at once: a third worker would only wait for the other two.
const HELPERS: u32 = 1;
/// What a directory is called that was moved up to the top of its tree, before its number.
const MOVED_UP: &str = "hygiene-deep-";

/// A directory that is being removed, and the way up from it.
pub(super) struct Node {
    dir: Dir,
    /// Its parent and its name there; none for the folder that holds the tree.
    pub(super) place: Option<(Arc<Node>, Box<OsStr>)>,
    /// What still has to come back before it can go: its own reading, and each directory in it.
    pending: AtomicU64,
    passes: AtomicU32,
    /// Pieces of it that others help with.
    helped: AtomicU32,
    /// Whether something in it could not be removed.
    stuck: AtomicBool,
    _held: Option<Held>,
}

/// Counts one handle for as long as it lives.
struct Held(Arc<AtomicU64>);

/// A piece of work.
pub(super) enum Task {
    /// Opens an entry that is taken for a directory, and removes what is in it.
    Enter { parent: Arc<Node>, name: Box<OsStr> },
    /// Removes what is meant of the folder that holds it.
    Top(Arc<Node>),
    /// Reads a directory again that was not empty.
    Again(Arc<Node>),
    /// Removes files of a wide directory, whose names are given, each with a NUL after it.
    Files { node: Arc<Node>, names: Vec<u8> },
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Drop for Node {
    /// One after the other, since a chain of thousands that lets go of each other would need as much stack.
    fn drop(&mut self) {
        let mut above = self.place.take();
        while let Some(mut node) = above.and_then(|(parent, _)| Arc::into_inner(parent)) {
            above = node.place.take();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// The folder that holds the tree, which is not removed.
    pub(super) fn top(dir: Dir) -> Self {
        // It waits for itself too, so that it is never taken for one that can go.
        Self {
            dir,
            place: None,
            pending: 2.into(),
            passes: 0.into(),
            helped: 0.into(),
            stuck: false.into(),
            _held: None,
        }
    }

    /// Of the folder that holds the tree: whether the tree came back, whole or not.
    pub(super) fn is_over(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 1
    }

    fn below(dir: Dir, place: (Arc<Node>, Box<OsStr>), handles: &Arc<AtomicU64>) -> Self {
        handles.fetch_add(1, Ordering::Relaxed);
        let held = Some(Held(Arc::clone(handles)));
        Self {
            dir,
            place: Some(place),
            pending: 1.into(),
            passes: 0.into(),
            helped: 0.into(),
            stuck: false.into(),
            _held: held,
        }
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    fn stick(&self) {
        self.stuck.store(true, Ordering::Release);
    }
}

/// Where a worker is: the directory, and what tells the thread that waits which call it is in.
type At<'a> = (&'a Arc<Node>, &'a InCall);

impl Shared {
    /// Does one piece of work.
    ///
    /// # Errors
    /// When it was halted; what was not done is still there for the next purge.
    pub(super) fn run(&self, task: Task, in_call: &InCall) -> Result<(), Halted> {
        match task {
            Task::Enter { parent, name } => self.enter(parent, &name, in_call),
            Task::Top(node) => self.empty(node, in_call),
            Task::Again(node) => {
                self.unread.fetch_add(1, Ordering::Relaxed);
                self.empty(node, in_call)
            }
            Task::Files { node, names } => {
                self.unlink_all((&node, in_call), &names)?;
                node.helped.fetch_sub(1, Ordering::Relaxed);
                self.came_back(node, in_call)
            }
        }
    }

    fn unlink_all(&self, at: At<'_>, names: &[u8]) -> Result<(), Halted> {
        let mut names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names.try_for_each(|name| self.unlink(at, OsStr::from_bytes(name)))
    }

    /// Removes files of a wide directory, or lets somebody else do it who has nothing to do.
    fn share(&self, (node, in_call): At<'_>, names: &mut Vec<u8>) -> Result<(), Halted> {
        if node.helped.load(Ordering::Relaxed) < HELPERS && self.has_hands() {
            node.helped.fetch_add(1, Ordering::Relaxed);
            node.pending.fetch_add(1, Ordering::AcqRel);
            self.push(Task::Files { node: Arc::clone(node), names: std::mem::take(names) });
            return Ok(());
        }
        self.unlink_all((node, in_call), names)?;
        names.clear();
        Ok(())
    }

    fn enter(&self, parent: Arc<Node>, name: &OsStr, in_call: &InCall) -> Result<(), Halted> {
        if self.handles.load(Ordering::Relaxed) >= self.most_handles && self.move_up(&parent, name, in_call)? {
            // It stays one that was not read.
            return self.came_back(parent, in_call);
        }
        let open = || parent.dir.open_dir_below(name);
        let mut opened = self.look(("openat2", &parent, in_call), open)?;
        if matches!(&opened, Err(e) if e.errno == Errno::STALE) {
            opened = self.look(("openat2", &parent, in_call), open)?;
        }
        if matches!(&opened, Err(e) if e.errno == Errno::ACCESS) {
            // Its owner may still give himself the right to read it.
            let made = self.look(("fchmod", &parent, in_call), || parent.dir.make_writable_below(name))?;
            if made.is_ok() {
                opened = self.look(("openat2", &parent, in_call), open)?;
            }
        }
        if opened.is_err() {
            // There is nothing to be read.
            self.unread.fetch_sub(1, Ordering::Release);
        }
        match opened {
            Ok(dir) => {
                let node = Arc::new(Node::below(dir, (parent, name.into()), &self.handles));
                self.empty(node, in_call)
            }
            // Somebody was faster.
            Err(e) if e.errno == Errno::NOENT => self.came_back(parent, in_call),
            // It is no directory, or no longer: a symlink is removed, not followed.
            Err(e) if matches!(e.errno, Errno::NOTDIR | Errno::LOOP) => {
                self.unlink((&parent, in_call), name)?;
                self.came_back(parent, in_call)
            }
            Err(error) => {
                parent.stick();
                self.cannot(&parent, Some(name), error);
                self.came_back(parent, in_call)
            }
        }
    }

    /// Removes what is in a directory, and the directory with it where nothing else has to come back first.
    fn empty(&self, node: Arc<Node>, in_call: &InCall) -> Result<(), Halted> {
        node.passes.fetch_add(1, Ordering::Relaxed);
        let begun = now();
        let (mut halted, mut seen) = (false, 0_u64);
        // Names that are kept for somebody who may help, once it is known that it is worth it.
        let (mut names, mut is_wide) = (Vec::new(), false);
        // The last directory seen, where nothing came after it: this worker enters it itself once it is through.
        let mut own: Option<Box<OsStr>> = None;
        let not_meant = |name: &OsStr| node.place.is_none() && self.meant.as_ref().is_some_and(|meant| !meant(name));
        let mut each = |name: &OsStr, kind: Option<Kind>| {
            if not_meant(name) {
                return true;
            }
            if let Some(before) = own.take() {
                self.below(&node, &before);
            }
            seen += 1;
            if seen % BATCH == 0 {
                self.found.fetch_add(BATCH, Ordering::Relaxed);
                is_wide = is_wide || (seen >= WIDE && begun.elapsed() < FAST);
            }
            let removed = match kind {
                // A file system that does not say what an entry is finds out when it is opened as a directory.
                Some(Kind::Directory) | None => {
                    own = Some(name.into());
                    Ok(())
                }
                Some(Kind::Symlink | Kind::Other) if is_wide => {
                    names.extend_from_slice(name.as_bytes());
                    names.push(0);
                    if seen % BATCH == 0 { self.share((&node, in_call), &mut names) } else { Ok(()) }
                }
                Some(Kind::Symlink | Kind::Other) => self.unlink((&node, in_call), name),
            };
            halted = removed.is_err();
            !halted
        };
        // Where nothing is in it, two calls: one that says so, and none that removes.
        self.look(("getdents64", &node, in_call), || ())?;
        let read = node.dir.for_each_here(&mut each);
        if halted {
            return Err(Halted);
        }
        self.unlink_all((&node, in_call), &names)?;
        self.found.fetch_add(seen % BATCH, Ordering::Relaxed);
        if let Some(name) = own {
            node.pending.fetch_add(1, Ordering::AcqRel);
            self.unread.fetch_add(1, Ordering::Relaxed);
            self.push_own(Task::Enter { parent: Arc::clone(&node), name });
        }
        self.unread.fetch_sub(1, Ordering::Release);
        if let Err(error) = read
            && error.errno != Errno::NOENT
        {
            node.stick();
            self.cannot(&node, None, error);
        }
        self.came_back(node, in_call)
    }

    fn below(&self, node: &Arc<Node>, name: &OsStr) {
        self.unread.fetch_add(1, Ordering::Relaxed);
        node.pending.fetch_add(1, Ordering::AcqRel);
        self.push(Task::Enter { parent: Arc::clone(node), name: name.into() });
    }

    fn unlink(&self, (node, in_call): At<'_>, name: &OsStr) -> Result<(), Halted> {
        let at = ("unlinkat", node, in_call);
        let bytes = if self.measure {
            let facts = self.look(("statx", node, in_call), || node.dir.facts(name))?;
            // The space of a file that has other names goes with the last of them.
            facts.ok().filter(|facts| facts.links == 1).map_or(0, |facts| facts.bytes)
        } else {
            0
        };
        let done = self.with_rights((node, in_call), || self.change(at, || node.dir.unlink(name)))?;
        match done {
            Ok(()) => {
                self.entries.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(e) if e.errno == Errno::NOENT => {}
            // A directory was put in its place.
            Err(e) if e.errno == Errno::ISDIR => self.below(node, name),
            Err(error) => {
                node.stick();
                self.cannot(node, Some(name), error);
            }
        }
        Ok(())
    }

    /// One of those a directory waited for came back. The last removes it, and so comes back to its parent.
    ///
    /// Nobody may hold a directory any more whose parent is removed: the kernel goes through all that are held below one
    /// that it removes, so that a chain of thousands would take a time that grows with its square.
    fn came_back(&self, mut node: Arc<Node>, in_call: &InCall) -> Result<(), Halted> {
        loop {
            if node.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
                return Ok(());
            }
            let Some((parent, name)) = &node.place else { return Ok(()) };
            if node.is_stuck() {
                parent.stick();
            } else {
                let at = ("rmdir", parent, in_call);
                let remove = || self.change(at, || parent.dir.remove_dir(name));
                match self.with_rights((parent, in_call), remove)? {
                    Ok(()) => _ = self.entries.fetch_add(1, Ordering::Relaxed),
                    Err(e) if e.errno == Errno::NOENT => {}
                    Err(e)
                        if matches!(e.errno, Errno::NOTEMPTY | Errno::EXIST)
                            && node.passes.load(Ordering::Relaxed) < PASSES =>
                    {
                        node.pending.fetch_add(1, Ordering::AcqRel);
                        self.push(Task::Again(Arc::clone(&node)));
                        return Ok(());
                    }
                    Err(error) => {
                        parent.stick();
                        self.cannot(parent, Some(name), error);
                    }
                }
            }
            node = Arc::clone(parent);
        }
    }

    /// Runs `remove`, and once more with every right on the directory where the first try lacked one: a tree may hold
    /// read-only directories, and it goes as a whole.
    fn with_rights(
        &self,
        (node, in_call): At<'_>,
        remove: impl Fn() -> Result<Result<(), FsError>, Halted>,
    ) -> Result<Result<(), FsError>, Halted> {
        match remove()? {
            // What the client remembered of it is not true any more: the second try looks it up anew.
            Err(e) if e.errno == Errno::STALE => remove(),
            // The folder that holds the tree is not part of it.
            Err(e) if e.errno == Errno::ACCESS && node.place.is_some() => {
                match self.look(("fchmod", node, in_call), || node.dir.make_writable())? {
                    Ok(()) => remove(),
                    Err(_) => Ok(Err(e)),
                }
            }
            other => Ok(other),
        }
    }

    /// Moves a directory up to the top of its tree, where it is removed once the handles that are held now are free again:
    /// neither handles nor stack grow with depth. Whether it was moved.
    fn move_up(&self, node: &Arc<Node>, name: &OsStr, in_call: &InCall) -> Result<bool, Halted> {
        let Some(root) = root_of(node) else { return Ok(false) };
        let to = loop {
            let number = self.moved_up.fetch_add(1, Ordering::Relaxed);
            let to = OsString::from(format!("{MOVED_UP}{number}"));
            let at = ("renameat2", node, in_call);
            let rename = || self.change(at, || node.dir.rename_new(name, &root.dir, &to));
            let mut moved = self.with_rights((node, in_call), rename)?;
            if matches!(&moved, Err(e) if e.errno == Errno::ACCESS) {
                // A directory without the right to write cannot be given another parent.
                let made = self.look(("fchmod", node, in_call), || node.dir.make_writable_below(name))?;
                if made.is_ok() {
                    moved = rename()?;
                }
            }
            match moved {
                Ok(()) => break to,
                Err(e) if e.errno == Errno::EXIST => {}
                // No directory, a mount point, or gone: found out when it is entered.
                Err(_) => return Ok(false),
            }
        };
        root.pending.fetch_add(1, Ordering::AcqRel);
        self.push_last(Task::Enter { parent: root, name: to.into() });
        Ok(true)
    }
}

/// The tree's own root; none for the folder that holds it, and for the root itself, where there is nothing to be gained.
fn root_of(node: &Arc<Node>) -> Option<Arc<Node>> {
    let mut at = node;
    loop {
        let (parent, _) = at.place.as_ref()?;
        if parent.place.is_none() {
            return (!Arc::ptr_eq(at, node)).then(|| Arc::clone(at));
        }
        at = parent;
    }
}
