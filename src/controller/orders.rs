//! What a sweep of one object was told to do, and whether that still stands: by the newest version of the object that was
//! seen, and only as long as it is known which that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::orders::Orders;

/// What is newest of one object, which is told apart by its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// `metadata.generation`: any change of the spec, `suspend` included, makes it another one.
    pub(super) generation: i64,
    /// Whether it is deleted, or is to be.
    pub(super) deleted: bool,
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
    pub(super) newest: watch::Receiver<Newest>,
    pub(super) sure: Sure,
}

impl Orders for Current {
    fn standing(&self) -> Result<(), String> {
        if !self.sure.get() {
            return Err("the watch of the API server broke: whether the resource changed since is not known".into());
        }
        let newest = *self.newest.borrow();
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
        let (tell, newest) = watch::channel(Newest { generation: 3, deleted: false });
        let sure = Sure::default();
        let orders = Current { generation: 3, newest, sure: sure.clone() };
        assert!(orders.standing().unwrap_err().contains("not known"), "before the first list nothing is known");
        sure.set(true);
        assert_eq!(orders.standing(), Ok(()));
        tell.send_replace(Newest { generation: 4, deleted: false });
        assert!(orders.standing().unwrap_err().contains("changed"));
        tell.send_replace(Newest { generation: 3, deleted: true });
        assert!(orders.standing().unwrap_err().contains("deleted"));
        tell.send_replace(Newest { generation: 3, deleted: false });
        sure.set(false);
        assert!(orders.standing().is_err());
    }
}
