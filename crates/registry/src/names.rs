//! Names to addresses, as `resolv.conf` says: search domains, `ndots`, name servers; before them the hosts file.

use crate::guard::{Guard, Refused};
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::Query,
        rr::{Name as DomainName, RecordType},
    },
    system_conf::parse_resolv_conf,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    error::Error,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// Answers kept; names come from pods, so their number is bounded.
const MOST_NAMES: u64 = 1024;
/// An address is forgotten after this at the latest, whatever its record says.
const LONGEST_LIFE: Duration = Duration::from_secs(300);
/// How long it is remembered that there is no such name.
const LONGEST_ABSENCE: Duration = Duration::from_secs(5);
/// One question to one server; `resolv.conf` says 5 s where it says nothing, which is the most of an admission's time.
const LONGEST_QUESTION: Duration = Duration::from_secs(2);
const MOST_ATTEMPTS: usize = 2;
/// A hosts file, a `resolv.conf`: more is none.
const LARGEST_FILE: u64 = 1 << 20;

/// Where names of hosts are looked up: two files, as every pod has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `resolv.conf(5)`. It is read at the first look-up of a name; while it cannot be read every look-up fails, and is worth
    /// trying again. There are no public servers to fall back to.
    pub resolv_conf: PathBuf,
    /// `hosts(5)`, read at the first look-up too. A name that it has is asked of no server.
    pub hosts: PathBuf,
    /// The port of the name servers, which `resolv.conf` cannot say.
    pub port: u16,
}

impl Default for Names {
    /// `/etc/resolv.conf`, `/etc/hosts` and 53.
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: 53 }
    }
}

/// The HTTP client's way to addresses: those that the guard allows.
///
/// The client connects to what it is given here, so there is no second look-up that could say something else.
#[derive(Clone)]
pub(crate) struct Lookups {
    names: Arc<Names>,
    resolver: Arc<Mutex<Option<TokioResolver>>>,
    hosts: Arc<OnceLock<Hosts>>,
    /// None where the addresses are those of the operator's own proxies.
    guard: Option<Arc<Guard>>,
}

#[derive(Debug, thiserror::Error)]
enum Unresolved {
    #[error("{} cannot be read, so no name can be looked up", .0.display())]
    Unreadable(PathBuf, #[source] Box<dyn Error + Send + Sync>),
    #[error("the name has no address")]
    Empty,
}

impl Lookups {
    pub(crate) fn new(names: Names) -> Self {
        Self { names: Arc::new(names), resolver: Arc::default(), hosts: Arc::default(), guard: None }
    }

    /// The same look-ups, with what they remember, under a guard.
    pub(crate) fn guarded(&self, guard: Arc<Guard>) -> Self {
        Self { guard: Some(guard), ..self.clone() }
    }

    fn resolver(&self) -> Result<TokioResolver, Unresolved> {
        let mut resolver = self.resolver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = &*resolver {
            return Ok(resolver.clone());
        }
        let made =
            build(&self.names).map_err(|source| Unresolved::Unreadable(self.names.resolv_conf.clone(), source))?;
        Ok(resolver.insert(made).clone())
    }
}

impl Lookups {
    /// What the hosts file says of a name.
    fn static_addresses(&self, name: &str) -> Vec<IpAddr> {
        let hosts = self.hosts.get_or_init(|| {
            let mut hosts = Hosts::default();
            // A file that cannot be read, or a line that says nothing, names no host.
            if let Ok(text) = read(&self.names.hosts) {
                let _ = hosts.read_hosts_conf(text.as_slice());
            }
            hosts
        });
        let Ok(name) = DomainName::from_utf8(name) else { return Vec::new() };
        let of = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of);
        found
            .flat_map(|found| found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
            .collect()
    }
}

impl Resolve for Lookups {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = self.clone();
        Box::pin(async move {
            // Before the name servers, and in place of them: who has one family of addresses there has no other elsewhere.
            let mut all = lookups.static_addresses(name.as_str());
            if all.is_empty() {
                all.extend(lookups.resolver()?.lookup_ip(name.as_str()).await?.iter());
            }
            let is_allowed = |address: &_| lookups.guard.as_ref().is_none_or(|guard| guard.allows(*address));
            let allowed: Vec<_> = all.iter().copied().filter(is_allowed).map(|ip| SocketAddr::new(ip, 0)).collect();
            match (all.is_empty(), allowed.is_empty()) {
                (true, _) => Err(Unresolved::Empty.into()),
                (false, true) => Err(Refused.into()),
                (false, false) => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

fn build(names: &Names) -> Result<TokioResolver, Box<dyn Error + Send + Sync>> {
    let Names { resolv_conf, hosts: _, port } = names;
    let (mut config, mut options) = parse_resolv_conf(read(resolv_conf)?)?;
    for connection in config.name_servers.iter_mut().flat_map(|server| &mut server.connections) {
        connection.port = *port;
    }
    options.timeout = options.timeout.min(LONGEST_QUESTION);
    options.attempts = options.attempts.clamp(1, MOST_ATTEMPTS);
    options.cache_size = MOST_NAMES;
    options.positive_max_ttl = Some(LONGEST_LIFE);
    options.negative_max_ttl = Some(LONGEST_ABSENCE);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Asked before, from where we are told.
    options.use_hosts_file = ResolveHosts::Never;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    Ok(builder.build()?)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    fs::File::open(path)?.take(LARGEST_FILE).read_to_end(&mut text)?;
    Ok(text)
}
