//! Tasks that are one HTTP request.
//!
//! The request is made once: who asks for it may not want it twice. It goes wherever the agent's pod may go, as the template
//! says; that is what a network policy on the pod is for. Redirects are followed as Go's client follows them, with one
//! difference: a header whose value is out of a Secret is not shown to another host.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value as Json;

use super::outcome::Outcome;
use crate::expr::{Expression, Map, Value};
use crate::pod::Pod;
use crate::report::{Answer, Call, Client};
use crate::shared::read_text;
use crate::storage::chain;

/// How long a connection may take (Go's own).
const CONNECT: Duration = Duration::from_secs(30);
/// How long a request may take where the template does not say. Argo's agent then waits for ever.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The longest body of a response, bytes. As a result it is kept in an object of the API, of 1.5 MiB at most.
const LONGEST: usize = 1 << 20;
/// How many redirects are followed (Go's own).
const REDIRECTS: usize = 10;
/// Where the controller mounts the agent's authorities from a Secret.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates";
/// The longest file of authorities, bytes, and how many there may be.
const LONGEST_AUTHORITIES: u64 = 1 << 20;
const MOST_AUTHORITIES: usize = 64;
/// Whom a server takes us for.
const USER_AGENT: &str = concat!("argoexec/", env!("CARGO_PKG_VERSION"));

/// `http` of a template.
#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub(super) struct Http {
    method: String,
    url: String,
    headers: Vec<Header>,
    timeout_seconds: Option<i64>,
    success_condition: String,
    body: String,
    body_from: Option<BodyFrom>,
    insecure_skip_verify: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Header {
    name: String,
    value: String,
    value_from: Option<ValueFrom>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom {
    secret_key_ref: Option<Secret>,
}

#[derive(Debug, Deserialize)]
struct Secret {
    #[serde(default)]
    name: String,
    key: String,
}

#[derive(Debug, Deserialize)]
struct BodyFrom {
    /// Base64.
    #[serde(default)]
    bytes: String,
}

/// What requests are made with.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    pod: &'a Pod,
    api: &'a Client<'a>,
    /// A client that checks certificates, and one that does not; made when one is needed.
    clients: [OnceCell<reqwest::Client>; 2],
}

