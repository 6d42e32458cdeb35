//! What helm and kubectl make of the chart and of `webhook/`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value, json};

use super::{CHART, documents, find, is_hook, list, root};
use crate::components::{HELM, KUBECTL, need};

/// A tool, run in the repository without anybody's own configuration of it.
pub(super) fn run(program: &PathBuf, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .env_remove("KUBECONFIG")
        .env("HOME", home.path())
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
pub(super) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn template_arguments<'a>(namespace: &'a str, values: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["template", "emissary-webhook", CHART, "--namespace", namespace];
    for value in values {
        arguments.extend(["--set", value]);
    }
    arguments
}

/// The objects of the chart under these values.
#[track_caller]
pub(super) fn chart(helm: &PathBuf, values: &[&str]) -> Vec<Value> {
    template(helm, "emissary-webhook", values)
}

/// The same for another namespace.
#[track_caller]
pub(super) fn template(helm: &PathBuf, namespace: &str, values: &[&str]) -> Vec<Value> {
    documents(&printed(&run(helm, &template_arguments(namespace, values))))
}

#[track_caller]
pub(super) fn kustomization(kubectl: &PathBuf, folder: &str) -> Vec<Value> {
    documents(&printed(&run(kubectl, &["kustomize", folder])))
}

/// Kind, namespace, name.
fn key(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!("{}/{}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
}

/// Objects by key, without what differs by nature: Helm's labels and its test pod, the namespace (which Helm makes itself), the
/// layout of YAML within a ConfigMap.
fn comparable(objects: Vec<Value>) -> Map<String, Value> {
    let mut all = Map::new();
    for mut object in objects {
        if object["kind"] == "Namespace" || is_hook(&object) {
            continue;
        }
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.retain(|key, _| key == "app.kubernetes.io/name" || key.starts_with("emissary-webhook.io/"));
        }
        if object["kind"] == "ConfigMap" {
            for (_, text) in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
                *text = Value::Array(documents(text.as_str().unwrap()));
            }
        }
        let before = all.insert(key(&object), object);
        assert!(before.is_none(), "twice: {before:?}");
    }
    all
}

/// Each overlay, and the values that say the same.
pub(super) const SAME: [(&str, &[&str]); 11] = [
    ("webhook", &[]),
    ("webhook/overlays/dry-run", &[]),
    ("webhook/overlays/enforce", &["mode=enforce"]),
    ("webhook/overlays/enforce-policy", &["mode=enforce", "policy.enabled=true"]),
    ("webhook/overlays/policy", &["policy.enabled=true"]),
    ("webhook/overlays/legacy", &["legacy=true"]),
    ("webhook/overlays/network-policy", &["networkPolicy.enabled=true"]),
    ("webhook/overlays/workflows-updates", &["storedTemplates=true"]),
    ("webhook/overlays/cert-manager", &["certificates.source=cert-manager"]),
    ("webhook/overlays/namespaced", &["namespaces={workflows}", "certificates.source=cert-manager"]),
    ("webhook/overlays/review", &["review.configMap=emissary-webhook-policies", "resources.limits.memory=768Mi"]),
];

#[test]
fn chart_and_overlays_agree() {
    let Some([helm, kubectl]) = need([HELM, KUBECTL]) else { return };
    for (overlay, values) in SAME {
        let (ours, theirs) = (comparable(kustomization(&kubectl, overlay)), comparable(chart(&helm, values)));
        let names = |objects: &Map<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{overlay}");
        for (name, object) in &ours {
            assert_eq!(object, &theirs[name], "{overlay}: {name}: {overlay} is left, the chart right");
        }
    }
}

/// Values far from the defaults, alone and together.
pub(super) const FAR: [&[&str]; 9] = [
    &["openshift=true"],
    &["hostNetwork=true", "port=11250", "plainPort=11251"],
    &["certificates.source=files", "certificates.secretName=mine"],
    &[
        "certificates.source=cert-manager",
        "certificates.issuerRef.kind=ClusterIssuer",
        "certificates.issuerRef.name=ca",
    ],
    &["rbac.secrets=all-secrets-in-the-cluster", "rbac.nodes=true", "rbac.workflows=true", "rbac.templates=false"],
    &["rbac.secrets=namespaces", "rbac.secretNamespaces[0].namespace=a", "rbac.secretNamespaces[0].names={login}"],
    &["serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboard.enabled=true"],
    &["policy.enabled=true", "settings.executors.allowed={emissary,docker,pns}", "storedTemplates=true", "mode=off"],
    &[
        "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "imagePullSecrets[0].name=pull",
        "priorityClassName=system-cluster-critical",
        "imageIndex.entries.alpine.cmd={/bin/sh}",
        "env[0].name=HTTPS_PROXY",
        "env[0].value=http://proxy:3128",
        "settings.rewrite.pin=always",
    ],
];

#[test]
fn far_values_render_to_the_same_twice_and_pass_the_linter() {
    let Some([helm]) = need([HELM]) else { return };
    for values in FAR {
        let arguments = template_arguments("emissary-webhook", values);
        assert_eq!(printed(&run(&helm, &arguments)), printed(&run(&helm, &arguments)), "{values:?}: something random");
        let sets: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        printed(&run(&helm, &[&["lint", "--strict", CHART], sets.as_slice()].concat()));
        let objects = chart(&helm, values);
        let registration = find(&objects, "MutatingWebhookConfiguration", "emissary-webhook");
        assert!(!registration.to_string().contains("caBundle"), "{values:?}: it would be blanked at each apply");
    }
}

