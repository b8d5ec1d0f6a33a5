//! Lines on standard output that nobody waits for: where they are not read, they are lost, and nothing else stands still.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::output::print;

/// Lines that may wait to be read.
const WAITING: usize = 1_000;
/// How long the end waits for the last of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes lines to standard output, from a thread of its own.
#[derive(Debug)]
pub(super) struct Lines {
    tell: Option<SyncSender<String>>,
    /// Told by the thread when the last line is written.
    ended: Mutex<Receiver<()>>,
}

impl Lines {
    /// Begins; `None` where no thread can be started, which is told.
    pub(super) fn start() -> Option<Self> {
        let (tell, told) = sync_channel::<String>(WAITING);
        let (end, ended) = channel();
        let write = move || {
            for line in told {
                if let Err(error) = print(&line) {
                    tracing::warn!(%error, "a line of metrics could not be written");
                }
            }
            // Nobody listens any more where the end did not wait so long.
            let _ = end.send(());
        };
        match std::thread::Builder::new().name("lines".into()).spawn(write) {
            Ok(_) => Some(Self { tell: Some(tell), ended: Mutex::new(ended) }),
            Err(error) => {
                tracing::warn!(%error, "no lines of metrics are written");
                None
            }
        }
    }

    /// Writes a line as soon as it can be.
    pub(super) fn write(&self, line: String) {
        let Some(tell) = &self.tell else { return };
        match tell.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("standard output is not read: a line of metrics is lost"),
            Err(TrySendError::Disconnected(_)) => tracing::warn!("a line of metrics is lost"),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.tell = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(PATIENCE);
    }
}
