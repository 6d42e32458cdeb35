//! That the harness gives what it promises: a namespace apart, and users who may not do everything.

use serde_json::json;

use super::creation::{bare_pod, enforcing};
use super::{PODS, Refusal, by_url, cluster, entry};
use crate::serve::program::eventually;

#[tokio::test]
async fn a_registration_counts_in_its_namespace_only() {
    let Some(cluster) = cluster() else { return };
    let (with, without) = (cluster.namespace("with").await, cluster.namespace("without").await);
    let webhook = enforcing().start().await;
    with.register([entry("pods", by_url(&webhook), PODS)]).await;
    let pod = without.create("pods", &bare_pod("left-alone")).await.unwrap();
    assert!(pod["spec"].get("initContainers").is_none(), "{pod}");
    let pod = with.dry_run("pods", &bare_pod("rewritten")).await.unwrap();
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "init", "{pod}");
    // A dry run keeps nothing.
    let Refusal { code, message } = with.get("pods", "rewritten").await.unwrap_err();
    assert_eq!((code, message.as_str()), (404, "pods \"rewritten\" not found"));
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("service-account").await;
    let name = namespace.name.as_str();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reads"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reads"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": name}],
    });
    namespace.create("rbac.authorization.k8s.io/v1/roles", &role).await.unwrap();
    namespace.create("rbac.authorization.k8s.io/v1/rolebindings", &binding).await.unwrap();
    let kubeconfig = cluster.kubeconfig_of(name, "default").await;
    let namespace = namespace.by(&kubeconfig).await;
    // The authorizer learns of them a moment later.
    let lists = async || namespace.request("GET", &namespace.path("configmaps"), None).await.is_ok();
    eventually("the ServiceAccount lists ConfigMaps", lists).await;
    assert_eq!(namespace.request("GET", &namespace.path("secrets"), None).await.unwrap_err().code, 403);
}
