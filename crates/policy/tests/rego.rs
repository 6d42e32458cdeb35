//! Small modules, and what OPA says of them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

use emissary_policy::rego::{Host, Input, Module, Modules, Policies, RequestInputs, Version};
use emissary_policy::{Decision, Kind, Operation, Request, User};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Probe {
    id: String,
    modules: BTreeMap<String, String>,
    v0: bool,
    query: String,
    input: Value,
    data: Value,
    opa: BTreeMap<String, Value>,
}

/// What OPA refuses to compile and we do not, by probe: it infers the types of variables and rules.
const NOT_REFUSED: [&str; 7] =
    ["fn-009", "not-userfn-undef-local-ref", "type-eq", "type-ref-undefined", "type-rule", "type-unify", "type-var"];
/// What OPA answers and we refuse by name, by probe: functions that are not here.
const REFUSED: [&str; 22] = [
    "fn-082",
    "fn-116",
    "fn-117",
    "fn-129",
    "fn-141",
    "fn-143",
    "fn-167",
    "fn-168",
    "fn-169",
    "fn-170",
    "fn-171",
    "fn-172",
    "fn-174",
    "fn-175",
    "fn-176",
    "fn-177",
    "fn-178",
    "fn-182",
    "http.send",
    "jwt",
    "metadata",
    "rego.metadata.rule",
];
/// What both answer, and not alike, by probe: an object is taken apart here whatever else it has; decimals are 64-bit floats, and OPA keeps
/// how a number was written; sets go before objects.
const DIFFERENT: [&str; 6] =
    ["compare-types", "fn-007", "number-float", "obj-unify-more", "obj-unify-some", "some-in-pattern"];

