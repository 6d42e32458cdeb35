//! ConfigMaps as sources of the settings: what is created and edited with kubectl is in effect within a second.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write as _;

use super::creation::{bare_pod, wrapped};
use super::{Cluster, Namespace, PODS, by_url, cluster, entry};
use crate::serve::program::{Serve, Webhook, eventually, serve};

/// From the end of an edit to its effect.
const EFFECT: Duration = Duration::from_secs(1);

/// A webhook that lives in `home` and asks the API server as whom `kubeconfig` says.
fn watching(kubeconfig: &Path, home: &str, settings: &str) -> Serve {
    let settings = format!("{settings}\nmode: enforce\ncluster: {{namespace: {home}}}\n");
    // No registry is asked long: what no index knows is to be denied at once.
    serve(&settings).flags(&[
        "--set",
        "registry.allow=[none.example.com]",
        "--kubeconfig",
        &kubeconfig.display().to_string(),
    ])
}

/// A namespace whose pods the webhook is asked about.
async fn tenant(cluster: &'static Cluster, about: &str, webhook: &Webhook) -> Namespace {
    let namespace = cluster.namespace(about).await;
    namespace.register([entry("pods", by_url(webhook), PODS)]).await;
    namespace
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// An index in which the image of [`bare_pod`] runs `command`.
fn index(command: &str) -> Value {
    json!({"index.yaml": format!("# ours\nregistry.example.com/shop/report:1.4: {{entrypoint: [{command}]}}\n")})
}

async fn apply(namespace: &Namespace, object: &Value) {
    namespace.kubectl_says(&["apply", "-f", "-"], &object.to_string()).await;
}

/// What a pod would run, or why there would be none.
async fn runs(namespace: &Namespace) -> Result<String, String> {
    match namespace.dry_run("pods", &bare_pod("report")).await {
        Ok(pod) => Ok(wrapped(&pod)[0].clone()),
        Err(refusal) => Err(refusal.message),
    }
}

/// Returns when a pod would run `command`, and within a second.
async fn until_runs(namespace: &Namespace, command: &str) {
    let began = Instant::now();
    eventually(command, async || runs(namespace).await.is_ok_and(|runs| runs == command)).await;
    let took = began.elapsed();
    println!("{command}: in effect after {took:?}");
    assert!(took < EFFECT, "{command}: {took:?}");
}

async fn readiness(webhook: &Webhook) -> String {
    let (status, text) = webhook.get("/readyz?verbose").await;
    assert_eq!(status, 200, "what is in effect is good: {text}");
    text
}

#[tokio::test]
async fn an_edit_of_the_index_takes_effect_within_a_second_and_a_wrong_one_does_not() {
    let Some(cluster) = cluster() else { return };
    let home = cluster.namespace("home").await;
    let mut webhook = watching(&cluster.kubeconfig(), &home.name, "").start().await;
    let shop = tenant(cluster, "shop", &webhook).await;
    assert!(runs(&shop).await.unwrap_err().contains("registry.example.com/shop/report:1.4"));

    apply(&home, &config_map("image-index", &index("/first"))).await;
    until_runs(&shop, "/first").await;
    apply(&home, &config_map("image-index", &index("/second"))).await;
    until_runs(&shop, "/second").await;

    let wrong = json!({"index.yaml": "# ours\nregistry.example.com/shop/report:1.4: {entrypont: [/third]}\n"});
    apply(&home, &config_map("image-index", &wrong)).await;
    let place = format!("ConfigMap {}/image-index, key index.yaml:2:40", home.name);
    let warning = webhook.logged("the wrong edit", |line| line["place"] == place.as_str()).await;
    assert!(warning["message"].as_str().unwrap().contains("did you mean `entrypoint`?"), "{warning}");
    assert!(readiness(&webhook).await.contains(&format!("[+]settings ok: not in effect: {place}: ")));
    let problems = r#"emissary_webhook_settings_problems{source="index"}"#;
    assert_eq!(webhook.metric(problems).await, 1.0);
    assert_eq!(runs(&shop).await.unwrap(), "/second", "the last good one");
    let described = async |what: &str| {
        let text = home.kubectl_says(&["describe", "configmap", "image-index"], "").await;
        text.contains(what)
    };
    eventually("the Event", async || described(&format!("{place}: ")).await && described("NotInEffect").await).await;

    apply(&home, &config_map("image-index", &index("/third"))).await;
    until_runs(&shop, "/third").await;
    eventually("the Event", async || described("  InEffect").await).await;
    assert!(readiness(&webhook).await.contains("[+]settings ok: all in effect\n"));
    home.kubectl_says(&["delete", "configmap", "image-index"], "").await;
    eventually("the loss", async || runs(&shop).await.is_err()).await;
}

#[tokio::test]
async fn indexes_by_label_come_behind_and_may_be_compressed() {
    let Some(cluster) = cluster() else { return };
    let home = cluster.namespace("home").await;
    // There before the start.
    apply(&home, &config_map("image-index-defaults", &index("/shipped"))).await;
    let labelled = |name: &str, command: &str| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(index(command)["index.yaml"].as_str().unwrap().as_bytes()).unwrap();
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"emissary-webhook.io/image-index": "true"}},
            "binaryData": {"index.yaml.gz": STANDARD.encode(gzip.finish().unwrap())},
        })
    };
    apply(&home, &labelled("zz-late", "/late")).await;
    let webhook = watching(&cluster.kubeconfig(), &home.name, "").start().await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
    let shop = tenant(cluster, "shop", &webhook).await;
    assert_eq!(runs(&shop).await.unwrap(), "/late", "what was there is in effect once it is ready");

    apply(&home, &labelled("early", "/early")).await;
    until_runs(&shop, "/early").await;
    let mut both = config_map("image-index", &index("/main"));
    both["metadata"]["labels"] = json!({"emissary-webhook.io/image-index": "true"});
    apply(&home, &both).await;
    until_runs(&shop, "/main").await;
    home.kubectl_says(&["label", "configmap", "early", "zz-late", "emissary-webhook.io/image-index-"], "").await;
    home.kubectl_says(&["delete", "configmap", "image-index"], "").await;
    // No registry knows better.
    until_runs(&shop, "/shipped").await;
}

