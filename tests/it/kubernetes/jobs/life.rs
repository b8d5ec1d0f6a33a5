//! The whole life of a resource whose volume is a claim, as people who have kubectl and the volume see it.

use serde_json::{Value, json};
use workspace_hygiene::journal::{Event, Op};

use super::super::audit::requests;
use super::release::{CONTROLLER, release};
use super::{LONGEST, Swept, bridge, done, is_because, node};
use crate::servers::{DATABASE, PASSWORD, Postgres, USER};
use crate::world::id;

const LIVE: [u32; 4] = [1, 2, 3, 4];
const GONE: [u32; 3] = [5, 6, 7];

/// From its first report to its deletion. `change` is about its sessions; `make_live` adds one.
fn lives(swept: &Swept, change: &Value, make_live: impl Fn(&str)) {
    for n in LIVE.into_iter().chain(GONE) {
        swept.volume.workspace(&id(n), 20);
    }
    LIVE.iter().for_each(|n| make_live(&id(*n)));
    let before = swept.volume.manifest();

    // The first report, of a pod that cannot write to the volume.
    let mut spec = change.clone();
    super::merge(&mut spec, json!({"quarantine": {"retention": "20s"}}));
    swept.apply(spec);
    let seen = swept.wait("report", |status| is_because(status, "Ready", "True", "Swept"));
    assert!(is_because(&seen, "DeletionAllowed", "False", "ReportMode"), "{seen:#}");
    assert!(is_because(&seen, "SourcesAvailable", "True", "Complete"), "{seen:#}");
    assert_eq!((&seen["lastSweep"]["directories"], &seen["lastSweep"]["orphans"]), (&json!(7), &json!(3)), "{seen:#}");
    assert_eq!((&seen["job"]["phase"], &seen["job"]["nodeName"]), (&json!("Succeeded"), &json!("node")), "{seen:#}");
    let mut names: Vec<_> = seen["orphans"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, GONE.map(|n| json!(id(n))));
    let job = seen["job"]["name"].as_str().unwrap();
    let log = swept.kubectl(&["logs", &format!("job/{job}")]);
    assert!(log.contains(&id(GONE[0])), "the whole report is in the log: {log}");
    assert!(!log.contains(PASSWORD) && !seen.to_string().contains(PASSWORD));
    let pods = swept.made("pods");
    let mounts = pods[0]["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let volume = mounts.iter().find(|mount| mount["mountPath"] == "/mnt/hygiene/volume").unwrap();
    assert_eq!(volume["readOnly"], true, "{volume:#}");
    assert_eq!(swept.volume.manifest(), before);
    assert!(!swept.volume.root().join(".hygiene").exists());

    // The first sweep that may act binds the volume, and holds its plan.
    let held = swept.enforce(json!({}));
    assert_eq!(
        (&held["hold"]["kind"], &held["hold"]["reason"]),
        (&json!("Breaker"), &json!("AwaitsApproval")),
        "{held:#}"
    );
    assert!(is_because(&held, "Ready", "True", "Swept"), "{held:#}");
    swept.wait_for_event("AwaitsApproval");

    // Approved, they go to quarantine, and the annotation goes.
    let seen = swept.wait("quarantining", |status| status["quarantine"]["directories"] == 3);
    assert!(is_because(&seen, "DeletionAllowed", "True", "Allowed") && seen.get("hold").is_none(), "{seen:#}");
    assert!(is_because(&seen, "BacklogDrained", "True", "NoOrphans"), "{seen:#}");
    assert_eq!(swept.volume.held(), LIVE.map(id));
    let hash = held["hold"]["planHash"].as_str().unwrap();
    assert!(swept.wait_for_event("Approved").contains(hash));
    assert!(swept.wait_for_event("Quarantined").starts_with("3 workspaces"));
    let journal = swept.volume.journal();
    assert!(
        journal.iter().any(|record| matches!(&record.event, Event::Approved(remark) if remark.why.contains("kubectl")))
    );
    assert_eq!(done(&journal, Op::Quarantine), GONE.map(id));
    let annotations = || swept.kubectl(&["get", "wsh", swept.name, "-o", "jsonpath={.metadata.annotations}"]);
    swept.wait_for(LONGEST, "annotation that was taken away", || (!annotations().contains(hash)).then_some(()));

    // One whose row is back is put back by the next sweep; the others' retention is over.
    make_live(&id(GONE[0]));
    swept.sweep("its-row-is-back");
    assert!(swept.wait_for_event("Restored").starts_with("1 workspace "));
    assert_eq!(swept.volume.held(), [1, 2, 3, 4, 5].map(id));
    swept.wait_for_retention();
    swept.sweep("retention-is-over");
    let seen = swept.wait("purge", |status| status["reclaimed"]["directories"] == 2);
    assert_eq!(seen["quarantine"]["directories"], 0, "{seen:#}");
    assert!(swept.wait_for_event("Purged").starts_with("2 workspaces"));
    let journal = swept.volume.journal();
    assert_eq!((done(&journal, Op::Condemn), done(&journal, Op::Purge)), (vec![id(6), id(7)], vec![id(6), id(7)]));
    assert!(swept.volume.ours("quarantine").is_empty() && swept.volume.ours("purging").is_empty());
    let after = swept.volume.manifest();
    let kept = before.iter().filter(|(name, _)| !GONE[1..].iter().any(|n| name.starts_with(id(*n).as_bytes())));
    let without_pin = after.iter().filter(|(name, _)| !name.ends_with(b".hygiene-keep"));
    assert!(kept.eq(without_pin), "{after:#?}");

    // History is as a CronJob has it, and goes with the resource; the volume stays as it is.
    swept.wait_for(LONGEST, "end of older Jobs", || (swept.jobs("sweep").len() <= 2).then_some(()));
    assert_eq!(swept.made("configmaps").len(), 1);
    swept.delete();
    assert!(swept.wait_for_event("Deleted").contains("nothing is in quarantine"));
    let left = || {
        ["jobs", "pods", "configmaps", "serviceaccounts", "roles", "rolebindings"].map(|kind| swept.made(kind).len())
    };
    swept.wait_for(LONGEST, "end of what was made", || left().iter().all(|count| *count == 0).then_some(()));
    assert_eq!(swept.volume.manifest(), after);
    swept.assert_all_is_well();
}

#[test]
fn a_claim_lives_from_its_first_report_to_the_end_of_its_resource() {
    let _release = release();
    let swept = Swept::new("jobs-life", "collab");
    lives(&swept, &json!({}), |id| swept.volume.session(id));

    // No pod read a Secret, and neither did the controller, here or anywhere else.
    let asked = requests(&node().audited(), "secrets");
    let secrets: Vec<_> = asked.iter().filter(|(user, asked)| user == CONTROLLER && asked.what == "secrets").collect();
    assert!(secrets.is_empty(), "{secrets:#?}");
}

#[test]
fn a_claim_with_a_database_server_lives_by_a_secret_of_its_own_namespace() {
    let _release = release();
    let postgres = Postgres::start();
    postgres.admin(&format!("create table work (id text primary key); grant select on work to {USER}"));
    bridge::reach(postgres.port());
    let swept = Swept::new("jobs-server", "collab");
    let url = postgres.url_for(USER, PASSWORD, DATABASE).replace("127.0.0.1", bridge::NODE);
    swept.kubectl(&["create", "secret", "generic", "db", &format!("--from-literal=url={url}")]);
    let sessions = json!({
        "sqlite": null,
        "postgres": {"url": {"secretKeyRef": {"name": "db", "key": "url"}}, "tls": {"mode": "Disable"}},
        "liveQuery": "select id from work",
    });
    lives(&swept, &json!({"sessions": sessions}), |id| postgres.admin(&format!("insert into work values ('{id}')")));
}
