//! What the volume says: names, root directories, whole trees, and our own records below `.hygiene`.

mod hygiene;
mod list;
mod ordered;
mod rights;
mod roots;
mod walk;

pub use hygiene::{ENTRY, Hygiene, LOCK, SHARDS, VolumeError, WORKSPACE};
pub use list::{list, quarantine_entries};
pub use ordered::run_in_order;
pub use rights::{missing_on_root, unreadable_root};
pub use roots::{KEEP_FILE, read_keep_file, read_root, root_activity};
pub use walk::{Hands, Walk, walk};

/// Our own folder below the root.
pub const HYGIENE: &str = ".hygiene";