/// What the chart puts into the settings file, the program understands.
#[test]
fn the_settings_of_every_rendering_are_valid() {
    let Some([helm]) = need([HELM]) else { return };
    for values in SAME.iter().map(|(_, values)| *values).chain(FAR) {
        let objects = chart(&helm, values);
        let text = find(&objects, "ConfigMap", "emissary-webhook-settings")["data"]["settings.yaml"].as_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.yaml");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
            .env_clear()
            .args(["serve", "--print-settings", "--settings"])
            .arg(&file)
            .output()
            .unwrap();
        printed(&output);
    }
}

#[test]
fn secrets_are_granted_as_the_value_says() {
    let Some([helm]) = need([HELM]) else { return };
    let granted = |values: &[&str]| {
        let mut granted = Vec::new();
        for role in chart(&helm, values).iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Role")) {
            for rule in list(&role["rules"]).iter().filter(|rule| list(&rule["resources"]).contains(&json!("secrets")))
            {
                granted.push((key(role), rule["resourceNames"].clone()));
            }
        }
        granted
    };
    let own = ("Role/emissary-webhook/emissary-webhook".to_owned(), json!(["emissary-webhook-certificate"]));
    assert_eq!(granted(&[]), std::slice::from_ref(&own));
    assert_eq!(granted(&["certificates.source=cert-manager"]), []);
    let named = ("Role/a/emissary-webhook-secrets".to_owned(), json!(["login"]));
    assert_eq!(granted(FAR[5]), [own.clone(), named]);
    let all = ("ClusterRole//emissary-webhook".to_owned(), Value::Null);
    assert_eq!(granted(FAR[4]), [all, own]);
}

/// What is decided in one place and needed in another.
#[test]
fn values_and_settings_say_the_same() {
    let Some([helm]) = need([HELM]) else { return };
    let settings = |values: &[&str]| {
        let objects = chart(&helm, values);
        let text = find(&objects, "ConfigMap", "emissary-webhook-settings")["data"]["settings.yaml"].as_str().unwrap();
        documents(text).remove(0)
    };
    assert_eq!(settings(SAME[9].1)["cluster"]["namespaces"], json!(["workflows"]));
    assert_eq!(settings(&[])["cluster"], Value::Null);
    assert_eq!(settings(FAR[4])["registry"]["prefetch"]["enabled"], false);
    assert_eq!(
        settings(FAR[4])["cluster"],
        json!({"nodePlatforms": true, "pullSecrets": "every-secret-in-the-cluster"})
    );
    assert_eq!(
        settings(FAR[5])["cluster"],
        json!({"pullSecrets": "named-namespaces", "pullSecretNamespaces": ["a"], "pullSecretNames": ["login"]})
    );
    assert_eq!(settings(&["rbac.limitRanges=false"])["cluster"], json!({"limitRanges": false}));

    let executors = |values: &[&str]| {
        let objects = chart(&helm, values);
        let conditions = &find(&objects, "ValidatingAdmissionPolicy", "emissary-webhook")["spec"]["matchConditions"];
        let condition = list(conditions).iter().find(|one| one["name"] == "not-for-another-allowed-executor");
        condition.map(|condition| condition["expression"].as_str().unwrap().to_owned())
    };
    assert_eq!(executors(&["policy.enabled=true"]), None);
    assert_eq!(executors(&["policy.enabled=true", "settings.executors.allowed={emissary}"]), None);
    let expression = executors(FAR[7]).unwrap();
    assert!(expression.contains(r#"in ["docker","pns"]"#), "{expression}");
}

/// `kubectl apply --prune` by the label would remove it.
#[test]
fn the_index_to_edit_has_no_label_to_prune_by() {
    let Some([helm, kubectl]) = need([HELM, KUBECTL]) else { return };
    for objects in [kustomization(&kubectl, "webhook"), chart(&helm, &["imageIndex.entries.alpine.cmd={/bin/sh}"])] {
        let labelled = objects.iter().filter(|object| {
            object["kind"] == "ConfigMap"
                && object["metadata"]["labels"].get("emissary-webhook.io/image-index").is_some()
        });
        assert!(labelled.map(|object| &object["metadata"]["name"]).all(|name| name == "image-index-values"));
        find(&objects, "ConfigMap", "image-index");
    }
}

#[test]
fn a_wrong_value_is_told() {
    let Some([helm]) = need([HELM]) else { return };
    for (value, told) in [
        ("modus=off", "modus"),
        ("mode=on", "mode"),
        ("timeoutSeconds=31", "timeoutSeconds"),
        ("rbac.secrets=all", "secrets"),
        ("certificates.source=files", "certificates.secretName"),
        ("namespaces={a}", "certificates.source"),
        ("image.digest=latest", "digest"),
    ] {
        let output = run(&helm, &template_arguments("emissary-webhook", &[value]));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaint.contains(told), "{value}: {complaint}");
    }
}
