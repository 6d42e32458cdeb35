//! Namespaces that want to know of every container what it may use.

use serde_json::{Value, json};

use super::creation::{bare_pod, enforcing, wrapped};
use super::{Namespace, PODS, by_url, cluster, entry};

/// Refuses a pod with a container that does not say its limits.
async fn quota(namespace: &Namespace) {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"},
        "spec": {"hard": {"limits.cpu": "4", "limits.memory": "4Gi", "requests.cpu": "4", "requests.memory": "4Gi"}},
    });
    namespace.create("resourcequotas", &quota).await.unwrap();
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

#[tokio::test]
async fn the_defaults_of_a_limit_range_reach_what_is_injected() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("limit-range").await;
    let webhook = enforcing().start().await;
    quota(&namespace).await;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"},
        "spec": {"limits": [{
            "type": "Container",
            "default": {"cpu": "300m", "memory": "200Mi"},
            "defaultRequest": {"cpu": "50m", "memory": "50Mi"},
            "max": {"cpu": "1", "memory": "1Gi"},
        }]},
    });
    namespace.create("limitranges", &range).await.unwrap();
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    let pod = namespace.create("pods", &bare_pod("limited")).await.unwrap();
    assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"]);
    let mut names: Vec<&str> = Vec::new();
    for container in containers(&pod) {
        names.push(container["name"].as_str().unwrap());
        let limits = &container["resources"]["limits"];
        // The profile has a limit for memory of its own, and none for CPU.
        assert_eq!(limits["cpu"], "300m", "{container}");
        assert!(limits["memory"].is_string(), "{container}");
    }
    names.sort_unstable();
    assert_eq!(names, ["init", "main", "wait"]);
}

/// Without a LimitRange nobody fills in what is missing, so it is for the settings to say.
#[tokio::test]
async fn a_quota_alone_is_met_by_what_the_settings_say() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("quota").await;
    let resources = "executor.resources={limits: {cpu: 500m, memory: 128Mi}, requests: {cpu: 20m, memory: 64Mi}}";
    let webhook = enforcing().flags(&["--set", resources]).start().await;
    quota(&namespace).await;
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    let mut pod = bare_pod("limited");
    let main = &mut pod["spec"]["containers"][0]["resources"];
    *main = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let pod = namespace.create("pods", &pod).await.unwrap();
    for container in containers(&pod).filter(|container| container["name"] != "main") {
        assert_eq!(container["resources"]["limits"], json!({"cpu": "500m", "memory": "128Mi"}), "{container}");
    }
}
