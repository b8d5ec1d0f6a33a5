//! The whole life of a resource, as people who have kubectl, a dashboard and the volume see it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use workspace_hygiene::journal::{Event, Op};

use super::history::{done, journal};
use super::process::Controller;
use super::{
    annotate, apply, cluster, condition, events, in_namespace, namespace, patch, status, wait, wait_for_retention,
};
use crate::world::{DAY, World, id, manifest};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

struct Life {
    // Before the folder that its log is in, and so dropped before it.
    controller: Controller,
    world: World,
    namespace: String,
}

impl Life {
    #[track_caller]
    fn wait(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait(what, &mut self.controller, || is_so(&status(&self.namespace)));
        status(&self.namespace)
    }

    #[track_caller]
    fn wait_for_event(&mut self, reason: &str) -> String {
        let find = || events(&self.namespace).into_iter().find(|(told, _)| told == reason);
        wait(reason, &mut self.controller, || find().is_some());
        find().unwrap().1
    }

    /// Asks for a sweep, and waits until the status answers.
    #[track_caller]
    fn sweep(&mut self, request: &str) -> Value {
        annotate(&self.namespace, &format!("hygiene.dev/sweep-requested-at={request}"));
        self.wait(request, |status| status["lastHandledSweepRequest"] == request)
    }

