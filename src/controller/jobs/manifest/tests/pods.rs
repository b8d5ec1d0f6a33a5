//! What pods are told, what they are given, and what they may do.

use super::*;
use crate::policy::{Policy, PolicyOptions};
use crate::spec::judge;

#[test]
fn a_sweep_is_told_what_to_do() {
    let job = made(&resource(|_| ()), Work::Sweep);
    let expected = [
        "sweeper",
        "-f",
        "/mnt/hygiene/spec/resource.json",
        "--claim-mount=collab-efs=/mnt/hygiene/volume",
        "--cluster=prod",
        "--secret=collab-db/url=file:/mnt/hygiene/secrets/collab-db/url",
        "--config-map=rds-ca/ca.pem=file:/mnt/hygiene/config-maps/rds-ca/ca.pem",
        "--uid=0a1b",
        "--generation=7",
        "--lease=hygiene-system/hygiene",
        "--listen=0.0.0.0:8080",
    ];
    assert_eq!(strings(&container_of(&job)["args"]), expected);
    let ports = json!([{"name": "admin", "containerPort": 8080}]);
    assert_eq!(container_of(&job)["ports"], ports);
    let fields: Vec<_> = container_of(&job)["env"].as_array().unwrap().iter().collect();
    assert_eq!(fields[0]["name"], "POD_NAME");
    assert_eq!(fields[0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    assert_eq!(fields[1]["name"], "NODE_NAME");
    assert_eq!(fields[1]["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
    assert_eq!(*fields[2], json!({"name": "HYGIENE_STATE_DIR", "value": "/mnt/hygiene/state"}));

    let purge = made(&resource(|_| ()), Work::Purge { shards: 4 });
    let args = strings(&container_of(&purge)["args"]);
    assert_eq!((args[..11].to_vec(), args[11..].to_vec()), (expected.to_vec(), vec!["--purge-shards=4"]));
}

#[test]
fn what_the_operator_was_told_the_pods_are_told() {
    let resource = resource(|_| ());
    let operator = Operator {
        lease: None,
        short_times: true,
        log_level: Some("debug".into()),
        listen_port: 9090,
        cluster: "$(POD_NAME)".into(),
        ..operator()
    };
    let job = json!(job(&Recipe { resource: &resource, operator: &operator }, &Work::Sweep, "0123abcd"));
    let args = strings(&container_of(&job)["args"]);
    for arg in ["--unsafe-short-times", "--log-level=debug", "--listen=0.0.0.0:9090", "--cluster=$$(POD_NAME)"] {
        assert!(args.contains(&arg), "{arg}: {args:?}");
    }
    assert!(!args.iter().any(|arg| arg.starts_with("--lease")));
}

#[test]
fn a_command_comes_after_what_it_is_about() {
    let command = ["explain", "--", "-odd$name"].map(String::from);
    let job = made(&resource(|_| ()), Work::Command(&command));
    let args = strings(&container_of(&job)["args"]);
    assert_eq!(args[..2], ["-f", "/mnt/hygiene/spec/resource.json"]);
    assert_eq!(args[args.len() - 3..], ["explain", "--", "-odd$$name"]);
    assert!(!args.iter().any(|arg| arg.starts_with("--uid") || arg.starts_with("--listen")));
    assert_eq!(container_of(&job)["ports"], Value::Null);
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 86_400);
}

#[test]
fn the_volume_is_read_only_unless_the_mode_is_enforce() {
    for (mode, read_only) in [("Report", true), ("Enforce", false)] {
        let resource = resource(|object| object["spec"]["mode"] = mode.into());
        for job in everything(&resource).iter().filter(|one| one["kind"] == "Job") {
            let mounts = container_of(job)["volumeMounts"].as_array().unwrap();
            let expected = json!({"name": "volume", "mountPath": "/mnt/hygiene/volume", "readOnly": read_only});
            assert_eq!(mounts[0], expected);
            assert!(mounts.iter().all(|mount| mount.get("subPath").is_none()), "the claim is mounted whole");
            let claim = json!({"name": "volume", "persistentVolumeClaim": {"claimName": "collab-efs"}});
            assert_eq!(pod_of(job)["volumes"][0], claim);
            for mount in mounts.iter().filter(|mount| mount["name"] != "volume" && mount["name"] != "state") {
                assert_eq!(mount["readOnly"], true, "{mount}");
            }
        }
    }
}

#[test]
fn values_of_secrets_are_files_and_nowhere_else() {
    let resource = resource(|_| ());
    let job = made(&resource, Work::Sweep);
    let volumes = pod_of(&job)["volumes"].as_array().unwrap();
    let item = |key: &str, path: &str| json!([{"key": key, "path": path, "mode": 0o444}]);
    let source = json!({"secret": {"name": "collab-db", "optional": false, "items": item("url", "collab-db/url")}});
    assert_eq!(volumes[3], json!({"name": "secrets", "projected": {"defaultMode": 0o444, "sources": [source]}}));
    let items = item("ca.pem", "rds-ca/ca.pem");
    let source = json!({"configMap": {"name": "rds-ca", "optional": false, "items": items}});
    assert_eq!(volumes[4], json!({"name": "config-maps", "projected": {"defaultMode": 0o444, "sources": [source]}}));
    for one in everything(&resource) {
        let text = one.to_string();
        assert!(!text.contains("envFrom") && !text.contains("fsGroup"), "{text}");
        // In the spec itself the reference is part of a text.
        assert!(!text.contains("\"secretKeyRef\""), "{text}");
    }

    let file = super::resource(|object| {
        object["spec"]["sessions"] = json!({"sqlite": {"path": "/mnt/hygiene/volume/s.db"}, "liveQuery": "select 1"});
    });
    let job = made(&file, Work::Sweep);
    assert_eq!(pod_of(&job)["volumes"].as_array().unwrap().len(), 3);
}

/// What the policy says it will read is what the pods are given.
#[test]
fn no_key_that_a_spec_can_name_is_forgotten() {
    let value = |name: &str| json!({"secretKeyRef": {"name": name, "key": "k"}});
    let parts = json!({
        "host": value("host"), "port": value("port"), "database": value("database"), "user": value("user"),
        "password": value("password"),
    });
    let ca = |field: &str| {
        let mut ca = json!({});
        ca[field] = json!({"name": "ca", "key": "k"});
        ca
    };
    let servers = [
        json!({"url": value("url"), "tls": {"ca": ca("configMapKeyRef")}}),
        json!({"connection": parts, "tls": {"ca": ca("secretKeyRef")}}),
        json!({"connection": {"host": {"value": "db"}, "database": {"value": "d"}, "user": {"value": "u"}}}),
    ];
    for (kind, server) in ["postgres", "mysql"].iter().flat_map(|kind| servers.iter().map(move |one| (kind, one))) {
        let mut object = object();
        object["spec"]["volume"] = json!({"path": "/mnt/efs/workspaces"});
        object["spec"]["sessions"] = json!({"liveQuery": "select id from session"});
        object["spec"]["sessions"][kind] = server.clone();
        let loaded = judge(object, &PolicyOptions::default()).unwrap();
        let Policy { sessions, .. } = &loaded.policy;
        let named: BTreeSet<_> = sessions.store.secrets().into_iter().map(|(_, key)| key).collect();
        let option = |key: &crate::secrets::SecretKey| {
            let folder = if key.kind == crate::secrets::SecretKind::Secret { "secrets" } else { "config-maps" };
            let (option, name, key) = (key.kind.option(), &key.name, &key.key);
            format!("{option}={name}/{key}=file:/mnt/hygiene/{folder}/{name}/{key}")
        };
        let job = made(&loaded.resource, Work::Sweep);
        let given = strings(&container_of(&job)["args"]);
        let given: BTreeSet<_> =
            given.iter().filter(|arg| arg.starts_with("--secret=") || arg.starts_with("--config-map=")).collect();
        let named: Vec<_> = named.iter().map(option).collect();
        assert_eq!(given.iter().map(|arg| (**arg).to_owned()).collect::<BTreeSet<_>>(), named.into_iter().collect());
    }
}

#[test]
fn pods_are_restricted_and_never_have_a_group_of_their_own_on_the_volume() {
    let job = made(&resource(|_| ()), Work::Sweep);
    let pod = json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(pod_of(&job)["securityContext"], pod);
    let container = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
    });
    assert_eq!(container_of(&job)["securityContext"], container);
    assert_eq!(pod_of(&job)["restartPolicy"], "Never");
    assert_eq!(pod_of(&job)["terminationGracePeriodSeconds"], 30);
    assert_eq!(container_of(&job)["terminationMessagePolicy"], "File");
}

#[test]
fn root_may_move_what_is_other_peoples() {
    let job = with_template(json!({"securityContext": {"runAsUser": 0}}));
    let pod = &pod_of(&job)["securityContext"];
    assert_eq!((&pod["runAsNonRoot"], &pod["runAsUser"]), (&json!(false), &json!(0)));
    let capabilities = json!({"drop": ["ALL"], "add": ["DAC_OVERRIDE", "FOWNER"]});
    assert_eq!(container_of(&job)["securityContext"]["capabilities"], capabilities);

    let said = json!({"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000]});
    let job = with_template(json!({"securityContext": said}));
    let pod = &pod_of(&job)["securityContext"];
    assert_eq!(
        (&pod["runAsUser"], &pod["runAsGroup"], &pod["runAsNonRoot"]),
        (&json!(1000), &json!(2000), &json!(true))
    );
    assert_eq!(pod["supplementalGroups"], json!([3000]));
    let job = with_template(json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": true}}));
    assert_eq!(pod_of(&job)["securityContext"]["runAsNonRoot"], true, "the kubelet refuses it");
    let job = with_template(json!({"securityContext": {"runAsNonRoot": false}}));
    assert_eq!(pod_of(&job)["securityContext"]["runAsNonRoot"], true, "the user is not root");
}

#[test]
fn of_a_resource_the_spec_says_all_or_nothing() {
    let resources = |said: Value| container_of(&with_template(json!({"resources": said})))["resources"].clone();
    let usual = json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "400Mi"}});
    assert_eq!(resources(json!({})), usual);
    // A request of 64Mi above this limit would be refused.
    let small = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "32Mi"}});
    assert_eq!(resources(json!({"limits": {"memory": "32Mi"}})), small);
    let said =
        json!({"requests": {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"memory": "2Gi"}});
    assert_eq!(resources(said.clone()), said);
}

