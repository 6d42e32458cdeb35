use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{self, Port};

/// The waits after a failure to accept: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Binds `address`; every IPv4 address in place of every IPv6 address where the host has no IPv6.
pub(super) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let error = match TcpListener::bind(address).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let elsewhere = !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    if address.is_ipv6() && address.ip().is_unspecified() && elsewhere {
        return TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await.map_err(|_| error);
    }
    Err(error)
}

/// Accepts and serves connections until `closing`; then ends each after what it has begun, and cuts off after
/// `patience` those that still go on. Returns when none is left.
pub(super) async fn run(listener: TcpListener, port: Port, closing: CancellationToken, patience: Duration) {
    let port = Arc::new(port);
    let slots = port.limits.connections.max(1);
    let free = Arc::new(Semaphore::new(slots as usize));
    let cut_off = CancellationToken::new();

    // A slot first, then a connection: who finds none waits in the kernel's backlog, which costs us nothing.
    while let Some(Ok(slot)) = closing.run_until_cancelled(slot(&free, &port)).await {
        let Some(stream) = closing.run_until_cancelled(accept(&listener, &port)).await else { break };
        let open = port.metrics.as_ref().map(|metrics| metrics.open());
        let (port, closing, cut_off) = (Arc::clone(&port), closing.clone(), cut_off.clone());
        port.tracker.clone().spawn(async move {
            let _held = (slot, open);
            cut_off.run_until_cancelled(connection::serve(stream, &port, &closing)).await;
        });
    }
    drop(listener);

    // Every slot free is every connection ended.
    if timeout(patience, free.acquire_many(slots)).await.is_err() {
        let connections = slots as usize - free.available_permits();
        tracing::warn!(connections, "connections were cut off: their requests took longer than the drain timeout");
        cut_off.cancel();
        let _ = free.acquire_many(slots).await;
    }
}

async fn slot(
    free: &Arc<Semaphore>,
    port: &Port,
) -> Result<tokio::sync::OwnedSemaphorePermit, tokio::sync::AcquireError> {
    if let Ok(slot) = Arc::clone(free).try_acquire_owned() {
        return Ok(slot);
    }
    tracing::debug!(limit = port.limits.connections, "as many connections as allowed are open");
    if let Some(metrics) = &port.metrics {
        metrics.connection_limit_reached.inc();
    }
    Arc::clone(free).acquire_owned().await
}

/// The next connection. Failures are waited out: one for want of file descriptors would else come again at once, and
/// for ever.
async fn accept(listener: &TcpListener, port: &Port) -> TcpStream {
    let (mut wait, longest) = BACKOFF;
    loop {
        let error = match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => error,
        };
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            continue; // The client's doing, and over with.
        }
        tracing::warn!(%error, ?wait, "cannot accept connections");
        if let Some(metrics) = &port.metrics {
            metrics.accept_failures.inc();
        }
        sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}
