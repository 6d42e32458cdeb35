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
const JSON: &str = "application/json";
const MERGE: Call = Call::Patch("application/merge-patch+json");
/// What is shown of an answer at most, characters.
const SHOWN: usize = 500;

/// The longest answer that is read, bytes. An object is at most 1.5 MiB as it is stored.
const LONGEST_ANSWER: usize = 8 << 20;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Create,
    Replace,
    Delete,
    /// A patch, by its media type.
    Patch(&'static str),
}

/// What the API server said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Answer {
    /// The object, where the answer is one.
    #[error("done")]
    Done(Value),
    /// There is one of that name.
    #[error("there is one of that name")]
    Exists,
    /// The service account may not.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such object, or no such kind.
    #[error("{0}")]
    Missing(String),
    /// It will be refused again.
    #[error("{0}")]
    Refused(String),
    /// Worth another try.
    #[error("{0}")]
    Later(String),
}

/// The way to the API server, as the pod's service account.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pod: &'a Pod,
    client: reqwest::Client,
    /// The folder that the kubelet keeps the account in.
    account: PathBuf,
    server: String,
    namespace: String,
}

impl<'a> Client<'a> {
    pub(crate) fn new(pod: &'a Pod) -> Result<Self, Failure> {
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
        let server = format!("https://{server}");
        Ok(Self { server, namespace: namespace.trim().to_owned(), pod, client, account })
    }

    /// The pod's namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) async fn create_result(&self, result: &Value) -> Answer {
        self.call(Call::Create, &self.results(), Some(result)).await
    }

    pub(super) async fn patch_result(&self, result: &Value) -> Answer {
        let name = self.pod.environment.node.as_deref().unwrap_or_default();
        self.call(MERGE, &format!("{}/{name}", self.results()), Some(result)).await
    }

    pub(super) async fn patch_pod(&self, patch: &Value) -> Answer {
        let (name, _) = &self.pod.environment.pod;
        self.call(MERGE, &format!("/api/v1/namespaces/{}/pods/{name}", self.namespace), Some(patch)).await
    }

    fn results(&self) -> String {
        format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflowtaskresults", self.namespace)
    }

    /// One call. The path begins with a slash.
    pub(crate) async fn call(&self, call: Call, path: &str, body: Option<&Value>) -> Answer {
        // Read anew: the kubelet renews it.
        let token = match read_text(&self.account.join("token"), LONGEST) {
            Ok(token) => token,
            Err(error) => return Answer::Refused(format!("cannot read the service account's token: {error}")),
        };
        let (method, kind) = match call {
            Call::Get => (Method::GET, JSON),
            Call::Create => (Method::POST, JSON),
            Call::Replace => (Method::PUT, JSON),
            Call::Delete => (Method::DELETE, JSON),
            Call::Patch(kind) => (Method::PATCH, kind),
        };
        let mut request = self.client.request(method, format!("{}{path}", self.server)).bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Later(crate::storage::chain(&error.without_url())),
        };
        let status = response.status();
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() > LONGEST_ANSWER {
                break;
            }
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_success() {
            return Answer::Done(answer);
        }
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
