//! LimitRanges and ResourceQuotas, against a real API server: what is filled in, and what is refused in which words.

use super::Folder;
use serde_json::{Value, json};
use std::time::Duration;

use crate::cluster::{Namespace, cluster};

/// Tells what a pod's containers may use once all is filled in.
const TELLS: &str = "package tells\nimport rego.v1\ndeny contains m if m := json.marshal({\n\t\"containers\": [c.resources | some c in input.spec.containers],\n\t\"init\": [c.resources | some c in object.get(input.spec, \"initContainers\", [])],\n\t\"note\": object.get(input.metadata, [\"annotations\", \"kubernetes.io/limit-ranger\"], \"\"),\n})\n";

fn ranges() -> Vec<Value> {
    let range = |items: Value| json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": items}});
    vec![
        range(
            json!([{"type": "Container", "default": {"cpu": "300m", "memory": "200Mi"}, "defaultRequest": {"cpu": 0.05}}]),
        ),
        range(json!([{"type": "Container", "max": {"cpu": "1", "memory": "1Gi"}, "min": {"memory": "16Mi"}}])),
        range(
            json!([{"type": "Container", "min": {"cpu": "100m"}}, {"type": "Pod", "max": {"cpu": "1500m", "memory": "1.5Gi"}}]),
        ),
        range(
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "3"}}, {"type": "Pod", "min": {"memory": "64Mi"}}]),
        ),
        range(
            json!([{"type": "Pod", "maxLimitRequestRatio": {"memory": "1.5"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]),
        ),
    ]
}

