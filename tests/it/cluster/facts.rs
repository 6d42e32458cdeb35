//! What the webhook knows of the cluster by watching it: labels of namespaces, LimitRanges, pull secrets; and what becomes
//! of it where it may not watch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sample_registry::{Access, Image, RunningRegistry, SampleRegistry};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

use super::creation::{bare_pod, enforcing};
use super::{Namespace, PODS, by_url, cluster, entry};
use crate::serve::program::{Serve, Webhook, eventually, serve};

/// What an edit may take to be in effect.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn watching(serve: Serve, kubeconfig: &Path) -> Serve {
    serve.flags(&["--kubeconfig", kubeconfig.to_str().unwrap()])
}

pub(super) async fn is_ready(webhook: &Webhook) -> String {
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
    webhook.get("/readyz?verbose").await.1
}

fn is_rewritten(pod: &Value) -> bool {
    pod["spec"]["initContainers"][0]["name"] == "init"
}

fn injected<'p>(pod: &'p Value, name: &str) -> &'p Value {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == name).unwrap()
}

#[tokio::test]
async fn a_namespaces_label_and_limit_range_take_effect_within_a_second() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("facts").await;
    // Whether Argo's kinds are there depends on which tests ran before.
    let dry = serve("{imageIndex: {files: [index.yaml]}, registry: {prefetch: {enabled: false}}}")
        .file("index.yaml", "registry.example.com/shop/report:1.4: {entrypoint: [/usr/bin/report]}");
    let webhook = watching(dry, &cluster.kubeconfig()).start().await;
    let told = is_ready(&webhook).await;
    // Namespaces, LimitRanges, and three of ConfigMaps.
    assert!(told.contains("[+]cluster ok: watches in step: 5"), "{told}");
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    assert!(!is_rewritten(&namespace.dry_run("pods", &bare_pod("before")).await.unwrap()));

    let label = json!({"metadata": {"labels": {"emissary-webhook.io/mode": "enforce"}}});
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    namespace.request("PATCH", &path, Some(&label)).await.unwrap();
    let edited = Instant::now();
    eventually("the label counts", async || {
        is_rewritten(&namespace.dry_run("pods", &bare_pod("labelled")).await.unwrap())
    })
    .await;
    assert!(edited.elapsed() < SOON, "{:?}", edited.elapsed());

    // The profile's limit is above this; the API server would refuse the pod.
    let limits = json!([
        {"type": "Container", "max": {"memory": "200Mi", "cpu": "1"}, "maxLimitRequestRatio": {"cpu": "4"}},
        {"type": "Pod", "max": {"memory": "300Mi"}},
    ]);
    let range = json!({"metadata": {"name": "range"}, "spec": {"limits": limits}});
    namespace.create("limitranges", &range).await.unwrap();
    let mut pod = bare_pod("limited");
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "150Mi", "cpu": "100m"}});
    let edited = Instant::now();
    eventually("the range counts", async || namespace.dry_run("pods", &pod).await.is_ok()).await;
    assert!(edited.elapsed() < SOON, "{:?}", edited.elapsed());
    let pod = namespace.create("pods", &pod).await.unwrap();
    // The API server made the default limit of CPU from the maximum.
    let expected = json!({"limits": {"memory": "150Mi", "cpu": "1"}, "requests": {"memory": "64Mi", "cpu": "250m"}});
    assert_eq!(injected(&pod, "wait")["resources"], expected);
}

pub(super) async fn private_registry() -> RunningRegistry {
    let image = Image::new("linux/amd64").entrypoint(&["/secret-tool"]);
    let registry = SampleRegistry::new().put("private:1", image).access("private", Access::basic("ci", "password"));
    registry.start().await.unwrap()
}

pub(super) fn pull_secret(registry: &RunningRegistry) -> Value {
    let auths = json!({"auths": {registry.address().to_string(): {"auth": STANDARD.encode("ci:password")}}});
    let data = json!({".dockerconfigjson": STANDARD.encode(auths.to_string())});
    json!({"metadata": {"name": "regcred"}, "type": "kubernetes.io/dockerconfigjson", "data": data})
}

/// A pod that names the secret and leaves its command to a private image.
pub(super) fn private_pod(registry: &RunningRegistry) -> Value {
    let mut pod = bare_pod("private");
    pod["spec"]["imagePullSecrets"] = json!([{"name": "regcred"}]);
    pod["spec"]["containers"][0]["image"] = json!(registry.reference("private:1"));
    pod
}

/// Lets the ServiceAccount `default` of a namespace do what `rules` say there, by a Role.
pub(super) async fn grant(namespace: &Namespace, rules: &Value) {
    let subject = json!({"kind": "ServiceAccount", "name": "default", "namespace": namespace.name});
    let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "webhook"});
    let kinds = "rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "webhook"}, "rules": rules});
    let binding = json!({"metadata": {"name": "webhook"}, "roleRef": reference, "subjects": [subject]});
    namespace.create(&format!("{kinds}/roles"), &role).await.unwrap();
    namespace.create(&format!("{kinds}/rolebindings"), &binding).await.unwrap();
}

