//! Who may do what: no more and no less than is done.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use super::{PROJECT, json, registered, strings, text};

/// All that a policy allows, with no wildcard in it.
fn allowed(policy: &str) -> BTreeSet<String> {
    let policy = json(&format!("policies/{policy}.json"));
    let statements = policy["Statement"].as_array().unwrap();
    assert!(statements.iter().all(|one| one["Effect"] == "Allow"), "{policy:#}");
    let actions: BTreeSet<_> = statements.iter().flat_map(|one| strings(&one["Action"])).collect();
    assert!(actions.iter().all(|action| !action.contains('*')), "{actions:?}");
    actions
}

/// The statement of a policy that is called so.
fn statement(policy: &str, sid: &str) -> Value {
    let policy = json(&format!("policies/{policy}.json"));
    policy["Statement"].as_array().unwrap().iter().find(|one| one["Sid"] == sid).unwrap().clone()
}

fn sources(below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs")
            && path.file_stem().is_some_and(|name| name != "tests")
        {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// The calls of AWS that the sources make, as IAM names them. A call of the SDK is a method without arguments that is called
/// as the operation is; AWS's own description of its interfaces says which there are.
fn called(below: &Path) -> BTreeSet<String> {
    let (comment, method) = (Regex::new(r"(?m)//.*$").unwrap(), Regex::new(r"\.\s*([a-z0-9_]+)\(\)").unwrap());
    let mut actions = BTreeSet::new();
    for source in sources(below) {
        let code = comment.replace_all(&source, "");
        for call in method.captures_iter(&code) {
            let calls = registered()["calls"].as_object().unwrap();
            let found: Vec<_> =
                calls.iter().filter_map(|(service, calls)| Some((service, calls.get(&call[1])?))).collect();
            assert!(found.len() < 2, "{} may be of either service", &call[1]);
            actions.extend(found.iter().map(|(service, name)| format!("{service}:{}", name.as_str().unwrap())));
        }
    }
    actions
}

#[test]
fn the_task_may_call_what_the_program_calls_and_nothing_else() {
    let mounting = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"].map(String::from);
    let mut expected = called(&Path::new(PROJECT).join("src"));
    expected.extend(mounting);
    assert_eq!(allowed("task-role"), expected, "left: the policy, right: the program");
}

#[test]
fn the_task_mounts_through_its_access_points_alone_and_lists_one_cluster_alone() {
    let task = json("task-definition.json");
    let volumes = task["volumes"].as_array().unwrap().iter().map(|one| &one["efsVolumeConfiguration"]);
    let mounted: BTreeSet<_> =
        volumes.map(|efs| efs["authorizationConfig"]["accessPointId"].as_str().unwrap().to_owned()).collect();
    let condition = &statement("task-role", "Mount")["Condition"]["ArnEquals"]["elasticfilesystem:AccessPointArn"];
    let allowed: BTreeSet<_> =
        strings(condition).iter().map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(allowed, mounted);
    let cluster = statement("task-role", "ListTasks")["Condition"]["ArnEquals"]["ecs:cluster"].clone();
    assert!(cluster.as_str().unwrap().ends_with(":cluster/prod"), "{cluster}");
}

#[test]
fn ecs_may_do_for_the_task_what_its_definition_asks_for_and_nothing_else() {
    let task = json("task-definition.json");
    let container = &task["containerDefinitions"][0];
    let secrets: BTreeSet<_> =
        container["secrets"].as_array().unwrap().iter().flat_map(|one| strings(&one["valueFrom"])).collect();
    assert_eq!(strings(&statement("execution-role", "ReadSecrets")["Resource"]), secrets);
    assert_eq!(container["logConfiguration"]["logDriver"], "awslogs");
    let group = container["logConfiguration"]["options"]["awslogs-group"].as_str().unwrap();
    let resource = statement("execution-role", "WriteLogs")["Resource"].clone();
    assert!(resource.as_str().unwrap().ends_with(&format!(":log-group:{group}:*")), "{resource}");
    let expected = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
    ];
    assert_eq!(allowed("execution-role"), expected.map(String::from).into());
}

/// `run-task` as IAM writes it: `RunTask`.
fn operation(command: &str) -> String {
    command.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

#[test]
fn people_may_do_what_the_readme_tells_them_to_and_nothing_else() {
    let readme = text("README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("One-off commands")).unwrap();
    let typed = Regex::new(r"\baws ([a-z0-9]+) ([a-z-]+)(?: ([a-z-]+))?").unwrap();
    let mut expected: BTreeSet<_> = typed
        .captures_iter(section)
        .map(|typed| match (&typed[1], &typed[2], typed.get(3).map(|word| word.as_str())) {
            ("ecs", "wait", Some("tasks-stopped")) => "ecs:DescribeTasks".to_owned(),
            (_, "wait", what) => panic!("what does it ask to wait for {what:?}?"),
            (service, command, _) => format!("{service}:{}", operation(command)),
        })
        .collect();
    assert!(expected.remove("ecs:RunTask"), "{expected:?}");
    // Starting a task hands its roles over.
    expected.extend(["ecs:RunTask", "iam:PassRole"].map(String::from));
    assert_eq!(allowed("operator"), expected, "left: the policy, right: the README");

    let task = json("task-definition.json");
    let roles = ["taskRoleArn", "executionRoleArn"].map(|role| task[role].as_str().unwrap().to_owned());
    let pass = statement("operator", "PassRoles");
    assert_eq!(strings(&pass["Resource"]), roles.into());
    assert_eq!(pass["Condition"]["StringEquals"]["iam:PassedToService"], "ecs-tasks.amazonaws.com");
    assert_eq!(json("run-task.json")["taskDefinition"], task["family"]);
}
