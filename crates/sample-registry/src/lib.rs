//! A small, honest OCI registry in memory: the demo's, and with [faults](Fault) on top the tests'.
//!
//! It serves what a pull needs of the OCI distribution spec: `GET` and `HEAD` of `/v2/`, manifests and blobs, and a token
//! endpoint of Docker's kind. Nothing can be pushed over HTTP; images are put in with [`SampleRegistry::put`]. It listens on
//! loopback only, at a free port.
//!
//! ```
//! # async fn demo() -> std::io::Result<()> {
//! use sample_registry::{Image, SampleRegistry};
//! let registry = SampleRegistry::new().put("team/app:1", Image::new("linux/amd64").entrypoint(&["/app"])).start().await?;
//! println!("{}", registry.reference("team/app:1")); // 127.0.0.1:PORT/team/app:1
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod access;
mod body;
mod content;
mod fault;
mod serve;

pub use access::Access;
pub use content::{Image, Index, Manifest};
pub use fault::{Fault, RequestHead};

use access::Accesses;
use content::Store;
use fault::FaultHook;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::rustls::ServerConfig;

/// A registry that is being filled; [`start`](Self::start) makes it answer.
#[derive(Default)]
pub struct SampleRegistry {
    store: Store,
    accesses: Accesses,
    tls: Option<Arc<ServerConfig>>,
    fault: Option<FaultHook>,
}

/// A request that was answered, or is being answered, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and, after `?`, query.
    pub path: String,
    /// Whether it carried an `Authorization` header of any kind.
    pub had_credentials: bool,
    /// The status that was sent; 0 while, or if, none was.
    pub status: u16,
}

/// A registry that answers until it is dropped.
pub struct RunningRegistry {
    address: SocketAddr,
    state: Arc<State>,
    accept: JoinHandle<()>,
}

/// What every connection sees.
struct State {
    store: Mutex<Store>,
    accesses: Accesses,
    origin: String,
    fault: Option<FaultHook>,
    log: Mutex<Vec<Request>>,
}

impl SampleRegistry {
    /// An empty one: plain HTTP, everything anonymous.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an image, an index or raw bytes under `REPOSITORY:TAG`. It can be asked for by digest as well.
    pub fn put(mut self, name: &str, manifest: impl Into<Manifest>) -> Self {
        self.store.put(name, manifest.into());
        self
    }

    /// Says who may read a repository; the default is [`Access::Anonymous`].
    pub fn access(mut self, repository: &str, access: Access) -> Self {
        self.accesses.set(repository, access);
        self
    }

    /// Speaks TLS instead of plain HTTP. HTTP/2 is spoken where the configuration's ALPN has `h2`.
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Asks `hook` before each request is answered; what it returns is done instead.
    pub fn fault(mut self, hook: impl Fn(&RequestHead) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.fault = Some(Box::new(hook));
        self
    }

    /// Listens on a free loopback port. Needs a Tokio runtime.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(self) -> io::Result<RunningRegistry> {
        let Self { store, accesses, tls, fault } = self;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            store: Mutex::new(store),
            accesses,
            origin: format!("{scheme}://{address}"),
            fault,
            log: Mutex::default(),
        });
        let accept = tokio::spawn(serve::accept(listener, tls, Arc::clone(&state)));
        Ok(RunningRegistry { address, state, accept })
    }
}

impl RunningRegistry {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `REPOSITORY:TAG` with this registry before it, as a pod would name it.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// The digest of what `REPOSITORY:TAG` names now.
    pub fn digest(&self, name: &str) -> Option<String> {
        lock(&self.state.store).digest(name)
    }

    /// Puts another image under a name while running, as a push would.
    pub fn put(&self, name: &str, manifest: impl Into<Manifest>) {
        lock(&self.state.store).put(name, manifest.into());
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.log).clone()
    }
}

impl Drop for RunningRegistry {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// The data behind these locks are whole between any two statements, so a panic elsewhere leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
