//! How steps are ended: a sidecar when the main container has ended, a pod that is deleted.

use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use super::on_the_node;
use super::pods::{OLD, made, shell};

#[test]
fn a_sidecar_is_told_when_main_has_ended() {
    on_the_node(async |node| {
        let namespace = node.namespace("sidecar").await;
        let mut told = shell("trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.1; done");
        told["name"] = json!("told");
        // The first process of a container is not ended by a signal that it has no handler for, its child is.
        let mut untold = shell("sleep 600");
        untold["name"] = json!("untold");
        let template = json!({"container": shell("sleep 1; echo done"), "sidecars": [told, untold]});
        let ran = node.run_template(&namespace, "sidecar", template).await;
        assert!(["main", "told", "untold"].into_iter().all(|name| ran.is_wrapped(name)), "{:#}", ran.pod);
        let codes = ["main", "wait", "told", "untold"].map(|name| ran.code(name));
        assert_eq!(codes, [0, 0, 0, 143], "{:#}", ran.pod["status"]);
        let log = node.log(&namespace, ran.name(), "told").await;
        assert!(log.starts_with("up\n") && log.ends_with("told\n"), "{log}");
    });
}

#[test]
fn a_pod_that_is_deleted_has_its_grace_period() {
    on_the_node(async |node| {
        let namespace = node.namespace("deleted").await;
        let script = "trap 'sleep 1; exit 4' TERM; echo up; while :; do sleep 0.1; done";
        let template = json!({
            "container": shell(script), "podSpecPatch": r#"{"terminationGracePeriodSeconds": 60}"#,
        });
        let mut pod = made(&namespace, "deleted", template, OLD[0]).await;
        // So that it can be looked at when it has ended.
        pod["metadata"]["finalizers"] = json!(["example.com/kept"]);
        let created = namespace.create("pods", &pod).await.unwrap();
        let name = created["metadata"]["name"].as_str().unwrap();
        node.pod_where(&namespace, name, "it runs", |pod| pod["status"]["phase"] == "Running").await;
        while !node.log(&namespace, name, "main").await.contains("up") {
            sleep(Duration::from_millis(100)).await;
        }
        let path = format!("{}/{name}", namespace.path("pods"));
        let began = Instant::now();
        namespace.request("DELETE", &path, None).await.unwrap();
        let ran = node.end_of(&namespace, name).await;
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
        // Its own handler's code, and not that of a signal. `wait` is told at the same time, and has nothing to wait for then.
        assert_eq!(ran.code("main"), 4, "{:#}", ran.pod["status"]);
        assert_eq!(ran.code("wait"), 0, "{:#}", ran.pod["status"]);
        let result = node.result(&namespace, &ran).await;
        assert_eq!(result["metadata"]["labels"]["workflows.argoproj.io/report-outputs-completed"], "true");
        let free = json!({"metadata": {"finalizers": null}});
        namespace.request("PATCH", &path, Some(&free)).await.unwrap();
    });
}
