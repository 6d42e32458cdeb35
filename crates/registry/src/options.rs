use crate::{Hosts, Names, PrivateNetworks};
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// What an operator can set about look-ups.
#[derive(Debug, Clone)]
pub struct Options {
    /// Registries, `HOST[:PORT]` as images name them, that are spoken to without TLS. Loopback is no exception: it is
    /// plain only if listed. Default: none.
    pub plain_http: Vec<String>,
    /// Networks that a look-up may reach although they are of a kind that it may not: loopback, link-local and the like, and
    /// private ones where [`private_networks`](Self::private_networks) refuses them. Default: none.
    pub allow_networks: Vec<IpNet>,
    /// Certificate authorities trusted besides, or in place of, the system's. Default: none.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Whether the system's certificate authorities are trusted. Default: yes.
    pub system_roots: bool,
    /// Proxies for outgoing requests; variables are not read here. Default: none.
    pub proxies: Proxies,
    /// How long an answer counts as fresh. Default: 5 minutes.
    pub ttl: Duration,
    /// How long a permanent failure is remembered. Default: 30 seconds.
    pub negative_ttl: Duration,
    /// How long a first transient failure of an image is remembered, and twice as long each time that it fails again; a rate
    /// limit for as long as the registry asks, if that is longer. Default: 2 seconds.
    pub transient_ttl: Duration,
    /// Bytes that everything remembered may take in memory; some 600 for an image. Default: 16 MiB.
    pub cache_bytes: u64,
    /// Requests at a time to one host, and look-ups at a time of its images. Default: 8.
    pub concurrency_per_host: usize,
    /// Time for a TCP connection. Default: 3 seconds.
    pub connect_timeout: Duration,
    /// Time for one request with its body. Default: 10 seconds.
    pub request_timeout: Duration,
    /// Time for a whole look-up, which goes on after its asker's deadline. Default: 30 seconds.
    pub lookup_timeout: Duration,
    /// Where the time comes from by which freshness is judged. Default: the system's.
    pub clock: Clock,
    /// How long an answer counts as fresh for [`Freshness::Always`](crate::Freshness::Always). Default: 5 seconds.
    pub always_ttl: Duration,
    /// How long a credential is let see what is remembered of a repository after the registry let it see the repository.
    /// Default: 10 minutes.
    pub authorization_ttl: Duration,
    /// How old an answer may be that is given because the registry does not answer; zero for none. As long counts then the
    /// proof of a credential, unless the registry has refused it since. Default: 24 hours.
    pub max_stale: Duration,
    /// The longest that transient failures are remembered, however often in a row. Default: 60 seconds.
    pub transient_ttl_max: Duration,
    /// Failures in a row (no connection, timeout, HTTP 5xx) after which a host is not asked for a while. Default: 5.
    pub breaker_failures: u32,
    /// How long that is at first; it doubles, up to a minute, while the one request that then tries again fails.
    /// Default: 5 seconds.
    pub breaker_open: Duration,
    /// Look-ups under way for one namespace, waiting ones included; prefetch and dry runs get half. Default: 1024.
    pub lookups_per_namespace: usize,
    /// Look-ups under way, waiting ones included; prefetch and dry runs get half. Default: 4096.
    pub lookups: usize,
    /// Where the jitter of backoff comes from. Default: the system's random numbers.
    pub random: Random,
    /// Whether registries may stand in private networks. Default: they may.
    pub private_networks: PrivateNetworks,
    /// Registries that may be asked, as globs of `HOST` or `HOST:PORT`: `*` is any text, dots included, and what has no port
    /// is for every port. Token realms and blobs may be elsewhere. Default: none, which is all.
    pub allow_registries: Vec<String>,
    /// Hosts that are never asked, neither as registries nor as what those refer to, in the same form. They go before what
    /// is allowed. Default: none.
    pub deny_registries: Vec<String>,
    /// Mirrors, certificates and headers by registry. [`Resolver::set_hosts`](crate::Resolver::set_hosts) replaces it.
    /// Default: nothing.
    pub hosts: Hosts,
    /// Where names are looked up. Default: as the system says.
    pub names: Names,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            allow_networks: Vec::new(),
            extra_roots: Vec::new(),
            system_roots: true,
            proxies: Proxies::default(),
            ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(30),
            transient_ttl: Duration::from_secs(2),
            cache_bytes: 16 << 20,
            concurrency_per_host: 8,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            lookup_timeout: Duration::from_secs(30),
            clock: Clock::system(),
            always_ttl: Duration::from_secs(5),
            authorization_ttl: Duration::from_secs(600),
            max_stale: Duration::from_secs(24 * 3600),
            transient_ttl_max: Duration::from_secs(60),
            breaker_failures: 5,
            breaker_open: Duration::from_secs(5),
            lookups_per_namespace: 1024,
            lookups: 4096,
            random: Random::system(),
            private_networks: PrivateNetworks::default(),
            allow_registries: Vec::new(),
            deny_registries: Vec::new(),
            hosts: Hosts::default(),
            names: Names::default(),
        }
    }
}

/// Proxies, in the usual variables' form.
///
/// A proxy looks names up itself, so what a name leads to is then judged by the proxy's operator; addresses in place of names
/// are refused here all the same.
///
/// `Debug` shows none of it, since a proxy's URL may hold a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// As `HTTP_PROXY`: a URL, for registries spoken to without TLS.
    pub http: Option<String>,
    /// As `HTTPS_PROXY`: a URL, for all others.
    pub https: Option<String>,
    /// As `NO_PROXY` in Go: hosts, domains (`.corp` for what is below it only), addresses, each with a port or without,
    /// networks, or `*`, separated by commas. They are asked directly.
    pub no_proxy: String,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

/// A source of wall-clock time, a value so that tests can turn it forward.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// Whatever `now` returns.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A source of numbers from 0 up to 1, a value so that tests can say which.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Random {
    /// Numbers that nobody outside can foresee; fit for jitter, not for keys.
    pub fn system() -> Self {
        let (seed, drawn) = (RandomState::new(), AtomicU64::new(0));
        Self::from_fn(move || {
            let bits = seed.hash_one(drawn.fetch_add(1, Ordering::Relaxed));
            (bits >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    /// Whatever `draw` returns.
    pub fn from_fn(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    pub(crate) fn draw(&self) -> f64 {
        (self.0)()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

/// Why [`Options`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A certificate among `extra_roots`.
    #[error("certificate {position} of the extra roots cannot be used")]
    Root {
        /// Counted from 1.
        position: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// A URL among `proxies`.
    #[error("the {which} proxy is no URL of a proxy; write http://HOST:PORT")]
    Proxy {
        /// `http` or `https`.
        which: &'static str,
    },
    /// The HTTP client or its TLS cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}
