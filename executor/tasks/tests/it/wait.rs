//! What `wait` collects, seen in a pod without a Workflow.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use argoexec_common::exit_code::Pending;
use serde_json::{Value, json};

use crate::pod::{Pod, until};

fn parameters(list: Value) -> Value {
    json!({ "container": { "volumeMounts": [{ "mountPath": "/data" }] }, "outputs": { "parameters": list } })
}

#[test]
fn parameters_come_from_volumes_and_copies() {
    let pod = Pod::new(parameters(json!([
        { "name": "v", "valueFrom": { "path": "/data/v" }, "unknown": 1 },
        { "name": "l", "valueFrom": { "path": "/tmp/l" } },
        { "name": "d", "valueFrom": { "path": "/data/none", "default": "default" } },
        { "name": "n", "valueFrom": { "path": "/none", "default": 5 } },
        { "name": "s", "valueFrom": { "supplied": {} } },
    ])));
    pod.write("mainctrfs/data/v", "one\n\n");
    pod.write("var/run/argo/outputs/parameters/tmp/l", "two");
    pod.wait().is_fine();
    let reported = pod.reported();
    let parameters = reported["outputs"]["parameters"].as_array().unwrap();
    let values: Vec<_> = parameters.iter().map(|parameter| parameter["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["one\n", "two", "default", "5"]);
    assert_eq!(parameters[0]["unknown"], 1);
    assert_eq!(parameters[0]["valueFrom"]["path"], "/data/v");
}

#[test]
fn one_that_is_missing_does_not_lose_the_others() {
    let mut template = parameters(json!([
        { "name": "gone", "valueFrom": { "path": "/data/gone" } },
        { "name": "v", "valueFrom": { "path": "/data/v" } },
    ]));
    template["outputs"]["artifacts"] = json!([{ "name": "a", "path": "/data/v" }]);
    let pod = Pod::new(template).with("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    pod.write("mainctrfs/data/v", "one");
    pod.write("var/run/argo/ctr/main/stdout", "result\n");
    let ended = pod.wait();
    assert_eq!(ended.code, 64);
    // There is nowhere to store the artifact, which is the second thing to be wrong.
    for what in ["output parameter gone", "output artifact a", "artifact repository"] {
        assert!(ended.last_words.contains(what), "{}", ended.last_words);
    }
    let reported = pod.reported();
    assert_eq!(
        reported["outputs"]["parameters"],
        json!([{ "name": "v", "value": "one", "valueFrom": { "path": "/data/v" } }])
    );
    assert_eq!(reported["outputs"]["result"], "result");
}

#[test]
fn no_link_of_the_users_makes_a_token_an_output() {
    let pod = Pod::new(parameters(json!([
        { "name": "a", "valueFrom": { "path": "/data/a", "default": "" } },
        { "name": "b", "valueFrom": { "path": "/data/b", "default": "" } },
        { "name": "c", "valueFrom": { "path": "/c", "default": "" } },
        { "name": "in", "valueFrom": { "path": "/data/in" } },
    ])))
    .with("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    pod.write("token", "secret");
    let token = pod.path("token");
    pod.write("mainctrfs/data/real", "inside");
    pod.write("var/run/argo/outputs/parameters/x", "");
    fs::create_dir_all(pod.path("var/run/argo/ctr/main")).unwrap();
    for (target, link) in [
        (token.to_str().unwrap(), "mainctrfs/data/a"),
        ("../../token", "mainctrfs/data/b"),
        (token.to_str().unwrap(), "var/run/argo/outputs/parameters/c"),
        (token.to_str().unwrap(), "var/run/argo/ctr/main/stdout"),
        // What means something in the container means the same here.
        ("/data/real", "mainctrfs/data/in"),
    ] {
        symlink(target, pod.path(link)).unwrap();
    }
    let ended = pod.wait();
    let text = pod.text("var/run/argo/outputs/node.json");
    assert!(!text.contains("secret"), "{text}");
    assert!(!ended.stderr.contains("secret"));
    assert!(text.contains("inside"), "{text}");
}

#[test]
fn it_ends_when_all_main_containers_have() {
    let pod = Pod::new(json!({ "containerSet": { "containers": [{ "name": "a" }, { "name": "b" }] } }));
    let mut running = pod.start("wait");
    until("the folders", || pod.has("var/run/argo/ctr/a") && pod.has("var/run/argo/ctr/b"));
    pod.write("var/run/argo/ctr/a/exitcode", "3");
    // Argo's own executor writes the file in place.
    fs::write(pod.path("var/run/argo/ctr/b/exitcode"), "").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(running.is_running());
    let begun = Instant::now();
    fs::write(pod.path("var/run/argo/ctr/b/exitcode"), "0").unwrap();
    running.end().is_fine();
    // By the kernel's word: the fallback looks once a second.
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    assert_eq!(pod.reported(), json!({}));
}

#[test]
fn sigterm_is_collect_now() {
    let pod = Pod::new(parameters(json!([{ "name": "v", "valueFrom": { "path": "/data/v" } }])));
    pod.write("mainctrfs/data/v", "one");
    let running = pod.start("wait");
    until("the folder", || pod.has("var/run/argo/ctr/main"));
    running.terminate();
    running.end().is_fine();
    assert_eq!(pod.reported()["outputs"]["parameters"][0]["value"], "one");
}

#[test]
fn past_its_deadline_a_step_is_killed_and_collected() {
    let pod = Pod::new(parameters(json!([{ "name": "v", "valueFrom": { "path": "/data/v" } }])))
        .with("ARGO_DEADLINE", "2020-01-01T00:00:00Z")
        .with("ARGO_TERMINATION_GRACE_PERIOD_SECONDS", "1");
    pod.write("mainctrfs/data/v", "one");
    let running = pod.start("wait");
    let signal = "var/run/argo/ctr/main/signal";
    until("SIGTERM", || pod.has(signal));
    assert_eq!(pod.text(signal), "15");
    // It does not end by that.
    until("SIGKILL", || pod.text(signal) == "9");
    pod.write("var/run/argo/ctr/main/exitcode", "137");
    let ended = running.end();
    assert_eq!((ended.code, ended.last_words.as_str()), (64, "Step exceeded its deadline"));
    assert_eq!(pod.reported()["outputs"]["parameters"][0]["value"], "one");
}

#[test]
fn a_workflow_without_a_way_to_the_api_server_is_told() {
    let pod = Pod::new(json!({ "container": {} })).with("ARGO_WORKFLOW_NAME", "w").with("ARGO_NODE_ID", "n");
    let ended = pod.wait();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("KUBERNETES_SERVICE_HOST"), "{}", ended.last_words);
}

/// What is in a volume of the user's, and the folder of a container that is about to begin.
fn with_a_value() -> Pod {
    let pod = Pod::new(parameters(json!([{ "name": "v", "valueFrom": { "path": "/data/v" } }])));
    pod.write("mainctrfs/data/v", "one");
    fs::create_dir_all(pod.path("var/run/argo/ctr/main")).unwrap();
    pod
}

#[test]
fn a_main_container_that_is_killed_with_its_executor_is_noticed() {
    // The executor begins before, or after, wait looks for it.
    for before in [true, false] {
        let pod = with_a_value();
        let begin = || Pending::begin(&pod.path("var/run/argo/ctr/main")).unwrap();
        let early = before.then(begin);
        let mut running = pod.start("wait");
        std::thread::sleep(Duration::from_millis(200));
        let executor = early.unwrap_or_else(begin);
        std::thread::sleep(Duration::from_millis(100));
        assert!(running.is_running());
        let begun = Instant::now();
        // The lock goes as it does with a process.
        drop(executor);
        let ended = running.end();
        assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
        assert_eq!(ended.code, 64);
        assert!(
            ended.last_words.contains("container main was killed together with its executor"),
            "{}",
            ended.last_words
        );
        assert_eq!(pod.reported()["outputs"]["parameters"][0]["value"], "one");
    }
}

#[test]
fn an_executor_that_has_left_its_code_was_not_killed() {
    for _ in 0..10 {
        let pod = with_a_value();
        let executor = Pending::begin(&pod.path("var/run/argo/ctr/main")).unwrap();
        let running = pod.start("wait");
        std::thread::sleep(Duration::from_millis(50));
        executor.finish(3).unwrap();
        running.end().is_fine();
    }
}

#[test]
fn what_another_has_put_in_place_of_the_lock_keeps_nobody() {
    for kind in ["pipe", "link", "folder"] {
        let pod = with_a_value();
        let place = pod.path("var/run/argo/ctr/main/.exitcode");
        match kind {
            "pipe" => assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success()),
            "link" => symlink("/dev/zero", &place).unwrap(),
            _ => fs::create_dir(&place).unwrap(),
        }
        let running = pod.start("wait");
        std::thread::sleep(Duration::from_millis(100));
        pod.write("var/run/argo/ctr/main/exitcode", "0");
        let ended = running.end();
        assert_eq!((ended.code, ended.last_words.as_str()), (0, ""), "{kind}");
    }
}