#[tokio::test]
async fn each_of_two_controllers_has_its_own_executor_image() {
    let Some(cluster) = cluster() else { return };
    let (home, blue, green) =
        (cluster.namespace("home").await, cluster.namespace("blue").await, cluster.namespace("green").await);
    apply(&home, &config_map("image-index", &index("/report"))).await;
    let settings = format!(
        "executor: {{imagePullPolicy: Always}}\ncontrollers: [{{namespace: {}}}, {{namespace: {}, configMap: greens}}]\n",
        blue.name, green.name
    );
    // Argo's two encodings.
    let of_blue = |version: &str| {
        let config = format!(
            "instanceID: blue\nexecutor:\n  image: corp.example.com/argoexec:{version}\n  imagePullPolicy: Never\n"
        );
        config_map("workflow-controller-configmap", &json!({"config": config}))
    };
    let fields =
        json!({"instanceID": "green", "executor": "image: corp.example.com/argoexec:v3.6.0\n", "parallelism": "5"});
    apply(&blue, &of_blue("v3.5.1")).await;
    apply(&green, &config_map("greens", &fields)).await;
    let webhook = watching(&cluster.kubeconfig(), &home.name, &settings).start().await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
    let shop = tenant(cluster, "shop", &webhook).await;

    let executor = async |instance: Option<&str>| {
        let mut pod = bare_pod("report");
        if let Some(instance) = instance {
            pod["metadata"]["labels"]["workflows.argoproj.io/controller-instanceid"] = json!(instance);
        }
        let pod = shop.dry_run("pods", &pod).await.unwrap();
        let init = pod["spec"]["initContainers"][0].clone();
        assert_eq!(init["imagePullPolicy"], "Always", "a file goes before a controller's ConfigMap");
        init["image"].as_str().unwrap().to_owned()
    };
    assert_eq!(executor(Some("blue")).await, "corp.example.com/argoexec:v3.5.1");
    assert_eq!(executor(Some("green")).await, "corp.example.com/argoexec:v3.6.0");
    let nobodys = r#"emissary_webhook_admissions_of_no_controller_total{reason="none"}"#;
    assert_eq!(webhook.metric(nobodys).await, 0.0, "both are somebody's");
    for instance in [None, Some("red")] {
        assert!(executor(instance).await.starts_with("quay.io/argoproj/argoexec:"), "{instance:?}");
    }
    assert_eq!(webhook.metric(nobodys).await, 2.0);

    let began = Instant::now();
    apply(&blue, &of_blue("v3.5.2")).await;
    eventually("the edit", async || executor(Some("blue")).await.ends_with("v3.5.2")).await;
    println!("a controller's edit: in effect after {:?}, kubectl included", began.elapsed());
    apply(&blue, &of_blue("v3.5.3'")).await;
    let place = format!("ConfigMap {}/workflow-controller-configmap, key config:3:10", blue.name);
    eventually("the wrong edit", async || readiness(&webhook).await.contains(&place)).await;
    assert!(executor(Some("blue")).await.ends_with("v3.5.2"));
}

