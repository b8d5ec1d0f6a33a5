//! A service that turns unhealthy while a sweep acts comes first.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use workspace_hygiene::clock::Clock;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::containers::{ContainerEvidence, Look};
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::observe::{Health, IdSet, LiveSessions, Reading};
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::progress::Progress;
use workspace_hygiene::sweep::{Sources, Swept};

use super::server::{Server, answer};
use super::{run, world_with};
use crate::guards::{held, swept};
use crate::world::{DAY, MovedClock, World, backdate, change_time, id};

/// The world's clock, on a machine whose uptime runs ahead when the test says so.
#[derive(Default)]
struct Ahead {
    world: MovedClock,
    seconds: AtomicU64,
}

impl Ahead {
    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn uptime(&self) -> Duration {
        MovedClock::default().uptime() + Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn file_server(&self, written: Timestamp) -> Timestamp {
        self.world.file_server(written)
    }
}

/// Answers truly, and tells how often it was asked about one id.
struct Counted<F> {
    real: Arc<dyn SessionStore>,
    asked: AtomicU64,
    act: F,
}

#[async_trait]
impl<F: Fn(u64) + Send + Sync> SessionStore for Counted<F> {
    async fn live(&self) -> Reading<LiveSessions> {
        self.real.live().await
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        (self.act)(self.asked.fetch_add(1, Ordering::SeqCst) + 1);
        self.real.is_live(id).await
    }
}

/// Sweeps, and does something before each answer about one id, with the number of that answer from 1.
fn sweep_and(world: &World, act: impl Fn(u64) + Send + Sync + 'static) -> Swept {
    let Sources { sessions: real, containers, efs } = world.sources();
    let sessions = Arc::new(Counted { real, asked: AtomicU64::new(0), act });
    world.try_sweep(Sources { sessions, containers, efs }).unwrap()
}

fn ahead(world: &mut World) -> Arc<Ahead> {
    let clock = Arc::new(Ahead { world: world.clock.clone(), ..Ahead::default() });
    world.host_clock = Some(clock.clone());
    clock
}

/// The first victim costs two answers, before and after it is moved; the third is the second victim's.
const SECOND_VICTIM: u64 = 3;

#[test]
fn a_service_that_turns_unhealthy_stops_the_sweep_before_its_next_step() {
    let server = Arc::new(Server::well());
    let mut world = world_with(3, &server.url(), "", ", settle: 0s");
    let clock = ahead(&mut world);
    let unmoved = change_time(&world.root().join(id(2)));
    let sick = server.clone();
    let swept = sweep_and(&world, move |number| {
        if number == SECOND_VICTIM {
            sick.write(answer("500 Oh", "", ""));
            clock.pass(11);
        }
    });
    assert_eq!(swept.acted.quarantined, [id(1)]);
    let told = format!("the service is unhealthy: {} answers 500", server.url());
    assert_eq!(swept.acted.paused, Some(told));
    assert!(swept.acted.errors.is_empty() && !swept.acted.stopped, "{:?}", swept.acted);
    assert_eq!(change_time(&world.root().join(id(2))), unmoved, "it was not moved, not even for a moment");
    assert!(world.root().join(id(3)).exists());
    assert_eq!(world.quarantined_trees().len(), 1);
    server.write(answer("200 OK", "", ""));
    world.host_clock = None;
    assert_eq!(self::swept(&world).acted.quarantined, [id(2), id(3)], "the next sweep goes on");
}

#[test]
fn an_answer_of_the_last_ten_seconds_is_not_asked_for_again() {
    for (seconds, looks) in [(0, 2), (11, 2 + 3)] {
        let server = Server::well();
        let mut world = world_with(3, &server.url(), "", ", settle: 0s");
        let clock = ahead(&mut world);
        let swept = sweep_and(&world, move |number| {
            // Before each of the three is moved.
            if number % 2 == 1 {
                clock.pass(seconds);
            }
        });
        assert_eq!(swept.acted.quarantined.len(), 3, "{:?}", swept.acted);
        // Where the test stands still for ten seconds there are more.
        assert!(server.requests().len() >= looks, "{seconds} s: {}", server.requests().len());
        assert!(seconds > 0 || server.requests().len() < 6, "{}", server.requests().len());
    }
}

/// Calls the service well when it is observed; then it says so late, or says nothing.
struct Wanting {
    clock: Arc<Ahead>,
    seconds: u64,
    looks: AtomicU64,
}

#[async_trait]
impl ContainerEvidence for Wanting {
    async fn serving(&self, _: Look) -> Option<Reading<Health>> {
        match (self.looks.fetch_add(1, Ordering::SeqCst), self.seconds) {
            (0, _) => {}
            (_, 0) => return Some(Reading::Unavailable("it cannot be listed".into())),
            (_, seconds) => self.clock.pass(seconds),
        }
        Some(Reading::Complete(Health::Healthy))
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        None
    }

