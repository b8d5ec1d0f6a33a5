//! `-f NAMESPACE/NAME`: the resource as the API server has it, for as long as it has it so.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::{Cluster, Ran, command, hygiene};
use crate::fuse::Op;
use crate::kubernetes::controller::{apply, in_namespace};
use crate::servers::Proxy;
use crate::world::{DAY, World, id};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

fn in_cluster(world: World, namespace: &str, orphans: u32) -> World {
    let world = in_namespace(world, namespace);
    world.workspace(LIVE, 30 * DAY);
    (1..=orphans).for_each(|n| drop(world.workspace(&id(n), (40 - n) * DAY)));
    apply(&world);
    world
}

#[test]
fn an_object_is_read_as_a_file_is() {
    let namespace = Cluster::shared().namespace("objects");
    let world = in_cluster(World::new(), &namespace, 2);
    let object = format!("{namespace}/test");
    let of_object = hygiene(&["plan", "-f", &object, "-o", "json"]).exits(0).json();
    let file = world.spec_file();
    let of_file = hygiene(&["plan", "-f", file.to_str().unwrap(), "-o", "json"]).exits(0).json();
    assert_eq!(of_object["resource"]["name"], "test");
    for part in ["hash", "counts", "verdicts", "orphans"] {
        assert_eq!(of_object[part], of_file[part], "{part}");
    }
    assert_eq!(of_object["orphans"], 2);
    let swept = hygiene(&["sweep", "-f", &object]).exits(0).stdout;
    assert_eq!(world.quarantined_trees().len(), 2, "{swept}");
    let table = hygiene(&["quarantine", "list", "-f", &object]).exits(0).stdout;
    assert!(table.contains(&id(1)), "{table}");
    // What is to be run next names it in the same way.
    hygiene(&["quarantine", "restore", &id(1), "-f", &object]).exits(0);
    assert!(world.root().join(id(1)).exists());
}

#[test]
fn a_file_of_that_name_comes_first() {
    let namespace = Cluster::shared().namespace("files");
    let world = in_cluster(World::new(), &namespace, 1);
    let folder = world.path(&namespace);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("test"), "nonsense").unwrap();
    let admin = Cluster::shared().kubeconfig("admin");
    let ran = |file: &str| -> Ran {
        command(&admin, &["plan", "-f", file]).current_dir(world.path("")).output().unwrap().into()
    };
    let object = format!("{namespace}/test");
    ran(&object).exits(2).says(&["is not a resource"]);
    fs::remove_file(folder.join("test")).unwrap();
    assert!(ran(&object).exits(0).stdout.contains("Plan for"));
    ran(&format!("./{object}")).exits(2).says(&["cannot be read: there is no such file"]);
}

#[test]
fn what_cannot_be_read_says_why_and_what_to_do() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("unread");
    let object = format!("{namespace}/nobody");
    let lists = format!("`kubectl -n {namespace} get wsh` lists them");
    let absent =
        format!("error: {object}: there is no such file, and there is no WorkspaceHygiene nobody in namespace");
    hygiene(&["plan", "-f", &object]).exits(2).says(&[&absent, &lists]);

    let stranger = cluster.user("stranger", "");
    let ran: Ran = command(&stranger, &["sweep", "-f", &object]).output().unwrap().into();
    ran.exits(2).says(&["may not be read; allow this user to get workspacehygienes.hygiene.dev there"]);

    let nowhere = std::path::Path::new("/nonexistent/kubeconfig");
    let ran: Ran = command(nowhere, &["sweep", "-f", &object]).output().unwrap().into();
    ran.exits(2).says(&["there is no such file, and no cluster that can be asked", "set KUBECONFIG"]);

    let proxy = Proxy::to(cluster.port());
    let cut_off = cluster.user_through("cut-off", "system:masters", proxy.port());
    proxy.cut_after(0);
    let ran: Ran = command(&cut_off, &["plan", "-f", &object]).output().unwrap().into();
    ran.exits(2).says(&["cannot be read"]);
}

