//! What went wrong elsewhere, replayed. Each test is named for a public thread (`owner/repo#number` on GitHub unless said
//! otherwise, in its comment); docs/incidents.md lists them.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::io::Errno;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::plan::{HoldReason, KeepReason, Verdict};
use workspace_hygiene::records::AnswerKind;

use crate::fuse::Op;
use crate::guards::lock::sweep_and;
use crate::guards::{approved, fresh, holds, swept};
use crate::sweep::races::sweep_with;
use crate::world::{DAY, World, backdate, id, manifest};

const HOUR: Duration = Duration::from_secs(3_600);

fn keeps(world: &World, wanted: impl Fn(&KeepReason) -> bool) -> bool {
    let swept = swept(world);
    assert_eq!(swept.acted.quarantined.len(), 0, "{:?}", swept.acted);
    swept.observed.plan.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Keep(reason) if wanted(reason)))
}

/// kubernetes/kubernetes#38918 and #31596: an empty etcd was read as "nothing should exist", and every pod was deleted.
#[test]
fn an_empty_store_deletes_everything_kubernetes_38918() {
    let world = approved(2);
    world.db("delete from session");
    holds(&world, HoldReason::TooFewLiveSessions);
}

/// apache/paimon#7920: a transient storage error became an empty list of used files.
#[test]
fn an_error_becomes_an_empty_list_paimon_7920() {
    let world = World::on_fuse();
    world.workspace(&id(1), 60 * DAY);
    world.fuse().control().on(Op::Readdir, "/").fail(Errno::IO);
    holds(&world, HoldReason::SourceUnavailable);
    let world = approved(1);
    fs::write(world.path("sessions.db"), "not a database any more").unwrap();
    holds(&world, HoldReason::SourceUnavailable);
}

/// apache/iceberg#4194 and #4346: ids were encoded differently on both sides, and everything looked orphaned.
#[test]
fn ids_encoded_differently_iceberg_4194() {
    let world = approved(0);
    for n in 0xa0..0xa5 {
        world.set_live(&format!("cccccccc-0000-4000-8000-0000000000{n:x}"), true);
        world.workspace(&format!("CCCCCCCC-0000-4000-8000-0000000000{n:X}"), 60 * DAY);
    }
    holds(&world, HoldReason::NearMatches);
}

/// apache/amoro#2925: the age floor did not protect, because it compared the wrong time.
#[test]
fn the_age_floor_compares_the_wrong_time_amoro_2925() {
    let world = approved(0);
    let path = world.workspace(&id(1), 60 * DAY);
    fs::File::open(path.join("src/deep")).unwrap().set_modified(std::time::SystemTime::now() - HOUR).unwrap();
    assert!(keeps(&world, |reason| matches!(reason, KeepReason::ActiveInside(..))));
}

/// o8#1586 and opencode forks: editing deep inside a tree does not touch its root's times.
#[test]
fn a_deep_edit_leaves_the_root_old_o8_1586() {
    let world = approved(0);
    let path = world.workspace(&id(1), 60 * DAY);
    fs::write(path.join("src/deep/data"), "edited").unwrap();
    assert!(keeps(&world, |reason| matches!(reason, KeepReason::ActiveInside(_, path) if path.ends_with("data"))));
}

/// cassandra-operator#407, found by Sieve: a stale read after a restart deleted a live volume.
#[test]
fn a_stale_read_deletes_a_live_volume_cassandra_operator_407() {
    let world = World::new();
    let path = world.workspace(&id(1), 30 * DAY);
    let acted = sweep_with(&world, |_| Some(Reading::Complete(true)));
    assert_eq!(acted.quarantined.len(), 0);
    assert!(path.exists());
}

