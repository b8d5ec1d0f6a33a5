//! Whole sweeps against real servers: what comes back in time is put back, and whatever else answers in the server's place,
//! nothing is deleted on its word.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rstest::rstest;
use workspace_hygiene::plan::{HoldReason, KeepReason, Verdict};

use super::{Database, Engine, Known};
use crate::guards::{LIVE, held, swept};
use crate::servers::{MariaDb, Options, Postgres, Router};
use crate::sweep::races::sweep_with;
use crate::world::{DAY, World, backdate, change_time, id, manifest};

/// A volume that is swept for long with the sessions of a server, which hold the live one of every world alone.
pub struct Served {
    pub world: World,
    pub database: Database,
    secrets: Known,
}

impl Served {
    fn by(database: Database) -> Self {
        database.admin(&format!("delete from session; insert into session(id) values ('{LIVE}')"));
        let secrets = database.secrets.clone();
        secrets.set("db/url", &database.url());
        let mut world = World::on_disk();
        let engine = if database.engine == Engine::MariaDb { "mysql" } else { "postgres" };
        world.part(
            "sessions",
            &format!(
                "{{{engine}: {{url: {{secretKeyRef: {{name: db, key: url}}}}, tls: {{mode: Disable}}}}, timeout: 10s, \
                 liveQuery: 'select id from session where deleted_at is null'}}"
            ),
        );
        // Of so few sessions each is many per cent.
        world.part("limits", "{breaker: {maxSessionDropPercent: 100}}");
        world.secrets = Arc::new(secrets.clone());
        world.workspace(LIVE, 60 * DAY);
        let served = Self { world, database, secrets };
        assert_eq!(held(&swept(&served.world)), None);
        served
    }

    fn start(engine: Engine) -> Self {
        Self::by(Database::start(engine))
    }

    /// From here on another server answers.
    fn turn_to(&self, url: &str) {
        self.secrets.set("db/url", url);
    }

    /// Sweeps by the spec and the memory as they are, and makes sure that nothing was moved, for this reason.
    #[track_caller]
    fn holds(&self, reason: HoldReason) -> String {
        let before = manifest(&self.world.root());
        let swept = self.world.runtime_sweep().unwrap();
        let hold = swept.observed.plan.held.clone();
        assert_eq!(hold.as_ref().map(|hold| hold.reason), Some(reason), "{hold:?}");
        assert_eq!(manifest(&self.world.root()), before);
        hold.unwrap().message
    }
}

fn add(database: &Database, id: &str) {
    database.admin(&format!("insert into session(id) values ('{id}')"));
}

#[rstest]
fn a_row_that_comes_back_keeps_or_puts_back_at_each_moment(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    for moment in [1, 2] {
        // Between plan and rename, and between rename and the look after it.
        let served = Served::start(engine);
        let path = served.world.workspace(&id(1), 30 * DAY);
        let before = change_time(&path);
        let database = Arc::new(served.database);
        let writer = Arc::clone(&database);
        let acted = sweep_with(&served.world, move |call| {
            if call == moment {
                add(&writer, &id(1));
            }
            None
        });
        assert!(acted.quarantined.is_empty() && acted.errors.is_empty(), "{acted:?}");
        assert!(path.exists());
        assert_eq!(change_time(&path) == before, moment == 1, "moved and put back, or never moved");
    }
    // After a day in quarantine.
    let served = Served::start(engine);
    let path = served.world.workspace(&id(1), 30 * DAY);
    assert_eq!(served.world.sweep().quarantined, [id(1)]);
    assert!(!path.exists());
    served.world.pass(DAY);
    add(&served.database, &id(1));
    let acted = served.world.sweep();
    assert!(path.exists(), "{acted:?}");
}

/// Each other server that may answer, and the reason for which nothing is deleted.
#[test]
fn no_other_postgresql_is_believed() {
    let served = Served::start(Engine::Postgres);
    served.world.workspace(&id(1), 30 * DAY);
    served.world.workspace(&id(2), 30 * DAY);
    add(&served.database, &id(1));
    add(&served.database, &id(2));
    let primary = served.database.postgres();
    let (copy, standby) = (primary.copy_data_dir(), primary.standby());
    // A day goes by, and a sweep sees how far the primary has come.
    served.database.admin("insert into session(id) select 'gone-' || n from generate_series(1, 500) as n");
    served.database.admin(&format!("delete from session where id like 'gone-%' or id = '{}'", id(2)));
    served.world.pass(2 * 3600 * Duration::from_secs(1));
    assert_eq!(served.world.runtime_sweep().unwrap().acted.quarantined, [id(2)]);
    served.world.workspace(&id(3), 30 * DAY);

    served.turn_to(&copy.url());
    copy.admin("delete from session where id like 'bbbb%'");
    let said = served.holds(HoldReason::DatabaseWentBack);
    assert!(said.contains("an older copy") && said.contains("hygiene adopt"), "{said}");

    let other = Postgres::start();
    other.admin(&format!("delete from session; insert into session(id) values ('{LIVE}')"));
    served.turn_to(&other.url());
    served.holds(HoldReason::DatabaseChanged);

    standby.catch_up_with(primary);
    served.turn_to(&standby.url());
    assert!(served.holds(HoldReason::SourceUnavailable).contains("a standby"));
    standby.promote();
    assert!(served.holds(HoldReason::DatabaseChanged).contains("timeline"));

    let second = Postgres::start_with(Options::default().trusting());
    let first = Postgres::start_with(Options::default().trusting());
    let router = Router::between(first.port(), second.port());
    router.switch_after(6);
    served.turn_to(&first.url().replace(&first.port().to_string(), &router.port().to_string()));
    served.holds(HoldReason::SourceUnavailable);

    served.turn_to(&served.database.url());
    served.database.admin("alter table session enable row level security");
    assert!(served.holds(HoldReason::SourceUnavailable).contains("row-level security"));
    served
        .database
        .admin("alter table session disable row level security; update session set id = 'x' where id = 'none'");
    primary.stop_signal();
    assert!(served.holds(HoldReason::SourceUnavailable).contains("10s"));
    primary.kill();
    assert!(served.holds(HoldReason::SourceUnavailable).contains("cannot be reached"));
    primary.restart();
    assert_eq!(served.world.runtime_sweep().unwrap().acted.quarantined, [id(3)]);
}

