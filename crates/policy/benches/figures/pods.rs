//! The pods that policies are measured with.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The folder of recorded verdicts.
pub(crate) fn oracles() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.ancestors().map(|folder| folder.join("tests/oracles")).find(|folder| folder.is_dir());
    folder.unwrap()
}

/// The pods of a file of recorded verdicts.
pub(crate) fn recorded(name: &str) -> Vec<Value> {
    let lines = BufReader::new(GzDecoder::new(File::open(oracles().join(name)).unwrap())).lines();
    lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["pod"].take()).collect()
}

/// `count` workflow pods, of which no two are of one shape: recorded ones, each with a label and a variable of its own. With
/// `shapes` there are only so many, and pods of one differ in their names alone.
pub(crate) fn workflow_pods(count: usize, shapes: Option<usize>) -> Vec<Value> {
    let mut recorded = recorded("gatekeeper/cases.jsonl.gz");
    recorded.extend(self::recorded("vap/cases.jsonl.gz"));
    // Somebody creates each in a namespace.
    recorded.retain(|pod| pod["metadata"]["namespace"].is_string() && pod["spec"]["containers"].is_array());
    let pods = (0..count).map(|n| {
        let shape = n % shapes.unwrap_or(count);
        let mut pod = recorded[shape % recorded.len()].clone();
        pod["metadata"]["name"] = Value::from(format!("wf-{n}"));
        let step = Value::from(shape.to_string());
        let labels = &mut pod["metadata"]["labels"];
        if labels.is_null() {
            *labels = serde_json::json!({});
        }
        labels["example.com/step"] = step.clone();
        for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
            match container["env"].as_array_mut() {
                Some(variables) => variables.push(serde_json::json!({"name": "STEP", "value": step})),
                None => container["env"] = serde_json::json!([{"name": "STEP", "value": step}]),
            }
        }
        pod
    });
    pods.collect()
}