/// kcp-dev/kcp#643: the name was used by a new object between decision and deletion.
#[test]
fn a_name_used_again_between_decision_and_deletion_kcp_643() {
    let world = approved(1);
    let path = world.root().join(id(1));
    let again = path.clone();
    let acted = sweep_and(&world, move || {
        fs::remove_dir_all(&again).ok();
        fs::create_dir(&again).ok();
        fs::write(again.join("new"), "work").unwrap();
    });
    assert_eq!(acted.acted.quarantined.len(), 0);
    assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "work");
}

/// restic pull requests 3569 and 4374: a lock was called stale while its owner slept, and the repository was pruned.
#[test]
fn a_lock_is_taken_away_while_its_owner_sleeps_restic_3569() {
    let world = approved(1);
    let lock = world.root().join(".hygiene/lock");
    let acted = sweep_and(&world, move || drop(fs::remove_file(&lock))).acted;
    assert_eq!((acted.quarantined.len(), acted.stopped), (0, true));
}

/// Rust's standard library, CVE-2022-21658: a directory became a symlink while it was removed.
#[test]
fn a_directory_becomes_a_symlink_rust_cve_2022_21658() {
    let world = approved(1);
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    let (path, target) = (world.root().join(id(1)), outside.clone());
    let aside = world.root().join("aside");
    let acted = sweep_and(&world, move || {
        fs::rename(&path, &aside).ok();
        symlink(&target, &path).ok();
    });
    assert_eq!(acted.acted.quarantined.len(), 0);
    assert!(outside.join("precious").exists() && world.root().join(id(1)).is_symlink());
}

/// kubernetes-csi/csi-driver-nfs#855, CVE-2026-3864: `../` in an id led upwards.
#[test]
fn an_id_leads_upwards_csi_driver_nfs_855() {
    let world = approved(1);
    world.set_live("../../../etc", true);
    let before = manifest(&world.root());
    holds(&world, HoldReason::UnusableIds);
    assert_eq!(manifest(&world.root()), before);
}

/// opencode-manager#128, kubernetes/kubernetes#72257, kubernetes-sigs/aws-efs-csi-driver#1085: a mount inside was emptied;
/// it was of the same device, so that one-file-system checks did not help.
#[test]
fn a_mount_of_the_same_device_is_emptied_kubernetes_72257() {
    let world = World::on_disk();
    let path = world.workspace(&id(1), 60 * DAY);
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    fs::create_dir(path.join("repository")).unwrap();
    backdate(&path, 60 * DAY);
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).status().unwrap().success();
    let at = path.join("repository");
    assert!(mount(&["mount", "--bind", outside.to_str().unwrap(), at.to_str().unwrap()]), "the tests need root");
    let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        keeps(&world, |reason| matches!(reason, KeepReason::MountPointInside(_)))
    }));
    assert!(mount(&["umount", at.to_str().unwrap()]));
    assert!(kept.unwrap() && outside.join("precious").exists());
}

/// Extra-Chill/homeboy#14708: a clean-up reaped work that three sessions were using.
#[test]
fn work_in_use_is_reaped_homeboy_14708() {
    let world = approved(0);
    let path = world.workspace(&id(1), 60 * DAY);
    fs::write(path.join(".hygiene-keep"), "").unwrap();
    backdate(&path, 60 * DAY);
    assert!(keeps(&world, |reason| matches!(reason, KeepReason::KeepFile(None))));
}

/// agent-orchestrator#3591: the dry run listed 178, and the run deleted one that it had not listed.
#[test]
fn the_run_deletes_what_the_dry_run_did_not_list_agent_orchestrator_3591() {
    let world = approved(5);
    let planned = world.plan().plan;
    let swept = swept(&world);
    let names: Vec<_> = planned.victims.iter().map(|victim| victim.name.to_string()).collect();
    assert_eq!((swept.acted.quarantined, swept.observed.plan.hash), (names, planned.hash));
}

