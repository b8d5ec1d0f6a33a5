//! A backlog that several pods remove side by side.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use workspace_hygiene::journal::Op;

use super::release::release;
use super::{LONGEST, Swept, done, is_because};
use crate::world::id;

const LIVE: u32 = 8;
const GONE: u32 = 8;
/// Files of each workspace that goes.
const FILES: u32 = 400;

fn index(pod: &Value) -> Option<String> {
    let index = &pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"];
    index.as_str().map(str::to_owned)
}

fn running(pods: &[Value]) -> Vec<&Value> {
    let of_shard = |pod: &&Value| index(pod).is_some() && pod["status"]["phase"] == "Running";
    pods.iter().filter(of_shard).collect()
}

#[test]
fn four_shards_remove_a_backlog_and_one_that_is_killed_is_tried_again_alone() {
    let _release = release();
    let swept = Swept::new("jobs-shards", "collab");
    for n in 1..=LIVE {
        swept.volume.workspace(&id(n), 5);
        swept.volume.session(&id(n));
    }
    let gone: Vec<_> = (LIVE + 1..=LIVE + GONE).map(id).collect();
    gone.iter().for_each(|name| swept.volume.workspace(name, FILES));
    let live = swept.volume.held().into_iter().filter(|name| !gone.contains(name)).collect::<Vec<_>>();
    // Some twenty seconds, if all of them work.
    swept.apply(json!({
        "limits": {
            "perSweep": 100, "breaker": {"maxOrphans": 100, "maxOrphanPercent": 100},
            "purge": {"entriesPerSecond": 160, "shards": 4},
        },
        "quarantine": {"retention": "5s"},
    }));
    swept.wait("report", |status| is_because(status, "Ready", "True", "Swept"));
    swept.enforce(json!({}));
    swept.wait("quarantining", |status| status["quarantine"]["directories"] == GONE);
    swept.wait_for_retention();
    swept.annotate("hygiene.dev/sweep-requested-at=purge");

    let job = swept.wait_for(LONGEST, "Indexed Job", || swept.jobs("purge").pop());
    let spec = &job["spec"];
    assert_eq!((&spec["completionMode"], &spec["completions"]), (&json!("Indexed"), &json!(4)), "{spec:#}");
    swept.wait_for(LONGEST, "four pods at once", || {
        Some(swept.made("pods"))
            .filter(|pods| running(pods).iter().filter_map(|pod| index(pod)).collect::<BTreeSet<_>>().len() == 4)
    });
    let seen = swept.wait("entry that a shard removed", |status| {
        status["job"]["name"] == job["metadata"]["name"] && status["job"]["entriesRemoved"].as_u64() > Some(0)
    });
    assert_eq!(seen["job"]["phase"], "Running", "{seen:#}");

    // One is killed, with all that it held: one that runs now, as those of a while ago may have ended their share since.
    let pods = swept.made("pods");
    let victim = running(&pods)[0];
    let (name, of) = (victim["metadata"]["name"].as_str().unwrap(), index(victim).unwrap());
    swept.kubectl(&["delete", "pod", name, "--grace-period=0", "--force"]);
    let again = || {
        let pods = swept.made("pods");
        pods.into_iter().find(|pod| index(pod).as_ref() == Some(&of) && pod["metadata"]["name"] != name)
    };
    swept.wait_for(LONGEST, "another pod of its share", again);

    let seen = swept.wait("end of the purge", |status| status["reclaimed"]["directories"] == GONE);
    assert_eq!(seen["quarantine"]["directories"], 0, "{seen:#}");
    let job = swept.jobs("purge").pop().unwrap();
    assert_eq!(
        (&job["status"]["succeeded"], &job["status"]["completedIndexes"]),
        (&json!(4), &json!("0-3")),
        "{job:#}"
    );
    let journal = swept.volume.journal();
    assert_eq!((done(&journal, Op::Condemn), done(&journal, Op::Purge)), (gone.clone(), gone), "each of them once");
    assert!(swept.volume.ours("purging").is_empty() && swept.volume.ours("quarantine").is_empty());
    assert_eq!(swept.volume.held(), live);
    assert!(swept.wait_for_event("Purged").starts_with(&format!("{GONE} workspaces")));
    swept.assert_all_is_well();
}
