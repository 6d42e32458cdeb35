//! A certificate that keeps itself, and registrations that are kept trusting it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::creation::bare_pod;
use super::{Namespace, PODS, cluster, entry};
use crate::serve::program::{Serve, Webhook, eventually, serve};

const ACCOUNT: &str = "emissary-webhook";
const SECRET: &str = "emissary-webhook-certificate";
const REGISTRATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// The webhook's namespace and one of workflows, and the webhook's ServiceAccount.
pub(super) struct Installation {
    pub(super) home: Namespace,
    pub(super) tenant: Namespace,
    /// The ServiceAccount's.
    pub(super) kubeconfig: PathBuf,
}

impl Installation {
    /// Without any right.
    pub(super) async fn new(about: &str) -> Option<Self> {
        let cluster = cluster()?;
        let (home, tenant) = (cluster.namespace(about).await, cluster.namespace(&format!("{about}-workflows")).await);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
        home.create("serviceaccounts", &account).await.unwrap();
        let kubeconfig = cluster.kubeconfig_of(&home.name, ACCOUNT).await;
        Some(Self { home, tenant, kubeconfig })
    }

    /// The rights that the certificate needs, and those of the informers.
    pub(super) async fn grant(&self) {
        let home = self.home.name.as_str();
        let named = |group: &str, resource: &str, name: &str| {
            let verbs = ["get", "list", "watch", "create", "update", "patch"];
            json!({"apiGroups": [group], "resources": [resource], "resourceNames": [name], "verbs": verbs})
        };
        let rbac = "rbac.authorization.k8s.io";
        let subjects = json!([{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}]);
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": ACCOUNT, "namespace": home},
                "rules": [
                    named("", "secrets", SECRET),
                    named("coordination.k8s.io", "leases", ACCOUNT),
                    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
                    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
                ],
            },
            {
                "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": ACCOUNT, "namespace": home},
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": ACCOUNT}, "subjects": subjects,
            },
            {
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": home},
                "rules": [
                    named("admissionregistration.k8s.io", "mutatingwebhookconfigurations", home),
                    {"apiGroups": [""], "resources": ["namespaces", "limitranges"], "verbs": ["list", "watch"]},
                    {
                        "apiGroups": ["argoproj.io"], "verbs": ["list", "watch"],
                        "resources": ["workflowtemplates", "clusterworkflowtemplates", "cronworkflows"],
                    },
                ],
            },
            {
                "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": home},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": home}, "subjects": subjects,
            },
        ]});
        self.home.kubectl_says(&["apply", "-f", "-"], &objects.to_string()).await;
    }

    /// Takes the rights back that the Role gives to resources of this name.
    pub(super) async fn revoke(&self, resource: &str) {
        let path = format!("{}/{ACCOUNT}", self.home.path("rbac.authorization.k8s.io/v1/roles"));
        let mut role = self.home.request("GET", &path, None).await.unwrap();
        role["rules"].as_array_mut().unwrap().retain(|rule| rule["resources"] != json!([resource]));
        self.home.request("PUT", &path, Some(&role)).await.unwrap();
    }

    /// The settings that say so.
    pub(super) fn flags(&self) -> Vec<String> {
        let namespace = &self.home.name;
        [
            "server.certificates=self-managed".to_owned(),
            format!("server.selfManaged.namespace={namespace}"),
            format!("server.selfManaged.registrations=[{namespace}]"),
            "server.selfManaged.extraNames=[localhost]".to_owned(),
            "mode=enforce".to_owned(),
        ]
        .into_iter()
        .flat_map(|setting| ["--set".to_owned(), setting])
        .collect()
    }

    /// A replica that is to be started.
    pub(super) fn replica(&self) -> Serve {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        serve("{imageIndex: {files: [index.yaml]}}")
            .variable("KUBECONFIG", &self.kubeconfig)
            .variable("EMISSARY_WEBHOOK_LOG", "info,emissary_webhook::admission=warn")
            .file("index.yaml", "registry.example.com/shop/report:1.4: {entrypoint: [/usr/bin/report]}")
            .flags(&flags)
    }

    /// Registers a replica for the tenant's pods, without a `caBundle`, beside an entry of somebody else.
    pub(super) async fn register(&self, webhook: &Webhook) {
        let mut ours = entry("pods", json!({"url": webhook.url("/mutate")}), PODS);
        ours["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": self.tenant.name}});
        let service = json!({"service": {"name": "other", "namespace": "other", "path": "/mutate"}});
        let other = entry("other", service, ("other.example.com", &["others"]));
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.home.name},
            "webhooks": [other, ours],
        });
        self.home.request("POST", REGISTRATIONS, Some(&configuration)).await.unwrap();
    }

    pub(super) fn registration(&self) -> String {
        format!("{REGISTRATIONS}/{}", self.home.name)
    }

    /// The `caBundle` of our entry.
    async fn bundle(&self) -> Option<String> {
        let registration = self.home.request("GET", &self.registration(), None).await.unwrap();
        let bundle = registration["webhooks"][1]["clientConfig"]["caBundle"].as_str()?.to_owned();
        (!bundle.is_empty()).then_some(bundle)
    }

    /// How many authorities it trusts.
    async fn authorities(&self) -> usize {
        let pem = STANDARD.decode(self.bundle().await.unwrap_or_default()).unwrap();
        String::from_utf8(pem).unwrap().matches("BEGIN CERTIFICATE").count()
    }

    /// Whether a pod of the tenant comes back rewritten.
    pub(super) async fn rewrites(&self) -> bool {
        let pod = self.tenant.dry_run("pods", &bare_pod("tried")).await;
        pod.is_ok_and(|pod| pod["spec"]["initContainers"][0]["name"] == "init")
    }

    /// Takes the `caBundle` of our entry away.
    pub(super) async fn blank(&self) {
        let patch = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]).to_string();
        let arguments = ["patch", "mutatingwebhookconfiguration", &self.home.name, "--type=json", "-p", &patch];
        self.home.kubectl_says(&arguments, "").await;
    }

    /// The reasons of the Events on an object, and their notes.
    async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self.home.request("GET", &self.home.path("events.k8s.io/v1/events"), None).await.unwrap();
        let about = events["items"].as_array().unwrap().iter().filter(|event| event["regarding"]["name"] == name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        about.map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
    }
}

