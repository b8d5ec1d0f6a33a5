//! Promises 1 and 9: whose clock counts, how long a quarantine lasts, how old an answer may be.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use workspace_hygiene::clock::Clock;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::observe::{LiveSessions, Reading};
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::sweep::Sources;

use super::{LIVE, approved, fresh, held, holds, swept};
use crate::world::{DAY, World, id};

/// A host whose clock is wrong by so many seconds, on a file server whose clock is right.
#[derive(Debug, Default)]
struct WrongClock {
    ahead: AtomicI64,
    uptime: AtomicU64,
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.uptime.load(Ordering::SeqCst))
    }
}

#[test]
fn a_host_whose_clock_is_ahead_finds_nothing_old_that_is_young() {
    let mut world = approved(0);
    world.workspace(&id(1), Duration::from_secs(3_600));
    let clock = Arc::new(WrongClock::default());
    clock.ahead.store(3 * 86_400, Ordering::SeqCst);
    world.host_clock = Some(clock.clone());
    assert_eq!(swept(&world).acted.quarantined.len(), 0);
    // The plan goes by what the last sweep found out about the two clocks.
    assert_eq!(world.plan().plan.victims.len(), 0);
    clock.ahead.store(-3 * 86_400, Ordering::SeqCst);
    world.workspace(&id(2), 2 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(2)], "a host that is behind finds what is old");
}

#[test]
fn a_retention_is_counted_by_the_file_servers_clock() {
    let mut world = World::new();
    world.workspace(LIVE, 60 * DAY);
    world.workspace(&id(1), 60 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    let clock = Arc::new(WrongClock::default());
    clock.ahead.store(30 * 86_400, Ordering::SeqCst);
    world.host_clock = Some(clock);
    assert_eq!(swept(&world).acted.condemned.len(), 0);
}

#[test]
fn a_gap_in_the_watch_begins_the_retention_again() {
    let world = approved(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    for _ in 0..6 {
        world.pass(DAY);
        assert_eq!(swept(&world).acted.condemned.len(), 0);
    }
    // Two days in which a row could have come and gone unseen, the last of the retention among them.
    world.pass(2 * DAY);
    for _ in 0..6 {
        assert_eq!(swept(&world).acted.condemned.len(), 0);
        world.pass(DAY);
    }
    assert_eq!(swept(&world).acted.condemned.len(), 0);
    world.pass(DAY);
    assert_eq!(swept(&world).acted.condemned, [id(1)]);
}

#[test]
fn a_sweep_without_an_answer_watches_nothing() {
    let world = approved(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    fs::rename(world.path("sessions.db"), world.path("away.db")).unwrap();
    for _ in 0..8 {
        world.pass(DAY);
        holds(&world, HoldReason::SourceUnavailable);
    }
    fs::rename(world.path("away.db"), world.path("sessions.db")).unwrap();
    let swept = swept(&world);
    assert_eq!((held(&swept), swept.acted.condemned.len()), (None, 0));
}

/// Answers truly, and each answer by id takes so many seconds of the machine's uptime.
struct Slow {
    real: Arc<dyn SessionStore>,
    clock: Arc<WrongClock>,
    seconds: u64,
}

#[async_trait]
impl SessionStore for Slow {
    async fn live(&self) -> Reading<LiveSessions> {
        self.real.live().await
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        let answer = self.real.is_live(id).await;
        self.clock.uptime.fetch_add(self.seconds, Ordering::SeqCst);
        answer
    }
}

#[test]
fn an_answer_older_than_thirty_seconds_moves_nothing() {
    for (seconds, moved) in [(31, 0), (29, 1)] {
        let mut world = approved(1);
        let clock = Arc::new(WrongClock::default());
        world.host_clock = Some(clock.clone());
        let real = world.sources().sessions;
        let sessions = Arc::new(Slow { real, clock, seconds });
        let acted = world.try_sweep(Sources { sessions, containers: Vec::new(), efs: None }).unwrap().acted;
        assert_eq!(acted.quarantined.len(), moved, "{seconds} s: {acted:?}");
    }
}

#[test]
fn an_answer_older_than_thirty_seconds_condemns_nothing() {
    for (seconds, condemned) in [(31, 0), (29, 1)] {
        let mut world = World::new();
        world.workspace(LIVE, 60 * DAY);
        world.workspace(&id(1), 60 * DAY);
        world.rewind(8 * DAY);
        assert_eq!(swept(&world).acted.quarantined, [id(1)]);
        world.pass(8 * DAY);
        let clock = Arc::new(WrongClock::default());
        world.host_clock = Some(clock.clone());
        let real = world.sources().sessions;
        let sessions = Arc::new(Slow { real, clock, seconds });
        let acted = world.try_sweep(Sources { sessions, containers: Vec::new(), efs: None }).unwrap().acted;
        assert_eq!(acted.condemned.len(), condemned, "{seconds} s: {acted:?}");
    }
}

#[test]
fn the_first_plan_of_a_young_volume_has_no_orphans() {
    let world = fresh(0);
    world.workspace(&id(1), Duration::from_secs(60));
    assert_eq!(swept(&world).observed.plan.orphans, 0);
}
