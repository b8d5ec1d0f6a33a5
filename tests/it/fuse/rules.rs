//! What happens to which calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use rustix::io::Errno;

use super::gate::Gate;
use super::{Control, Op};

type Hook = Box<dyn FnOnce() + Send>;

/// Before the server does what it is asked, or after, when it has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// What happens to a call.
pub enum Step {
    /// Answered with an error, and not done.
    Refuse(Errno),
    /// Done, and answered with an error.
    Deny(Errno),
    Wait(When, Arc<Gate>),
    Run(When, Hook),
}

enum Effect {
    Refuse(Errno),
    Deny(Errno),
    Wait(When, Arc<Gate>),
    /// Taken by the one call it is for.
    Run(When, Option<Hook>),
}

/// One rule: for which calls, for how many of them, and what.
pub struct Rule {
    op: Option<Op>,
    which: Which,
    skip: u32,
    left: Option<u32>,
    effect: Effect,
}

impl Rule {
    /// What this rule does to a call about `paths`, which counts as one of its calls.
    pub fn take(&mut self, op: Op, paths: &[PathBuf]) -> Option<Step> {
        if self.op.is_some_and(|only| only != op) || !paths.iter().any(|path| self.which.is(path)) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        match &mut self.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        match &mut self.effect {
            Effect::Refuse(errno) => Some(Step::Refuse(*errno)),
            Effect::Deny(errno) => Some(Step::Deny(*errno)),
            Effect::Wait(when, gate) => Some(Step::Wait(*when, Arc::clone(gate))),
            Effect::Run(when, hook) => hook.take().map(|hook| Step::Run(*when, hook)),
        }
    }

    /// Lets go whatever waits because of this rule.
    pub fn release(&self) {
        if let Effect::Wait(_, gate) = &self.effect {
            gate.open();
        }
    }
}

/// Which entries: a glob over the whole path below the root where it holds a slash, over the last name where not.
struct Which {
    glob: GlobMatcher,
    whole_path: bool,
}

impl Which {
    fn new(glob: &str) -> Self {
        let whole_path = glob.contains('/');
        let glob = GlobBuilder::new(glob.trim_start_matches('/')).literal_separator(true).build();
        Self { glob: glob.unwrap().compile_matcher(), whole_path }
    }

    fn is(&self, path: &Path) -> bool {
        if self.whole_path {
            self.glob.is_match(path)
        } else {
            // The root itself has no name below the root.
            self.glob.is_match(path.file_name().unwrap_or_default())
        }
    }
}

/// Calls that something is to happen to, from [`Control::on`]; always, where it is not said how often.
#[must_use = "says which calls, and not yet what happens to them"]
pub struct On<'a> {
    pub(super) control: &'a Control,
    op: Option<Op>,
    which: Which,
    skip: u32,
    left: Option<u32>,
}

impl<'a> On<'a> {
    pub(super) fn new(control: &'a Control, op: Option<Op>, which: &str) -> Self {
        Self { control, op, which: Which::new(which), skip: 0, left: None }
    }

    /// Only the n-th of them, counted from 1 from now on.
    pub fn nth(mut self, n: u32) -> Self {
        self.skip = n.checked_sub(1).expect("calls are counted from 1");
        self.left = Some(1);
        self
    }

    /// Only the next `k` of them.
    pub fn times(mut self, k: u32) -> Self {
        self.left = Some(k);
        self
    }

    /// They fail, and nothing is done.
    pub fn fail(self, errno: Errno) {
        self.add(Effect::Refuse(errno));
    }

    /// They are done, and answered with an error: on NFS a call that is sent again after a lost answer may find its own
    /// work and take it for somebody else's.
    pub fn succeed_but_answer(self, errno: Errno) {
        self.add(Effect::Deny(errno));
    }

    /// They wait before they are done, until the [`Hang`] is released or dropped or the file system is unmounted.
    pub fn hang(self) -> Hang {
        self.wait(When::Before)
    }

    /// They are done, and their answer waits.
    pub fn hang_after(self) -> Hang {
        self.wait(When::After)
    }

    fn wait(self, when: When) -> Hang {
        let gate = Arc::new(Gate::default());
        self.add(Effect::Wait(when, Arc::clone(&gate)));
        Hang(gate)
    }

    /// Runs `hook` once, in the server, right before the first of them is done. It may change the backing directory; it
    /// must not touch the mount, where the call may hold the very directory's lock.
    pub fn before(self, hook: impl FnOnce() + Send + 'static) {
        self.run(When::Before, hook);
    }

    /// As [`Self::before`], when it was done and is not answered yet.
    pub fn after(self, hook: impl FnOnce() + Send + 'static) {
        self.run(When::After, hook);
    }

    fn run(mut self, when: When, hook: impl FnOnce() + Send + 'static) {
        self.left = Some(1);
        self.add(Effect::Run(when, Some(Box::new(hook))));
    }

    fn add(self, effect: Effect) {
        let Self { control, op, which, skip, left } = self;
        control.add(Rule { op, which, skip, left, effect });
    }
}

/// Calls that hang. Dropping it releases them.
#[must_use = "dropping it releases the calls"]
pub struct Hang(Arc<Gate>);

impl Hang {
    /// Lets go those that hang, and those to come.
    pub fn release(&self) {
        self.0.open();
    }

    /// Waits until a call hangs.
    pub fn wait_until_reached(&self) {
        self.wait_until_reached_by(1);
    }

    /// Waits until so many calls have come to hang.
    pub fn wait_until_reached_by(&self, calls: usize) {
        assert!(self.0.wait_until_reached(calls, Duration::from_secs(60)), "no such call came within a minute");
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.release();
    }
}
