//! The HTTPS listener that the API server talks to, and the plain one for probes and metrics.
//!
//! The application is a [`Router`] given from outside; this room keeps its clients to their limits, its certificate
//! fresh, and its end orderly.
//!
//! # Why an accept loop of our own
//! What answers a webhook badly is worse than what does not answer: a dropped connection or silence fails a workflow's
//! node at once. The ready-made loops leave open who may hold a connection, and for how long. `axum::serve` exposes no
//! HTTP settings; `axum-server` sets no timer, hence no timeouts after the handshake; `hyper-util`'s protocol detection
//! waits for ever on a client that says nothing after the handshake. Here every wait has an end:
//!
//! | the client | is | after |
//! |---|---|---|
//! | finds every slot taken | left in the kernel's backlog | – |
//! | does not finish the handshake | closed | [`Limits::handshake`] |
//! | sends nothing (HTTP/2: no request) | closed | [`Limits::first_request`] |
//! | does not finish a head | closed | [`Limits::head`] |
//! | does not finish a body | answered 408 | [`Limits::request`] |
//! | sends too long a body | answered 413 | [`Limits::body`] bytes |
//! | waits for an application that is stuck | answered 503 | [`Limits::request`] |
//! | does not take its answer | closed | [`Limits::request`] and [`Limits::answer`] |
//! | sends no further request | closed politely | [`Limits::idle`] |
//!
//! # The end
//! When the shutdown token is cancelled, `/readyz` fails first; for [`Drain::lame_duck`] connections are still accepted,
//! because endpoints reach every node late. Then the listener closes, requests in flight are answered, and what is left
//! after [`Drain::timeout`] is cut off. The plain port answers until then.

mod activity;
mod certificates;
mod clients;
mod connection;
mod exchange;
mod limits;
mod listen;
mod metrics;
mod plain;
mod readiness;
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use certificates::{CertificateSource, LoadError};
pub use clients::{Clients, TlsError};
pub use connection::Peer;
pub use limits::Limits;
pub use metrics::Metrics;
pub use plain::for_the_pod_itself;
pub use readiness::{Check, Readiness};

use certificates::Certificates;
use connection::Port;
use exchange::Application;

/// How the server listens, whom it lets in, and how it ends.
#[derive(Clone, Debug)]
pub struct Options {
    /// The HTTPS address. `[::]` means IPv4 too, and only IPv4 where the host has no IPv6; port 0 any free port.
    pub listen: SocketAddr,
    /// The address of `/livez`, `/readyz` and `/metrics`, by plain HTTP; `None` for no such listener.
    pub plain: Option<SocketAddr>,
    /// What HTTPS clients are granted.
    pub limits: Limits,
    /// How the server ends.
    pub drain: Drain,
    /// The only HTTPS clients that are let in; `None` for any, with a certificate or without.
    pub clients: Option<Clients>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 10250)),
            plain: Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080))),
            limits: Limits::default(),
            drain: Drain::default(),
            clients: None,
        }
    }
}

/// How the server ends. The two together should stay below the pod's `terminationGracePeriodSeconds` (30 by default).
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long connections are still accepted after readiness fails.
    pub lame_duck: Duration,
    /// How long requests in flight may take after that.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { lame_duck: Duration::from_secs(5), timeout: Duration::from_secs(20) }
    }
}

/// What the server is given.
pub struct Dependencies {
    /// What HTTPS requests are answered by. It gets whole bodies, already within [`Limits::body`].
    pub application: Router,
    /// What the plain port answers besides probes and scrapes. Requests carry their client's [`Peer`].
    pub plain: Router,
    /// Whom to show clients we are.
    pub certificate: CertificateSource,
    /// What `/readyz` reports; the server adds the check `certificate`.
    pub readiness: Readiness,
    /// The server's own metrics, registered before `registry` was closed.
    pub metrics: Metrics,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// Cancelled to begin the end. What the application needs to finish its requests must outlive it: it is to be
    /// cancelled after [`Server::stopped`].
    pub shutdown: CancellationToken,
    /// What every task of the server is counted by.
    pub tracker: TaskTracker,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate to serve.
    #[error("cannot load the server's certificate")]
    Certificate(#[from] LoadError),
    /// TLS cannot be set up as asked.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

/// A running server. Dropping it leaves the server running.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    plain_address: Option<SocketAddr>,
    stopped: JoinHandle<()>,
}

impl Server {
    /// The HTTPS address, with the port that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The plain address, with the port that was bound.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.plain_address
    }

    /// Returns when the shutdown token has been cancelled and the last connection has ended.
    pub async fn stopped(self) {
        let _ = self.stopped.await;
    }
}

/// Binds both ports, loads the certificate and starts to serve.
///
/// The listeners are open when this returns: from then on readiness is for the checks to tell.
pub async fn start(options: Options, dependencies: Dependencies) -> Result<Server, StartError> {
    let Options { listen, plain, limits, drain, clients } = options;
    let Dependencies { application, plain: more, certificate, readiness, metrics, registry, shutdown, tracker } =
        dependencies;

    let check = readiness.register("certificate");
    let (certificates, served) = Certificates::load(certificate, check, metrics.clone()).await?;
    let tls = TlsAcceptor::from(Arc::new(tls::configuration(served, clients)?));

    let (listener, address) = bound(listen).await?;
    let (plain, plain_address) = match plain {
        None => (None, None),
        Some(address) => {
            let (listener, address) = bound(address).await?;
            (Some(listener), Some(address))
        }
    };

    let closing = CancellationToken::new();
    tracker.spawn(certificates.follow(closing.clone()));
    let https = Port {
        tls: Some(tls),
        application: Arc::new(Application::new(application, limits, Some(metrics.clone()), shutdown.clone())),
        limits,
        metrics: Some(metrics),
        tracker: tracker.clone(),
    };
    let https = tracker.spawn(listen::run(listener, https, closing.clone(), drain.timeout));

    let plain_closing = CancellationToken::new();
    let plain = plain.map(|listener| {
        let limits = Limits::plain();
        let router = plain::router(readiness.clone(), registry).merge(more);
        let port = Port {
            tls: None,
            application: Arc::new(Application::new(router, limits, None, plain_closing.clone())),
            limits,
            metrics: None,
            tracker: tracker.clone(),
        };
        tracker.spawn(listen::run(listener, port, plain_closing.clone(), PLAIN_DRAIN))
    });

    let stopped = tracker.spawn(async move {
        shutdown.cancelled().await;
        readiness.drain();
        tracing::info!(lame_duck = ?drain.lame_duck, "shutting down: no longer ready");
        tokio::time::sleep(drain.lame_duck).await;
        closing.cancel();
        let _ = https.await;
        plain_closing.cancel();
        if let Some(plain) = plain {
            let _ = plain.await;
        }
        tracing::info!("the last connection has ended");
    });
    Ok(Server { address, plain_address, stopped })
}

/// How long a probe or a scrape in flight may take at the very end.
const PLAIN_DRAIN: Duration = Duration::from_secs(1);

async fn bound(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = |source| StartError::Bind { address, source };
    let listener = listen::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    Ok((listener, address))
}
