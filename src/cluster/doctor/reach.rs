use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Uri};
use emissary_core::names;
use http_body_util::BodyExt as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::client::Body;
use kube::{Api, ResourceExt as _};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Check, Doctor, Finding, PATIENCE, Status, list_by};
use crate::certificate::Bundle;
use crate::cluster::LABEL;
use crate::cluster::registration::bundle_of;
use crate::settings::Mode;

/// The longest answer that is read, in bytes: a pod with its rewriting.
const LONGEST: usize = 1 << 20;

/// How long one dial may take: what the API server waits for at most by default.
const DIAL: Duration = Duration::from_secs(10);

const HTTPS: u16 = 443;

/// What the API server said of a pod that it was asked to try.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) code: u16,
    pub(super) warnings: Vec<String>,
    pub(super) answer: Value,
}

impl Tried {
    /// Whether it was our own right that was lacking.
    fn is_forbidden(&self) -> bool {
        let message = self.answer["message"].as_str().unwrap_or_default();
        self.code == 403 && message.contains("cannot create resource \"pods\"")
    }
}

/// The host and the port that an entry calls.
pub(super) fn called(entry: &MutatingWebhook) -> (String, u16) {
    let (url, service) = (entry.client_config.url.as_deref(), entry.client_config.service.as_ref());
    if let Some(service) = service {
        let port = service.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(HTTPS);
        return (format!("{}.{}.svc", service.name, service.namespace), port);
    }
    let uri = url.and_then(|url| url.parse::<Uri>().ok()).unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    (host, uri.port_u16().unwrap_or(HTTPS))
}

/// A handshake as the API server makes it, but for a client certificate.
async fn dial(bundle: &Bundle, host: &str, port: u16) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TcpStream::connect((host, port)).await?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(bundle.roots())
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(())
}

impl Doctor {
    /// Has the API server create a pod that asks for us, under `dryRun`: what it says shows whether we were asked.
    pub(super) async fn reachability(&self) -> Finding {
        let check = Check::Reachability.name();
        if self.entries().next().is_none() {
            return self.without_entry(Check::Reachability);
        }
        let probe = &self.options.probe;
        let finding = Finding::ok(check, format!("a pod tried in {probe} was answered by the webhook"));
        match timeout(PATIENCE, self.attempt()).await {
            Ok(Ok(tried)) if tried.is_forbidden() => self.dialled(finding).await,
            Ok(Ok(tried)) => {
                let finding = judged(finding, &tried, self.snapshot.settings.mode, self.namespace());
                match finding.status {
                    Status::Problem => self.replicas().await.into_iter().fold(finding, Finding::with),
                    Status::Ok | Status::Skipped | Status::Warning => finding,
                }
            }
            Ok(Err(error)) => Finding::skipped(check, format!("no pod could be tried in {probe}: {error}")),
            Err(_) => Finding::skipped(check, format!("no pod could be tried in {probe}: no answer in time")),
        }
    }

    /// What can be seen without creating a pod, from inside the cluster: each place that an entry calls accepts a connection,
    /// and shows a certificate that the entry trusts.
    async fn dialled(&self, finding: Finding) -> Finding {
        let mut finding = finding;
        finding.summary = "every place that an entry calls answers, dialled from here".to_owned();
        for (_, _, entry) in self.entries() {
            let (host, port) = called(entry);
            let dialled = match bundle_of(entry) {
                Some(bundle) => {
                    timeout(DIAL, dial(&bundle, &host, port)).await.unwrap_or_else(|_| Err("no answer".into()))
                }
                None => Err("its caBundle is empty".into()),
            };
            match dialled {
                Ok(()) => finding.details.push(format!("{}: {host}:{port} answers", entry.name)),
                Err(why) => finding.fail(
                    format!("{}: {host}:{port} cannot be dialled from here: {why}", entry.name),
                    "run this where it may create a pod, to see what the API server sees",
                ),
            }
        }
        finding.with("a pod may not be created by us, so the API server itself was not tried")
    }