    async fn is_claimed(&self, _: &SessionId) -> Option<Reading<bool>> {
        None
    }
}

#[test]
fn an_answer_that_comes_too_late_or_not_at_all_moves_nothing() {
    for (seconds, told) in [(0, "health is not known: it cannot be listed"), (11, "needs more than 10 s")] {
        let server = Server::well();
        let mut world = world_with(1, &server.url(), "", ", settle: 0s");
        let clock = ahead(&mut world);
        let sessions = world.sources().sessions;
        let source = Arc::new(Wanting { clock, seconds, looks: AtomicU64::new(0) });
        let acted = world.try_sweep(Sources { sessions, containers: vec![source], efs: None }).unwrap().acted;
        assert!(acted.paused.as_ref().is_some_and(|why| why.contains(told)), "{acted:?}");
        assert!(world.quarantined_trees().is_empty());
    }
}

#[test]
fn restores_go_on_while_the_service_is_unhealthy() {
    let server = Server::well();
    let world = world_with(2, &server.url(), "", ", settle: 0s");
    assert_eq!(swept(&world).acted.quarantined.len(), 2);
    server.write(answer("500 Oh", "", ""));
    world.set_live(&id(1), true);
    world.workspace(&id(3), 50 * DAY);
    let swept = swept(&world);
    assert_eq!(held(&swept), Some(HoldReason::ServiceUnhealthy));
    assert_eq!((swept.acted.restored, swept.acted.quarantined.len()), (vec![id(1)], 0));
    assert!(world.root().join(id(1)).exists() && world.root().join(id(3)).exists());
}

/// A world with two trees in quarantine whose retention is over.
fn due(url: &str) -> World {
    let world = world_with(2, url, "", ", settle: 0s");
    for n in 0..40 {
        fs::write(world.root().join(id(1)).join(format!("file-{n}")), "x").unwrap();
    }
    backdate(&world.root().join(id(1)), 60 * DAY);
    world.rewind(20 * DAY);
    assert_eq!(swept(&world).acted.quarantined.len(), 2);
    world.pass(20 * DAY);
    world
}

#[test]
fn nothing_is_condemned_once_the_service_is_unhealthy() {
    let server = Arc::new(Server::well());
    let mut world = due(&server.url());
    let clock = ahead(&mut world);
    let sick = server.clone();
    let acted = sweep_and(&world, move |number| {
        if number == 1 {
            sick.write(answer("500 Oh", "", ""));
            clock.pass(11);
        }
    })
    .acted;
    assert!(acted.paused.is_some() && acted.condemned.is_empty() && acted.purged.is_empty(), "{acted:?}");
    assert_eq!(world.quarantined_trees().len(), 2);
}

/// Makes the service unhealthy once the first entry is removed for good.
struct SickInPurge {
    server: Arc<Server>,
    clock: Arc<Ahead>,
    purging: AtomicU64,
}

impl Progress for SickInPurge {
    fn begin(&self, what: &'static str, _: Option<u64>) {
        self.purging.store(u64::from(what == "purging"), Ordering::SeqCst);
    }

