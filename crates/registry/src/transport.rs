//! One HTTP request: bounded in time, bytes, redirects and concurrency, and only to where the guard lets it.

use crate::{
    Failure, Hosts, Options, OptionsError,
    guard::{Guard, authority},
    hosts::{Endpoint, Site, Tls, TlsKey, client_config},
    names::Lookups,
    proxy::ProxyRules,
};
use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use moka::sync::Cache;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};
use rustls::RootCertStore;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
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
    clients: Clients,
    proxies: ProxyRules,
    guard: Arc<Guard>,
    described: ArcSwap<Described>,
    plain_http: HashSet<String>,
    hosts: Cache<String, Arc<Semaphore>>,
    concurrency_per_host: usize,
    request_timeout: Duration,
}

/// What an operator says of hosts, and what that comes to for the registries asked lately.
struct Described {
    hosts: Hosts,
    endpoints: Cache<String, Arc<[Endpoint]>>,
}

impl Described {
    fn new(hosts: Hosts) -> Self {
        Self { hosts, endpoints: Cache::new(MOST_HOSTS) }
    }
}

/// One HTTP client, with its connections, for each way to judge a certificate; made when it is first needed.
struct Clients {
    made: Mutex<HashMap<(TlsKey, bool), Client>>,
    roots: RootCertStore,
    direct: Lookups,
    /// Looks up the proxies, which are the operator's own and may stand anywhere.
    proxied: Lookups,
    connect_timeout: Duration,
    idle_per_host: usize,
}

/// A GET, or a HEAD.
pub(crate) struct Get<'a> {
    pub(crate) url: Url,
    pub(crate) accept: &'static str,
    /// Sent to the URL's own origin only; a redirect elsewhere loses it for good.
    pub(crate) authorization: Option<&'a HeaderValue>,
    /// What the operator says of the host, which holds just as long.
    pub(crate) site: Option<&'a Site>,
    pub(crate) limit: Limit,
    pub(crate) method: Method,
}

