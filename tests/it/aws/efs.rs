//! EFS as the volume.

use rstest::rstest;
use serde_json::{Value, json};

use super::proxy::Answer;
use super::{Cloud, held, moto, names};
use crate::world::{DAY, World, id};

const SERVING: &str = "serving: {service: collab}";
const GIB: u64 = 1 << 30;

/// A world whose spec names a file system of 3 TiB, a third of it in each storage class.
fn on_efs(cloud: &Cloud, orphans: u32) -> (World, String) {
    let id = moto::force(&json!({"do": "file_system", "token": cloud.cluster})).as_str().unwrap().to_owned();
    let sizes = json!({
        "Value": 3 * 1024 * GIB, "ValueInIA": 1024 * GIB, "ValueInStandard": 1024 * GIB, "ValueInArchive": 1024 * GIB,
        "Timestamp": 1_700_000_000,
    });
    moto::force(&json!({"do": "set_file_system", "id": id, "values": {"_sizes": sizes}}));
    let mut world = cloud.world(orphans, SERVING, ", settle: 0s");
    name(&mut world, &id);
    (world, id)
}

fn name(world: &mut World, id: &str) {
    let efs = format!("{{fileSystemID: {id}, region: eu-central-1, pricePerGiBMonth: \"0.36\"}}");
    world.part("volume", &format!("{{path: {}, efs: {efs}}}", world.root().display()));
}

fn set(id: &str, values: &Value) {
    moto::force(&json!({"do": "set_file_system", "id": id, "values": values}));
}

#[test]
fn status_tells_size_and_costs_and_that_the_identity_alone_decides() {
    let cloud = Cloud::start();
    let (mut world, efs) = on_efs(&cloud, 3);
    world.part("limits", "{perSweep: 1}");
    world.part("quarantine", "{retention: 1s}");
    let big = vec![7; 32 << 20];
    for n in 1..=3 {
        std::fs::write(world.root().join(id(n)).join("large"), &big).unwrap();
        crate::world::backdate(&world.root().join(id(n)), (60 - n) * DAY);
    }
    let plan = cloud.plan(&world);
    assert_eq!(plan["sources"]["efs"]["state"], "Complete", "{plan:#}");
    let (_, text, _) = cloud.run(&world, &["plan", "--unsafe-short-times"]);
    assert!(text.contains(&format!("{efs}, 3Ti")), "{text}");
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1)]);
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    assert_eq!(names(&cloud.sweep(&world), "purged"), [id(1)]);
    let status = cloud.json(&world, &["status", "--unsafe-short-times"]);
    let volume = &status["volume"];
    assert_eq!((&volume["size"], &volume["monthlyCost"]), (&"3Ti".into(), &"1105.92".into()), "{status:#}");
    assert_eq!(
        (&volume["efs"]["fileSystemID"], &volume["efs"]["verifiedBy"]),
        (&efs.as_str().into(), &"IdentityFile".into())
    );
    assert_eq!(volume["efs"]["infrequentAccess"], "1Ti");
    assert!(volume["efs"]["message"].as_str().unwrap().contains("the identity file alone decides"), "{status:#}");
    // One workspace is left, of 32 MiB and a little.
    assert_eq!(
        (&status["backlog"]["directories"], &status["backlog"]["size"]),
        (&1.into(), &"32Mi".into()),
        "{status:#}"
    );
    for part in ["backlog", "reclaimed"] {
        assert_eq!(status[part]["monthlyCost"], "0.01", "{status:#}");
    }
    let (_, text, _) = cloud.run(&world, &["status", "--unsafe-short-times"]);
    assert!(text.contains("1105.92 a month") && text.contains("(32Mi, 0.01 a month)"), "{text}");
}

