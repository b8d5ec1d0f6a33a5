//! Read-only I/O: what the volume, the session store and the containers say. A reading that failed is never an empty
//! reading, and the listing of the volume ends before the session snapshot begins, so that a session made meanwhile is
//! no orphan.

pub mod aws;
pub mod containers;
pub mod efs;
pub mod reading;
pub mod sessions;
pub mod snapshot;
pub mod volume;

pub use efs::{EfsFacts, Mounted};
pub use reading::Reading;
pub use snapshot::{
    DirectoryFacts, Entry, Evidence, Health, History, IdSet, Inspection, InspectionNote, KeepFileState, KnownIds,
    LiveSample, LiveSessions, QuarantineEntry, Sidecar, Snapshot, Spent, Volume, WalkOutcome,
};