/// A POST of a form. It is never redirected, because what it holds is for one host's eyes.
pub(crate) struct Post<'a> {
    pub(crate) url: Url,
    pub(crate) form: &'a [(&'static str, &'a str)],
    pub(crate) site: Option<&'a Site>,
    pub(crate) limit: Limit,
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
        let guard = Arc::new(Guard::new(options));
        let proxied = Lookups::new(options.names.clone());
        let transport = Self {
            clients: Clients {
                made: Mutex::default(),
                roots: roots(options)?,
                direct: proxied.guarded(Arc::clone(&guard)),
                proxied,
                connect_timeout: options.connect_timeout,
                idle_per_host: options.concurrency_per_host,
            },
            proxies: ProxyRules::new(&options.proxies)?,
            guard,
            described: ArcSwap::from_pointee(Described::new(options.hosts.clone())),
            plain_http: options.plain_http.iter().map(|host| host.to_ascii_lowercase()).collect(),
            hosts: Cache::new(MOST_HOSTS),
            concurrency_per_host: options.concurrency_per_host.max(1),
            request_timeout: options.request_timeout,
        };
        // Made at once, so that what is wrong with the options is known at the start.
        let client = transport.clients.make(None, None).map_err(OptionsError::Client)?;
        transport.clients.lock().insert((TlsKey::default(), false), client);
        Ok(transport)
    }

    /// Takes over what an operator says of hosts now; requests under way end as they began.
    pub(crate) fn set_hosts(&self, hosts: Hosts) {
        let used: HashSet<TlsKey> = hosts.sites().map(|site| site.tls.key()).collect();
        self.described.store(Arc::new(Described::new(hosts)));
        self.clients.lock().retain(|(key, _), _| *key == TlsKey::default() || used.contains(key));
    }

    /// Whether an operator has said to speak to it without TLS.
    pub(crate) fn is_plain(&self, registry: &str) -> bool {
        self.plain_http.contains(&registry.to_ascii_lowercase())
    }

    /// Where a registry is asked, in order: its mirrors, then itself.
    pub(crate) fn endpoints(&self, registry: &str) -> Result<Arc<[Endpoint]>, Failure> {
        let described = self.described.load();
        if let Some(known) = described.endpoints.get(registry) {
            return Ok(known);
        }
        self.guard.registry(registry)?;
        let endpoints = described.hosts.endpoints(registry, self.is_plain(registry)).ok_or(Failure::BadHost)?;
        let endpoints = Arc::from(endpoints);
        described.endpoints.insert(registry.to_owned(), Arc::clone(&endpoints));
        Ok(endpoints)
    }

    pub(crate) async fn get(&self, get: Get<'_>) -> Result<Answer, Failure> {
        let Get { mut url, accept, mut authorization, mut site, limit, method } = get;
        let mut foreign = false;
        for _ in 0..=MOST_REDIRECTS {
            let request = |client: &Client| {
                let request = client.request(method.clone(), url.clone()).header(ACCEPT, accept);
                authorization.into_iter().fold(request, |request, value| request.header(AUTHORIZATION, value))
            };
            let answer = self.hop(&url, site, request, limit).await?;
            if !is_redirect(answer.status) {
                return Ok(Answer { foreign, ..answer });
            }
            let next = redirected(&url, &answer.headers)?;
            if next.origin() != url.origin() {
                (authorization, site) = (None, None);
                foreign = true;
            }
            url = next;
        }
        Err(Failure::Protocol("it redirects too often"))
    }

    pub(crate) async fn post(&self, post: Post<'_>) -> Result<Answer, Failure> {
        let Post { url, form, site, limit } = post;
        let request = |client: &Client| client.post(url.clone()).header(ACCEPT, "application/json").form(form);
        let answer = self.hop(&url, site, request, limit).await?;
        if is_redirect(answer.status) {
            return Err(Failure::Protocol("its token realm redirects what is not to be sent elsewhere"));
        }
        Ok(answer)
    }

    /// One request to one host, without what it may redirect to.
    async fn hop(
        &self,
        url: &Url,
        site: Option<&Site>,
        request: impl FnOnce(&Client) -> RequestBuilder,
        limit: Limit,
    ) -> Result<Answer, Failure> {
        self.guard.url(url)?;
        let trusted = if site.is_none() { self.described.load().hosts.trust(&authority(url)) } else { None };
        let tls = site.map(|site| &site.tls).or(trusted.as_ref());
        let proxies = self.proxies.apply_to(url).then_some(&self.proxies);
        let client = self.clients.get(tls, proxies)?;
        let mut request = request(&client);
        if let Some(site) = site {
            // What is there already goes before what the operator says for all requests.
            let (client, built) = request.build_split();
            let mut built = built?;
            for (name, value) in &site.headers {
                if name != AUTHORIZATION || !built.headers().contains_key(AUTHORIZATION) {
                    built.headers_mut().append(name.clone(), value.clone());
                }
            }
            request = RequestBuilder::from_parts(client, built);
        }
        // Waiting for one's turn is no fault of the registry's, so the request's own time starts after it.
        let permit = self.permit(url).await?;
        let answer = timeout(self.request_timeout, send(request, limit)).await.map_err(|_| Failure::Timeout)?;
        drop(permit);
        answer
    }

    async fn permit(&self, url: &Url) -> Result<OwnedSemaphorePermit, Failure> {
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let semaphore = self.hosts.get_with(host, || Arc::new(Semaphore::new(self.concurrency_per_host)));
        // It is never closed.
        semaphore.acquire_owned().await.map_err(|_| Failure::Interrupted)
    }
}

impl Clients {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(TlsKey, bool), Client>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, tls: Option<&Tls>, proxies: Option<&ProxyRules>) -> Result<Client, Failure> {
        let key = (tls.map(Tls::key).unwrap_or_default(), proxies.is_some());
        if let Some(client) = self.lock().get(&key) {
            return Ok(client.clone());
        }
        // Making one takes milliseconds, which nobody else is to wait for; of two made at once the first is kept.
        let client = self.make(tls, proxies).map_err(Failure::Unreachable)?;
        Ok(self.lock().entry(key).or_insert(client).clone())
    }

    fn make(
        &self,
        tls: Option<&Tls>,
        proxies: Option<&ProxyRules>,
    ) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        let connect_timeout = tls.and_then(Tls::connect_timeout).unwrap_or(self.connect_timeout);
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(client_config(self.roots.clone(), tls)?)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(self.idle_per_host);
        let client = match proxies {
            None => client.dns_resolver(self.direct.clone()),
            Some(proxies) => proxies.set(client.dns_resolver(self.proxied.clone()))?,
        };
        Ok(client.build()?)
    }
}

async fn send(request: RequestBuilder, limit: Limit) -> Result<Answer, Failure> {
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

/// The authorities that every host is judged by, whatever else is said of it.
fn roots(options: &Options) -> Result<RootCertStore, OptionsError> {
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
    Ok(roots)
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