#[test]
fn a_file_system_that_is_not_available_or_a_copy_holds() {
    let cloud = Cloud::start();
    let (world, efs) = on_efs(&cloud, 1);
    set(&efs, &json!({"life_cycle_state": "updating"}));
    let report = cloud.sweep(&world);
    assert!(
        held(&report).0 == "SourceUnavailable" && held(&report).1.contains("is updating, not available"),
        "{report:#}"
    );
    set(&efs, &json!({"life_cycle_state": "available"}));
    moto::force(&json!({"do": "replicate", "source": "fs-0123456789", "to": efs}));
    let report = cloud.sweep(&world);
    assert_eq!(held(&report).0, "ReplicationDestination");
    assert!(held(&report).1.contains("a replication of fs-0123456789, a read-only copy"), "{report:#}");
    assert_eq!(names(&report, "quarantined"), [""; 0]);
    // The source of one may be cleaned.
    moto::force(&json!({"do": "replicate", "source": efs, "to": "fs-0123456789"}));
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1)]);
}

#[test]
fn protection_that_says_replicating_holds_without_a_configuration() {
    let cloud = Cloud::start();
    let (world, efs) = on_efs(&cloud, 1);
    set(&efs, &json!({"file_system_protection": {"ReplicationOverwriteProtection": "REPLICATING"}}));
    assert_eq!(held(&cloud.sweep(&world)).0, "ReplicationDestination");
    assert!(world.root().join(id(1)).exists());
}

#[test]
fn another_file_system_than_the_one_that_was_bound_holds_until_it_is_adopted() {
    let cloud = Cloud::start();
    let (mut world, first) = on_efs(&cloud, 1);
    world.part("limits", "{breaker: {maxOrphans: 50}}");
    // Bound without one, the volume takes its id over.
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1)]);
    let identity = std::fs::read_to_string(world.root().join(".hygiene/identity")).unwrap();
    assert!(identity.contains(&first), "{identity}");
    world.workspace(&id(2), 50 * DAY);
    let other = Cloud::start();
    let (_, second) = on_efs(&other, 0);
    name(&mut world, &second);
    let report = cloud.sweep(&world);
    assert_eq!(held(&report).0, "FileSystemChanged", "{report:#}");
    let told = format!("spec.volume.efs names {second}, and the volume was bound to {first}");
    assert!(held(&report).1.contains(&told) && held(&report).1.contains("hygiene adopt"), "{report:#}");
    assert!(world.root().join(id(2)).exists());
    let (code, stdout, stderr) = cloud.run(&world, &["adopt", "--yes"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("EFS file system"), "{stdout}");
    assert_eq!(
        held(&{
            let (_, stdout, _) = cloud.run_as_written(&world, &["plan", "-o", "json"]);
            serde_json::from_str::<Value>(&stdout).unwrap()
        })
        .0,
        "AwaitsApproval"
    );
}

#[rstest]
#[case::denied("DescribeFileSystems", || Answer::Refuse(403, "AccessDeniedException"), "allow elasticfilesystem:DescribeFileSystems")]
#[case::gone("DescribeFileSystems", || Answer::Refuse(404, "FileSystemNotFound"), "check names and region in the spec")]
#[case::targets("DescribeMountTargets", || Answer::Refuse(403, "ExpiredTokenException"), "the credentials have expired")]
#[case::points("DescribeAccessPoints", || Answer::Refuse(403, "AccessDenied"), "allow elasticfilesystem:DescribeAccessPoints")]
#[case::replication(
    "DescribeReplicationConfigurations",
    || Answer::Refuse(403, "AccessDenied"),
    "allow elasticfilesystem:DescribeReplicationConfigurations"
)]
#[case::halved("DescribeFileSystems", || Answer::Halve, "cut short or cannot be read")]
#[case::halved_targets("DescribeMountTargets", || Answer::Halve, "cut short or cannot be read")]
#[case::none("DescribeFileSystems", || Answer::Edit(Box::new(|_| json!({"FileSystems": []}))), "does not describe this file system")]
#[case::no_targets("DescribeMountTargets", || Answer::Edit(Box::new(|_| json!({}))), "its list is missing")]
fn a_partial_answer_is_no_answer(#[case] action: &'static str, #[case] answer: fn() -> Answer, #[case] told: &str) {
    let cloud = Cloud::start();
    let (world, _) = on_efs(&cloud, 1);
    cloud.proxy.rule(move |call| if call.action == action { answer() } else { Answer::Pass });
    let report = cloud.sweep(&world);
    let (reason, message) = held(&report);
    assert!(reason == "SourceUnavailable" && message.contains(told), "{reason} {message}");
    assert!(world.root().join(id(1)).exists());
}
