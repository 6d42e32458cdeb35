use axum::http::Request;
use emissary_core::names;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Check, Doctor, Finding, PATIENCE};
use crate::settings::Mode;

/// The longest answer that is read, in bytes: a pod with its rewriting.
const LONGEST: usize = 1 << 20;

/// What the API server said of a pod that it was asked to try.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) code: u16,
    pub(super) warnings: Vec<String>,
    pub(super) answer: Value,
}

impl Doctor<'_> {
    /// Has the API server create a pod that asks for us, under `dryRun`: what it says shows whether we were asked.
    pub(super) async fn reachability(&self) -> Finding {
        let check = Check::Reachability.name();
        if self.entries().next().is_none() {
            return Finding::skipped(check, "nothing is registered");
        }
        let probe = &self.options.probe;
        let finding = Finding::ok(check, format!("a pod tried in {probe} was answered by the webhook"));
        match timeout(PATIENCE, self.attempt()).await {
            Ok(Ok(tried)) => judged(finding, &tried, self.snapshot.settings.mode, self.namespace()),
            Ok(Err(error)) => Finding::skipped(check, format!("no pod could be tried in {probe}: {error}")),
            Err(_) => Finding::skipped(check, format!("no pod could be tried in {probe}: no answer in time")),
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
        _ if message.contains("emissary-webhook: ") => finding.with(format!("it was denied: {message}")),
        _ if message.contains("failed calling webhook") => {
            finding.fail(format!("the API server does not reach the webhook: {message}"), look);
            finding
        }
        _ => finding.given_up(format!("the API server took no pod before the webhook was asked: {code} {message}")),
    }
}