fn pods() -> Vec<Value> {
    let pod = |at: usize, containers: Value, inits: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{at}")}, "spec": {
            "automountServiceAccountToken": false, "containers": containers, "initContainers": inits,
        }})
    };
    let container = |name: &str, resources: Value| json!({"name": name, "image": "a:1", "resources": resources});
    let none = json!({});
    let both = json!({"requests": {"cpu": "200m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}});
    let large = json!({"requests": {"cpu": "1.2", "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "1536Mi"}});
    let limits = json!({"limits": {"cpu": "400m", "memory": "8Mi"}});
    let mut sidecar = container("s", both.clone());
    sidecar["restartPolicy"] = json!("Always");
    [
        (json!([container("a", none.clone())]), json!([])),
        (json!([container("a", both.clone()), container("b", none.clone())]), json!([container("i", none.clone())])),
        (json!([container("a", large.clone())]), json!([container("i", both.clone())])),
        (json!([container("a", limits.clone()), container("b", both.clone())]), json!([container("i", large)])),
        (json!([container("a", both.clone())]), json!([sidecar, container("i", limits)])),
        (
            json!([container("a", json!({"requests": {"cpu": "100m", "memory": "48Mi"}}))]),
            json!([container("i", none)]),
        ),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, (containers, inits))| pod(at, containers, inits))
    .collect()
}

/// Its words in an order of ours: the API server's differs from call to call.
fn sorted(message: &str) -> Vec<String> {
    let mut words: Vec<String> = message.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect();
    words.sort();
    words
}

/// The lines of a review of pods with these documents before them, a list for each pod.
fn reviewed(documents: &[Value], pods: &[Value]) -> Vec<Vec<Value>> {
    let folder = Folder::new();
    folder.file("tells.rego", TELLS);
    let input: String = documents.iter().chain(pods).map(|document| format!("{document}\n")).collect();
    folder.file("input.jsonl", &input);
    let lines =
        folder.review(&["-o", "jsonl", "--executor", "as-is", "--policies", "tells.rego", "input.jsonl"]).lines();
    let of = |pod: &Value| {
        let title = format!("pod/{}", pod["metadata"]["name"].as_str().unwrap());
        lines.iter().filter(|line| line["pod"] == title.as_str()).cloned().collect()
    };
    pods.iter().map(of).collect()
}

async fn judged_by_the_api_server(namespace: &Namespace, pod: &Value) -> Result<Value, String> {
    namespace.dry_run("pods", pod).await.map_err(|refusal| {
        let (_, why) = refusal.message.split_once(" is forbidden: ").unwrap_or_else(|| panic!("{}", refusal.message));
        why.to_owned()
    })
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse_as_the_api_server_does() {
    let Some(cluster) = cluster() else { return };
    let (mut refused, mut admitted) = (0, 0);
    for (at, range) in ranges().into_iter().enumerate() {
        let namespace = cluster.namespace(&format!("review-range-{at}")).await;
        namespace.create("limitranges", &range).await.unwrap();
        let pods = pods();
        for (pod, lines) in pods.iter().zip(reviewed(std::slice::from_ref(&range), &pods)) {
            let line = lines.iter().find(|line| line["engine"] == "limit-range").unwrap();
            let told = lines.iter().find(|line| line["engine"] == "rego").unwrap();
            assert_eq!((&line["stage"], &line["policy"]), (&json!("validation"), &json!("range")));
            match judged_by_the_api_server(&namespace, pod).await {
                Err(why) => {
                    refused += 1;
                    assert_eq!(line["verdict"], "denied", "{range} {pod}: {why}");
                    assert_eq!(sorted(line["message"].as_str().unwrap()), sorted(&why), "{range} {pod}");
                }
                Ok(stored) => {
                    admitted += 1;
                    assert_eq!(line["verdict"], "allowed", "{range} {pod}: {line}");
                    let resources = |list: &str| -> Vec<Value> {
                        let list = stored["spec"][list].as_array().into_iter().flatten();
                        list.map(|container| container["resources"].clone()).collect()
                    };
                    let note = stored["metadata"]["annotations"]["kubernetes.io/limit-ranger"].as_str();
                    let expected = json!({
                        "containers": resources("containers"),
                        "init": resources("initContainers"),
                        "note": note.unwrap_or_default(),
                    });
                    let told: Value = serde_json::from_str(told["message"].as_str().unwrap()).unwrap();
                    assert_eq!(told, expected, "{range} {pod}");
                }
            }
        }
    }
    assert!(refused > 5 && admitted > 5, "{refused} refused, {admitted} admitted");
}

#[tokio::test]
async fn quotas_demand_what_the_api_server_demands() {
    let Some(cluster) = cluster() else { return };
    let hard = json!({"limits.cpu": "9", "requests.memory": "9Gi", "cpu": "9", "pods": "50"});
    let quota = |scopes: Value| json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": hard, "scopes": scopes}});
    let mut refused = 0;
    for (at, scopes) in [json!([]), json!(["NotTerminating"]), json!(["Terminating"])].into_iter().enumerate() {
        let quota = quota(scopes);
        let namespace = cluster.namespace(&format!("review-quota-{at}")).await;
        namespace.create("resourcequotas", &quota).await.unwrap();
        // The plugin goes by the status, which a controller writes.
        for _ in 0..100 {
            if !namespace.get("resourcequotas", "quota").await.unwrap()["status"]["hard"].is_null() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let pods = pods();
        for (pod, lines) in pods.iter().zip(reviewed(std::slice::from_ref(&quota), &pods)) {
            let line = lines.iter().find(|line| line["engine"] == "resource-quota");
            match judged_by_the_api_server(&namespace, pod).await {
                Err(why) => {
                    refused += 1;
                    let line = line.unwrap_or_else(|| panic!("{quota} {pod}: {why}"));
                    assert_eq!((&line["verdict"], &line["message"]), (&json!("denied"), &json!(why)), "{quota} {pod}");
                }
                Ok(_) => assert!(line.is_none_or(|line| line["verdict"] == "allowed"), "{quota} {pod}: {line:?}"),
            }
        }
    }
    assert!(refused > 4, "{refused} refused");
}

#[test]
fn what_is_injected_keeps_within_a_limit_range() {
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range", "namespace": "shop"}, "spec": {
        "limits": [{"type": "Container", "max": {"memory": "32Mi"}, "default": {"memory": "32Mi"}}],
    }});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop", "labels": {"emissary-webhook.io/inject": "true"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "a:1", "command": ["/a"]}]}});
    let folder = Folder::new();
    folder.file("range.json", &range.to_string()).file("pod.json", &pod.to_string());
    let verdicts = |more: &[&str]| -> Vec<Value> {
        let lines = folder.review(&[&["-o", "jsonl", "--policies", "range.json", "pod.json"], more].concat()).lines();
        lines.iter().map(|line| line["verdict"].clone()).collect()
    };
    // The profile has 64Mi for what it injects, and the webhook brings it within the range, unless it may not watch.
    assert_eq!(verdicts(&[]), ["allowed", "allowed"]);
    let large = "executor.resources={limits: {memory: 1Gi}, requests: {memory: 1Gi}}";
    assert_eq!(verdicts(&["--set", large]), ["allowed", "allowed"]);
    assert_eq!(verdicts(&["--set", large, "--set", "cluster.limitRanges=false"]), ["allowed", "denied"]);
}

#[test]
fn a_limit_range_that_is_none_is_told() {
    let folder = Folder::new();
    folder.file(
        "range.yaml",
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: r}\nspec: {limits: [{type: Pod, max: {cpu: much}}]}\n",
    );
    folder.file(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n",
    );
    let input = folder.review(&["--pss", "baseline", "range.yaml", "pod.yaml"]);
    assert!(input.code == Some(2) && input.stderr.contains("spec.limits[0].max.cpu: a quantity"), "{}", input.stderr);
    let policy = folder.review(&["--pss", "baseline", "--policies", "range.yaml", "pod.yaml", "--strict"]);
    assert!(policy.code == Some(3) && policy.stderr.contains("LimitRange/r judges nothing"), "{}", policy.stderr);
}