/// A response, read to its end.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl<'a> Calls<'a> {
    pub(super) fn new(pod: &'a Pod, api: &'a Client<'a>) -> Self {
        Self { pod, api, clients: [OnceCell::new(), OnceCell::new()] }
    }

    /// Makes a template's request.
    pub(super) async fn execute(&self, http: &Http) -> Outcome {
        let condition = match http.success_condition.as_str() {
            "" => None,
            // Before anything is sent, since what was sent is done.
            source => match Expression::parse(source, &["request", "response"]) {
                Ok(condition) => Some(condition),
                Err(error) => return Outcome::failed(format!("successCondition '{source}' cannot be read: {error}")),
            },
        };
        let patience = match http.timeout_seconds {
            None => PATIENCE,
            Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        };
        let answered = match tokio::time::timeout(patience, self.fetch(http)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(why)) => return Outcome::failed(why),
            Err(_) => return Outcome::failed(format!("no whole response within {patience:?}")),
        };
        let success = match condition {
            None if answered.status.is_success() => Ok(()),
            None => Err(format!("received non-2xx response code: {}", answered.status.as_u16())),
            Some(condition) => match condition.holds(&variables(http, &answered)) {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("successCondition '{}' evaluated false", http.success_condition)),
                Err(error) => {
                    return Outcome::failed(format!(
                        "successCondition '{}' has no value: {error}",
                        http.success_condition
                    ));
                }
            },
        };
        let mut outcome = match success {
            Ok(()) => Outcome::new("Succeeded", ""),
            Err(why) => Outcome::failed(why),
        };
        outcome.outputs = Some([("result".to_owned(), Json::from(answered.body))].into_iter().collect());
        outcome
    }

    /// One request and what it redirects to.
    async fn fetch(&self, http: &Http) -> Result<Answered, String> {
        let mut method = match http.method.as_str() {
            "" => Method::GET,
            name => name.parse().map_err(|_| format!("http.method: {name:?} is none"))?,
        };
        let mut url: Url = http.url.parse().map_err(|error| format!("http.url is none: {error}"))?;
        let mut body = Bytes::from(body(http)?);
        let (mut headers, secret) = self.headers(http).await?;
        let client = self.client(http.insecure_skip_verify)?;
        for _ in 0..=REDIRECTS {
            let host = supported(&url)?.to_owned();
            let mut request = client.request(method.clone(), url.clone()).headers(headers.clone());
            if !body.is_empty() {
                request = request.body(body.clone());
            }
            self.pod.say(|| format!("{method} {host}"));
            let response =
                request.send().await.map_err(|error| format!("{method} {host}: {}", chain(&error.without_url())))?;
            let Some(location) = redirect(&response) else {
                return answered(response).await.map_err(|why| format!("{method} {host}: {why}"));
            };
            let next = url.join(&location).map_err(|error| format!("{host} redirects to what is no URL: {error}"))?;
            // As Go has it: only these two repeat the request as it was.
            if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                body = Bytes::new();
                if method != Method::HEAD {
                    method = Method::GET;
                }
            }
            if Url::parse(&location).is_ok() {
                headers.remove(HOST);
            }
            if !within(supported(&next)?, &host) {
                for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE].iter().chain(&secret) {
                    headers.remove(name);
                }
                headers.remove("cookie2");
            }
            url = next;
        }
        Err(format!("stopped after {REDIRECTS} redirects"))
    }

    /// The template's headers, and the names of those whose values are secret.
    async fn headers(&self, http: &Http) -> Result<(HeaderMap, Vec<HeaderName>), String> {
        let mut headers = HeaderMap::new();
        let mut secret = Vec::new();
        for header in &http.headers {
            let name: HeaderName =
                header.name.parse().map_err(|_| format!("http.headers: {:?} is no name of a header", header.name))?;
            let reference = header.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            let value = match reference {
                Some(reference) => self.secret(reference).await?,
                None => header.value.clone().into_bytes(),
            };
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| {
                format!("http.headers: the value of {name} has a character that headers cannot have, such as an end of a line")
            })?;
            if reference.is_some() {
                value.set_sensitive(true);
                secret.push(name.clone());
            }
            headers.append(name, value);
        }
        Ok((headers, secret))
    }

    /// A value of a Secret in the pod's namespace.
    async fn secret(&self, Secret { name, key }: &Secret) -> Result<Vec<u8>, String> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
                && text != ".."
        };
        if !is_name(name) {
            return Err(format!("http.headers: {name:?} is no name of a Secret"));
        }
        let path = format!("/api/v1/namespaces/{}/secrets/{name}", self.api.namespace());
        let mut tried = 0;
        let secret = loop {
            tried += 1;
            match self.api.call(Call::Get, &path, None).await {
                Answer::Done(secret) => break secret,
                Answer::Later(why) => {
                    if !self.pod.environment.backoff.wait(tried).await {
                        return Err(format!("cannot read the Secret {name}: {why}"));
                    }
                }
                Answer::Forbidden(why) => {
                    return Err(format!(
                        "cannot read the Secret {name}: {why}; the pod's service account needs get on secrets"
                    ));
                }
                other => return Err(format!("cannot read the Secret {name}: {other}")),
            }
        };
        let value = secret.get("data").and_then(|data| data.get(key)).and_then(Json::as_str);
        let value = value.ok_or_else(|| format!("the Secret {name} has no key {key}"))?;
        STANDARD.decode(value).map_err(|_| format!("the Secret {name} is not as the API has it"))
    }

    fn client(&self, insecure: bool) -> Result<&reqwest::Client, String> {
        let [checking, trusting] = &self.clients;
        let place = if insecure { trusting } else { checking };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            // A host of the template's own choice is told in a header of its own.
            .http1_only()
            .http1_title_case_headers();
        let builder = match insecure {
            // Go's client of this kind knows of no proxy either.
            true => builder.tls_danger_accept_invalid_certs(true).no_proxy(),
            false => builder.tls_certs_merge(self.authorities()),
        };
        let client = builder.build().map_err(|error| format!("cannot make a client: {}", chain(&error)))?;
        Ok(place.get_or_init(|| client))
    }

    /// Authorities that the cluster's operator gives agents; what is no certificate there is passed over.
    fn authorities(&self) -> Vec<Certificate> {
        let folder = std::fs::read_dir(self.pod.shared.place(AUTHORITIES));
        let files = folder.into_iter().flatten().flatten().take(MOST_AUTHORITIES);
        let bundles = files.filter_map(|file| read_text(&file.path(), LONGEST_AUTHORITIES).ok());
        bundles.filter_map(|bundle| Certificate::from_pem_bundle(bundle.as_bytes()).ok()).flatten().collect()
    }
}