#[test]
fn the_template_says_where_pods_run() {
    let job = with_template(json!({
        "nodeSelector": {"zone": "a"}, "priorityClassName": "low", "imagePullSecrets": [{"name": "pull"}],
        "tolerations": [
            {"key": "batch", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "k", "value": "v", "effect": "NoExecute", "tolerationSeconds": 60},
        ],
    }));
    let pod = pod_of(&job);
    assert_eq!(pod["nodeSelector"], json!({"zone": "a"}));
    assert_eq!((&pod["priorityClassName"], &pod["imagePullSecrets"]), (&json!("low"), &json!([{"name": "pull"}])));
    let tolerations = json!([
        {"key": "batch", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 60},
    ]);
    assert_eq!(pod["tolerations"], tolerations);
}

#[test]
fn a_sweep_is_tried_once_and_a_shard_again_alone() {
    let failures = json!({"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "sweeper", "operator": "In", "values": [2]}},
    ]});
    let sweep = made(&resource(|_| ()), Work::Sweep);
    let mut spec = sweep["spec"].clone();
    spec.as_object_mut().unwrap().remove("template");
    let expected = json!({"backoffLimit": 0, "podFailurePolicy": failures, "podReplacementPolicy": "Failed"});
    assert_eq!(spec, expected);
    assert_eq!(pod_of(&sweep)["affinity"], Value::Null);

    let purge = made(&resource(|_| ()), Work::Purge { shards: 4 });
    let mut spec = purge["spec"].clone();
    spec.as_object_mut().unwrap().remove("template");
    let expected = json!({
        "backoffLimitPerIndex": 3, "podFailurePolicy": failures, "podReplacementPolicy": "Failed",
        "completionMode": "Indexed", "completions": 4, "parallelism": 4,
    });
    assert_eq!(spec, expected);
    let labels = json!({"batch.kubernetes.io/job-name": purge["metadata"]["name"]});
    let term = json!({"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"});
    let preferred = json!([{"podAffinityTerm": term, "weight": 100}]);
    let anti = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    assert_eq!(pod_of(&purge)["affinity"], anti);
}