    fn advance(&self, _: u64) {
        if self.purging.swap(0, Ordering::SeqCst) == 1 {
            self.server.write(answer("500 Oh", "", ""));
            self.clock.pass(11);
        }
    }

    fn end(&self) {}
}

#[test]
fn a_purge_pauses_in_the_middle_of_a_tree() {
    let server = Arc::new(Server::well());
    let mut world = due(&server.url());
    let clock = ahead(&mut world);
    world.part("limits", "{purge: {entriesPerSecond: 10}}");
    world.progress = Arc::new(SickInPurge { server: server.clone(), clock, purging: AtomicU64::new(0) });
    let acted = swept(&world).acted;
    assert!(acted.paused.is_some() && acted.errors.is_empty(), "{acted:?}");
    assert_eq!((acted.condemned.len(), acted.purged.len()), (2, 0));
    let purging = world.root().join(".hygiene/purging");
    let left: usize = fs::read_dir(&purging)
        .unwrap()
        .map(|folder| folder.unwrap().path().join("workspace"))
        .map(|tree| fs::read_dir(tree).unwrap().count())
        .sum();
    assert!(left > 20, "much of it is still there: {left}");
    server.write(answer("200 OK", "", ""));
    world.progress = Arc::new(workspace_hygiene::progress::Unwatched);
    assert_eq!(swept(&world).acted.purged.len(), 2, "the next sweep purges what is left");
}

#[test]
fn a_service_that_suffers_from_three_sweeps_in_a_row_is_a_breaker_for_a_person() {
    let server = Arc::new(Server::well());
    let mut world = world_with(9, &server.url(), "", ", settle: 0s");
    let clock = ahead(&mut world);
    let suffers = |world: &World, from: u64| {
        let (sick, clock) = (server.clone(), clock.clone());
        server.write(answer("200 OK", "", ""));
        sweep_and(world, move |number| {
            if number == from {
                sick.write(answer("500 Oh", "", ""));
                clock.pass(11);
            }
        })
    };
    // Two in a row, and then one that the service bears, which begins the row again.
    for _ in 0..2 {
        assert!(suffers(&world, SECOND_VICTIM).acted.paused.is_some());
    }
    world.part("limits", "{perSweep: 1}");
    server.write(answer("200 OK", "", ""));
    assert_eq!(swept(&world).acted.quarantined.len(), 1);
    world.part("limits", "{perSweep: 10}");
    for _ in 0..3 {
        let swept = suffers(&world, SECOND_VICTIM);
        assert_eq!((held(&swept), swept.acted.quarantined.len()), (None, 1), "{:?}", swept.acted);
    }
    server.write(answer("200 OK", "", ""));
    let latched = swept(&world);
    assert_eq!((held(&latched), latched.acted.quarantined.len()), (Some(HoldReason::ServiceSuffers), 0));
    let hold = latched.observed.plan.held.unwrap();
    assert!(
        hold.message.contains("in 3 sweeps one after the other; the last time the service is unhealthy"),
        "{hold:?}"
    );
    let (code, text, errors) = run(&world, &["dismiss", hold.plan.unwrap().as_str()]);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert_eq!(swept(&world).acted.quarantined.len(), 3, "and then it goes on");
}

#[test]
fn the_report_says_why_it_ended_early() {
    // The observation finds it well, and the first step does not.
    let server = Server::with(|stream, number| {
        use std::io::Write;
        let status = if number == 0 { "200 OK" } else { "500 Oh" };
        drop(stream.write_all(answer(status, "", "").as_bytes()));
    });
    let world = world_with(1, &server.url(), "", ", settle: 0s");
    let (code, stdout, stderr) = run(&world, &["sweep"]);
    assert_eq!(code, Some(3), "{stdout}{stderr}");
    let told = format!("the next sweep goes on: the service is unhealthy: {} answers 500", server.url());
    assert!(stdout.contains("paused before everything was done") && stdout.contains(&told), "{stdout}");
    assert!(world.quarantined_trees().is_empty());
}