/// agent-orchestrator#3402: "workspace teardown failed", and nothing else.
#[test]
fn an_error_says_nothing_agent_orchestrator_3402() {
    let world = World::on_fuse();
    world.workspace(&id(1), 60 * DAY);
    world.fuse().control().on(Op::Rename, &id(1)).fail(Errno::ACCESS);
    let error = &swept(&world).acted.errors[0];
    assert_eq!((error.name.as_str(), error.step), (id(1).as_str(), "quarantine"));
    for part in ["rename", "Permission denied", "run as"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
}

/// OpenHands pull request 277: any symlink made the purge skip a tree in silence.
#[test]
fn a_symlink_makes_a_tree_stay_in_silence_openhands_277() {
    let world = World::new();
    let path = world.workspace(&id(1), 60 * DAY);
    symlink("/etc", path.join("link")).unwrap();
    backdate(&path, 60 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    world.pass(8 * DAY);
    assert_eq!(swept(&world).acted.purged, [id(1)]);
}

/// cloud-custodian#4997 and #2532: a limit truncated the list, and the rest of the logic believed it whole.
#[test]
fn a_limit_truncates_what_is_believed_whole_cloud_custodian_4997() {
    let mut world = approved(6);
    world.part("limits", "{perSweep: 1, breaker: {maxOrphans: 4}}");
    // The breaker counts all orphans, not those that one sweep would take.
    assert_eq!(holds(&world, HoldReason::TooManyOrphans).observed.plan.orphans, 6);
}

/// cloud-custodian#3477: stale data passed the per-cent check.
#[test]
fn stale_data_passes_the_check_cloud_custodian_3477() {
    let mut world = World::new();
    world.workspace(&id(1), 60 * DAY);
    let db = world.path("sessions.db");
    world.part(
        "sessions",
        &format!(
            "{{sqlite: {{path: {}}}, liveQuery: 'select id from session where deleted_at is null', \
             freshnessQuery: 'select 1700000000'}}",
            db.display()
        ),
    );
    holds(&world, HoldReason::StaleSessions);
}

/// GitLab, January 2017, and a Terraform incident of 2026: an environment file led to another database.
#[test]
fn an_environment_leads_to_another_database_gitlab_2017() {
    let mut world = approved(1);
    let other = world.path("other.db");
    fs::copy(world.path("sessions.db"), &other).unwrap();
    world.part(
        "sessions",
        &format!(
            "{{sqlite: {{path: {}}}, liveQuery: 'select id from session where deleted_at is null'}}",
            other.display()
        ),
    );
    holds(&world, HoldReason::DatabaseChanged);
}

/// Atlassian, April 2022: a script deleted the wrong list of customers, by ids of the wrong kind.
#[test]
fn a_script_deletes_the_wrong_list_atlassian_2022() {
    let world = fresh(8);
    let before = manifest(&world.root());
    let hash = holds(&world, HoldReason::AwaitsApproval).observed.plan.hash;
    assert_eq!(manifest(&world.root()), before);
    assert!(world.answer(AnswerKind::Approve, &workspace_hygiene::names::PlanHash::new("f".repeat(32))).is_err());
    world.answer(AnswerKind::Approve, &hash).unwrap();
    assert_eq!(swept(&world).acted.quarantined.len(), 8);
}

/// ValveSoftware/steam-for-linux#3671: `rm -rf "$DIR/"*` with an empty variable.
#[test]
fn an_empty_variable_names_the_root_steam_3671() {
    for path in ["/", "''", "relative", "/home", "/etc", "//", "/mnt/../etc"] {
        let mut world = World::fresh();
        world.part("volume", &format!("{{path: {path}}}"));
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_hygiene"))
            .args(["sweep", "-f", world.spec_file().to_str().unwrap()])
            .env("HYGIENE_STATE_DIR", world.path("state"))
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(2), "{path}: {}", String::from_utf8_lossy(&ran.stderr));
        assert!(String::from_utf8_lossy(&ran.stderr).contains("spec.volume.path"));
    }
}

/// agent-workspace-fabric#361: 188 GB leaked, because the collector selected by row and the rows were gone.
#[test]
fn a_directory_without_any_row_leaks_agent_workspace_fabric_361() {
    let world = approved(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}
