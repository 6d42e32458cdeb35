//! One HTTP request: bounded in time, bytes, redirects and concurrency.

use crate::{Failure, Options, OptionsError, Proxies};
use bytes::{Bytes, BytesMut};
use moka::sync::Cache;
use reqwest::{
    Client, Method, NoProxy, Proxy, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};
use rustls::{ClientConfig, RootCertStore};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

const MOST_REDIRECTS: usize = 5;
/// What is read of an error's body, so that its connection can be used again; more is not worth it.
const ERROR_BODY: u64 = 8 << 10;
const ERROR_BODY_TIME: Duration = Duration::from_millis(500);
/// Hosts whose requests in flight are counted. Names of hosts come from pods, so their number has to be bounded.
const MOST_HOSTS: u64 = 1024;
const USER_AGENT: &str = concat!("emissary-webhook/", env!("CARGO_PKG_VERSION"));

pub(crate) struct Transport {
    client: Client,
    plain_http: HashSet<String>,
    hosts: Cache<String, Arc<Semaphore>>,
    concurrency_per_host: usize,
    request_timeout: Duration,
}

/// A GET, or a HEAD.
pub(crate) struct Get<'a> {
    pub(crate) url: Url,
    pub(crate) accept: &'static str,
    /// Sent to the URL's own origin only; a redirect elsewhere loses it for good.
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) limit: Limit,
    pub(crate) method: Method,
}

/// How much of a body is read, and what to call it when it is more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) what: &'static str,
    pub(crate) bytes: u64,
}

/// What came back, after redirects. The body is empty unless the status is 200.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether a redirect led to another origin on the way, so that it is not the word of the one who was asked.
    pub(crate) foreign: bool,
}

impl Transport {
    pub(crate) fn new(options: &Options) -> Result<Self, OptionsError> {
        let tls = tls(options)?;
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(options.concurrency_per_host);
        for proxy in proxies(&options.proxies)? {
            client = client.proxy(proxy);
        }
        Ok(Self {
            client: client.build().map_err(|error| OptionsError::Client(error.into()))?,
            plain_http: options.plain_http.iter().map(|host| host.to_ascii_lowercase()).collect(),
            hosts: Cache::new(MOST_HOSTS),
            concurrency_per_host: options.concurrency_per_host.max(1),
            request_timeout: options.request_timeout,
        })
    }

    /// Whether an operator has said to speak to it without TLS.
    pub(crate) fn is_plain(&self, registry: &str) -> bool {
        self.plain_http.contains(&registry.to_ascii_lowercase())
    }

    pub(crate) async fn get(&self, get: Get<'_>) -> Result<Answer, Failure> {
        let Get { mut url, accept, mut authorization, limit, method } = get;
        let mut foreign = false;
        for _ in 0..=MOST_REDIRECTS {
            // Waiting for one's turn is no fault of the registry's, so the request's own time starts after it.
            let permit = self.permit(&url).await?;
            let hop = self.hop(method.clone(), &url, accept, authorization, limit);
            let answer = timeout(self.request_timeout, hop).await.map_err(|_| Failure::Timeout)??;
            drop(permit);
            if !is_redirect(answer.status) {
                return Ok(Answer { foreign, ..answer });
            }
            let next = redirected(&url, &answer.headers)?;
            if next.origin() != url.origin() {
                authorization = None;
                foreign = true;
            }
            url = next;
        }
        Err(Failure::Protocol("it redirects too often"))
    }

    async fn hop(
        &self,
        method: Method,
        url: &Url,
        accept: &'static str,
        authorization: Option<&HeaderValue>,
        limit: Limit,
    ) -> Result<Answer, Failure> {
        let mut request = self.client.request(method, url.clone()).header(ACCEPT, accept);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.send().await?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = match status {
            StatusCode::OK => read(response, limit).await?,
            _ => {
                let limit = Limit { what: "an error", bytes: ERROR_BODY };
                // Only the connection is at stake, so neither its failing nor its being slow matters.
                let _ = timeout(ERROR_BODY_TIME, read(response, limit)).await;
                Bytes::new()
            }
        };
        Ok(Answer { status, headers, body, foreign: false })
    }