#[tokio::test]
async fn a_namespaces_own_index_counts_only_as_far_as_it_is_granted() {
    let Some(cluster) = cluster() else { return };
    let home = cluster.namespace("home").await;
    apply(&home, &config_map("image-index", &index("/cluster"))).await;
    let mut webhook = watching(&cluster.kubeconfig(), &home.name, "").start().await;
    let shop = tenant(cluster, "shop", &webhook).await;
    let bank = tenant(cluster, "bank", &webhook).await;
    until_runs(&shop, "/cluster").await;
    let own = |command: &str| config_map("image-index", &index(command));
    apply(&shop, &own("/shops")).await;
    apply(&bank, &own("/banks")).await;

    let head = format!("mode: enforce\ncluster: {{namespace: {}}}\n", home.name);
    let grant = |grants: &str| webhook_write(&webhook, &format!("{head}imageIndex: {{namespaces: {{{grants}}}}}\n"));
    // Nothing that a cluster's index knows is shadowed by an addition.
    grant("add: ['*']");
    webhook.logged("the grant", |line| line["watch"] == "namespaces-image-indexes").await;
    assert_eq!((runs(&shop).await, runs(&bank).await), (Ok("/cluster".to_owned()), Ok("/cluster".to_owned())));
    home.kubectl_says(&["delete", "configmap", "image-index"], "").await;
    eventually("what is added", async || runs(&shop).await == Ok("/shops".to_owned())).await;
    apply(&home, &config_map("image-index", &index("/cluster"))).await;
    eventually("the cluster's again", async || runs(&shop).await == Ok("/cluster".to_owned())).await;

    webhook_write(&webhook, &format!("{head}imageIndex: {{namespaces: {{override: [{}]}}}}\n", shop.name));
    eventually("the other grant", async || runs(&shop).await == Ok("/shops".to_owned())).await;
    assert_eq!(runs(&bank).await, Ok("/cluster".to_owned()), "nobody granted it");
    apply(&shop, &own("/other")).await;
    until_runs(&shop, "/other").await;

    // Its text is its own: in its Events and not in what everybody may read.
    apply(&shop, &config_map("image-index", &json!({"index.yaml": "hush: {cmd: 7}\n"}))).await;
    let line = format!("not in effect: something in ConfigMap {}/image-index; see its Events", shop.name);
    eventually("the wrong edit", async || readiness(&webhook).await.contains(&line)).await;
    assert!(!readiness(&webhook).await.contains("hush"));
    assert_eq!(runs(&shop).await, Ok("/other".to_owned()));
    eventually("the Event", async || {
        shop.kubectl_says(&["describe", "configmap", "image-index"], "").await.contains("hush: expected a list")
    })
    .await;
}

fn webhook_write(webhook: &Webhook, settings: &str) {
    webhook.write("settings.yaml", settings);
}

#[tokio::test]
async fn what_a_role_does_not_grant_is_missing_and_all_else_works() {
    let Some(cluster) = cluster() else { return };
    let (home, shop) = (cluster.namespace("home").await, cluster.namespace("shop").await);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hook"}});
    apply(&home, &account).await;
    for namespace in [&home, &shop] {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "hook"},
            "rules": [{
                "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["image-index"],
                "verbs": ["list", "watch"],
            }],
        });
        apply(namespace, &role).await;
        let subject = format!("--serviceaccount={}:hook", home.name);
        namespace.kubectl_says(&["create", "rolebinding", "hook", "--role=hook", &subject], "").await;
    }
    apply(&home, &config_map("image-index", &index("/cluster"))).await;
    let kubeconfig = cluster.kubeconfig_of(&home.name, "hook").await;
    let settings = "imageIndex: {namespaces: {override: ['*']}}\n";
    let only = format!("cluster.namespaces=[{}]", shop.name);
    let mut webhook = watching(&kubeconfig, &home.name, settings).flags(&["--set", &only]).start().await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
    for watch in ["labelled-image-indexes", "image-index-defaults"] {
        let line = webhook.logged(watch, |line| line["watch"] == watch).await;
        assert_eq!(line["message"], "the watch is forbidden", "{line}");
    }
    shop.register([entry("pods", by_url(&webhook), PODS)]).await;
    assert_eq!(runs(&shop).await.unwrap(), "/cluster");
    apply(&shop, &config_map("image-index", &index("/shops"))).await;
    until_runs(&shop, "/shops").await;
}
