//! The stack for ECS.

use serde_json::{Value, json};

use super::{json as file, made, output, python_program, registered, text};

#[test]
fn the_template_passes_the_linter() {
    let mut lint = python_program("cfn-lint");
    assert_eq!(output(lint.args(["--include-checks", "I", "--", "deploy/ecs/template.yaml"]), ""), "");
}

#[test]
fn the_json_files_say_what_the_template_says() {
    for (name, made) in made()["files"].as_object().unwrap() {
        assert_eq!(&file(name), made, "{name} is not what the template says: make generate");
    }
}

/// Everything in `asked` is in `answered` as well.
#[track_caller]
fn holds(answered: &Value, asked: &Value, at: &str) {
    match (answered, asked) {
        (Value::Object(answered), Value::Object(asked)) => {
            asked.iter().for_each(|(key, asked)| holds(&answered[key], asked, &format!("{at}.{key}")));
        }
        (Value::Array(answered), Value::Array(asked)) if answered.len() == asked.len() => {
            answered.iter().zip(asked).for_each(|(answered, asked)| holds(answered, asked, at));
        }
        _ => assert_eq!(answered, asked, "{at}"),
    }
}

#[test]
fn ecs_takes_the_task_definition_as_it_is() {
    holds(&registered()["taskDefinition"], &file("task-definition.json"), "");
}

#[test]
fn there_are_never_two_tasks() {
    assert_eq!(registered()["service"]["desiredCount"], 1);
    let service = file("service.json");
    let deployment = &service["deploymentConfiguration"];
    assert_eq!((&deployment["maximumPercent"], &deployment["minimumHealthyPercent"]), (&json!(100), &json!(0)));
    // It would start the second before the first has ended.
    assert_eq!(service["availabilityZoneRebalancing"], "DISABLED");
}

#[test]
fn iam_takes_the_policies_as_they_are() {
    for name in ["task-role", "execution-role", "operator"] {
        assert_eq!(registered()["policies"][name], file(&format!("policies/{name}.json")), "{name}");
    }
}

#[test]
fn the_task_has_no_more_rights_than_the_owner_of_the_workspaces() {
    let task = file("task-definition.json");
    let [container] = task["containerDefinitions"].as_array().unwrap().as_slice() else { panic!("one container") };
    let user = container["user"].as_str().unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    assert_eq!(container["readonlyRootFilesystem"], true);
    assert_eq!(container["linuxParameters"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(container["healthCheck"]["command"], json!(["CMD", "/hygiene", "healthcheck"]));
    assert_eq!(container["stopTimeout"], 120);
    for volume in task["volumes"].as_array().unwrap() {
        let efs = &volume["efsVolumeConfiguration"];
        assert_eq!(
            (&efs["transitEncryption"], &efs["authorizationConfig"]["iam"]),
            (&json!("ENABLED"), &json!("ENABLED"))
        );
        assert!(efs["authorizationConfig"]["accessPointId"].is_string(), "{volume}");
    }
}

#[test]
fn the_spec_is_about_what_the_parameters_name() {
    let parameters = text("parameters.txt");
    let parameter = |name: &str| {
        let found = parameters.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("{name} is missing"))
    };
    let spec: Value = serde_saphyr::from_str(&text("spec.yaml")).unwrap();
    assert_eq!(spec["metadata"], json!({"name": parameter("ResourceName")}));
    let (spec, ecs) = (&spec["spec"], &spec["spec"]["containers"]["ecs"]);
    assert_eq!(spec["mode"], "Report", "whoever follows the README looks first");
    assert_eq!(spec["volume"]["efs"]["fileSystemID"], parameter("FileSystem"));
    assert_eq!(
        (&ecs["cluster"], &ecs["serving"]["service"]),
        (&parameter("Cluster").into(), &parameter("ServingService").into())
    );
    assert_eq!(spec["schedule"]["every"], "15m");
    assert_eq!(made()["alarms"]["NoSweepAlarm"]["Period"], json!(900), "three times a quarter of an hour");
    let task = file("task-definition.json");
    let container = &task["containerDefinitions"][0];
    assert_eq!(container["mountPoints"][0]["containerPath"], spec["volume"]["path"]);
    // The alarms hold names of their own, and each region its own.
    let region = &spec["volume"]["efs"]["region"];
    assert_eq!((region, &ecs["region"]), (&container["logConfiguration"]["options"]["awslogs-region"], region));
}
