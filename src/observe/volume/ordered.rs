//! Work on many items at once, with the same outcome as one after the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs `work` over `items` on up to `threads` threads, taken up in order, and gives back the results of the longest
/// prefix before each item of which `more` answered true; it is shown the result before, if there is one. What was begun
/// beyond that prefix is dropped, so the answer does not depend on which thread was faster.
pub fn run_in_order<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
    mut more: impl FnMut(Option<&R>) -> bool,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let enough = AtomicBool::new(false);
    let slots: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let mut prefix: Vec<R> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            let done = done.clone();
            let (next, enough, slots, work) = (&next, &enough, &slots, &work);
            scope.spawn(move || {
                while !enough.load(Ordering::Acquire) {
                    let index = next.fetch_add(1, Ordering::AcqRel);
                    let (Some(item), Some(slot)) = (items.get(index), slots.get(index)) else { break };
                    let result = work(item);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                    // The receiver goes once enough is known.
                    if done.send(()).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let take = |index: usize| slots.get(index)?.lock().unwrap_or_else(PoisonError::into_inner).take();
        while prefix.len() < items.len() && more(prefix.last()) {
            let mut result = take(prefix.len());
            while result.is_none() && finished.recv().is_ok() {
                result = take(prefix.len());
            }
            // A worker whose thread died leaves its slot empty: what comes after it is not known in order.
            let Some(result) = result.or_else(|| take(prefix.len())) else { break };
            prefix.push(result);
        }
        enough.store(true, Ordering::Release);
    });
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_does_not_depend_on_which_thread_is_faster() {
        let items: Vec<u64> = (0..200).collect();
        for threads in [1, 3, 16] {
            let mut sum = 0;
            let slow_evens = |n: &u64| {
                if n.is_multiple_of(2) {
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
                *n
            };
            let got = run_in_order(&items, threads, slow_evens, |last| {
                sum += last.copied().unwrap_or(0);
                sum < 1_000
            });
            assert_eq!(got, (0..46).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        assert_eq!(run_in_order(&[] as &[u8], 4, |n| *n, |_| true), Vec::<u8>::new());
    }
}