    async fn permit(&self, url: &Url) -> Result<OwnedSemaphorePermit, Failure> {
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let semaphore = self.hosts.get_with(host, || Arc::new(Semaphore::new(self.concurrency_per_host)));
        // It is never closed.
        semaphore.acquire_owned().await.map_err(|_| Failure::Interrupted)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or(Failure::Protocol("it redirects without a location"))?;
    let to = from.join(location).map_err(|_| Failure::Protocol("it redirects to what is no URL"))?;
    match to.scheme() {
        "https" => {}
        // Who speaks to a registry without TLS trusts the network already; what has a digest is verified all the same.
        "http" if from.scheme() == "http" => {}
        "http" => return Err(Failure::Protocol("it redirects from https to http")),
        _ => return Err(Failure::Protocol("it redirects to another scheme than https")),
    }
    if has_userinfo(&to) {
        return Err(Failure::Protocol("it redirects to a URL with credentials"));
    }
    Ok(to)
}

/// The client would turn these into an `Authorization` header of the registry's choosing.
pub(crate) fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

async fn read(mut response: Response, limit: Limit) -> Result<Bytes, Failure> {
    let too_large = || Failure::TooLarge { what: limit.what, limit: limit.bytes, unit: "bytes" };
    let announced = response.content_length().unwrap_or(0);
    if announced > limit.bytes {
        return Err(too_large());
    }
    // What is announced is reserved only as far as a promise may cost us.
    let mut body = BytesMut::with_capacity(usize::try_from(announced.min(64 << 10)).unwrap_or(0));
    while let Some(chunk) = response.chunk().await? {
        if (body.len() + chunk.len()) as u64 > limit.bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// TLS with `ring`, named here rather than taken from the process, whose default another library may have set.
fn tls(options: &Options) -> Result<ClientConfig, OptionsError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in options.extra_roots.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added.map_err(|source| OptionsError::Root { position: index + 1, source })?;
    }
    if options.system_roots {
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(system.certs);
        if added == 0 {
            tracing::warn!(errors = ?system.errors, "the system has no certificate authorities; only the extra roots count");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OptionsError::Client(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn proxies(proxies: &Proxies) -> Result<Vec<Proxy>, OptionsError> {
    let Proxies { http, https, no_proxy } = proxies;
    let excepted = NoProxy::from_string(no_proxy);
    let mut list = Vec::new();
    if let Some(url) = http {
        let proxy = Proxy::http(url).map_err(|source| OptionsError::Proxy { which: "http", source })?;
        list.push(proxy.no_proxy(excepted.clone()));
    }
    if let Some(url) = https {
        let proxy = Proxy::https(url).map_err(|source| OptionsError::Proxy { which: "https", source })?;
        list.push(proxy.no_proxy(excepted));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_https_and_carry_no_user() {
        let table = [
            ("https://a/x", "https://b/y", Some("https://b/y")),
            ("https://a/x", "/y", Some("https://a/y")),
            ("https://a/x", "//b/y", Some("https://b/y")),
            ("http://a/x", "http://b/y", Some("http://b/y")),
            ("http://a/x", "https://b/y", Some("https://b/y")),
            ("https://a/x", "http://a/y", None),
            ("https://a/x", "https://user@b/y", None),
            ("https://a/x", "https://:secret@b/y", None),
            ("https://a/x", "file:///etc/passwd", None),
            ("https://a/x", "https://", None),
            ("https://a/x", "javascript:0", None),
        ];
        for (from, location, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().unwrap());
            let to = redirected(&from.parse().unwrap(), &headers).ok();
            assert_eq!(to.as_ref().map(Url::as_str), expected, "{from} to {location}");
        }
        assert!(redirected(&"https://a/x".parse().unwrap(), &HeaderMap::new()).is_err());
    }
}
