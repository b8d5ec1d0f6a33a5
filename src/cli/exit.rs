//! Exit codes: an interface, since scripts and schedulers read them.

use std::process::ExitCode;

use crate::act::{Acted, LockError};
use crate::sweep::SweepError;

/// How a command ended, the least bad first: of several resources the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// Held by a gate or a breaker.
    Held,
    /// The volume is locked by somebody else.
    Locked,
    /// Something failed, or a signal stopped it.
    Failed,
    /// Bad usage or an invalid spec: nothing was begun.
    Usage,
}

/// How a command ended, or why it ended early.
pub(super) type Ended = Result<Exit, Early>;

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Early {
    /// It told why, and this is the code to exit with.
    Told(Exit),
    /// It has yet to be told.
    Untold(anyhow::Error),
}

impl From<Exit> for Early {
    fn from(exit: Exit) -> Self {
        Self::Told(exit)
    }
}

impl From<anyhow::Error> for Early {
    fn from(error: anyhow::Error) -> Self {
        Self::Untold(error)
    }
}

impl Exit {
    /// How work ended that got as far as a report. A service that comes first in mid-work is a gate like any other.
    pub(super) fn of(acted: &Acted, held: bool) -> Self {
        match (acted.stopped || !acted.errors.is_empty(), held || acted.paused.is_some()) {
            (true, _) => Self::Failed,
            (false, true) => Self::Held,
            (false, false) => Self::Done,
        }
    }
}

impl From<&SweepError> for Exit {
    fn from(error: &SweepError) -> Self {
        match error {
            SweepError::Lock(LockError::Held { .. }) => Self::Locked,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Held => 3,
            Exit::Locked => 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_resources_the_worst_counts() {
        assert!(Exit::Failed > Exit::Locked && Exit::Locked > Exit::Held && Exit::Held > Exit::Done);
    }
}
