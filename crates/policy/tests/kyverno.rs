//! Policies of ours, and what Kyverno 1.19 says of generated pods under them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

use emissary_policy::kyverno::Kyverno;
use emissary_policy::{Decision, Kind, Namespace, Operation, Request, User};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
struct Case {
    pod: Value,
    verdicts: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    policy: String,
    /// Empty for a ValidatingPolicy.
    rule: String,
    /// `pass`, `fail`, `skip` or `error`.
    result: String,
    message: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/kyverno")
}

fn policies() -> Vec<Value> {
    let files = fs::read_dir(folder().join("policies")).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|file| serde_saphyr::from_multiple::<Value>(&fs::read_to_string(file).unwrap()).unwrap()).collect()
}

fn request(pod: &Value) -> Request {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = text("/metadata/namespace");
    let tier = BTreeMap::from([("argo", "prod"), ("team-a", "dev")]).get(namespace.as_str()).copied();
    let labels: BTreeMap<&str, &str> = tier.into_iter().map(|tier| ("tier", tier)).collect();
    let object = json!({"metadata": {"name": namespace, "labels": labels}});
    Request {
        operation: Operation::Create,
        kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
        resource: "pods".to_owned(),
        sub_resource: String::new(),
        name: text("/metadata/name"),
        namespace,
        namespace_object: Some(Namespace { object: object.as_object().unwrap().clone() }),
        user: User {
            name: "system:serviceaccount:argo:argo".to_owned(),
            uid: String::new(),
            groups: ["system:serviceaccounts", "system:serviceaccounts:argo", "system:authenticated"]
                .map(str::to_owned)
                .to_vec(),
        },
        object: pod.clone(),
        old_object: Value::Null,
        dry_run: false,
    }
}

/// A message, with its checks and the fields of each in one order: Kyverno tells them in the order of a hash where
/// something is excluded, and of annotations always.
fn canonical(message: &str) -> (String, BTreeSet<(String, BTreeSet<String>)>) {
    let (head, checks) = message.split_once("(Forbidden reason: ").unwrap_or((message, ""));
    let checks = checks.split(")(Forbidden reason: ").filter(|check| !check.is_empty()).map(|check| {
        let (reason, errors) = check.split_once(", field error list: [").unwrap();
        let errors = errors.trim_end_matches(')').strip_suffix(']').unwrap();
        (reason.to_owned(), errors.split(", ").map(str::to_owned).collect())
    });
    (head.to_owned(), checks.collect())
}

/// What the command line refuses: Kyverno knows versions from 1.19 on.
const REFUSED: [&str; 2] = ["baseline-v1-0", "baseline-v1-18"];

#[test]
fn rules_say_what_kyverno_says() {
    let policies = policies();
    let (kyverno, refusals) = Kyverno::new(&policies);
    let refused: BTreeSet<&str> = refusals.iter().map(|refusal| refusal.name.as_str()).collect();
    assert_eq!(refused, REFUSED.into());
    assert_eq!(kyverno.len(), policies.len());
    let (mut compared, mut differences) = (0, BTreeMap::<String, Vec<String>>::new());
    for line in BufReader::new(GzDecoder::new(File::open(folder().join("cases.jsonl.gz")).unwrap())).lines() {
        let Case { pod, verdicts } = serde_json::from_str(&line.unwrap()).unwrap();
        let mut ours: BTreeMap<String, _> =
            kyverno.judge(&request(&pod)).into_iter().map(|verdict| (verdict.policy.clone(), verdict)).collect();
        for Expected { policy, rule, result, message } in verdicts {
            compared += 1;
            let name = if rule.is_empty() { policy.clone() } else { format!("{policy}/{rule}") };
            let verdict = ours.remove(&name);
            let agrees = verdict.as_ref().is_some_and(|verdict| match (result.as_str(), verdict.decision) {
                ("pass" | "skip", decision) => decision == Decision::Allowed,
                ("fail", Decision::Denied | Decision::Warned) => canonical(&verdict.message) == canonical(&message),
                // It asks a cluster, which Kyverno did not have either.
                ("error", Decision::Unknown) => policy == "vpol-kyverno-function",
                ("error", Decision::Denied | Decision::Warned) => verdict.message == message,
                _ => false,
            });
            if !agrees {
                let told = format!("{result} {message:?}\n  ours {verdict:?}\n  {pod}");
                differences.entry(name).or_default().push(told);
            }
        }
        for (name, verdict) in ours {
            differences.entry(name).or_default().push(format!("not matched by Kyverno, ours {verdict:?}"));
        }
    }
    assert!(compared > 2_000, "{compared}");
    let lines: Vec<String> =
        differences.iter().map(|(policy, all)| format!("{policy}: {} times, such as {}", all.len(), all[0])).collect();
    assert!(differences.is_empty(), "of {compared}:\n{}", lines.join("\n"));
}