#[test]
fn no_other_mariadb_is_believed() {
    let served = Served::start(Engine::MariaDb);
    served.world.workspace(&id(1), 30 * DAY);
    let primary = served.database.mariadb();
    let replica = primary.replica();
    replica.catch_up_with(primary);
    let other = Database::on_mariadb(MariaDb::start());
    other.admin(&format!("delete from session; insert into session(id) values ('{LIVE}')"));
    served.turn_to(&other.url());
    served.holds(HoldReason::DatabaseChanged);
    served.turn_to(&replica.url());
    assert!(served.holds(HoldReason::SourceUnavailable).contains("a replica"));
    replica.promote();
    served.holds(HoldReason::DatabaseChanged);
    served.turn_to(&served.database.url());
    primary.kill();
    assert!(served.holds(HoldReason::SourceUnavailable).contains("cannot be reached"));
    primary.restart();
    assert_eq!(served.world.runtime_sweep().unwrap().acted.quarantined, [id(1)]);
}

#[test]
fn a_fail_over_in_mid_sweep_ends_what_is_moved() {
    let served = Served::start(Engine::Postgres);
    (1..=3).for_each(|n| drop(served.world.workspace(&id(n), 30 * DAY)));
    let standby = served.database.postgres().standby();
    standby.catch_up_with(served.database.postgres());
    let (secrets, url) = (served.secrets.clone(), standby.url());
    let before = manifest(&served.world.root());
    // Before the first step the standby takes over, and its word that a session is gone is not taken.
    let acted = sweep_with(&served.world, move |call| {
        if call == 1 {
            standby.promote();
            secrets.set("db/url", &url);
        }
        None
    });
    assert!(acted.quarantined.is_empty(), "{acted:?}");
    assert!(acted.errors.iter().any(|error| error.message.contains("fail-over")), "{acted:?}");
    assert_eq!(manifest(&served.world.root()), before);
}

/// The service inserts the row, commits, and then makes the directory; the directory looks old at once. Whenever a sweep
/// looks, none of them is an orphan: its listing ends before its snapshot of the rows begins.
#[rstest]
#[case(Engine::Postgres, 7_000)]
#[case(Engine::MariaDb, 3_000)]
fn of_ten_thousand_sessions_that_are_made_while_it_looks_none_is_ever_an_orphan(
    #[case] engine: Engine,
    #[case] sessions: u32,
) {
    let served = Served::start(engine);
    let (made, looks) = (AtomicU32::new(0), AtomicU32::new(0));
    // So many at least, and until it was looked often enough.
    let more = || made.load(Ordering::Relaxed) < sessions || looks.load(Ordering::Relaxed) <= 20;
    let url = served.database.url();
    let root = served.world.root();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let next = || made.load(Ordering::Relaxed) + 1;
            let make = |n: u32| {
                let path = root.join(id(n));
                fs::create_dir(&path).unwrap();
                backdate(&path, 30 * DAY);
                made.fetch_add(1, Ordering::Relaxed);
                // A pause that differs each time, without a generator of random numbers.
                let pause = u64::from(n.wrapping_mul(2_654_435_761) >> 22);
                std::thread::sleep(Duration::from_micros(pause));
            };
            runtime.block_on(async {
                match engine {
                    Engine::Postgres => {
                        served.database.admin("grant insert on session to hygiene");
                        let config: tokio_postgres::Config = url.parse().unwrap();
                        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
                        let connection = tokio::spawn(connection);
                        while more() {
                            let n = next();
                            let sql = "insert into session(id) values ($1)";
                            client.query_typed(sql, &[(&id(n), tokio_postgres::types::Type::TEXT)]).await.unwrap();
                            make(n);
                        }
                        drop(client);
                        connection.await.unwrap().unwrap();
                    }
                    _ => {
                        use mysql_async::prelude::Queryable;
                        served.database.admin("grant insert on session to hygiene@'%'");
                        let opts = mysql_async::Opts::from_url(&url).unwrap();
                        let mut client = mysql_async::Conn::new(opts).await.unwrap();
                        while more() {
                            let n = next();
                            client.query_drop(format!("insert into session(id) values ('{}')", id(n))).await.unwrap();
                            make(n);
                        }
                        client.disconnect().await.unwrap();
                    }
                }
            });
        });
        while more() {
            let observed = served.world.plan();
            let look = looks.fetch_add(1, Ordering::Relaxed) + 1;
            let live =
                |verdict: &&Verdict| matches!(verdict, Verdict::Keep(KeepReason::LiveSession | KeepReason::Reserved));
            let other: Vec<_> = observed.plan.verdicts.iter().filter(|verdict| !live(verdict)).collect();
            assert!(other.is_empty(), "look {look}: {other:?}");
        }
    });
    assert_eq!(swept(&served.world).observed.plan.live, u64::from(made.into_inner()) + 1);
}
