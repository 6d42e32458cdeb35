//! ValidatingAdmissionPolicies of ours, and what the API server 1.36.2 says of generated pods under them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

use emissary_policy::vap::Vap;
use emissary_policy::{Decision, Kind, Namespace, Operation, Refusal, Request, User, defaults};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
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

#[derive(Debug, Deserialize)]
struct Probe {
    expression: String,
    refused: Option<String>,
    value: Option<String>,
}

/// A policy with one validation, which compares with a text that nothing has.
fn probe(probe: &Probe) -> (Vap, Vec<Refusal>) {
    let Probe { expression, value, .. } = probe;
    let validation = match value {
        Some(_) => json!({"expression": format!("{expression} == 'ζ'"), "messageExpression": expression}),
        None => json!({"expression": expression}),
    };
    let has_setting = value.is_some() || expression.ends_with("'ζ'");
    let variables = if has_setting { json!([{"name": "e1", "expression": "1/0"}]) } else { json!([]) };
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]});
    let mut spec = json!({
        "variables": variables,
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [validation],
    });
    if has_setting {
        spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    }
    let policy =
        json!({"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec});
    let spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    let binding =
        json!({"apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": spec});
    Vap::new([&policy, &binding])
}

const API: &str = "admissionregistration.k8s.io/v1";

fn small_request() -> Request {
    let container = json!({"name": "main", "image": "a"});
    let metadata = json!({"name": "p", "namespace": "default", "labels": {"n": "1"}});
    let namespace = json!({
        "metadata": {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    });
    let namespace = Namespace { object: namespace.as_object().unwrap().clone() };
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}});
    request(&pod, &BTreeMap::from([("default".to_owned(), namespace)]))
}

#[test]
fn expressions_come_to_what_the_api_server_says() {
    let request = small_request();
    let text = fs::read_to_string(folder().join("expressions.jsonl")).unwrap();
    let (mut compared, mut differences) = (0, Vec::new());
    for line in text.lines() {
        let one: Probe = serde_json::from_str(line).unwrap();
        let (vap, refusals) = probe(&one);
        let refused = refusals.first().map(|refusal| refusal.why.clone());
        let value = vap.judge(&request).into_iter().next().map(|verdict| {
            verdict.message.split_once("denied request: ").map(|(_, told)| told.to_owned()).unwrap_or_default()
        });
        let (refused, value) = (refused, one.value.as_ref().and(value));
        compared += 1;
        if refused != one.refused || value != one.value {
            differences.push(format!("{one:?}\n    ours {refused:?} {value:?}"));
        }
    }
    assert!(compared > 350, "{compared}");
    assert!(differences.is_empty(), "{} of {compared}:\n{}", differences.len(), differences.join("\n"));
}

/// What is hostile ends soon, with an answer, on a thread with the stack that a test has.
#[test]
fn hostile_expressions_end() {
    let request = small_request();
    let nested = |open: &str, close: &str, n: usize| format!("{}1{} == 1", open.repeat(n), close.repeat(n));
    let chained = |link: &str, n: usize| format!("object{} == 1", link.repeat(n));
    for expression in [
        nested("(", ")", 40),
        nested("(", ")", 100_000),
        nested("[", "]", 40),
        nested("[", "]", 10_000),
        nested("{1:", "}", 47),
        nested("!", "", 7_000),
        nested("-", "", 7_000),
        chained(".a", 100),
        chained(".a", 7_000),
        chained("[0]", 7_000),
        chained(".?a", 3_000),
        format!("1{} == 1", " + 1".repeat(150)),
        format!("1{} == 1", " + 1".repeat(7_000)),
        format!("true{}", " && true".repeat(3_000)),
        format!("true{}", " || object.a".repeat(1_500)),
        format!("1{} == 1", " ? 1 : 1".repeat(3_000)),
        format!("{}1 == 1", "true ? 1 : ".repeat(2_000)),
        format!("'aaaaaaaaaa'{}.size() == 1", ".replace('a', 'aaaaaaaaaa')".repeat(40)),
        format!("'aaaaaaaaaa'{}.size() == 1", ".replace('', 'aaaaaaaaaa')".repeat(40)),
        format!("[1, 1]{}.size() == 1", ".map(x, lists.range(1000))".repeat(20)),
        "lists.range(9223372036854775807).size() == 1".to_owned(),
        "lists.range(1000000).map(x, lists.range(1000000)).size() == 1".to_owned(),
        "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, true)))".to_owned(),
        "lists.range(1000).map(a, lists.range(1000)).flatten().distinct().size() == 1".to_owned(),
        "'%.1000000000f'.format([1.0]) == ''".to_owned(),
        "'%.999f'.format([1.0]) == ''".to_owned(),
        "'a'.matches('(a{1000}){1000}')".to_owned(),
        "'a'.matches(object.metadata.name + '{1000}{1000}{1000}')".to_owned(),
        "r'\\' == '(((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((('".to_owned(),
        "object.all(x, object.all(y, object.all(z, object.all(a, object.all(b, object.all(c, x == y)))))".to_owned(),
        String::from_utf8_lossy(&[b'('; 90_000]).into_owned(),
        "\u{0}\u{feff}🦀 == '\u{10ffff}'".to_owned(),
        "'unclosed".to_owned(),
        "\"\"\"".to_owned(),
        "1..2.3.4".to_owned(),
        "a.b.c.d(1)(2)(3)".to_owned(),
        "`".repeat(1_000),
        "?".repeat(1_000),
        "'\\".to_owned(),
    ] {
        let (vap, refusals) = probe(&Probe { expression: expression.clone(), refused: None, value: None });
        let verdicts = vap.judge(&request);
        let short: String = expression.chars().take(60).collect();
        assert_eq!(refusals.len() + verdicts.len(), 1, "{short}: {refusals:?} {verdicts:?}");
    }
}

/// Variables are evaluated once each, so doubling one in the next is exponential in size alone.
#[test]
fn variables_that_double_end() {
    let mut variables = vec![json!({"name": "v0", "expression": "['aaaaaaaaaa', 'b']"})];
    variables.extend((1..60).map(|n| {
        let before = format!("variables.v{}", n - 1);
        json!({"name": format!("v{n}"), "expression": format!("{before} + {before}")})
    }));
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]});
    let spec = json!({
        "variables": variables,
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "variables.v59.size() > 0"}],
    });
    let policy =
        json!({"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec});
    let spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    let binding =
        json!({"apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": spec});
    let (vap, refusals) = Vap::new([&policy, &binding]);
    assert_eq!(refusals, []);
    let verdicts = vap.judge(&small_request());
    assert!(verdicts[0].message.contains("cost limit"), "{verdicts:?}");
}
