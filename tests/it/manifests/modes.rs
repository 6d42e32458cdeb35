//! Each way in which the chart may be installed, on a real API server: the webhook does all that is chosen with exactly the
//! rights of that way, none of which it leaves unused.

use serde_json::{Value, json};

use super::rendered::template;
use super::{documents, find, list};
use crate::cluster::{Cluster, Namespace, by_url, cluster_with_argo};
use crate::components::{HELM, need};
use crate::serve::program::{Webhook, eventually, serve};

const NAME: &str = "emissary-webhook";
const RBAC: [&str; 5] = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
const CONFIGURATION: [&str; 3] = ["ConfigMap", "Secret", "Lease"];
const IMAGE: &str = "registry.example.com/shop/report:1.4";

/// An installation whose objects of the cluster are called after its namespace, so that there may be several.
struct Installed {
    home: Namespace,
    tenant: Namespace,
    objects: Vec<Value>,
}

/// `{home}` and `{tenant}` in values are the namespaces' names.
async fn install(cluster: &'static Cluster, about: &str, values: &[&str]) -> Option<Installed> {
    let [helm] = need([HELM])?;
    let (home, tenant) = (cluster.namespace(about).await, cluster.namespace(&format!("{about}-workflows")).await);
    let named = |text: &str| text.replace("{home}", &home.name).replace("{tenant}", &tenant.name);
    let values: Vec<String> = values.iter().map(|value| named(value)).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let mut objects = template(&helm, &home.name, &values);
    for object in &mut objects {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if kind.starts_with("Cluster") || kind == "MutatingWebhookConfiguration" {
            object["metadata"]["name"] = json!(home.name);
        }
        if kind == "ClusterRoleBinding" {
            object["roleRef"]["name"] = json!(home.name);
        }
        for rule in object.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            if list(&rule["resources"]).contains(&json!("mutatingwebhookconfigurations")) {
                rule["resourceNames"] = json!([home.name]);
            }
        }
    }
    let applied = objects.iter().filter(|object| {
        let kind = object["kind"].as_str().unwrap();
        RBAC.contains(&kind) || CONFIGURATION.contains(&kind)
    });
    let all = json!({"apiVersion": "v1", "kind": "List", "items": applied.collect::<Vec<_>>()});
    cluster.kubectl_says(&["apply", "--server-side", "-f", "-"], &all.to_string()).await;
    Some(Installed { home, tenant, objects })
}

impl Installed {
    /// Runs the webhook as the chart's ServiceAccount, under the chart's settings, and registers it as the chart does.
    async fn start(&self) -> Webhook {
        let kubeconfig = self.home.cluster.kubeconfig_of(&self.home.name, NAME).await;
        let settings = &find(&self.objects, "ConfigMap", "emissary-webhook-settings")["data"]["settings.yaml"];
        let settings = settings.as_str().unwrap();
        // Where there is no pod and no volume.
        let registrations = format!("server.selfManaged.registrations=[{}]", self.home.name);
        let webhook = serve(settings)
            .flags(&["--kubeconfig", kubeconfig.to_str().unwrap(), "--set", "registry.snapshot=images"])
            .flags(&["--set", &format!("cluster.namespace={}", self.home.name), "--set", &registrations])
            .flags(&["--set", &format!("server.selfManaged.namespace={}", self.home.name)])
            .flags(&["--set", "server.selfManaged.extraNames=[localhost]"])
            .start()
            .await;
        eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;

        let is_self_managed = documents(settings)[0]["server"]["certificates"] == "self-managed";
        let mut registration = find(&self.objects, "MutatingWebhookConfiguration", &self.home.name).clone();
        for entry in registration["webhooks"].as_array_mut().unwrap() {
            // A caBundle of its own is what it has to write itself.
            entry["clientConfig"] = match is_self_managed {
                true => json!({"url": webhook.url("/mutate")}),
                false => by_url(&webhook),
            };
            let expressions = entry["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap();
            if !expressions.iter().any(|one| one["operator"] == "In") {
                let ours =
                    json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [self.tenant.name]});
                expressions.push(ours);
            }
        }
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        self.home.request("POST", path, Some(&registration)).await.unwrap();
        webhook
    }

    async fn edit_index(&self, text: &str) {
        let path = format!("{}/image-index", self.home.path("configmaps"));
        let patch = json!({"data": {"index.yaml": text}});
        self.home.request("PATCH", &path, Some(&patch)).await.unwrap();
    }

    /// The rules of all roles: the namespace, none for the cluster; and each resource with its group.
    fn rules(&self) -> Vec<(Option<String>, String, String)> {
        let mut rules = Vec::new();
        for role in self.objects.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Role")) {
            let place = role["metadata"]["namespace"].as_str().map(str::to_owned);
            for rule in list(&role["rules"]) {
                let group = rule["apiGroups"][0].as_str().unwrap();
                let resources = list(&rule["resources"]).iter().map(|resource| resource.as_str().unwrap());
                rules.extend(resources.map(|resource| (place.clone(), group.to_owned(), resource.to_owned())));
            }
        }
        rules
    }
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "report", "labels": {"workflows.argoproj.io/workflow": "report"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]},
    })
}