fn probes(file: &str) -> Vec<Probe> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/rego").join(file);
    let lines = BufReader::new(GzDecoder::new(File::open(file).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// The result, or why there is none.
fn ours(probe: &Probe) -> Result<Option<Value>, String> {
    let modules: Vec<Module> =
        probe.modules.iter().map(|(name, text)| Module { name: name.clone(), text: text.clone() }).collect();
    let version = if probe.v0 { Version::V0 } else { Version::V1 };
    let mut modules =
        Modules::compile(&modules, version, Host::Opa, &Input::new(&probe.data)).map_err(|error| error.to_string())?;
    modules.evaluate(&probe.query, &Input::new(&probe.input)).map_err(|error| error.to_string())
}

/// Equal as JSON, where 1000 and 1000.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn modules_mean_what_they_mean_to_opa() {
    let mut probes = probes("semantics.jsonl.gz");
    probes.extend(self::probes("evaluated.jsonl.gz"));
    assert!(probes.len() > 400, "{}", probes.len());
    let mut differences = Vec::new();
    for probe in &probes {
        let ours = ours(probe);
        let refused = probe.opa.contains_key("compile_error") || probe.opa.contains_key("error");
        let agrees = match &ours {
            Ok(_) if DIFFERENT.contains(&probe.id.as_str()) => true,
            Err(_) => refused || REFUSED.contains(&probe.id.as_str()),
            Ok(_) if refused => NOT_REFUSED.contains(&probe.id.as_str()),
            Ok(None) => !probe.opa.contains_key("result"),
            Ok(Some(ours)) => probe.opa.get("result").is_some_and(|theirs| same(ours, theirs)),
        };
        if !agrees {
            differences.push(format!("{}: OPA {:?}, ours {ours:?}, {:?}", probe.id, probe.opa, probe.modules));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// What each rule of the modules says of a pod with these labels: policy, decision, message.
fn judged(modules: &[&str], labels: Value) -> Vec<(String, Decision, String)> {
    let modules: Vec<Module> = modules
        .iter()
        .enumerate()
        .map(|(n, text)| Module { name: format!("{n}.rego"), text: (*text).to_owned() })
        .collect();
    let data = json!({"kubernetes": {"namespaces": {"argo": {"metadata": {"labels": {"strict": "true"}}}}}});
    let mut policies = Policies::compile(&modules, &data).unwrap();
    let request = Request {
        operation: Operation::Create,
        kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
        resource: "pods".to_owned(),
        sub_resource: String::new(),
        name: "p".to_owned(),
        namespace: "argo".to_owned(),
        namespace_object: None,
        user: User::default(),
        object: json!({"kind": "Pod", "metadata": {"name": "p", "labels": labels}}),
        old_object: Value::Null,
        dry_run: false,
    };
    let verdicts = policies.judge(&mut RequestInputs::new(&request));
    verdicts.into_iter().map(|verdict| (verdict.policy, verdict.decision, verdict.message)).collect()
}

#[test]
fn rules_are_found_as_conftest_and_kube_mgmt_find_them() {
    let conftest = r#"package main
deny[msg] { not input.metadata.labels.team; msg := "no team" }
warn[msg] { input.metadata.labels.old; msg := "old" }
violation_owner[{"msg": msg}] { not input.metadata.labels.owner; msg := "no owner" }
deny_tier[msg] { not input.metadata.labels.tier; msg := "no tier" }
exception[rules] { input.metadata.labels.exempt; rules := ["tier"] }
helper[x] { x := 1 }"#;
    let kube_mgmt = r#"package kubernetes.admission
import rego.v1
deny contains msg if {
    input.request.kind.kind == "Pod"
    data.kubernetes.namespaces[input.request.namespace].metadata.labels.strict == "true"
    not input.request.object.metadata.labels.strict
    msg := sprintf("%v is not strict", [input.request.name])
}"#;
    let verdicts = judged(&[conftest, kube_mgmt], json!({"old": "1", "owner": "o", "exempt": "1"}));
    let expected = [
        ("kubernetes.admission.deny", Decision::Denied, "p is not strict"),
        ("main.deny", Decision::Denied, "no team"),
        ("main.deny_tier", Decision::Allowed, ""),
        ("main.violation_owner", Decision::Allowed, ""),
        ("main.warn", Decision::Warned, "old"),
    ];
    let expected = expected.map(|(policy, decision, message)| (policy.to_owned(), decision, message.to_owned()));
    assert_eq!(verdicts, expected);
}

#[test]
fn opas_own_main_answers_for_the_packages_that_it_asks() {
    let main = r#"package system
main = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
default response = {"allowed": true}
response = {"allowed": false, "status": {"reason": reason}} {
    reason := concat(", ", data.kubernetes.admission.deny)
    reason != ""
}"#;
    let policy = r#"package kubernetes.admission
deny[msg] { not input.request.object.metadata.labels.team; msg := "no team" }"#;
    let verdicts = |labels| judged(&[main, policy], labels);
    assert_eq!(verdicts(json!({})), [("system.main".to_owned(), Decision::Denied, "no team".to_owned())]);
    assert_eq!(verdicts(json!({"team": "a"})), [("system.main".to_owned(), Decision::Allowed, String::new())]);
}

#[test]
fn what_is_missing_here_is_unknown() {
    let verdicts = judged(&["package main\ndeny[msg] { msg := http.send({\"url\": \"x\"}).body }"], json!({}));
    let [(policy, decision, message)] = &verdicts[..] else { unreachable!("{verdicts:?}") };
    assert_eq!((policy.as_str(), *decision), ("main.deny", Decision::Unknown));
    assert!(message.contains("http.send"), "{message}");
}

/// What both refuse, and OPA in other words or at another line, by probe.
const OTHER_WORDS: [&str; 7] = [
    "default-twice",
    "kind-package-rule",
    "kind-package-set",
    "print-unsafe",
    "rec-dynamic",
    "rec-dynamic-below",
    "rec-partial-object",
];

#[derive(Debug, Deserialize)]
struct Compiled {
    id: String,
    modules: BTreeMap<String, String>,
    v0: bool,
    /// `m0.rego:3: rego_type_error: …`
    errors: Vec<String>,
}

#[test]
fn what_opa_refuses_is_refused() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/rego/compile.jsonl");
    let (mut compared, mut differences) = (0, Vec::new());
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let case: Compiled = serde_json::from_str(line).unwrap();
        let modules: Vec<Module> =
            case.modules.iter().map(|(name, text)| Module { name: name.clone(), text: text.clone() }).collect();
        let version = if case.v0 { Version::V0 } else { Version::V1 };
        let ours = Modules::compile(&modules, version, Host::Opa, &Input::new(&json!({})));
        let ours = ours.err().map(|error| error.to_string()).unwrap_or_default();
        compared += 1;
        // Where regorus cannot parse it, the words are its own; else file, line, what it is, and whose.
        let told = |error: &str| {
            let words = error.lines().next().unwrap_or_default().split([' ', '(']).take(5);
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let (theirs, same): (Vec<_>, Vec<_>) =
            (case.errors.iter().map(|e| told(e)).collect(), ours.lines().map(told).collect());
        let is_parsers = ours.starts_with("-->") || case.errors.iter().any(|error| error.contains("_parse_error"));
        let agrees = match case.errors.is_empty() {
            true => ours.is_empty(),
            false if NOT_REFUSED.contains(&case.id.as_str()) => ours.is_empty(),
            false => !ours.is_empty() && (is_parsers || OTHER_WORDS.contains(&case.id.as_str()) || theirs == same),
        };
        if !agrees {
            differences.push(format!("{} {:?}\n  opa  {:?}\n  ours {ours:?}", case.id, case.modules, case.errors));
        }
    }
    assert!(compared > 200, "{compared}");
    assert!(differences.is_empty(), "{} of {compared}:\n{}", differences.len(), differences.join("\n"));
}
