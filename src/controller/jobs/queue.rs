//! Who may run a Job: so many at once, namespaces in turn, so that one with many resources keeps no other waiting for long.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A number of places that namespaces are given in turn. Clones are the same queue.
#[derive(Clone, Debug)]
pub(crate) struct FairQueue(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Who waits, the first first, by namespace. No namespace is here without anybody.
    waiting: BTreeMap<String, VecDeque<Waiter>>,
    /// The namespaces of `waiting`, the one whose turn it is first.
    turns: VecDeque<String>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    give: oneshot::Sender<Place>,
}

/// The right to run one Job. It is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Mutex<State>>);

impl FairQueue {
    /// At most so many places at once, 1 or more.
    pub(crate) fn new(most: usize) -> Self {
        let state = State { free: most, waiting: BTreeMap::new(), turns: VecDeque::new(), next_id: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a place. Within a namespace whoever came first is first; a future that is dropped gives its turn up.
    pub(crate) async fn acquire(&self, namespace: &str) -> Place {
        loop {
            let mut turn = Turn::take(&self.0, namespace);
            hand_out(&self.0);
            // Nobody drops the other end without a place; should it be so, there is another turn.
            if let Ok(place) = (&mut turn.given).await {
                return place;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.0).free += 1;
        hand_out(&self.0);
    }
}

/// A turn of somebody who waits.
struct Turn<'a> {
    queue: &'a Mutex<State>,
    namespace: &'a str,
    id: u64,
    /// A place that is still in here when this is dropped is given back as any other.
    given: oneshot::Receiver<Place>,
}

impl<'a> Turn<'a> {
    fn take(queue: &'a Mutex<State>, namespace: &'a str) -> Self {
        let (give, given) = oneshot::channel();
        let mut state = lock(queue);
        let id = state.next_id;
        state.next_id += 1;
        let waiters = state.waiting.entry(namespace.to_owned()).or_default();
        let first = waiters.is_empty();
        waiters.push_back(Waiter { id, give });
        if first {
            state.turns.push_back(namespace.to_owned());
        }
        Self { queue, namespace, id, given }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.queue);
        let Some(waiters) = state.waiting.get_mut(self.namespace) else { return };
        waiters.retain(|waiter| waiter.id != self.id);
        if waiters.is_empty() {
            state.waiting.remove(self.namespace);
            state.turns.retain(|namespace| namespace != self.namespace);
        }
    }
}

impl State {
    /// Whoever's turn it is, if there is a place.
    fn next(&mut self) -> Option<Waiter> {
        self.free.checked_sub(1)?;
        let namespace = self.turns.pop_front()?;
        let waiters = self.waiting.get_mut(&namespace)?;
        let waiter = waiters.pop_front()?;
        if waiters.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        self.free -= 1;
        Some(waiter)
    }
}

/// Gives free places to those whose turn it is.
fn hand_out(queue: &Arc<Mutex<State>>) {
    loop {
        let next = lock(queue).next();
        let Some(waiter) = next else { return };
        // Not with the lock held: the place of somebody who went away at this moment comes back, and is dropped here.
        drop(waiter.give.send(Place(Arc::clone(queue))));
    }
}

fn lock(queue: &Mutex<State>) -> MutexGuard<'_, State> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// The place that a future has by now.
    fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn namespaces_have_their_turns_and_within_one_the_first_is_first() {
        let queue = FairQueue::new(1);
        let mut held = now(pin!(queue.acquire("a")));
        assert!(held.is_some());
        let asked = ["a", "a", "a", "b", "b", "c"];
        let mut waiting: Vec<_> = asked.iter().map(|namespace| Box::pin(queue.acquire(namespace))).collect();
        assert!(waiting.iter_mut().all(|one| now(one.as_mut()).is_none()));
        let mut order = Vec::new();
        let mut left: Vec<_> = (0..asked.len()).collect();
        while !left.is_empty() {
            drop(held.take());
            let ready: Vec<_> = left.iter().filter_map(|at| Some((*at, now(waiting[*at].as_mut())?))).collect();
            let [(at, _)] = &ready[..] else { panic!("{} have the one place", ready.len()) };
            order.push(*at);
            left.retain(|other| other != at);
            held = ready.into_iter().map(|(_, place)| place).next();
        }
        assert_eq!(order, [0, 3, 5, 1, 4, 2]);
    }

    #[test]
    fn whoever_goes_away_gives_the_turn_up_and_a_place_that_was_given_already() {
        let queue = FairQueue::new(1);
        let held = now(pin!(queue.acquire("a")));
        let (mut gone, mut waits) = (Box::pin(queue.acquire("a")), Box::pin(queue.acquire("b")));
        assert!(now(gone.as_mut()).is_none() && now(waits.as_mut()).is_none());
        drop(gone);
        assert!(!lock(&queue.0).waiting.contains_key("a"));
        let mut given = Box::pin(queue.acquire("a"));
        assert!(now(given.as_mut()).is_none());
        drop(held);
        let held = now(waits.as_mut());
        assert!(held.is_some(), "the turn of whoever went away is nobody's");
        let mut last = Box::pin(queue.acquire("c"));
        assert!(now(last.as_mut()).is_none());
        drop(held);
        // It has its place, and never looks.
        drop(given);
        assert!(now(last.as_mut()).is_some());
    }

    #[test]
    fn nothing_is_left_of_many_that_went_away() {
        let queue = FairQueue::new(2);
        let held: Vec<_> = (0..2).filter_map(|_| now(pin!(queue.acquire("a")))).collect();
        for round in 0..1000 {
            let namespace = format!("n{}", round % 7);
            assert!(now(pin!(queue.acquire(&namespace))).is_none());
        }
        drop(held);
        let state = lock(&queue.0);
        assert_eq!((state.free, state.waiting.len(), state.turns.len()), (2, 0, 0));
    }

    #[test]
    fn three_hundred_in_thirty_namespaces_all_have_a_turn_and_never_more_at_once() {
        const MOST: usize = 8;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let queue = FairQueue::new(MOST);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let order = Arc::new(Mutex::new(Vec::new()));
        let held: Vec<_> = (0..MOST).filter_map(|_| now(pin!(queue.acquire("held")))).collect();
        // One namespace after the other, so that the first would be served first if it were for the time of coming alone.
        let mut tasks = Vec::new();
        for job in 0..300 {
            let namespace = job / 10;
            let (queue, running, most, order) =
                (queue.clone(), Arc::clone(&running), Arc::clone(&most), Arc::clone(&order));
            let work = async move {
                let place = queue.acquire(&format!("team-{namespace:02}")).await;
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                order.lock().unwrap().push(namespace);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                drop(place);
            };
            let mut work = Box::pin(work);
            assert!(now(work.as_mut()).is_none());
            // Every fifth goes away while it waits, or when it has its place.
            let task = runtime.spawn(work);
            match job % 5 {
                0 => task.abort(),
                _ => tasks.push(task),
            }
        }
        drop(held);
        for task in tasks {
            runtime
                .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), task).await })
                .unwrap()
                .unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= MOST);
        let order = order.lock().unwrap();
        assert!(order.len() >= 240, "{}", order.len());
        // Nobody has a second turn long before everybody had one: those that run at once tell it in any order.
        let early = &order[..30];
        let most_of_one = (0..30).map(|one| early.iter().filter(|namespace| **namespace == one).count()).max();
        assert!(most_of_one <= Some(2), "{early:?}");
        drop(runtime);
        let state = lock(&queue.0);
        assert_eq!((state.free, state.waiting.len(), state.turns.len()), (MOST, 0, 0));
    }
}