async fn is_rewritten(namespace: &Namespace) -> bool {
    let pod = namespace.dry_run("pods", &pod()).await;
    pod.is_ok_and(|pod| pod["spec"]["initContainers"][0]["name"] == "init")
}

#[tokio::test]
async fn each_way_of_installing_it_works_with_exactly_its_rights() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let selects = "settings.executors.allowed={emissary,pns}";
    let table: [(&str, &[&str]); 8] = [
        ("mode-default", &[]),
        ("mode-little", &["rbac.limitRanges=false", "rbac.templates=false"]),
        ("mode-nodes", &["rbac.nodes=true"]),
        (
            "mode-named",
            &[
                "rbac.secrets=namespaces",
                "rbac.secretNamespaces[0].namespace={tenant}",
                "rbac.secretNamespaces[0].names={regcred}",
            ],
        ),
        ("mode-all", &["rbac.secrets=all-secrets-in-the-cluster"]),
        (
            "mode-workflows",
            &["rbac.workflows=true", selects, "controllers[0].namespace={tenant}", "controllers[0].configMap=argo"],
        ),
        ("mode-files", &["certificates.source=files", "certificates.secretName=mine"]),
        ("mode-namespaced", &["namespaces={{tenant}}", "certificates.source=files", "certificates.secretName=mine"]),
    ];
    for (about, values) in table {
        let values = [values, &["mode=enforce"]].concat();
        let Some(installed) = install(cluster, about, &values).await else { return };
        let selectors = "- {name: pns, selector: {matchLabels: {executor: pns}}}\n";
        let map = json!({"metadata": {"name": "argo"}, "data": {"containerRuntimeExecutors": selectors}});
        installed.tenant.create("configmaps", &map).await.unwrap();
        let webhook = installed.start().await;

        installed.edit_index(&format!("{IMAGE}: {{entrypoint: [/usr/bin/report]}}\n")).await;
        eventually(about, async || is_rewritten(&installed.tenant).await).await;
        assert!(!is_rewritten(&installed.home).await, "{about}: what it is not registered for");
        // Something to say on an object.
        installed.edit_index("oh: {entrypint: [x]}\n").await;
        eventually("an Event", async || webhook.metric("emissary_webhook_events_written_total").await > 0.0).await;
        let (_, told) = webhook.get("/readyz?verbose").await;
        assert!(!told.contains("forbidden") && !told.contains("grant"), "{about}: {told}");
        assert_eq!(webhook.metric("emissary_webhook_events_failed_total").await, 0.0, "{about}");

        let requests = cluster.requests_of(&format!("system:serviceaccount:{}:{NAME}", installed.home.name));
        for (place, group, resource) in installed.rules() {
            let of_group = if group.is_empty() { "/api/v1/".to_owned() } else { format!("/apis/{group}/") };
            let within = place.as_ref().map(|place| format!("/namespaces/{place}/")).unwrap_or_default();
            let is_used = requests.iter().any(|request| {
                let path = request.split(['?', ' ']).nth(1).unwrap();
                path.starts_with(&of_group) && path.contains(&within) && path.split('/').any(|part| part == resource)
            });
            // The registration is only looked at by `doctor` where somebody else writes its CA bundle.
            let is_doctors = resource == "mutatingwebhookconfigurations" && about == "mode-files";
            assert!(is_used || is_doctors, "{about}: nobody uses the right to {resource} in {place:?}: {requests:#?}");
        }
        if about == "mode-namespaced" {
            let outside = requests.iter().find(|request| !request.contains("/namespaces/"));
            assert_eq!(outside, None, "nothing in the whole cluster is asked for");
        }
    }
}
