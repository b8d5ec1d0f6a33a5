//! Takes ids off the task that reads them from the connection: what is made of them is made on a thread of its own, since a
//! task that does both is slower than the server that it reads from.

use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::task::JoinHandle;

use crate::names::SessionId;

/// Bytes of ids that are handed over at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait at most. Whoever hands over one more waits himself, which is short: making hashes is faster than reading.
const WAITING: usize = 16;

/// Ids, one after the other.
struct Chunk {
    text: String,
    ends: Vec<usize>,
}

impl Chunk {
    fn new() -> Self {
        Self { text: String::with_capacity(CHUNK), ends: Vec::with_capacity(CHUNK / 36) }
    }
}

/// Hands ids over to a thread that makes a `T` of them.
pub(super) struct Gatherer<T> {
    chunk: Chunk,
    to: SyncSender<Chunk>,
    made: JoinHandle<T>,
}

impl<T: Send + 'static> Gatherer<T> {
    /// Begins with `empty`, to which `add` adds an id after the other; what `finish` makes of that is the end.
    pub(super) fn new<S: Send + 'static>(
        empty: S,
        add: impl Fn(&mut S, &SessionId) + Send + 'static,
        finish: impl FnOnce(S) -> T + Send + 'static,
    ) -> Self {
        let (to, chunks) = sync_channel::<Chunk>(WAITING);
        let made = tokio::task::spawn_blocking(move || {
            let (mut gathered, mut id) = (empty, SessionId::new(""));
            for chunk in chunks {
                let mut begin = 0;
                for end in chunk.ends {
                    id.set(&chunk.text[begin..end]);
                    add(&mut gathered, &id);
                    begin = end;
                }
            }
            finish(gathered)
        });
        Self { chunk: Chunk::new(), to, made }
    }

    pub(super) fn add(&mut self, id: &str) {
        self.chunk.text.push_str(id);
        self.chunk.ends.push(self.chunk.text.len());
        if self.chunk.text.len() >= CHUNK {
            self.send();
        }
    }

    fn send(&mut self) {
        // Fails only where the thread died, which shows when it is waited for.
        let _ = self.to.send(std::mem::replace(&mut self.chunk, Chunk::new()));
    }

    /// There are no more ids; what is made of them can be waited for.
    pub(super) fn end(mut self) -> JoinHandle<T> {
        self.send();
        self.made
    }
}

/// Waits for what was made.
pub(super) async fn made<T>(made: JoinHandle<T>) -> T {
    made.await.unwrap_or_else(|fault| std::panic::resume_unwind(fault.into_panic()))
}
