//! Constraints of ours, and what Gatekeeper 3.23.1 says of generated requests under them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

use emissary_policy::gatekeeper::Gatekeeper;
use emissary_policy::{Decision, Kind, Namespace, Operation, Request, User};
use flate2::read::GzDecoder;
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[derive(Debug, Deserialize)]
struct Case {
    pod: Value,
    #[serde(default)]
    request: Value,
    verdicts: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    constraint: String,
    violations: Vec<String>,
    #[serde(default)]
    action: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/gatekeeper")
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// By file stem.
fn objects(kind: &str) -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder().join(kind)).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), documents(&file).remove(0))).collect()
}

fn cases() -> Vec<Case> {
    let lines = BufReader::new(GzDecoder::new(File::open(folder().join("cases.jsonl.gz")).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn request(case: &Case, namespaces: &BTreeMap<String, Namespace>) -> Request {
    let given = |key: &str| case.request.get(key);
    let operation = match given("operation").and_then(Value::as_str) {
        Some("UPDATE") => Operation::Update,
        Some("DELETE") => Operation::Delete,
        _ => Operation::Create,
    };
    let mut user = serde_json::json!({
        "username": "system:serviceaccount:argo:argo",
        "groups": ["system:serviceaccounts", "system:authenticated"],
    });
    for (key, value) in given("userInfo").and_then(Value::as_object).into_iter().flatten() {
        user[key] = value.clone();
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&case.pod["metadata"]["namespace"]);
    let (object, old_object) = match operation {
        Operation::Delete => (Value::Null, case.pod.clone()),
        _ => (case.pod.clone(), given("oldObject").cloned().unwrap_or(Value::Null)),
    };
    Request {
        operation,
        kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
        resource: "pods".to_owned(),
        sub_resource: String::new(),
        name: text(&case.pod["metadata"]["name"]),
        namespace_object: namespaces.get(&namespace).cloned(),
        namespace,
        user: User {
            name: text(&user["username"]),
            uid: String::new(),
            groups: user["groups"].as_array().into_iter().flatten().map(text).collect(),
        },
        object,
        old_object,
        dry_run: given("dryRun").and_then(Value::as_bool).unwrap_or(false),
    }
}

/// What is known to differ, by constraint. Numbers beyond 2^53 are compared exactly here, and as 64-bit floats by
/// Gatekeeper's own decoder; `0b11` and `0_2` are numbers to a reader of YAML 1.1, which this test's is not.
const DIFFERENT: [&str; 4] = ["maxcontainers-yaml11", "numbers", "numbers-float", "numbers-ten"];

/// A message with numbers in one notation (OPA keeps how a number was written), and conflicts without the line of the text
/// that was compiled.
fn canonical(message: &str) -> String {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9]+(\.[0-9]+)?(e\+[0-9]+)?").unwrap());
    static LINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"template:\d+: eval_conflict").unwrap());
    let message = LINE.replace_all(message, "eval_conflict");
    let number = NUMBER.replace_all(&message, |number: &Captures<'_>| match number[0].parse::<f64>() {
        Ok(value) if number[0].contains('.') || value >= 1e6 => value.to_string(),
        _ => number[0].to_owned(),
    });
    number.into_owned()
}

#[test]
fn constraints_say_what_gatekeeper_says() {
    let (templates, constraints) = (objects("templates"), objects("constraints"));
    let inventory = documents(&folder().join("inventory.yaml"));
    let all = templates.values().chain(constraints.values()).chain(&inventory);
    let (mut gatekeeper, refusals) = Gatekeeper::new(all);
    assert_eq!(refusals, []);
    assert_eq!(gatekeeper.len(), constraints.len());
    let namespaces: BTreeMap<String, Namespace> = documents(&folder().join("namespaces.yaml"))
        .into_iter()
        .map(|object| {
            (
                object["metadata"]["name"].as_str().unwrap().to_owned(),
                Namespace { object: object.as_object().unwrap().clone() },
            )
        })
        .collect();
    let stems: BTreeMap<String, &String> = constraints
        .iter()
        .map(|(stem, object)| {
            (format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap()), stem)
        })
        .collect();
    let (mut compared, mut differences) = (0, BTreeMap::<String, Vec<String>>::new());
    for case in cases() {
        let ours: BTreeMap<&str, _> = gatekeeper
            .judge(&request(&case, &namespaces))
            .into_iter()
            .map(|verdict| (stems[&verdict.policy].as_str(), verdict))
            .collect();
        for expected in &case.verdicts {
            compared += 1;
            let decision = match expected.action.as_deref() {
                _ if expected.violations.is_empty() => Decision::Allowed,
                None => Decision::Denied,
                Some(action) if action.contains("deny") => Decision::Denied,
                Some(action) if action.contains("warn") => Decision::Warned,
                Some(_) => Decision::Allowed,
            };
            let found = ours.get(expected.constraint.as_str());
            let ours = found.map(|verdict| (verdict.decision, canonical(&verdict.message)));
            if ours != Some((decision, canonical(&expected.violations.join("\n"))))
                && !DIFFERENT.contains(&expected.constraint.as_str())
            {
                differences.entry(expected.constraint.clone()).or_default().push(format!(
                    "expected {decision:?} {:?}, ours {ours:?} of {:?}",
                    expected.violations.join("\n"),
                    case.request
                ));
            }
        }
        for (constraint, verdict) in ours {
            if !case.verdicts.iter().any(|expected| expected.constraint == constraint) {
                differences
                    .entry(constraint.to_owned())
                    .or_default()
                    .push(format!("not matched by Gatekeeper, ours {verdict:?}"));
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
    let total: usize = differences.values().map(Vec::len).sum();
    let lines: Vec<String> = differences
        .iter()
        .map(|(constraint, all)| format!("{constraint}: {} times, such as {}", all.len(), all[0]))
        .collect();
    assert!(differences.is_empty(), "{total} of {compared} differ:\n{}", lines.join("\n"));
}

/// What Gatekeeper refuses and we take, by file: the variable of `tpl-cel-yaml11` is called `n`, which is false to a reader of YAML 1.1.
const NOT_REFUSED: [&str; 1] = ["tpl-cel-yaml11"];

#[test]
fn what_gatekeeper_refuses_is_refused() {
    let (templates, inventory) = (objects("templates"), documents(&folder().join("inventory.yaml")));
    let mut taken = Vec::new();
    for (file, object) in objects("invalid") {
        let (_, refusals) = Gatekeeper::new(templates.values().chain([&object]).chain(&inventory));
        match &refusals[..] {
            [] => taken.push(file),
            [refusal] => assert!(!refusal.why.is_empty() && !refusal.kind.is_empty(), "{file}: {refusal:?}"),
            more => panic!("{file}: {more:?}"),
        }
    }
    assert_eq!(taken, NOT_REFUSED);
}