    /// How the webhook's own pods are, where they may be seen.
    async fn replicas(&self) -> Vec<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace());
        let selector = format!("{}={}", LABEL.0, LABEL.1);
        match list_by(&api, ListParams::default().labels(&selector)).await {
            Ok(pods) if pods.is_empty() => {
                let namespace = self.namespace();
                vec![format!(
                    "there is no pod of the webhook: kubectl -n {namespace} describe deployment,replicaset says why"
                )]
            }
            Ok(pods) => pods.iter().map(described).collect(),
            Err(_) => Vec::new(),
        }
    }

    async fn attempt(&self) -> Result<Tried, kube::Error> {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "emissary-webhook-doctor-", "labels": {names::INJECT: "true"}},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "main",
                    "image": "emissary-webhook.invalid/doctor:0",
                    "command": ["/bin/true"],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
                }],
            },
        });
        let request = Request::post(format!("/api/v1/namespaces/{}/pods?dryRun=All", self.options.probe))
            .header("content-type", "application/json")
            .body(Body::from(pod.to_string().into_bytes()))
            .map_err(kube::Error::HttpError)?;
        let (head, body) = self.client.send(request).await?.into_parts();
        let warnings =
            head.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok()).map(str::to_owned);
        let warnings = warnings.collect();
        let body = http_body_util::Limited::new(body, LONGEST).collect().await.map(|body| body.to_bytes());
        let answer = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        Ok(Tried { code: head.status.as_u16(), warnings, answer })
    }
}

/// A pod of ours in one line: its phase, and what it waits for.
fn described(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let is = |kind: &str, value: &str| conditions.iter().find(|one| one.type_ == kind && one.status == value);
    let waiting = status.container_statuses.unwrap_or_default();
    let waiting = waiting.iter().find_map(|one| one.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let unscheduled = is("PodScheduled", "False").and_then(|one| one.reason.clone());
    let readiness = if is("Ready", "True").is_some() { "ready" } else { "not ready" };
    let phase = status.phase.unwrap_or_else(|| "Pending".to_owned());
    let why = waiting.or(unscheduled).map(|why| format!(", {why}")).unwrap_or_default();
    format!("pod {}: {phase}, {readiness}{why}", pod.name_any())
}

/// How the ValidatingAdmissionPolicy's messages begin.
const MISSED: &str = "emissary-webhook has not rewritten this workflow pod";

/// What the answer shows. Our denials begin with our name, our changes leave an annotation, our dry runs a warning.
pub(super) fn judged(finding: Finding, tried: &Tried, mode: Mode, namespace: &str) -> Finding {
    let Tried { code, warnings, answer } = tried;
    let message = answer["message"].as_str().unwrap_or_default();
    let annotation = answer["metadata"]["annotations"].get(names::REWRITTEN);
    let ours = warnings.iter().find(|warning| warning.contains("dry run, "));
    let look = format!(
        "kubectl -n {namespace} get pods,endpointslices -l app.kubernetes.io/name=emissary-webhook; a firewall between API \
         server and nodes has to let the webhook's port (10250) through"
    );
    let mut finding = finding;
    match (*code, annotation, ours) {
        (201, Some(_), _) => finding.with("it came back rewritten"),
        (201, None, Some(warning)) => finding.with(format!("it came back with: {warning}")),
        (201, None, None) if mode == Mode::Off => {
            finding.given_up("mode is off: whether the webhook was asked does not show")
        }
        (201, None, None) => {
            finding.fail(
                "the API server admitted a pod without a sign of the webhook: it was not asked, or did not answer",
                look,
            );
            finding.with(
                "failurePolicy Ignore admits what the webhook does not answer; see selectors for what is asked at all",
            )
        }
        _ if message.contains(MISSED) => {
            finding.fail("the API server does not reach the webhook, and the policy refused what it missed", look);
            finding.with(message)
        }
        _ if message.contains("emissary-webhook: ") => finding.with(format!("it was denied: {message}")),
        _ if message.contains("failed calling webhook") => {
            finding.fail(format!("the API server does not reach the webhook: {message}"), look);
            finding
        }
        _ => finding.given_up(format!("the API server took no pod before the webhook was asked: {code} {message}")),
    }
}
