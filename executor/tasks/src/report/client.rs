//! The API server, as far as two calls: create and merge-patch.

use std::path::PathBuf;
use std::time::Duration;

use emissary_contract::path;
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;

use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::shared::read_text;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept for another call, in a process that mostly waits.
const IDLE: Duration = Duration::from_secs(5);
/// The longest token, namespace or bundle of certificates, bytes.
const LONGEST: u64 = 1 << 20;
/// What is shown of an answer at most, characters.
const SHOWN: usize = 500;

/// What the API server said.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    /// There is one of that name.
    Exists,
    /// The service account may not.
    Forbidden(String),
    /// There is no such object, or no such kind.
    Missing(String),
    /// It will be refused again.
    Refused(String),
    /// Worth another try.
    Later(String),
}

/// The way to the API server, as the pod's service account.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pod: &'a Pod,
    client: reqwest::Client,
    /// The folder that the kubelet keeps the account in.
    account: PathBuf,
    results: String,
    pods: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(pod: &'a Pod) -> Result<Self, Failure> {
        let account = pod.shared.place(path::SERVICE_ACCOUNT);
        let missing = |what: &str| {
            format!(
                "cannot read {} to report outputs: the pod needs a service account's token (automountServiceAccountToken, or \
                 executor.serviceAccountName)",
                account.join(what).display()
            )
        };
        let Some(server) = &pod.environment.api else {
            return Err(Failure::own(
                "KUBERNETES_SERVICE_HOST is not set: there is no API server to report outputs to",
            ));
        };
        let namespace = read_text(&account.join("namespace"), LONGEST).doing(|| missing("namespace"))?;
        let authority = read_text(&account.join("ca.crt"), LONGEST).doing(|| missing("ca.crt"))?;
        let certificates =
            Certificate::from_pem_bundle(authority.as_bytes()).doing(|| "ca.crt holds no certificates".to_owned())?;
        let client = reqwest::Client::builder()
            .tls_certs_only(certificates)
            // The API server is in the cluster; a proxy for the outside does not lead there.
            .no_proxy()
            .timeout(PATIENCE)
            .pool_idle_timeout(IDLE)
            .build()
            .doing(|| "cannot make a client for the API server".to_owned())?;
        let namespace = namespace.trim();
        Ok(Self {
            results: format!("https://{server}/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflowtaskresults"),
            pods: format!("https://{server}/api/v1/namespaces/{namespace}/pods"),
            pod,
            client,
            account,
        })
    }

    pub(super) async fn create_result(&self, result: &Value) -> Answer {
        self.call(Method::POST, &self.results, "application/json", result).await
    }

    pub(super) async fn patch_result(&self, result: &Value) -> Answer {
        let name = self.pod.environment.node.as_deref().unwrap_or_default();
        self.call(Method::PATCH, &format!("{}/{name}", self.results), "application/merge-patch+json", result).await
    }

    pub(super) async fn patch_pod(&self, patch: &Value) -> Answer {
        let (name, _) = &self.pod.environment.pod;
        self.call(Method::PATCH, &format!("{}/{name}", self.pods), "application/merge-patch+json", patch).await
    }

    async fn call(&self, method: Method, url: &str, kind: &str, body: &Value) -> Answer {
        // Read anew: the kubelet renews it.
        let token = match read_text(&self.account.join("token"), LONGEST) {
            Ok(token) => token,
            Err(error) => return Answer::Refused(format!("cannot read the service account's token: {error}")),
        };
        let request = self.client.request(method, url).bearer_auth(token.trim()).header("content-type", kind);
        let mut response = match request.body(body.to_string()).send().await {
            Ok(response) => response,
            Err(error) => return Answer::Later(crate::storage::chain(&error.without_url())),
        };
        let status = response.status();
        if status.is_success() {
            return Answer::Done;
        }
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() as u64 > LONGEST {
                break;
            }
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        let message: String =
            answer.get("message").and_then(Value::as_str).unwrap_or_default().chars().take(SHOWN).collect();
        let why = format!("the API server answered {status}: {message}");
        match status {
            StatusCode::CONFLICT if answer.get("reason").and_then(Value::as_str) == Some("AlreadyExists") => {
                Answer::Exists
            }
            StatusCode::FORBIDDEN if message.contains("exceeded quota") => Answer::Later(why),
            StatusCode::FORBIDDEN => Answer::Forbidden(why),
            StatusCode::NOT_FOUND => Answer::Missing(why),
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Answer::Later(why),
            // A token that has just been renewed, or an account that the server does not know yet.
            StatusCode::UNAUTHORIZED => Answer::Later(why),
            status if status.is_server_error() => Answer::Later(why),
            _ => Answer::Refused(why),
        }
    }
}