#[test]
fn the_faults_of_an_object_are_told_as_those_of_a_file_and_none_is_swept() {
    let namespace = Cluster::shared().namespace("faults");
    let mut world = in_namespace(World::new(), &namespace);
    world.part("schedule", "{cron: '0 3 * * *', timeZone: Nowhere/Land}");
    world.part("quarantine", "{retention: 1h}");
    apply(&world);
    let object = format!("{namespace}/test");
    let parts = [&format!("error: {object}: spec.schedule.timeZone")[..], "spec.quarantine.retention: \"1h\""];
    hygiene(&["sweep", "-f", &object]).exits(2).says(&parts);
    hygiene(&["sweep", "-f", &object, "-f", &object]).exits(2).says(&["is given twice"]);
    // A loop over objects is the controller.
    hygiene(&["run", "-f", &object]).exits(2).says(&["are swept by `hygiene controller`"]);
}

/// A sweep that hangs while it moves the second of three workspaces; then something happens to its orders, and it goes on.
fn sweep_meanwhile(namespace: &str, proxy: Option<&Proxy>, meanwhile: impl FnOnce(&World)) -> (World, Ran) {
    let cluster = Cluster::shared();
    let world = in_cluster(World::on_fuse(), namespace, 3);
    let hang = world.fuse().control().on(Op::Rename, &id(2)).times(1).hang();
    let kubeconfig = match proxy {
        Some(proxy) => cluster.user_through(namespace, "system:masters", proxy.port()),
        None => cluster.kubeconfig("admin"),
    };
    let object = format!("{namespace}/test");
    let mut sweep = command(&kubeconfig, &["sweep", "-f", &object, "-o", "json", "--unsafe-short-times"]);
    let sweep: Child = sweep.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    hang.wait_until_reached();
    meanwhile(&world);
    // What was answered a second ago still counts.
    std::thread::sleep(Duration::from_millis(1100));
    hang.release();
    (world, sweep.wait_with_output().unwrap().into())
}

fn assert_stopped(world: &World, ran: Ran, why: &str) {
    let ran = ran.exits(1);
    let report = ran.json();
    assert_eq!(report["stopped"], true, "{report}");
    let messages: Vec<_> =
        report["errors"].as_array().unwrap().iter().map(|error| error["message"].to_string()).collect();
    assert!(messages.iter().any(|message| message.contains(why)), "{why}: {messages:?}");
    // The one that was being moved went back.
    assert_eq!(world.quarantined_trees().len(), 1);
    assert!(world.root().join(id(2)).exists() && world.root().join(id(3)).exists());
}

#[test]
fn a_resource_that_is_suspended_stops_the_command_before_its_next_step() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("suspended");
    let (world, ran) = sweep_meanwhile(&namespace, None, |_| {
        let patch = ["patch", "wsh", "test", "--type=merge", "-p", "{\"spec\":{\"suspend\":true}}"];
        cluster.admin(&[&["-n", &namespace], &patch[..]].concat());
    });
    assert_stopped(&world, ran, "the resource changed: this run is of generation 1, and the newest is 2");
}

#[test]
fn a_resource_that_is_deleted_or_made_anew_stops_the_command() {
    let cluster = Cluster::shared();
    for anew in [false, true] {
        let namespace = cluster.namespace("deleted");
        let (world, ran) = sweep_meanwhile(&namespace, None, |world| {
            cluster.admin(&["-n", &namespace, "delete", "wsh", "test"]);
            if anew {
                cluster.admin_with(&["apply", "-f", "-"], &world.spec());
            }
        });
        assert_stopped(&world, ran, "the resource was deleted");
    }
}

#[test]
fn an_api_server_that_does_not_answer_stops_the_command() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("cut");
    let proxy = Proxy::to(cluster.port());
    let (world, ran) = sweep_meanwhile(&namespace, Some(&proxy), |_| {
        proxy.cut_after(0);
        proxy.cut_all();
    });
    assert_stopped(&world, ran, "whether the resource changed since is not known");
}

#[test]
fn a_resource_that_only_reports_more_is_the_same_orders() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("annotated");
    let (world, ran) = sweep_meanwhile(&namespace, None, |_| {
        cluster.admin(&["-n", &namespace, "annotate", "wsh", "test", "example.com/seen=yes"]);
    });
    ran.exits(0);
    assert_eq!(world.quarantined_trees().len(), 3);
}
