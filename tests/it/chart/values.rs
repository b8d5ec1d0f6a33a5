//! What helm takes and what it refuses, both of its major versions.

use std::fs;

use super::{CHART, SYSTEM, examples_of_values, helm, of_kind, refused, rendered, the};
use crate::servers::process::output;

const HELMS: [&str; 2] = ["helm", "helm3"];

#[test]
fn helm_finds_nothing_wrong_with_the_chart_and_its_examples_of_values() {
    for which in HELMS {
        for values in examples_of_values() {
            let mut lint = helm(which);
            lint.args(["lint", CHART, "--strict", "--namespace", SYSTEM, "--values"]).arg(values);
            let said = output(&mut lint, "");
            assert!(said.contains("1 chart(s) linted, 0 chart(s) failed") && !said.contains("WARNING"), "{said}");
        }
    }
}

#[test]
fn both_versions_of_helm_make_the_same_of_it() {
    for values in examples_of_values() {
        let made = HELMS.map(|which| {
            let mut template = helm(which);
            template.args(["template", "test", CHART, "--namespace", SYSTEM, "--values"]).arg(&values);
            let mut made = super::documents(&output(&mut template, ""));
            made.sort_by_key(ToString::to_string);
            made
        });
        assert_eq!(made[0], made[1], "{}", values.display());
    }
}

#[test]
fn it_is_for_every_kubernetes_that_is_not_too_old_whatever_its_provider_calls_it() {
    for version in ["1.30.0", "1.34.1-eks-1234567", "1.33.5-gke.1080000", "1.37.2"] {
        rendered(&["--kube-version", version]);
    }
    let mut old = helm("helm");
    let said = refused(old.args(["template", "test", CHART, "--kube-version", "1.29.9"]));
    assert!(said.contains(">=1.30.0-0"), "{said}");
}

#[test]
fn a_typo_is_refused_wherever_it_is() {
    let volume =
        "volumes[0].name=efs,volumes[0].existingClaim=efs,volumes[0].mountPath=/mnt,volumes[0].namespaces={hygiene}";
    let base = ["template", "test", CHART, "--namespace", SYSTEM, "--set", volume];
    output(helm("helm").args(base), "");
    let typos = [
        "replica=2",
        "image.repo=x",
        "watchNamespace={a}",
        "crds.enable=false",
        "controller.startUpDelay=1m",
        "metrics.serviceMonitor.enable=true",
        "rbac.read=true",
        "runAs.fsGroup=1000",
        "selfTest.enable=false",
        "probes.liveness.period=3",
        "volumes[0].claim=efs",
        "networkPolicy.ingress=1",
        "allowEvidence.https[0].host=x",
        "jobs.enable=false",
    ];
    let wrong = [
        "replicas=two",
        "controller.startupDelay=7d",
        "controller.logLevel=loud",
        "controller.concurrency=0",
        "jobs.maxConcurrent=0",
        "image.pullPolicy=Sometimes",
        "image.digest=sha256:12",
        "volumes[0].mountPath=mnt",
        "volumes[0].mountPath=/mnt/../etc",
        "volumes[0].mountPath=/",
        "volumes[0].namespaces={Team}",
        "allowEvidence.efs[0].id=fs-1",
        "runAs.capabilities={SYS_ADMIN}",
        "metrics.service.port=0",
        "podDisruptionBudget.maxUnavailable=200%",
    ];
    for which in HELMS {
        for setting in typos.iter().chain(&wrong) {
            let said = refused(helm(which).args(base).args(["--set", setting]));
            assert!(said.contains("values don't meet the specifications"), "{which} {setting}: {said}");
            let key = setting.split('=').next().unwrap();
            let mut words = key.split(['.', '[', ']']).filter(|word| word.len() > 1);
            assert!(words.any(|word| said.contains(word)), "{which} {setting}: {said}");
        }
    }
}

#[test]
fn what_no_schema_can_say_is_refused_with_the_way_out() {
    let volume = |namespace: &str| {
        format!(
            "volumes[0].name=efs,volumes[0].existingClaim=efs,volumes[0].mountPath=/mnt,volumes[0].namespaces={{{namespace}}}"
        )
    };
    let cases = [
        (volume("team-b"), "watchNamespaces={team-a}", "volumes[0].namespaces: team-b is not watched"),
        (volume(SYSTEM), "leaderElection.enabled=false,replicas=2", "replicas: 2 controllers would work at once"),
        (volume(SYSTEM), "watchAllNamespaces=true,watchNamespaces={team-a}", "give one of the two"),
        (
            volume(SYSTEM),
            "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false",
            "metrics.service.enabled",
        ),
        (volume(SYSTEM), "volumes[0].mountPath=/state", "volumes[0].mountPath: /state is taken"),
        ("selfTest.enabled=false".into(), "jobs.enabled=false", "name a volume"),
    ];
    for (first, second, told) in cases {
        let mut template = helm("helm");
        template.args(["template", "test", CHART, "--namespace", SYSTEM, "--set", &first, "--set", second]);
        let said = refused(&mut template);
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn the_definition_is_that_of_the_program_and_stays() {
    let objects = rendered(&[]);
    let mut definition = the(&objects, "CustomResourceDefinition").clone();
    let metadata = definition["metadata"].as_object_mut().unwrap();
    let annotations = metadata.remove("annotations").unwrap();
    assert_eq!(annotations["helm.sh/resource-policy"], "keep");
    metadata.remove("labels").unwrap();
    let printed: serde_json::Value = serde_saphyr::from_str(&workspace_hygiene::api::crd_yaml()).unwrap();
    assert_eq!(definition, printed);

    let goes = rendered(&["--set", "crds.keep=false"]);
    assert!(the(&goes, "CustomResourceDefinition")["metadata"].get("annotations").is_none());
    assert!(of_kind(&rendered(&["--set", "crds.enabled=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn what_is_generated_is_up_to_date() {
    let script = r#". scripts/lib.sh && "$(python_directory)/bin/python" scripts/chart "$0""#;
    let mut check = std::process::Command::new("bash");
    check.args(["-c", script]).arg(crate::kubernetes::programs()).current_dir(super::PROJECT);
    output(&mut check, "");
    let readme = fs::read_to_string(format!("{CHART}/README.md")).unwrap();
    assert!(readme.contains("| `volumes` | `[]` |"), "{readme}");
}
