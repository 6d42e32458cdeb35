//! What holds for any pod, on pods that are drawn anew at each run.

use super::{Folder, path};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// One of these fields with one of its values, or none of it.
fn field(name: &'static str, values: Vec<Value>) -> BoxedStrategy<Option<(String, Value)>> {
    let some = prop::sample::select(values).prop_map(move |value| Some((name.to_owned(), value)));
    prop_oneof![3 => Just(None), 2 => some].boxed()
}

fn object(fields: Vec<BoxedStrategy<Option<(String, Value)>>>) -> BoxedStrategy<Value> {
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn security(of_pod: bool) -> BoxedStrategy<Value> {
    let mut fields = vec![
        field("runAsNonRoot", vec![json!(true), json!(false)]),
        field("runAsUser", vec![json!(0), json!(1000)]),
        field("seccompProfile", vec![json!({"type": "RuntimeDefault"}), json!({"type": "Unconfined"})]),
        field("seLinuxOptions", vec![json!({"type": "container_t"}), json!({"user": "root"})]),
    ];
    match of_pod {
        true => fields.push(field("sysctls", vec![json!([{"name": "kernel.msgmax", "value": "1"}])])),
        false => fields.extend([
            field("privileged", vec![json!(true), json!(false)]),
            field("allowPrivilegeEscalation", vec![json!(true), json!(false)]),
            field("procMount", vec![json!("Default"), json!("Unmasked")]),
            field(
                "capabilities",
                vec![
                    json!({"drop": ["ALL"]}),
                    json!({"add": ["SYS_ADMIN"]}),
                    json!({"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}),
                ],
            ),
        ]),
    }
    object(fields)
}

fn container(at: usize) -> BoxedStrategy<Value> {
    let resources = prop::sample::select(vec![
        json!({}),
        json!({"limits": {"cpu": "1", "memory": "64Mi"}}),
        json!({"requests": {"memory": "16Mi"}}),
    ]);
    let ports = prop::sample::select(vec![json!([]), json!([{"containerPort": 80, "hostPort": 80}])]);
    let image = prop::sample::select(vec!["registry.example.com/a:1", "other.example/b"]);
    (security(false), resources, ports, image)
        .prop_map(move |(security, resources, ports, image)| {
            json!({
                "name": if at == 0 { "main".to_owned() } else { format!("more-{at}") },
                "image": image,
                "command": ["/app"],
                "ports": ports,
                "resources": resources,
                "securityContext": security,
            })
        })
        .boxed()
}

/// A user's pod that keeps to `restricted`, to `baseline`, or to nothing.
fn pod() -> impl Strategy<Value = Value> {
    let restricted = json!({"runAsNonRoot": true, "runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}});
    let hardened = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let containers = (1usize..3).prop_flat_map(|count| (0..count).map(container).collect::<Vec<_>>());
    let host = prop::sample::select(vec![json!({}), json!({"hostNetwork": true}), json!({"hostPID": true})]);
    let volumes = prop::sample::select(vec![
        json!([]),
        json!([{"name": "data", "emptyDir": {}}]),
        json!([{"name": "host", "hostPath": {"path": "/"}}]),
    ]);
    (containers, security(true), host, volumes, 0..3).prop_map(move |(mut containers, security, host, volumes, keeps)| {
        let mut spec = host;
        if keeps < 2 {
            spec = json!({});
            for container in &mut containers {
                container["ports"] = json!([]);
                container["securityContext"] = if keeps == 0 { hardened.clone() } else { json!({}) };
            }
        }
        spec["restartPolicy"] = json!("Never");
        spec["containers"] = json!(containers);
        spec["volumes"] = if keeps == 2 { volumes } else { json!([]) };
        spec["securityContext"] = match keeps {
            0 => restricted.clone(),
            1 => json!({}),
            _ => security,
        };
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"emissary-webhook.io/inject": "true"}}, "spec": spec})
    })
}

fn jsonl(pods: &[Value]) -> String {
    pods.iter().map(|pod| format!("{pod}\n")).collect()
}

/// What a standard has against a pod: `reason (detail)` each.
fn violations(line: &Value) -> BTreeSet<String> {
    assert_eq!(line["engine"], "pss");
    let message = line["message"].as_str().unwrap();
    let Some((_, told)) = message.split_once("\": ") else { return BTreeSet::new() };
    let (mut parts, mut depth, mut part) = (BTreeSet::new(), 0, String::new());
    for c in told.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if c == ',' && depth == 0 {
            parts.insert(std::mem::take(&mut part).trim().to_owned());
        } else {
            part.push(c);
        }
    }
    parts.insert(part.trim().to_owned());
    parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn what_is_injected_violates_no_standard_by_itself(pods in vec(pod(), 24)) {
        let folder = Folder::new();
        folder.file("pods.jsonl", &jsonl(&pods));
        let standards = ["restricted", "baseline", "restricted:v1.24", "baseline:v1.20"];
        let mut arguments = vec!["-o", "jsonl", "--each", "pods.jsonl"];
        arguments.extend(standards.iter().flat_map(|standard| ["--pss", standard]));
        let lines = folder.review(&arguments).lines();
        let lines: Vec<&Value> = lines.iter().filter(|line| line["engine"] == "pss").collect();
        prop_assert_eq!(lines.len(), pods.len() * 2 * standards.len());
        let mut denied = 0;
        for (pod, both) in pods.iter().zip(lines.chunks(2 * standards.len())) {
            let (sent, rewritten) = both.split_at(standards.len());
            for (sent, rewritten) in sent.iter().zip(rewritten) {
                prop_assert_eq!((&sent["executor"], &rewritten["executor"]), (&json!("as-is"), &json!("emissary")));
                prop_assert_eq!(&sent["policy"], &rewritten["policy"]);
                denied += usize::from(sent["verdict"] == "denied");
                let (before, after) = (violations(sent), violations(rewritten));
                prop_assert!(after.is_subset(&before), "{pod}: {after:?}, and {before:?}");
            }
        }
        prop_assert!(denied > 0 && denied < pods.len() * standards.len());
    }

    #[test]
    fn judged_by_shape_is_judged_each(pods in vec(pod(), 10)) {
        let folder = Folder::new();
        let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [
            {"type": "Container", "default": {"memory": "64Mi"}, "max": {"cpu": "1"}},
        ]}});
        // Each three times: under two names, and under the first again.
        let named = pods.iter().enumerate().flat_map(|(at, pod)| {
            ["a", "b", "a"].map(|name| {
                let mut pod = pod.clone();
                pod["metadata"]["name"] = json!(format!("{name}-{at}"));
                pod
            })
        });
        let all: Vec<Value> = std::iter::once(range).chain(named).collect();
        folder.file("pods.jsonl", &jsonl(&all));
        folder.file("named.rego", "package named\nimport rego.v1\ndeny contains \"a name with b\" if startswith(input.metadata.name, \"b\")\n");
        let calm = path("examples/policies/limits.yaml");
        for policies in [vec!["--policies", &calm], vec!["--policies", &calm, "--policies", "named.rego"]] {
            let executors = ["--executor", "as-is", "--executor", "docker", "--executor", "emissary"];
            let arguments = [&["-o", "jsonl", "--pss", "baseline", "pods.jsonl"], &policies[..], &executors].concat();
            let (by_shape, each) = (folder.review(&arguments), folder.review(&[&arguments[..], &["--each"]].concat()));
            prop_assert!(by_shape.lines().len() > 3 * pods.len() * 4, "{}", by_shape.stderr);
            prop_assert_eq!(&by_shape.stdout, &each.stdout);
        }
    }
}
