//! What a sweep of one object was told to do, and whether that still stands: by the newest version of the object that was
//! seen, and only as long as it is known which that is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::orders::Orders;

/// Why nothing stands while the watch of a scope is broken.
pub(super) const NOT_SURE: &str = "the watch of the API server broke: whether the resource changed since is not known";

/// What is newest of one object, which is told apart by its uid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    /// `metadata.generation`: any change of the spec, `suspend` included, makes it another one.
    pub(super) generation: i64,
    /// Whether it is deleted, or is to be.
    pub(super) deleted: bool,
}

/// The newest of one object, as whoever watches tells it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Known(Arc<Mutex<Newest>>);

impl Known {
    pub(super) fn new(newest: Newest) -> Self {
        Self(Arc::new(Mutex::new(newest)))
    }

    pub(super) fn tell(&self, newest: Newest) {
        *self.now() = newest;
    }

    pub(super) fn tell_deleted(&self) {
        self.now().deleted = true;
    }

    fn now(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the watch of a scope goes on without a gap.
#[derive(Clone, Debug, Default)]
pub(super) struct Sure(Arc<AtomicBool>);

impl Sure {
    pub(super) fn set(&self, sure: bool) {
        self.0.store(sure, Ordering::Release);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The orders of one generation of one object.
pub(super) struct Current {
    pub(super) generation: i64,
    pub(super) newest: Known,
    pub(super) sure: Sure,
}

impl Orders for Current {
    fn standing(&self) -> Result<(), String> {
        if !self.sure.get() {
            return Err(NOT_SURE.into());
        }
        let newest = *self.newest.now();
        if newest.deleted {
            return Err("the resource was deleted".into());
        }
        if newest.generation != self.generation {
            return Err(format!(
                "the resource changed: this sweep is of generation {}, and the newest is {}",
                self.generation, newest.generation
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_stand_while_the_object_is_known_to_be_as_it_was() {
        let newest = Known::new(Newest { generation: 3, deleted: false });
        let sure = Sure::default();
        let orders = Current { generation: 3, newest: newest.clone(), sure: sure.clone() };
        assert!(orders.standing().unwrap_err().contains("not known"), "before the first list nothing is known");
        sure.set(true);
        assert_eq!(orders.standing(), Ok(()));
        newest.tell(Newest { generation: 4, deleted: false });
        assert!(orders.standing().unwrap_err().contains("changed"));
        newest.tell(Newest { generation: 3, deleted: false });
        assert_eq!(orders.standing(), Ok(()));
        newest.tell_deleted();
        assert!(orders.standing().unwrap_err().contains("deleted"));
        newest.tell(Newest { generation: 3, deleted: false });
        sure.set(false);
        assert!(orders.standing().is_err());
    }
}
