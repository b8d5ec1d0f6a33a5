//! What is not swept, and how its status says why.

use super::super::schema::minimal;
use super::{Controller, apply, cluster, condition, in_namespace, namespace, object, wait};
use crate::world::{DAY, World, id};

/// Reason and message of `Stalled`, once it is True.
fn stalled(namespace: &str, name: &str) -> Option<(String, String)> {
    let status = object(namespace, name)["status"].clone();
    let stalled = condition(&status, "Stalled");
    (stalled["status"] == "True").then(|| {
        assert_eq!(condition(&status, "Ready")["status"], "False", "{status}");
        assert_eq!(status["observedGeneration"], object(namespace, name)["metadata"]["generation"], "{status}");
        (stalled["reason"].as_str().unwrap().to_owned(), stalled["message"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_resource_that_may_not_be_swept_says_why_and_hides_no_other() {
    let namespace = namespace("refusals");
    let mut world = in_namespace(World::new(), &namespace);
    world.part("mode", "Report");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    let root = world.root();
    let database = world.path("sessions.db");
    let at = |name: &str, path: &str| {
        let mut resource = minimal(&namespace, name);
        resource["spec"]["volume"]["path"] = path.into();
        resource["spec"]["sessions"]["sqlite"]["path"] = database.display().to_string().into();
        resource
    };
    let beside = |name: &str| world.path(name).display().to_string();

    // Of another root, of no root, and of one that is reached over a symlink.
    let outside = at("outside", "/mnt/efs/workspaces");
    let mut foreign_rows = at("foreign-rows", &beside("one"));
    foreign_rows["spec"]["sessions"]["sqlite"]["path"] = "/mnt/db/sessions.db".into();
    std::os::unix::fs::symlink(&database, world.path("link.db")).unwrap();
    let mut linked_rows = at("linked-rows", &beside("two"));
    linked_rows["spec"]["sessions"]["sqlite"]["path"] = beside("link.db").into();
    let mut endpoint = at("endpoint", &beside("three"));
    endpoint["spec"]["containers"] = serde_json::json!({"http": {"url": "http://169.254.169.254/latest"}});
    let mut claim = minimal(&namespace, "claim");
    claim["spec"]["volume"] = serde_json::json!({"persistentVolumeClaim": {"claimName": "efs"}});
    let mut faulty = at("faulty", &beside("four"));
    faulty["spec"]["workspaces"]["pattern"] = "^(?<session>[a-z]+)(?<session2>(?!x))$".into();
    faulty["spec"]["schedule"] = serde_json::json!({"cron": "61 * * * *"});
    for resource in [&outside, &foreign_rows, &linked_rows, &endpoint, &claim, &faulty] {
        cluster().admin_with(&["create", "-f", "-"], &resource.to_string());
    }
    let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    let mut expect = |name: &str, reason: &str, parts: &[&str]| {
        wait(name, &mut controller, || stalled(&namespace, name).is_some());
        let (found, message) = stalled(&namespace, name).unwrap();
        assert_eq!(found, reason, "{name}: {message}");
        parts.iter().for_each(|part| assert!(message.contains(part), "{name}: {message}"));
    };
    expect("outside", "VolumeNotAllowed", &["spec.volume.path: /mnt/efs/workspaces", "--volume-root NAME=PATH:"]);
    expect("foreign-rows", "SessionsNotAllowed", &["spec.sessions.sqlite.path: /mnt/db/sessions.db"]);
    expect("linked-rows", "SessionsNotAllowed", &["leads over a symlink"]);
    expect("endpoint", "EvidenceNotAllowed", &["--allow-evidence http=169.254.169.254:"]);
    expect("claim", "InvalidSpec", &["spec.volume.persistentVolumeClaim.claimName", "--job-image"]);
    expect("faulty", "InvalidSpec", &["spec.workspaces.pattern", "spec.schedule.cron"]);

    // The others are swept all the same; one that overlaps with an older one is not, until that is gone.
    apply(&world);
    cluster().admin(&["-n", &namespace, "wait", "--for=condition=Ready", "--timeout=60s", "wsh/test"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::create_dir_all(root.join("inner")).unwrap();
    let overlapping = at("overlapping", &root.join("inner").display().to_string());
    cluster().admin_with(&["create", "-f", "-"], &overlapping.to_string());
    expect("overlapping", "OverlappingVolume", &["overlaps with that of test"]);
    cluster().admin(&["-n", &namespace, "delete", "wsh", "test"]);
    wait("the younger one's turn", &mut controller, || stalled(&namespace, "overlapping").is_none());

    // A fault that is mended is no fault any more.
    let path = format!(r#"{{"spec":{{"volume":{{"path":"{}"}}}}}}"#, beside("five"));
    std::fs::create_dir_all(world.path("five")).unwrap();
    cluster().admin(&["-n", &namespace, "patch", "wsh", "outside", "--type=merge", "-p", &path]);
    wait("its mending", &mut controller, || stalled(&namespace, "outside").is_none());
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_namespace_that_no_root_names_reaches_nothing() {
    let (ours, theirs) = (namespace("ours"), namespace("theirs"));
    let mut world = in_namespace(World::new(), &theirs);
    world.part("mode", "Report");
    apply(&world);
    let mut controller = Controller::start(&world, &ours, &["--namespace", &theirs, "--leader-elect", "false"]);
    wait("refusal", &mut controller, || {
        stalled(&theirs, "test").is_some_and(|(reason, _)| reason == "VolumeNotAllowed")
    });
    assert_eq!(controller.stop().code(), Some(0));
}
