//! Output parameters and artifacts of the container `main`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::pod::Pod;

fn parameter(path: &str) -> Value {
    json!({"name": "p", "valueFrom": {"path": path}})
}

fn here(pod: &Pod, name: &str) -> String {
    pod.path(name).to_str().unwrap().to_owned()
}

fn declare(pod: &Pod, template: &Value) {
    pod.write("var/run/argo/template", template.to_string());
}

#[test]
fn a_parameter_is_copied_under_its_path() {
    let pod = Pod::new(&json!({}));
    let file = here(&pod, "out/p");
    declare(&pod, &json!({"outputs": {"parameters": [parameter(&format!("{file}/../p"))]}}));
    pod.write("out/x", "");
    assert_eq!(
        pod.sh(&format!("printf 'v\\n\\n' > {file}; exit 3")).both(),
        (3, Some("3")),
        "outputs of a failure too"
    );
    // With the link followed and `..` resolved by name, so that `wait` finds it.
    assert!(!pod.path(&format!("var/run/argo/outputs/parameters{file}")).exists(), "p is no folder");

    declare(&pod, &json!({"outputs": {"parameters": [parameter(&file)]}}));
    assert_eq!(pod.sh("exit 0").code, 0);
    let copy = format!("var/run/argo/outputs/parameters{file}");
    assert_eq!(pod.text(&copy), "v\n\n");
    assert_eq!(fs::metadata(pod.path(&copy)).unwrap().permissions().mode() & 0o777, 0o666);
    let folder = pod.path(&copy);
    assert_eq!(fs::metadata(folder.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_path_does_not_leave_the_folder_of_copies() {
    let pod = Pod::new(&json!({}));
    let file = here(&pod, "p");
    let many = format!("{}{file}", "/..".repeat(20));
    declare(&pod, &json!({"outputs": {"parameters": [parameter(&many)]}}));
    assert_eq!(pod.sh(&format!("echo v > {file}")).both(), (0, Some("0")));
    assert_eq!(pod.text(&format!("var/run/argo/outputs/parameters{file}")), "v\n");
}

#[test]
fn what_is_missing_is_for_wait_to_judge() {
    let pod = Pod::new(&json!({"outputs": {
        "parameters": [parameter("/no/such/file")],
        "artifacts": [{"name": "a", "path": "/no/such/folder", "optional": true}],
    }}));
    let ended = pod.sh("exit 0");
    assert_eq!((ended.both(), ended.stderr.as_str()), ((0, Some("0")), ""));
}

#[test]
fn one_that_cannot_be_saved_does_not_lose_the_others() {
    let pod = Pod::new(&json!({}));
    let [folder, file, pipe] = ["folder", "file", "pipe"].map(|name| here(&pod, name));
    declare(
        &pod,
        &json!({"outputs": {
            "parameters": [parameter(&folder), parameter(&pipe), parameter(&file)],
            "artifacts": [{"name": "pipe", "path": pipe}, {"name": "a", "path": file}],
        }}),
    );
    let line = format!("mkdir -p {folder}; mkfifo {pipe}; echo v > {file}");
    let ended = pod.sh(&line);
    assert_eq!(ended.both(), (64, Some("64")), "the file and the kubelet hear the same");
    for part in [&folder, &pipe, "not a file", "neither a file nor a folder"] {
        assert!(ended.last_words.contains(part), "{part}: {}", ended.last_words);
    }
    assert_eq!(pod.text(&format!("var/run/argo/outputs/parameters{file}")), "v\n");
    assert!(pod.path(&format!("var/run/argo/outputs/artifacts{file}.tgz")).exists());
    assert!(!pod.path(&format!("var/run/argo/outputs/artifacts{pipe}.tgz")).exists());
    let ended = pod.sh("exit 3");
    assert_eq!(ended.both(), (3, Some("3")), "the command's own code goes first");
    assert_ne!(ended.last_words, "");
}

#[test]
fn what_is_under_a_mount_is_left_to_wait() {
    let pod = Pod::new(&json!({}));
    let file = here(&pod, "volume/p");
    declare(
        &pod,
        &json!({
            "container": {"volumeMounts": [{"mountPath": here(&pod, "volume")}]},
            "outputs": {"parameters": [parameter(&file)], "artifacts": [{"name": "a", "path": file}]},
        }),
    );
    pod.write("volume/p", "v");
    assert_eq!(pod.sh("exit 0").code, 0);
    assert!(!pod.path("var/run/argo/outputs").exists());
}

#[test]
fn only_main_saves() {
    let pod = Pod::new(&json!({}));
    let file = here(&pod, "p");
    declare(&pod, &json!({"outputs": {"parameters": [parameter(&file)]}}));
    pod.write("p", "v");
    assert_eq!(pod.run("other", &["true"]).code, 0);
    assert!(!pod.path("var/run/argo/outputs").exists());
}
