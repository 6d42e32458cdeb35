//! The built program against what real controllers made: an old pod becomes its emissary twin, an emissary pod stays.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::{Deserializer, Value, json};

use crate::oracle::{Recorded, differences, image_index, normalise, reviews, twins};

/// One run of `rewrite` over many pods, fed as JSON lines; one document of its output for each.
pub(crate) fn rewrite(arguments: &[&str], pods: &[&Value]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("image-index.yaml");
    fs::write(&index, image_index().to_string()).unwrap();
    // From a file: a pipe would have to be written and read at once.
    let input = folder.path().join("pods.jsonl");
    fs::write(&input, pods.iter().map(|pod| format!("{pod}\n")).collect::<String>()).unwrap();

    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
        .args(["rewrite", "--image-index"])
        .arg(&index)
        .args(arguments)
        .arg("-")
        .stdin(Stdio::from(fs::File::open(&input).unwrap()))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{status}: {}", first_lines(&stderr, 20));
    let documents: Vec<Value> = Deserializer::from_slice(&stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("the output is not JSON: {error}"));
    assert_eq!(documents.len(), pods.len(), "documents and pods; {}", first_lines(&stderr, 20));
    documents
}

fn first_lines(text: &str, count: usize) -> String {
    text.lines().take(count).collect::<Vec<_>>().join("\n")
}

/// Fails with the number of cases that do not hold and the first few of them.
pub(crate) fn assert_none(complaints: &[String], cases: usize) {
    assert!(
        complaints.is_empty(),
        "{} of {cases} do not hold:\n{}",
        complaints.len(),
        complaints.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_converted_pod_is_what_the_controller_made_for_emissary() {
    let twins = twins();
    let olds: Vec<&Value> = twins.iter().map(|(old, _)| old.object()).collect();
    let converted = rewrite(&["--profile", "none", "-o", "json"], &olds);
    let mut complaints = Vec::new();
    for ((old, new), converted) in twins.iter().zip(&converted) {
        let mut found = differences(&normalise(converted), &normalise(new.object()));
        // What pns replaced is nowhere in its pod.
        if old.name.contains("-pns-") && old.name.ends_with(".sel") {
            found.retain(|difference| !difference.contains("/securityContext"));
        }
        if !found.is_empty() {
            complaints.push(format!("{}: {}", old.name, first_lines(&found.join("\n"), 4).replace('\n', "; ")));
        }
    }
    assert_none(&complaints, twins.len());
}

/// The pods of the recordings that `wanted` picks get an empty patch, whatever the profile that is the default.
fn assert_unchanged(at_least: usize, wanted: impl Fn(&Recorded) -> bool) {
    let picked: Vec<Recorded> =
        reviews().into_iter().filter(|recorded| recorded.is_pod() && wanted(recorded)).collect();
    assert!(picked.len() >= at_least, "only {} recordings", picked.len());
    let pods: Vec<&Value> = picked.iter().map(Recorded::object).collect();
    let patches = rewrite(&["-o", "patch"], &pods);
    let complaints: Vec<String> = picked
        .iter()
        .zip(&patches)
        .filter(|(_, patch)| **patch != json!([]))
        .map(|(recorded, patch)| format!("{}: {patch}", recorded.name))
        .collect();
    assert_none(&complaints, picked.len());
}

fn made_by(recorded: &Recorded, versions: &[&str]) -> bool {
    recorded.parts().is_some_and(|(version, executor, _)| versions.contains(&version) && executor == "emissary")
}

#[test]
fn pods_of_emissary_controllers_stay_as_they_are() {
    assert_unchanged(60, |recorded| made_by(recorded, &["3.5.15", "3.7.18", "4.1.2"]));
}

#[test]
fn emissary_pods_of_old_controllers_stay_as_they_are() {
    assert_unchanged(40, |recorded| made_by(recorded, &["3.1.15", "3.3.10"]));
}

#[test]
fn agent_pods_stay_as_they_are() {
    assert_unchanged(10, |recorded| {
        recorded.object()["metadata"]["labels"]["workflows.argoproj.io/component"] == "agent"
    });
}

#[test]
fn pods_of_others_stay_as_they_are() {
    assert_unchanged(10, |recorded| recorded.name.starts_with("plain-"));
}

/// Recordings that [`without_argo`] makes bare pods of.
pub(crate) const BARE: [&str; 3] = ["4.1.2-emissary-hello", "4.1.2-emissary-with-cmd", "4.1.2-emissary-fails"];

/// What Argo 4.1 makes of a template, less all that is Argo's, comes back in 4.1's own layout.
#[test]
fn a_bare_pod_gets_the_layout_of_the_newest_controller() {
    let real: Vec<Recorded> =
        BARE.iter().map(|name| reviews().into_iter().find(|recorded| recorded.name == *name).unwrap()).collect();
    let bare: Vec<Value> = real.iter().map(|recorded| without_argo(recorded.object())).collect();
    let executor = ["--set", "executor.image=localhost/argoexec:lab", "--set", "executor.logLevel=debug"];
    let arguments = [&["--profile", "none", "--offline", "-o", "json"], executor.as_slice()].concat();
    let rewritten = rewrite(&arguments, &bare.iter().collect::<Vec<_>>());
    // What only the controller knows (its trace, its plugins, the template's own words), what the API server adds, and the
    // grace period, which the API server has filled in when a webhook sees a pod and a controller does not.
    let expected = [
        "TRACEPARENT",
        "TRACESTATE",
        "ARGO_ARTIFACT_PLUGIN_NAMES",
        "ARGO_TEMPLATE",
        "ARGO_TERMINATION_GRACE_PERIOD_SECONDS",
        "fieldRef/apiVersion",
        "wait/imagePullPolicy",
        "wait/terminationMessage",
    ];
    let mut complaints = Vec::new();
    for (rewritten, real) in rewritten.iter().zip(&real) {
        let mut found = differences(&normalise(rewritten), &normalise(real.object()));
        found.retain(|difference| !expected.iter().any(|known| difference.contains(known)));
        complaints.extend(found.iter().map(|difference| format!("{}: {difference}", real.name)));
    }
    assert_none(&complaints, real.len());
}

/// The pod as its user might have written it.
pub(crate) fn without_argo(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["annotations"].as_object_mut().unwrap().remove("kubectl.kubernetes.io/default-container");
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("initContainers");
    let is_argos = |volume: &Value| volume["name"] == "var-run-argo" || volume["name"] == "tmp-dir-argo";
    spec["volumes"].as_array_mut().unwrap().retain(|volume| !is_argos(volume));
    let containers = spec["containers"].as_array_mut().unwrap();
    containers.retain(|container| container["name"] != "wait");
    for container in containers {
        container.as_object_mut().unwrap().remove("env");
        container["volumeMounts"].as_array_mut().unwrap().retain(|mount| !is_argos(mount));
        let command = container["command"].as_array_mut().unwrap();
        let end = command.iter().position(|word| word == "--").unwrap();
        command.drain(..=end);
    }
    pod
}
