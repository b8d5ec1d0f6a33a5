//! Sweeps that do not run in this process.

use async_trait::async_trait;

use crate::api::{JobPhase, JobStatus};
use crate::policy::Policy;
use crate::report::outcome::Outcome;
use crate::report::status::{LastState, cut};
use crate::stop::Stop;
use crate::sweep::Sources;

/// Where the sweeps of a resource run whose volume this process cannot reach. What is needed again is put back by the next sweep.
#[async_trait]
pub trait Elsewhere: Send + Sync {
    /// The state that the last sweep left, as far as it is known.
    fn last(&self) -> Option<LastState>;

    /// Runs one sweep, and tells meanwhile how far it is.
    ///
    /// # Errors
    /// Why there is no report.
    async fn sweep(&self, wanted: Wanted<'_>) -> Result<Done, Failed>;
}

/// The sweep that is wanted.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// What the resource asks for.
    pub policy: &'a Policy,
    /// What the sweep before left.
    pub before: &'a LastState,
    /// Whether it only looks: nothing may be changed yet.
    pub only_look: bool,
    /// The sources that this process asks itself.
    pub sources: &'a Sources,
    /// Asks it to stop.
    pub stop: &'a Stop,
}

/// What came of a sweep.
#[derive(Debug)]
pub struct Done {
    /// In figures.
    pub outcome: Outcome,
    /// The state that follows from it.
    pub state: LastState,
    /// Whether another is due at once.
    pub again: bool,
    /// What failed after the sweep, whose figures stand all the same.
    pub failed: Option<Failed>,
}

/// Why there is no report.
#[derive(Debug)]
pub struct Failed {
    /// The reason of the condition.
    pub reason: &'static str,
    /// What happened, and the way out.
    pub message: String,
    /// The Job in question.
    pub job: Option<Box<JobStatus>>,
}

impl Failed {
    /// The Job in question, that is followed no more: what it said before is over.
    pub fn ended(self) -> Option<JobStatus> {
        let job = *self.job?;
        let phase = if job.phase == JobPhase::Succeeded { job.phase } else { JobPhase::Failed };
        Some(JobStatus { phase, message: Some(cut(&self.message, JobStatus::LONGEST_MESSAGE)), ..job })
    }
}
