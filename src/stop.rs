//! A request to stop, seen by every step before its next file-system call, and waited for by whoever has nothing else to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::term::Term;

/// Something that happens once: asked for at any time, also in a signal handler, and waited for without asking again and
/// again.
#[derive(Debug, Default)]
pub(crate) struct Once {
    happened: Arc<AtomicBool>,
    woken: Notify,
}

impl Once {
    /// Lets it happen, and wakes whoever waits.
    pub(crate) fn happen(&self) {
        self.happened.store(true, Ordering::Release);
        self.woken.notify_waiters();
    }

    pub(crate) fn happened(&self) -> bool {
        self.happened.load(Ordering::Acquire)
    }

    /// Completes once it happened.
    pub(crate) async fn wait(&self) {
        loop {
            let mut woken = std::pin::pin!(self.woken.notified());
            // Before the look: what happens right after it is then heard.
            woken.as_mut().enable();
            if self.happened() {
                return;
            }
            woken.await;
        }
    }
}

/// A request to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    own: Arc<Once>,
    above: Option<Arc<Stop>>,
    /// Work that is bound to a term stops with it, at the next look, whatever the rest of the process is able to do.
    term: Option<Arc<Term>>,
}

impl Stop {
    /// A request of its own that holds as well once this one was made.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { own: Arc::default(), above: Some(Arc::new(self.clone())), term: None }
    }

    /// The same for work that also stops when `term` ends.
    #[must_use]
    pub fn within(&self, term: Arc<Term>) -> Self {
        Self { term: Some(term), ..self.child() }
    }

    /// Asks everything that holds a clone or a child to stop.
    pub fn request(&self) {
        self.own.happen();
    }

    /// Whether stopping was asked for.
    pub fn requested(&self) -> bool {
        self.own.happened()
            || self.term.as_ref().is_some_and(|term| !term.stands())
            || self.above.as_ref().is_some_and(|above| above.requested())
    }

    /// Completes once stopping was asked for. Nobody looks again and again meanwhile: a thousand that wait cost nothing.
    ///
    /// It hears of [`Stop::request`] and of a term that is closed at once, of a flag that was set in a signal handler when
    /// [`Stop::request`] follows, and of a term that ran out when somebody sees that, as [`Term::run_out`] does.
    pub fn wait(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.requested() {
                return;
            }
            let term = async {
                match &self.term {
                    Some(term) => term.ended().await,
                    None => std::future::pending().await,
                }
            };
            let above = async {
                match &self.above {
                    Some(above) => above.wait().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.own.wait() => {}
                () = term => {}
                () = above => {}
            }
        })
    }

    /// The flag itself, for a signal handler to set. A handler can wake nobody: [`Stop::request`] has to follow, from a thread.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.own.happened)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn is_over(waiting: std::pin::Pin<&mut impl Future>) -> bool {
        waiting.poll(&mut Context::from_waker(Waker::noop())) != Poll::Pending
    }

    fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    }

    #[test]
    fn a_request_holds_for_children_of_children_and_never_upwards() {
        let above = Stop::default();
        let (middle, other) = (above.child(), above.child());
        let below = middle.child();
        middle.request();
        assert_eq!([&above, &middle, &below, &other].map(Stop::requested), [false, true, true, false]);
        above.request();
        assert!(other.requested() && other.child().requested() && below.requested());
    }

    #[test]
    fn the_end_of_a_term_is_a_request_for_all_below() {
        let (above, term) = (Stop::default(), Term::unlimited());
        let bound = above.within(Arc::clone(&term));
        let below = bound.child();
        assert!(!bound.requested() && !below.requested());
        term.close();
        assert_eq!([&above, &bound, &below].map(Stop::requested), [false, true, true]);
    }

    #[test]
    fn whoever_waits_is_woken_by_what_holds_for_it_and_by_nothing_else() {
        let (above, term) = (Stop::default(), Term::unlimited());
        let bound = above.within(Arc::clone(&term));
        let below = bound.child();
        let all = [&above, &bound, &below].map(Stop::wait);
        let [mut above_waits, mut bound_waits, mut below_waits] = all;
        let mut look = || [&mut above_waits, &mut bound_waits, &mut below_waits].map(|one| is_over(one.as_mut()));
        assert_eq!(look(), [false; 3]);
        below.request();
        assert_eq!(look(), [false, false, true]);
        let mut below_again = pin!(bound.child());
        let mut below_waits = below_again.as_mut().wait();
        assert!(!is_over(below_waits.as_mut()));
        term.close();
        assert!(is_over(bound_waits.as_mut()) && is_over(below_waits.as_mut()));
        assert!(!is_over(above_waits.as_mut()));
        above.request();
        assert!(is_over(above_waits.as_mut()));
    }

    #[test]
    fn what_was_asked_before_anybody_waits_is_heard_too() {
        let stop = Stop::default();
        stop.flag().store(true, Ordering::Release);
        assert!(stop.requested() && is_over(stop.wait().as_mut()) && is_over(stop.child().child().wait().as_mut()));
    }

    #[test]
    fn no_request_is_lost_between_a_look_and_the_wait() {
        on_a_runtime(async {
            for _ in 0..2_000 {
                let stop = Stop::default();
                let asking = stop.clone();
                let asks = std::thread::spawn(move || asking.request());
                let waited = tokio::time::timeout(Duration::from_secs(20), stop.child().wait()).await;
                assert!(waited.is_ok());
                asks.join().unwrap();
            }
        });
    }

    #[test]
    fn whoever_waits_hears_of_a_term_that_ran_out_and_not_of_one_that_was_extended() {
        on_a_runtime(async {
            let begun = SystemClock.uptime();
            let term = Term::until(begun + Duration::from_millis(60));
            let stop = Stop::default().within(Arc::clone(&term));
            tokio::spawn(Arc::clone(&term).run_out());
            assert!(term.extend(begun + Duration::from_millis(300)));
            tokio::time::timeout(Duration::from_secs(20), stop.child().wait()).await.unwrap();
            assert!(SystemClock.uptime() - begun >= Duration::from_millis(300) && stop.requested());
        });
    }
}
