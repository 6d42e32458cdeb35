//! What a step leaves: its code, its log, its outputs as the API server has them.

use serde_json::{Value, json};
use test_cluster::BUSYBOX;

use super::on_the_node;
use super::pods::{OLD, made, shell};

const COMPLETED: &str = "workflows.argoproj.io/report-outputs-completed";

#[test]
fn pods_of_every_old_executor_run_and_tell_what_they_left() {
    on_the_node(async |node| {
        let namespace = node.namespace("old-executors").await;
        let mut names = Vec::new();
        for old in OLD {
            let template = json!({
                "container": shell("echo to the log; echo 42 > /tmp/answer"),
                "outputs": {"parameters": [{"name": "answer", "valueFrom": {"path": "/tmp/answer"}}]},
            });
            let pod = made(&namespace, old.name(), template, old).await;
            names.push(namespace.create("pods", &pod).await.unwrap()["metadata"]["name"].as_str().unwrap().to_owned());
        }
        for (executor, name) in OLD.iter().zip(names) {
            let ran = node.end_of(&namespace, &name).await;
            let about = format!("{executor:?}: {:#}", ran.pod);
            assert!(ran.is_wrapped("main"), "{about}");
            assert_eq!((ran.phase(), ran.code("main"), ran.code("wait")), ("Succeeded", 0, 0), "{about}");
            assert_eq!(node.log(&namespace, &name, "main").await, "to the log\n");
            let result = node.result(&namespace, &ran).await;
            assert_eq!(result["metadata"]["labels"][COMPLETED], "true", "{result:#}");
            assert_eq!(result["outputs"]["parameters"][0]["value"], "42", "{result:#}");
            let owners = result["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
            assert_eq!(owners, 1, "{result:#}");
        }
    });
}

#[test]
fn a_failing_main_keeps_its_code_and_its_outputs() {
    on_the_node(async |node| {
        let namespace = node.namespace("failing").await;
        let template = json!({
            "container": shell("echo before > /tmp/v; exit 7"),
            "outputs": {"parameters": [{"name": "v", "valueFrom": {"path": "/tmp/v"}}]},
        });
        let ran = node.run_template(&namespace, "failing", template).await;
        assert_eq!((ran.phase(), ran.code("main"), ran.code("wait")), ("Failed", 7, 0), "{:#}", ran.pod);
        let result = node.result(&namespace, &ran).await;
        assert_eq!(result["metadata"]["labels"][COMPLETED], "true", "{result:#}");
        assert_eq!(result["outputs"]["parameters"][0]["value"], "before", "{result:#}");
    });
}

#[test]
fn what_a_script_writes_is_its_result() {
    on_the_node(async |node| {
        let namespace = node.namespace("script").await;
        let script = json!({
            "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh"],
            "source": "echo scripted\necho $((6 * 7))\necho aside >&2\n",
        });
        let mut pod = made(&namespace, "script", json!({"script": script}), OLD[0]).await;
        // As the controller does where another step reads the result.
        for list in ["initContainers", "containers"] {
            for container in pod["spec"][list].as_array_mut().unwrap() {
                let env = container["env"].as_array_mut().unwrap().iter_mut();
                let wanted = env.filter(|variable| variable["name"] == "ARGO_INCLUDE_SCRIPT_OUTPUT");
                wanted.for_each(|variable| variable["value"] = json!("true"));
            }
        }
        let ran = node.run(&namespace, &pod).await;
        assert_eq!((ran.phase(), ran.code("main")), ("Succeeded", 0), "{:#}", ran.pod);
        let result = node.result(&namespace, &ran).await;
        assert_eq!(result["outputs"]["result"], "scripted\n42", "{result:#}");
        let log = node.log(&namespace, ran.name(), "main").await;
        let mut lines: Vec<&str> = log.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["42", "aside", "scripted"]);
    });
}

#[test]
fn each_container_of_a_set_has_its_code() {
    on_the_node(async |node| {
        let namespace = node.namespace("set").await;
        let member = |name: &str, script: &str| -> Value {
            let mut container = shell(script);
            container["name"] = json!(name);
            container
        };
        let template = json!({"containerSet": {"containers": [
            member("main", "echo main"), member("second", "exit 3"), member("third", "sleep 1; echo third"),
        ]}});
        let ran = node.run_template(&namespace, "set", template).await;
        for (container, code) in [("main", 0), ("second", 3), ("third", 0), ("wait", 0)] {
            assert_eq!(ran.code(container), code, "{container}: {:#}", ran.pod["status"]);
        }
        assert_eq!(node.log(&namespace, ran.name(), "third").await, "third\n");
    });
}

#[test]
fn containers_of_the_users_own_start_before_main() {
    on_the_node(async |node| {
        let namespace = node.namespace("init").await;
        let mut before = shell("echo 17 > /scratch/n");
        before["name"] = json!("before");
        let mount = json!([{"name": "work", "mountPath": "/scratch"}]);
        before["volumeMounts"] = mount.clone();
        let mut main = shell("cat /scratch/n");
        main["volumeMounts"] = mount;
        let template = json!({
            "initContainers": [before], "container": main, "volumes": [{"name": "work", "emptyDir": {}}],
            "outputs": {"parameters": [{"name": "n", "valueFrom": {"path": "/scratch/n"}}]},
        });
        let ran = node.run_template(&namespace, "init", template).await;
        assert_eq!((ran.phase(), ran.code("before"), ran.code("main")), ("Succeeded", 0, 0), "{:#}", ran.pod);
        assert_eq!(node.result(&namespace, &ran).await["outputs"]["parameters"][0]["value"], "17");
    });
}