async fn says(webhook: &Webhook, part: &str) -> bool {
    webhook.get("/readyz?verbose").await.1.contains(part)
}

#[tokio::test]
async fn a_first_start_makes_a_certificate_and_has_it_trusted() {
    let Some(installation) = Installation::new("certificate").await else { return };
    installation.grant().await;
    let webhook = installation.replica().start().await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
    installation.register(&webhook).await;
    eventually("pods are rewritten", async || installation.rewrites().await).await;

    let secret = installation.home.get("secrets", SECRET).await.unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(secret["metadata"]["annotations"]["emissary-webhook.io/certificate"], "self-managed");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);

    let registration = installation.home.request("GET", &installation.registration(), None).await.unwrap();
    assert!(registration["webhooks"][0]["clientConfig"].get("caBundle").is_none(), "another's entry: {registration}");
    let fields = registration["metadata"]["managedFields"].as_array().unwrap();
    let ours = fields.iter().find(|fields| fields["manager"] == "emissary-webhook").unwrap();
    let only =
        json!({"f:webhooks": {"k:{\"name\":\"pods.test.example.com\"}": {"f:clientConfig": {"f:caBundle": {}}}}});
    assert_eq!(ours["fieldsV1"], only, "nothing but caBundle is ours");

    let bundle = installation.bundle().await;
    let began = Instant::now();
    installation.blank().await;
    eventually("it heals", async || installation.bundle().await == bundle).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    eventually("it is counted", async || {
        webhook.metric("emissary_webhook_ca_bundles_written_total{step=\"healed\"}").await == 1.0
    })
    .await;
    eventually("an Event says so", async || {
        let events = installation.events(SECRET).await;
        events.iter().any(|(reason, note)| reason == "CABundleHealed" && note.contains(&installation.home.name))
    })
    .await;
    assert_eq!(webhook.metric("emissary_webhook_events_failed_total").await, 0.0);
    assert!(installation.rewrites().await);
}

#[tokio::test]
async fn two_replicas_share_one_lease_and_one_certificate() {
    let Some(installation) = Installation::new("lease").await else { return };
    installation.grant().await;
    let mut replicas = [installation.replica().start().await, installation.replica().start().await];
    let held = async |webhook: &Webhook| webhook.metric("emissary_webhook_lease_held").await;
    eventually("one holds the lease, and both serve", async || {
        let both = held(&replicas[0]).await + held(&replicas[1]).await == 1.0;
        both && replicas[0].get("/readyz").await.0 == 200 && replicas[1].get("/readyz").await.0 == 200
    })
    .await;
    let expiry = "emissary_webhook_certificate_expiry_timestamp_seconds";
    assert_eq!(replicas[0].metric(expiry).await, replicas[1].metric(expiry).await);

    let holder = usize::from(held(&replicas[1]).await == 1.0);
    // Longer than the other looks at it twice.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        assert_eq!((held(&replicas[holder]).await, held(&replicas[1 - holder]).await), (1.0, 0.0));
        sleep(Duration::from_millis(100)).await;
    }
    assert!(says(&replicas[1 - holder], "[+]lease ok: held by ").await);
    replicas[holder].terminate();
    replicas[holder].ended().await;
    let left = &replicas[1 - holder];
    eventually("the other takes over", async || held(left).await == 1.0).await;
    let secret = installation.home.get("secrets", SECRET).await.unwrap();

    // What is lost is restored as it was: nobody has to trust anything new.
    installation.home.kubectl_says(&["delete", "secret", SECRET], "").await;
    eventually("it is restored", async || {
        installation.home.get("secrets", SECRET).await.is_ok_and(|restored| restored["data"] == secret["data"])
    })
    .await;
}