/// The body that a template has.
fn body(http: &Http) -> Result<Vec<u8>, String> {
    match &http.body_from {
        Some(from) => {
            STANDARD.decode(&from.bytes).map_err(|error| format!("http.bodyFrom.bytes is no base64: {error}"))
        }
        None => Ok(http.body.clone().into_bytes()),
    }
}

/// A URL's host, if it is one that can be asked.
fn supported(url: &Url) -> Result<&str, String> {
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) => Ok(host),
        (scheme, _) => Err(format!("http.url: {scheme} is not supported; there are http and https")),
    }
}

/// Whether a host is the other or is below it.
fn within(host: &str, other: &str) -> bool {
    host == other || host.strip_suffix(other).is_some_and(|below| below.ends_with('.'))
}

/// Where a response leads to.
fn redirect(response: &Response) -> Option<String> {
    let leads = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| leads)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned()).filter(|location| !location.is_empty())
}

async fn answered(mut response: Response) -> Result<Answered, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST {
            return Err(format!(
                "the response is longer than {LONGEST} bytes, which is more than can be kept as a result"
            ));
        }
    }
    let body = match String::from_utf8(body) {
        Ok(body) => body,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    Ok(Answered { status: response.status(), headers: response.headers().clone(), body })
}

/// What a condition is about.
fn variables(http: &Http, answered: &Answered) -> [(&'static str, Value); 2] {
    // A value that is secret is not among them.
    let asked = http.headers.iter().filter(|header| header.value_from.is_none());
    let request = Map::of([
        ("method", Value::text(&http.method)),
        ("url", Value::text(&http.url)),
        ("body", Value::text(&http.body)),
        ("headers", Map::of_lists(asked.map(|header| (header.name.as_str(), vec![Value::text(&header.value)])))),
    ]);
    let mut headers = BTreeMap::<String, Vec<Value>>::new();
    for (name, value) in &answered.headers {
        let value = Value::text(&String::from_utf8_lossy(value.as_bytes()));
        headers.entry(canonical(name.as_str())).or_default().push(value);
    }
    let response = Map::of([
        ("statusCode", Value::Int(answered.status.as_u16().into())),
        ("body", Value::text(&answered.body)),
        ("headers", Map::of_lists(headers.iter().map(|(name, values)| (name.as_str(), values.clone())))),
    ]);
    [("request", request), ("response", response)]
}

/// A header's name as Go has it: each word begins with a capital.
fn canonical(name: &str) -> String {
    let mut begins = true;
    name.chars()
        .map(|character| {
            let written = if begins { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
            begins = character == '-';
            written
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_are_gos() {
        for (name, expected) in [("content-type", "Content-Type"), ("x-request-ID", "X-Request-Id"), ("etag", "Etag")] {
            assert_eq!(canonical(name), expected);
        }
    }

    #[test]
    fn a_host_below_is_not_another() {
        let cases = [
            ("a.test", "a.test", true),
            ("b.a.test", "a.test", true),
            ("ba.test", "a.test", false),
            ("a.test", "b.a.test", false),
        ];
        for (host, other, expected) in cases {
            assert_eq!(within(host, other), expected, "{host} {other}");
        }
    }
}