#[tokio::test]
async fn a_named_secret_is_used_by_a_role_that_grants_it_and_no_more() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("named-secret").await;
    let registry = private_registry().await;
    grant(
        &namespace,
        &json!([
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["regcred"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "watch"]},
        ]),
    )
    .await;
    let kubeconfig = cluster.kubeconfig_of(&namespace.name, "default").await;
    let name = &namespace.name;
    let webhook = watching(enforcing(), &kubeconfig)
        .registry(&registry)
        .flags(&["--set", "platforms=[linux/amd64]", "--set", "cluster.pullSecrets=named-namespaces"])
        .flags(&["--set", &format!("cluster.namespaces=[{name}]"), "--set", "cluster.limitRanges=false"])
        .flags(&["--set", &format!("cluster.pullSecretNamespaces=[{name}]")])
        .flags(&["--set", "cluster.pullSecretNames=[regcred]", "--set", "registry.prefetch.enabled=false"])
        .start()
        .await;
    let told = is_ready(&webhook).await;
    // The ConfigMaps are not granted here, and are all that is forbidden.
    let forbidden = told.matches("is forbidden").count();
    assert_eq!((forbidden, told.matches("cannot list resource \"configmaps\"").count()), (3, 3), "{told}");
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;

    let denied = namespace.dry_run("pods", &private_pod(&registry)).await.unwrap_err();
    assert!(denied.message.contains("could not be looked up") && !denied.message.contains("secret-tool"), "{denied:?}");
    namespace.create("secrets", &pull_secret(&registry)).await.unwrap();
    eventually("the secret counts", async || {
        let pod = namespace.dry_run("pods", &private_pod(&registry)).await;
        pod.is_ok_and(|pod| injected(&pod, "main")["command"].as_array().unwrap().contains(&json!("/secret-tool")))
    })
    .await;
    let logged = webhook.log().iter().any(|line| line.to_string().contains(&STANDARD.encode("ci:password")));
    assert!(!logged, "{:#?}", webhook.log());
}

#[tokio::test]
async fn who_may_watch_nothing_serves_and_says_so() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("forbidden").await;
    let kubeconfig = cluster.kubeconfig_of(&namespace.name, "default").await;
    let webhook = watching(enforcing(), &kubeconfig)
        .flags(&["--set", "cluster.pullSecrets=every-secret-in-the-cluster"])
        .start()
        .await;
    let told = is_ready(&webhook).await;
    for watch in ["namespaces", "dockerconfigjson-secrets", "dockercfg-secrets", "service-accounts", "limit-ranges"] {
        assert!(told.contains(&format!("{watch} forbidden (")), "{watch}: {told}");
    }
    let series = "emissary_webhook_watch_state{watch=\"limit-ranges\",scope=\"\",state=\"forbidden\"}";
    assert!((webhook.metric(series).await - 1.0).abs() < f64::EPSILON);
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    assert!(is_rewritten(&namespace.dry_run("pods", &bare_pod("all-the-same")).await.unwrap()));
}

/// By the API server's own audit log, as far as that has the webhook's requests.
#[tokio::test]
async fn no_admission_reads_anything_of_the_api_server() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("reads").await;
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps", "limitranges", "serviceaccounts"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["regcred"], "verbs": ["list", "watch"]},
    ]);
    grant(&namespace, &rules).await;
    let registry = private_registry().await;
    namespace.create("secrets", &pull_secret(&registry)).await.unwrap();
    let kubeconfig = cluster.kubeconfig_of(&namespace.name, "default").await;
    let name = &namespace.name;
    let webhook = watching(enforcing(), &kubeconfig)
        .registry(&registry)
        .flags(&["--set", "platforms=[linux/amd64]", "--set", "cluster.pullSecrets=named-namespaces"])
        .flags(&["--set", &format!("cluster.namespaces=[{name}]"), "--set", "registry.prefetch.enabled=false"])
        .flags(&["--set", &format!("cluster.pullSecretNamespaces=[{name}]")])
        .flags(&["--set", "cluster.pullSecretNames=[regcred]", "--set", &format!("cluster.namespace={name}")])
        .start()
        .await;
    let told = is_ready(&webhook).await;
    assert!(told.contains("[+]cluster ok: watches in step"), "{told}");
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    // One that needs the secret, the ServiceAccount and the registry, and one that needs none of them.
    let pods = [private_pod(&registry), bare_pod("public")];
    for pod in &pods {
        assert!(is_rewritten(&namespace.dry_run("pods", pod).await.unwrap()));
    }

    let account = format!("system:serviceaccount:{name}:default");
    let asked = || cluster.requests_of(&account);
    let (before, admitted) = (asked(), webhook.metric(ADMISSIONS).await);
    assert!(before.iter().any(|request| request.contains("/secrets")), "what it asks is in the log: {before:#?}");
    for _ in 0..ADMITTED / pods.len() {
        for pod in &pods {
            assert!(is_rewritten(&namespace.dry_run("pods", pod).await.unwrap()));
        }
    }
    assert!(webhook.metric(ADMISSIONS).await >= admitted + ADMITTED as f64);
    assert_eq!(asked()[before.len()..], [""; 0], "{ADMITTED} admissions");
}

/// Enough that whatever is asked now and then is asked.
const ADMITTED: usize = 1000;
const ADMISSIONS: &str = "emissary_webhook_admission_duration_seconds_count";