/// A replica that cannot keep the certificate serves with what others keep.
#[tokio::test]
async fn a_lease_that_is_forbidden_is_told_and_keeps_nobody_from_serving() {
    let Some(installation) = Installation::new("lease-forbidden").await else { return };
    installation.grant().await;
    let mut first = installation.replica().start().await;
    eventually("there is a certificate", async || first.get("/readyz").await.0 == 200).await;
    assert!(says(&first, "[+]lease ok: held here").await);
    first.terminate();
    first.ended().await;

    installation.revoke("leases").await;
    let mut webhook = installation.replica().start().await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
    let grant = "grant get, create, update and patch on leases.coordination.k8s.io named emissary-webhook";
    let line = format!("Lease {}/{ACCOUNT} may not be kept: {grant}", installation.home.name);
    eventually("readyz says so", async || says(&webhook, &line).await).await;
    assert_eq!(webhook.get("/readyz").await.0, 200);
    webhook.logged("the log says so", |logged| logged["problem"] == line.as_str()).await;
    assert!(webhook.metric("emissary_webhook_lease_failures_total").await >= 1.0);
    assert_eq!(webhook.metric("emissary_webhook_lease_held").await, 0.0);
    eventually("an Event says so", async || {
        let events = installation.events(ACCOUNT).await;
        events.iter().any(|(reason, note)| reason == "LeaseUnavailable" && note.contains(grant))
    })
    .await;

    installation.grant().await;
    eventually("it mends itself", async || says(&webhook, "[+]lease ok: held here").await).await;
}

#[tokio::test]
async fn a_rotation_drops_no_request() {
    let Some(installation) = Installation::new("rotation").await else { return };
    installation.grant().await;
    let webhook = installation.replica().flags(&["--set", "server.selfManaged.life=12s"]).start().await;
    installation.register(&webhook).await;
    eventually("pods are rewritten", async || installation.rewrites().await).await;
    let promoted = async || webhook.metric("emissary_webhook_certificate_rotations_total{step=\"promoted\"}").await;
    let failed = async || webhook.metric("emissary_webhook_connections_rejected_total{reason=\"handshake\"}").await;
    // Until the first caBundle was there nothing could succeed.
    let (failed_before, mut tried, mut most) = (failed().await, 0, 0);
    let began = Instant::now();
    while promoted().await < 2.0 {
        assert!(began.elapsed() < Duration::from_secs(60), "no rotation");
        // Each over what connections the API server has; whatever fails is shown, since failurePolicy is Fail.
        assert!(installation.rewrites().await, "after {tried}");
        most = most.max(installation.authorities().await);
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(most, 2, "the old authority stays while the new one comes");
    assert_eq!(failed().await, failed_before);
}

#[tokio::test]
async fn what_is_forbidden_is_said_and_heals_when_it_is_granted() {
    let Some(installation) = Installation::new("forbidden").await else { return };
    let webhook = installation.replica().start().await;
    eventually("it says so", async || says(&webhook, &format!("Secret {SECRET} may not be read: grant")).await).await;
    assert_eq!(webhook.get("/readyz").await.0, 503);
    assert_eq!(webhook.get("/livez").await.0, 200);
    installation.grant().await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_alone() {
    let Some(installation) = Installation::new("foreign").await else { return };
    installation.grant().await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": {"tls.crt": STANDARD.encode("theirs")},
    });
    let foreign = installation.home.create("secrets", &foreign).await.unwrap();
    let webhook = installation.replica().start().await;
    eventually("it says so", async || says(&webhook, "is not kept by this webhook and is left alone").await).await;
    eventually("an Event says so", async || {
        let events = installation.events(SECRET).await;
        events.iter().any(|(reason, note)| reason == "ForeignSecret" && note.contains("kubectl -n"))
    })
    .await;
    assert_eq!(installation.home.get("secrets", SECRET).await.unwrap(), foreign);

    installation.home.kubectl_says(&["delete", "secret", SECRET], "").await;
    eventually("it is ready", async || webhook.get("/readyz").await.0 == 200).await;

    // One of ours that is broken is replaced, by what the replica still has.
    let before = installation.home.get("secrets", SECRET).await.unwrap();
    let broken = json!({"data": {"tls.key": STANDARD.encode("broken")}});
    let path = format!("{}/{SECRET}", installation.home.path("secrets"));
    installation.home.request("PATCH", &path, Some(&broken)).await.unwrap();
    eventually("it is mended", async || {
        installation.home.get("secrets", SECRET).await.is_ok_and(|mended| mended["data"] == before["data"])
    })
    .await;
}