/// What one rule comes to: its name, decision and message.
fn judged(spec: Value) -> (Vec<(String, Decision, String)>, Vec<String>) {
    let policy =
        json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": spec});
    let (kyverno, refusals) = Kyverno::new([&policy]);
    let pod = json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "argo"}, "spec": {"containers": [{"name": "main"}]}});
    let verdicts = kyverno.judge(&request(&pod));
    let verdicts = verdicts.into_iter().map(|verdict| (verdict.policy, verdict.decision, verdict.message));
    (verdicts.collect(), refusals.into_iter().map(|refusal| refusal.why).collect())
}

#[test]
fn the_nearest_action_decides() {
    let matching = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
    let rule = |validate: Value| {
        let mut validate = validate;
        validate["cel"] = json!({"expressions": [{"expression": "false", "message": "no"}]});
        json!({"name": "r", "match": matching, "validate": validate})
    };
    let elsewhere = json!([{"action": "Enforce", "namespaces": ["team-*"]}]);
    let here = json!([{"action": "Enforce", "namespaces": ["ar*"]}]);
    let by_label = json!([{"action": "Enforce", "namespaceSelector": {"matchLabels": {"tier": "prod"}}}]);
    let table = [
        (json!({}), json!({}), Decision::Warned),
        (json!({"validationFailureAction": "Enforce"}), json!({}), Decision::Denied),
        (json!({"validationFailureAction": "enforce"}), json!({}), Decision::Denied),
        (json!({"validationFailureAction": "Enforce"}), json!({"failureAction": "Audit"}), Decision::Warned),
        (json!({}), json!({"failureAction": "Enforce"}), Decision::Denied),
        (json!({"validationFailureActionOverrides": elsewhere}), json!({}), Decision::Warned),
        (json!({"validationFailureActionOverrides": here}), json!({}), Decision::Denied),
        (json!({"validationFailureActionOverrides": here}), json!({"failureAction": "Audit"}), Decision::Warned),
        (json!({}), json!({"failureAction": "Audit", "failureActionOverrides": by_label}), Decision::Denied),
    ];
    for (mut spec, validate, expected) in table {
        spec["rules"] = json!([rule(validate.clone())]);
        let (verdicts, refusals) = judged(spec.clone());
        assert_eq!(verdicts, [("p/r".to_owned(), expected, "no".to_owned())], "{spec}");
        assert!(refusals.is_empty());
    }
}

#[test]
fn what_is_not_judged_is_unknown_where_it_matches_and_named() {
    let matching = json!({"any": [{"resources": {"kinds": ["Pod"]}}]});
    let cel = json!({"cel": {"expressions": [{"expression": "true"}]}});
    let unknown = [
        (json!({"validate": {"pattern": {"spec": {"hostNetwork": false}}}}), "validate.pattern is not judged here"),
        (json!({"validate": {"deny": {}}}), "validate.deny is not judged here"),
        (json!({"validate": {"foreach": []}}), "validate.foreach is not judged here"),
        (json!({"verifyImages": [{"imageReferences": ["*"]}]}), "verifyImages is not judged here"),
        (json!({"validate": cel, "preconditions": {"all": []}}), "its preconditions are not judged here"),
        (json!({"validate": cel, "context": [{"name": "x"}]}), "its context is read from a cluster"),
    ];
    for (mut rule, why) in unknown {
        (rule["name"], rule["match"]) = (json!("r"), matching.clone());
        let (verdicts, refusals) = judged(json!({"rules": [rule]}));
        assert_eq!(verdicts, [("p/r".to_owned(), Decision::Unknown, why.to_owned())]);
        assert!(refusals.is_empty());
    }
    let refused = [
        (json!({"mutate": {"patchStrategicMerge": {}}}), "rule r: mutate is not simulated"),
        (json!({"generate": {}}), "rule r: generate is not simulated"),
        (
            json!({"validate": {"podSecurity": {"level": "strict"}}}),
            "rule r: validate.podSecurity.level cannot be \"strict\"",
        ),
        (
            json!({"validate": {"podSecurity": {"level": "baseline", "version": "1.2"}}}),
            "rule r: validate.podSecurity.version cannot be \"1.2\"",
        ),
    ];
    for (mut rule, why) in refused {
        (rule["name"], rule["match"]) = (json!("r"), matching.clone());
        let (verdicts, refusals) = judged(json!({"rules": [rule]}));
        assert_eq!((verdicts, refusals), (Vec::new(), vec![why.to_owned()]));
    }
}
