//! The API server, as far as it is needed here: one call at a time, and responses that are read as they come.

use std::path::PathBuf;
use std::time::Duration;

use emissary_contract::path;
use reqwest::{Certificate, Method, Response, StatusCode};
use serde_json::Value;

use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::shared::read_text;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept for another call, in a process that mostly waits.
const IDLE: Duration = Duration::from_secs(5);
/// How long an open connection may be silent before the server is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(30);
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
            // A watch would else not see that the server's machine is gone.
            .http2_keep_alive_interval(SILENCE)
            .http2_keep_alive_timeout(SILENCE)
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
        match self.send(call, path, body, PATIENCE).await {
            Ok(response) if response.status().is_success() => Answer::Done(object(response).await),
            Ok(response) => Self::refusal(response).await,
            Err(answer) => answer,
        }
    }

    /// A response that is read as it comes, whatever its status is, within `patience`.
    pub(crate) async fn open(&self, path: &str, patience: Duration) -> Result<Response, Answer> {
        self.send(Call::Get, path, None, patience).await
    }

    async fn send(&self, call: Call, path: &str, body: Option<&Value>, patience: Duration) -> Result<Response, Answer> {
        // Read anew: the kubelet renews it.
        let token = match read_text(&self.account.join("token"), LONGEST) {
            Ok(token) => token,
            Err(error) => return Err(Answer::Refused(format!("cannot read the service account's token: {error}"))),
        };
        let (method, kind) = match call {
            Call::Get => (Method::GET, JSON),
            Call::Create => (Method::POST, JSON),
            Call::Replace => (Method::PUT, JSON),
            Call::Delete => (Method::DELETE, JSON),
            Call::Patch(kind) => (Method::PATCH, kind),
        };
        let request = self.client.request(method, format!("{}{path}", self.server)).timeout(patience);
        let mut request = request.bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        request.send().await.map_err(|error| Answer::Later(crate::storage::chain(&error.without_url())))
    }

    /// What a response that is no success means.
    pub(crate) async fn refusal(response: Response) -> Answer {
        let status = response.status();
        let answer = object(response).await;
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

/// The object in a response; null where there is none.
async fn object(mut response: Response) -> Value {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST_ANSWER {
            break;
        }
    }
    serde_json::from_slice(&text).unwrap_or_default()
}
