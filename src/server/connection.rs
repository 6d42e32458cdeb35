use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Answer, Watched};
use super::exchange::Application;
use super::limits::Limits;
use super::metrics::{Metrics, Reason};
use super::tls::ALPN_HTTP_2;

/// How often a silent HTTP/2 client is asked whether it still lives, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Of one HTTP/1.1 request head or HTTP/2 header list, in bytes. The API server sends well under 2 KiB.
const HEAD: usize = 32 << 10;

/// What the connections of one listener share.
pub(super) struct Port {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) application: Arc<Application>,
    pub(super) limits: Limits,
    pub(super) metrics: Option<Metrics>,
    pub(super) tracker: TaskTracker,
}

/// The address at the other end of the connection that a request to the plain port came by.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Serves one connection to its end. `closing` asks it to finish what it has begun and then to end.
pub(super) async fn serve(stream: TcpStream, port: &Port, closing: &CancellationToken) {
    // Answers are small and written whole: waiting to fill a segment would only delay them.
    let _ = stream.set_nodelay(true);
    let ended = match &port.tls {
        None => {
            let peer = stream.peer_addr().ok().map(|address| Peer(address.ip().to_canonical()));
            converse(stream, Protocol::Http1, peer, port, closing).await
        }
        Some(tls) => match timeout(port.limits.handshake, tls.accept(stream)).await {
            Err(_) => Err(Reason::HandshakeTimeout),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the TLS handshake failed");
                Err(Reason::Handshake)
            }
            Ok(Ok(stream)) => {
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(ALPN_HTTP_2) => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                converse(stream, protocol, None, port, closing).await
            }
        },
    };
    if let (Err(reason), Some(metrics)) = (ended, &port.metrics) {
        metrics.reject(reason);
    }
}

async fn converse<S>(
    stream: S,
    protocol: Protocol,
    peer: Option<Peer>,
    port: &Port,
    closing: &CancellationToken,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Port { tls: _, application, limits, metrics: _, tracker } = port;
    let activity = Arc::new(Activity::new(protocol == Protocol::Http2));
    let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
    let service = {
        let (application, activity) = (Arc::clone(application), Arc::clone(&activity));
        service_fn(move |mut request: Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let (application, in_flight) = (Arc::clone(&application), activity.begin());
            async move {
                let answer = application.answer(request).await;
                Ok::<_, Infallible>(answer.map(|body| Answer { body, _in_flight: in_flight }))
            }
        })
    };
    match protocol {
        Protocol::Http1 => {
            // `None`, for the activity judges heads: hyper's timer would end idle connections too.
            let connection =
                http1::Builder::new().header_read_timeout(None).max_header_size(HEAD).serve_connection(io, service);
            attend(connection, &activity, limits, closing).await
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(Tracked(tracker.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(HEAD as u32)
                .serve_connection(io, service);
            attend(connection, &activity, limits, closing).await
        }
    }
}

/// Polls `connection` until it ends or the client has used up its patience.
async fn attend<C>(
    connection: C,
    activity: &Activity,
    limits: &Limits,
    closing: &CancellationToken,
) -> Result<(), Reason>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let mut closing = pin!(closing.cancelled());
    let mut closing_since: Option<Instant> = None;
    let mut alarm = pin!(sleep_until(Instant::now() + limits.first_request));
    poll_fn(|context| {
        activity.register(context);
        if closing_since.is_none() && closing.as_mut().poll(context).is_ready() {
            closing_since = Some(Instant::now());
            // In HTTP/1.1 hyper would close a connection between two requests, or before the first, at once, and with it
            // a request that is on its way. The next answer says `Connection: close`; without one patience ends it.
            if activity.is_multiplexed() {
                connection.as_mut().graceful_shutdown();
            }
        }
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended.map_err(|error| {
                    tracing::debug!(%error, "a connection broke off");
                    Reason::Protocol
                }));
            }
            let deadline = activity.deadline(limits, closing_since);
            // A deadline that moves away leaves the alarm as it is: it rings early and is set again, which costs less
            // than to set it twice a request.
            if deadline.at < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline.at);
            }
            ready!(alarm.as_mut().poll(context));
            if Instant::now() < deadline.at {
                continue;
            }
            match deadline.reason {
                None if closing_since.is_none() => {
                    closing_since = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
                None => return Poll::Ready(Ok(())),
                Some(reason) => return Poll::Ready(Err(reason)),
            }
        }
    })
    .await
}

/// Runs an HTTP/2 connection's streams as tasks of the tracker, like every other task.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}
