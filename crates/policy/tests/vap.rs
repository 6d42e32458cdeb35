//! ValidatingAdmissionPolicies of ours, and what the API server 1.36.2 says of generated pods under them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

use emissary_policy::vap::Vap;
use emissary_policy::{Decision, Kind, Namespace, Operation, Request, User, defaults};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
struct Case {
    pod: Value,
    verdicts: Vec<Expected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expected {
    policy: String,
    allowed: bool,
    message: String,
    reason: Option<String>,
    code: Option<u16>,
    warnings: Vec<String>,
    audit: BTreeMap<String, String>,
    authorizer: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/vap")
}

fn documents(path: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

/// By file stem.
fn files(kind: &str) -> BTreeMap<String, Vec<Value>> {
    let files = fs::read_dir(folder().join(kind)).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), documents(&file))).collect()
}

fn request(pod: &Value, namespaces: &BTreeMap<String, Namespace>) -> Request {
    // The verdicts were recorded from the plugin alone, without what the registry completes.
    let object = defaults::pod(pod);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&object["metadata"]["namespace"]);
    Request {
        operation: Operation::Create,
        kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
        resource: "pods".to_owned(),
        sub_resource: String::new(),
        name: text(&object["metadata"]["name"]),
        namespace_object: namespaces.get(&namespace).cloned(),
        namespace,
        user: User {
            name: "system:serviceaccount:argo:argo".to_owned(),
            uid: String::new(),
            groups: vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()],
        },
        object,
        old_object: Value::Null,
        dry_run: false,
    }
}

fn namespaces() -> BTreeMap<String, Namespace> {
    let objects = documents(&folder().join("namespaces.yaml")).into_iter();
    let named = |object: Value| (object["metadata"]["name"].as_str().unwrap().to_owned(), object);
    objects.map(named).map(|(name, object)| (name, Namespace { object: object.as_object().unwrap().clone() })).collect()
}

#[test]
fn policies_say_what_the_api_server_says() {
    let policies = files("policies");
    let (vap, refusals) = Vap::new(policies.values().flatten());
    assert_eq!(refusals, []);
    let namespaces = namespaces();
    let lines = BufReader::new(GzDecoder::new(File::open(folder().join("cases.jsonl.gz")).unwrap())).lines();
    let (mut compared, mut differences) = (0, BTreeMap::<String, Vec<String>>::new());
    for line in lines {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        let request = request(&case.pod, &namespaces);
        let found: BTreeMap<_, _> =
            vap.review(&request).into_iter().map(|one| (one.verdict.policy.clone(), one)).collect();
        for expected in &case.verdicts {
            compared += 1;
            let decision = match expected {
                Expected { authorizer: true, .. } => Decision::Unknown,
                Expected { allowed: false, .. } => Decision::Denied,
                Expected { warnings, .. } if !warnings.is_empty() => Decision::Warned,
                _ => Decision::Allowed,
            };
            let same = match found.get(&expected.policy) {
                None => decision == Decision::Allowed && expected.audit.is_empty(),
                Some(ours) if decision == Decision::Unknown => ours.verdict.decision == decision,
                Some(ours) => {
                    ours.verdict.decision == decision
                        && (ours.verdict.message == expected.message || decision != Decision::Denied)
                        && ours.reason == expected.reason
                        && ours.code == expected.code
                        && ours.warnings == expected.warnings
                        && ours.audit == expected.audit
                }
            };
            if !same {
                let ours = found.get(&expected.policy);
                differences
                    .entry(expected.policy.clone())
                    .or_default()
                    .push(format!("expected {expected:?}\n   ours {ours:?}"));
            }
        }
    }
    assert!(compared > 16_000, "{compared}");
    let lines: Vec<String> =
        differences.iter().map(|(policy, all)| format!("{policy}: {} times, such as {}", all.len(), all[0])).collect();
    assert!(differences.is_empty(), "of {compared}:\n{}", lines.join("\n"));
}

#[derive(Debug, Deserialize)]
struct Invalid {
    policy: String,
    errors: Vec<String>,
}

#[test]
fn what_the_api_server_refuses_is_refused_in_its_words() {
    let invalid = files("invalid");
    let errors: Vec<Invalid> = fs::read_to_string(folder().join("invalid.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(errors.len(), invalid.len());
    let mut differences = Vec::new();
    for Invalid { policy, errors } in errors {
        let (vap, refusals) = Vap::new(&invalid[&policy]);
        let ours: Vec<&str> = refusals.iter().map(|refusal| refusal.why.as_str()).collect();
        if ours != errors || !vap.is_empty() {
            differences.push(format!("{policy}\n expected {errors:?}\n ours     {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