    /// The value of a metric of the resource, with a label such as `reason="Suspended"`.
    fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let address = self.controller.said("the admin server listens", "address").remove(0);
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let begin = format!("hygiene_{name}{{");
        let line =
            text.lines().find(|line| line.starts_with(&begin) && line.contains(label) && line.contains("\"test\""))?;
        line.rsplit(' ').next().unwrap().parse().ok()
    }

    /// The same, once the metric has the value.
    #[track_caller]
    fn wait_for_metric(&mut self, name: &str, label: &str, value: f64) {
        let is = || self.metric(name, label) == Some(value);
        let begun = std::time::Instant::now();
        while !is() {
            assert!(begun.elapsed() < super::LONGEST, "{name} {label}: {:?}", self.metric(name, label));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn journal_says(&self, is_so: impl Fn(&Event) -> bool) -> bool {
        journal(&self.world).iter().any(|record| is_so(&record.event))
    }

    fn is_there(&self, n: u32) -> bool {
        self.world.root().join(id(n)).exists()
    }
}

fn is_because(status: &Value, kind: &str, holds: &str, reason: &str) -> bool {
    let condition = condition(status, kind);
    condition["status"] == holds && condition["reason"] == reason
}

#[test]
fn a_resource_lives_from_its_first_report_to_its_deletion() {
    let namespace = namespace("whole-life");
    let mut world = in_namespace(World::fresh(), &namespace);
    world.part("mode", "Report");
    world.part("quarantine", "{retention: 1s}");
    world.workspace(LIVE, 30 * DAY);
    (1..=2).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    apply(&world);
    let before = manifest(&world.root());
    let controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    let mut life = Life { controller, world, namespace };

    // It reports, and changes nothing.
    let seen = life.wait("report", |status| is_because(status, "Ready", "True", "Swept"));
    assert!(is_because(&seen, "DeletionAllowed", "False", "ReportMode"), "{seen}");
    assert!(is_because(&seen, "BacklogDrained", "False", "OrphansWait"), "{seen}");
    let mut names: Vec<_> = seen["orphans"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, [id(1), id(2)]);
    life.wait_for_metric("orphans", "", 2.0);
    life.wait_for_metric("condition", "type=\"Ready\",status=\"True\"", 1.0);
    assert!(manifest(&life.world.root()) == before && !life.world.root().join(".hygiene").exists());

    // The first sweep that may act binds the volume, and holds its plan.
    life.world.part("mode", "Enforce");
    apply(&life.world);
    let seen = life.wait("hold", |status| status["hold"]["reason"] == "AwaitsApproval");
    assert!(is_because(&seen, "DeletionAllowed", "False", "AwaitsApproval"), "{seen}");
    assert_eq!((&seen["hold"]["kind"], &condition(&seen, "Ready")["status"]), (&"Breaker".into(), &"True".into()));
    life.wait_for_event("AwaitsApproval");
    life.wait_for_metric("hold", "reason=\"AwaitsApproval\"", 1.0);
    assert!(life.journal_says(|event| matches!(event, Event::Bound(_))));
    assert!(life.journal_says(|event| matches!(event, Event::Held(_))));
    assert_eq!(manifest(&life.world.root()), before);

    // Approved, they go to quarantine.
    let hash = seen["hold"]["planHash"].as_str().unwrap().to_owned();
    annotate(&life.namespace, &format!("hygiene.dev/approve-plan={hash}"));
    let seen = life.wait("quarantining", |status| status["quarantine"]["directories"] == 2);
    assert!(is_because(&seen, "DeletionAllowed", "True", "Allowed") && seen.get("hold").is_none(), "{seen}");
    assert!(is_because(&seen, "BacklogDrained", "True", "NoOrphans"), "{seen}");
    assert!(life.wait_for_event("Approved").contains(&hash));
    assert!(life.wait_for_event("Quarantined").starts_with("2 workspaces"));
    life.wait_for_metric("quarantined_directories_total", "", 2.0);
    assert!(life.journal_says(|event| matches!(event, Event::Approved(remark) if remark.why.contains("kubectl"))));
    assert_eq!(done(&journal(&life.world), Op::Quarantine), [id(1), id(2)].into());
    assert!(!life.is_there(1) && !life.is_there(2) && life.world.quarantined_trees().len() == 2);

    // One whose row is back is put back without any sweep.
    life.world.set_live(&id(1), true);
    wait("restore", &mut life.controller, || life.world.root().join(id(1)).exists());
    assert!(life.wait_for_event("Restored").starts_with("1 workspace "));
    life.wait_for_metric("restored_directories_total", "", 1.0);
    assert_eq!(done(&journal(&life.world), Op::Restore), [id(1)].into());
    let restored = manifest(&life.world.root().join(id(1)));
    assert!(restored.contains_key(b"src/deep/data".as_slice()), "{restored:?}");

    // The other's retention is over.
    wait_for_retention(&life.namespace, &mut life.controller);
    let seen = life.sweep("after-retention");
    assert_eq!(
        (&seen["quarantine"]["directories"], &seen["reclaimed"]["directories"]),
        (&0.into(), &1.into()),
        "{seen}"
    );
    assert!(life.wait_for_event("Purged").starts_with("1 workspace "));
    life.wait_for_metric("purged_directories_total", "", 1.0);
    let records = journal(&life.world);
    assert_eq!((done(&records, Op::Condemn), done(&records, Op::Purge)), ([id(2)].into(), [id(2)].into()));
    assert!(life.world.quarantined_trees().is_empty() && !life.is_there(2));
    let purging = std::fs::read_dir(life.world.root().join(".hygiene/purging")).unwrap().count();
    assert_eq!(purging, 0);

    // Suspended it looks, and resumed it acts.
    patch(&life.namespace, r#"{"spec":{"suspend":true}}"#);
    life.wait("suspension", |status| is_because(status, "DeletionAllowed", "False", "Suspended"));
    life.world.workspace(&id(3), 30 * DAY);
    let seen = life.sweep("suspended");
    assert_eq!((&seen["hold"]["kind"], &seen["lastSweep"]["orphans"]), (&"Gate".into(), &1.into()), "{seen}");
    assert!(life.is_there(3));
    life.wait_for_metric("hold", "reason=\"Suspended\"", 1.0);
    patch(&life.namespace, r#"{"spec":{"suspend":false}}"#);
    life.wait("resumption", |status| status.get("hold").is_none() && status["lastSweep"]["quarantined"] == 1);
    assert!(!life.is_there(3));

    // A breaker latches until somebody drops the plan.
    (4..=5).for_each(|n| drop(life.world.workspace(&id(n), 30 * DAY)));
    patch(&life.namespace, r#"{"spec":{"limits":{"breaker":{"maxOrphans":1}}}}"#);
    let seen = life.wait("breaker", |status| is_because(status, "DeletionAllowed", "False", "TooManyOrphans"));
    let hash = seen["hold"]["planHash"].as_str().unwrap().to_owned();
    life.wait_for_event("TooManyOrphans");
    (4..=5).for_each(|n| life.world.set_live(&id(n), true));
    let seen = life.sweep("latched");
    assert_eq!(
        (&seen["hold"]["reason"], &seen["lastSweep"]["orphans"]),
        (&"TooManyOrphans".into(), &0.into()),
        "{seen}"
    );
    annotate(&life.namespace, &format!("hygiene.dev/dismiss-plan={hash}"));
    let seen = life.wait("dismissal", |status| status.get("hold").is_none());
    assert!(is_because(&seen, "DeletionAllowed", "True", "Allowed"), "{seen}");
    life.wait_for_event("Dismissed");
    assert!(life.journal_says(|event| matches!(event, Event::Dismissed(_))));
    assert!(life.is_there(4) && life.is_there(5));
    life.sweep("rest");
    life.wait_for_metric("purged_directories_total", "", 2.0);

    // A fault of the spec stalls it until it is mended.
    let schedule = |cron: &str, every: &str| format!(r#"{{"spec":{{"schedule":{{"cron":{cron},"every":{every}}}}}}}"#);
    patch(&life.namespace, &schedule(r#""61 * * * *""#, "null"));
    let seen = life.wait("fault", |status| is_because(status, "Stalled", "True", "InvalidSpec"));
    assert!(is_because(&seen, "Ready", "False", "InvalidSpec"), "{seen}");
    patch(&life.namespace, &schedule("null", r#""1m""#));
    let seen = life.wait("its mending", |status| is_because(status, "Ready", "True", "Swept"));
    assert!(condition(&seen, "Stalled").is_null(), "{seen}");

    // Deleted it leaves the volume as it is.
    let before = (manifest(&life.world.root()), journal(&life.world));
    cluster().admin(&["-n", &life.namespace, "delete", "wsh", "test", "--timeout=10s"]);
    assert!(life.wait_for_event("Deleted").contains("nothing is in quarantine"));
    assert_eq!((manifest(&life.world.root()), journal(&life.world)), before);
    assert_eq!(life.metric("orphans", ""), None, "it is not shown any more");
    assert_eq!(life.controller.stop().code(), Some(0));
}
