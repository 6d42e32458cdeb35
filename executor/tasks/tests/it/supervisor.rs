//! Init's and wait's work in one: 4.1, init-less layout.

use serde_json::json;

use crate::pod::{Pod, until};

#[test]
fn it_stages_lets_go_and_collects() {
    let template = json!({
        "script": { "source": "echo x", "unknown": 1 },
        "inputs": { "artifacts": [{ "name": "a", "path": "/a", "raw": { "data": "in" } }] },
        "outputs": { "parameters": [{ "name": "p", "valueFrom": { "path": "/a" } }] },
    });
    let pod = Pod::new(template.clone()).with("ARGO_INITLESS_POD", "true");
    std::fs::remove_file(pod.path("var/run/argo/template")).unwrap();
    let running = pod.start("supervisor");
    until("READY", || pod.has("var/run/argo/status") && pod.text("var/run/argo/status").starts_with("READY\n"));
    assert_eq!(pod.text("var/run/argo/template"), template.to_string());
    assert_eq!(pod.text("argo/staging/script"), "echo x");
    assert_eq!(pod.text("argo/inputs/artifacts/a"), "in");
    // The input's path is a link in main, so what came of it is the executor's copy.
    pod.write("var/run/argo/outputs/parameters/a", "out\n");
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    running.end().is_fine();
    assert_eq!(pod.reported()["outputs"]["parameters"][0]["value"], "out");
}

#[test]
fn what_cannot_be_loaded_is_told_to_those_who_wait() {
    let template = json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a" }] } });
    let pod = Pod::new(template).with("ARGO_INITLESS_POD", "true");
    let ended = pod.run("supervisor");
    assert_eq!(ended.code, 64);
    let status = pod.text("var/run/argo/status");
    assert!(status.starts_with("FAILED\ncannot load input artifact a"), "{status}");
    assert_eq!(pod.reported(), json!({}));
}
