//! A request to stop, seen by every step before its next file-system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::term::Term;

/// A request to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    own: Arc<AtomicBool>,
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
        self.own.store(true, Ordering::Release);
    }

    /// Whether stopping was asked for.
    pub fn requested(&self) -> bool {
        self.own.load(Ordering::Acquire)
            || self.term.as_ref().is_some_and(|term| !term.stands())
            || self.above.as_ref().is_some_and(|above| above.requested())
    }

    /// The flag itself, for a signal handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
