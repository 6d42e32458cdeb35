use super::{Folder, path};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use crate::oracles::assert_none;

fn cases(engine: &str) -> Vec<Value> {
    let file = File::open(super::repository(&format!("tests/oracles/{engine}/cases.jsonl.gz"))).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let cases: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(cases.len() >= 300, "{engine}: {}", cases.len());
    cases
}

/// A pod as admission sees it, under a name of its own by which its lines are found.
fn admission_review(at: usize, pod: &Value, more: &Value) -> Value {
    let operation = more.get("operation").and_then(Value::as_str).unwrap_or("CREATE");
    let mut request = json!({
        "uid": "u",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "name": format!("case-{at}"),
        "operation": operation,
        "namespace": pod["metadata"]["namespace"],
        "userInfo": {
            "username": "system:serviceaccount:argo:argo",
            "groups": ["system:serviceaccounts", "system:authenticated"],
        },
    });
    match operation {
        "DELETE" => request["oldObject"] = pod.clone(),
        _ => request["object"] = pod.clone(),
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        match key.as_str() {
            "userInfo" => {
                value.as_object().unwrap().iter().for_each(|(key, value)| request["userInfo"][key] = value.clone())
            }
            key => request[key] = value.clone(),
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
}

/// Lines by the number of their case.
fn by_case(lines: Vec<Value>) -> BTreeMap<usize, Vec<Value>> {
    let mut cases: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    for line in lines {
        let number = line["pod"].as_str().unwrap().strip_prefix("pod/case-").unwrap().parse().unwrap();
        cases.entry(number).or_default().push(line);
    }
    cases
}

fn jsonl<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    values.into_iter().map(|value| format!("{value}\n")).collect()
}

#[test]
fn standards_say_what_the_api_server_says() {
    let cases = cases("pss");
    let standard =
        |verdict: &Value| format!("{}:{}", verdict["level"].as_str().unwrap(), verdict["version"].as_str().unwrap());
    let standards: BTreeSet<String> =
        cases.iter().flat_map(|case| case["verdicts"].as_array().unwrap()).map(standard).collect();
    let folder = Folder::new();
    let reviews: Vec<Value> =
        cases.iter().enumerate().map(|(at, case)| admission_review(at, &case["pod"], &json!({}))).collect();
    folder.file("cases.jsonl", &jsonl(&reviews));
    let mut arguments = vec!["-o", "jsonl", "--executor", "as-is", "cases.jsonl"];
    arguments.extend(standards.iter().flat_map(|standard| ["--pss", standard]));
    let found = by_case(folder.review(&arguments).lines());
    let (mut complaints, mut compared) = (Vec::new(), 0);
    for (at, case) in cases.iter().enumerate() {
        for expected in case["verdicts"].as_array().unwrap() {
            let policy = standard(expected);
            if policy.starts_with("privileged") {
                continue;
            }
            compared += 1;
            let line = found[&at].iter().find(|line| line["policy"] == policy.as_str()).unwrap();
            let (word, detail) = match expected["allowed"].as_bool().unwrap() {
                true => ("allowed", String::new()),
                false => {
                    ("denied", format!("violates PodSecurity \"{policy}\": {}", expected["detail"].as_str().unwrap()))
                }
            };
            if line["verdict"] != word || line["message"] != detail.as_str() {
                complaints.push(format!("case {at}: {line}, and {word} {detail}"));
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    assert_none(&complaints, compared);
}

#[test]
fn pod_security_policies_say_what_the_plugin_says() {
    let cases = cases("psp");
    let folder = Folder::new();
    let mut sets: BTreeSet<Vec<String>> = BTreeSet::new();
    let names = |verdict: &Value| -> Vec<String> {
        verdict["policies"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    sets.extend(cases.iter().flat_map(|case| case["verdicts"].as_array().unwrap()).map(names));
    // As manifests: the plugin was given pods with the API server's defaults.
    let pods: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(at, case)| {
            let mut pod = case["pod"].clone();
            pod["metadata"]["name"] = json!(format!("case-{at}"));
            pod
        })
        .collect();
    folder.file("cases.jsonl", &jsonl(&pods));
    let (mut complaints, mut compared) = (Vec::new(), 0);
    for set in sets {
        let files: Vec<String> = set.iter().map(|name| path(&format!("tests/oracles/psp/{name}.yaml"))).collect();
        let mut arguments =
            vec!["-o", "jsonl", "--executor", "as-is", "--assume-use", "all", "--kubernetes", "v1.20", "cases.jsonl"];
        arguments.extend(files.iter().flat_map(|file| ["--policies", file]));
        let found = by_case(folder.review(&arguments).lines());
        for (at, case) in cases.iter().enumerate() {
            let verdicts = case["verdicts"].as_array().unwrap().iter();
            for expected in verdicts.filter(|verdict| names(verdict) == set) {
                compared += 1;
                let allowed = expected["allowed"].as_bool().unwrap();
                let denied = found[&at].iter().find(|line| line["verdict"] == "denied");
                if denied.is_none() != allowed {
                    complaints.push(format!("case {at} under {set:?}: {denied:?}, and {expected}"));
                }
                let chosen = found[&at].iter().find(|line| line["engine"] == "psp").unwrap();
                if allowed && chosen["policy"] != expected["psp"] {
                    complaints.push(format!("case {at} under {set:?}: chose {chosen}, and not {}", expected["psp"]));
                }
                // Of several policies the plugin tells the errors in no order.
                if let (Some(line), [_]) = (denied, &set[..]) {
                    let told = expected["error"].as_str().unwrap().split_once(" is forbidden: ").unwrap().1;
                    if line["message"] != told {
                        complaints.push(format!("case {at} under {set:?}: {line}, and {told}"));
                    }
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    assert_none(&complaints, compared);
}

/// What is known to differ: numbers beyond 2^53 are compared exactly here, and as 64-bit floats by Gatekeeper's decoder.
const NUMBERS: [&str; 3] = ["numbers", "numbers-float", "numbers-ten"];

#[test]
fn constraints_say_what_gatekeeper_says() {
    let cases = cases("gatekeeper");
    let folder = Folder::new();
    let reviews: Vec<Value> =
        cases.iter().enumerate().map(|(at, case)| admission_review(at, &case["pod"], &case["request"])).collect();
    folder.file("cases.jsonl", &jsonl(&reviews));
    let files = ["templates", "constraints", "namespaces.yaml", "inventory.yaml"];
    let files = files.map(|name| path(&format!("tests/oracles/gatekeeper/{name}")));
    let mut arguments = vec!["-o", "jsonl", "--executor", "as-is", "cases.jsonl"];
    arguments.extend(files.iter().flat_map(|file| ["--policies", file]));
    let found = by_case(folder.review(&arguments).lines());
    let stems = stems(&files[1]);
    let (mut complaints, mut compared) = (Vec::new(), 0);
    for (at, case) in cases.iter().enumerate() {
        // No constraint may match at all.
        let lines = found.get(&at).into_iter().flatten().filter(|line| line["engine"] == "gatekeeper");
        let mut lines: BTreeMap<&str, &Value> =
            lines.map(|line| (stems[line["policy"].as_str().unwrap()].as_str(), line)).collect();
        for expected in case["verdicts"].as_array().unwrap() {
            let constraint = expected["constraint"].as_str().unwrap();
            let line = lines.remove(constraint);
            // What is in CEL is judged by another engine.
            if expected["template"].as_str().unwrap().starts_with("wfcel")
                || expected["template"] == "wfdual"
                || NUMBERS.contains(&constraint)
            {
                continue;
            }
            compared += 1;
            let word = match expected.get("action").and_then(Value::as_str) {
                _ if expected["violations"].as_array().unwrap().is_empty() => "allowed",
                None => "denied",
                Some(action) if action.contains("deny") => "denied",
                Some(action) if action.contains("warn") => "warned",
                Some(_) => "allowed",
            };
            if line.is_none_or(|line| line["verdict"] != word) {
                complaints.push(format!("case {at}: {line:?}, and {word} {expected}"));
            }
        }
        complaints.extend(lines.keys().map(|name| format!("case {at}: {name} was not asked by Gatekeeper")));
    }
    assert!(compared > 10_000, "{compared}");
    assert_none(&complaints, compared);
}

/// `Kind/name` to the file's stem.
fn stems(folder: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let word = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap_or_else(|| panic!("{}: no {key:?}", file.display())).trim().to_owned()
            };
            (format!("{}/{}", word("kind:"), word("  name:")), file.file_stem().unwrap().to_str().unwrap().to_owned())
        })
        .collect()
}

/// Pods of one shape are judged once, and are told the same as if each were judged by itself: under policies that read names,
/// and under those that do not.
#[test]
fn judged_by_shape_is_judged_each() {
    let pods: Vec<Value> = cases("gatekeeper")
        .iter()
        .take(12)
        .flat_map(|case| {
            ["one", "two"].map(|name| {
                let mut pod = case["pod"].clone();
                pod["metadata"]["name"] =
                    json!(format!("{}-{name}", pod["metadata"]["name"].as_str().unwrap_or("pod")));
                pod["metadata"]["labels"]["emissary-webhook.io/inject"] = json!("true");
                pod
            })
        })
        .collect();
    let folder = Folder::new();
    folder.file("pods.jsonl", &jsonl(&pods));
    folder.file("named.rego", "package named\nimport rego.v1\ndeny contains input.metadata.name if true\n");
    let calm = path("examples/policies/limits.yaml");
    for policies in [vec!["--policies", &calm], vec!["--policies", &calm, "--policies", "named.rego"]] {
        let arguments = [&["-o", "jsonl", "--pss", "restricted", "pods.jsonl"], &policies[..]].concat();
        let by_shape = folder.review(&arguments);
        let each = folder.review(&[&arguments[..], &["--each"]].concat());
        assert!(by_shape.lines().len() > 48, "{}", by_shape.stderr);
        assert_eq!(by_shape.stdout, each.stdout, "{policies:?}");
    }
}
