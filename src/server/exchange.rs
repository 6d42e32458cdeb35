use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use bytes::BytesMut;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::metrics::Metrics;

/// How many times the limit of a body is read and thrown away of one that is over it.
const DISCARDED: usize = 4;
/// How long that may take: a client that sends nothing more waits so long for its answer.
const LINGER: Duration = Duration::from_secs(2);

/// The application behind its limits: one request in, always one answer out.
#[derive(Debug)]
pub(super) struct Application {
    router: TowerToHyperService<Router>,
    limits: Limits,
    /// A permit a byte of body held.
    bodies: Arc<Semaphore>,
    metrics: Option<Metrics>,
    leaving: CancellationToken,
}

/// Why a request does not reach the application.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request's body is over {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the request's body did not arrive in time")]
    TooSlow,
    #[error("too many request bodies are held at once")]
    TooMany,
    #[error("the request's body could not be read")]
    Broken(#[source] hyper::Error),
}

impl Refusal {
    /// Whether the client may still be sending.
    fn is_before_the_end(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooMany)
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Application {
    /// `leaving` is cancelled when clients should look for another server.
    pub(super) fn new(router: Router, limits: Limits, metrics: Option<Metrics>, leaving: CancellationToken) -> Self {
        let bodies = Arc::new(Semaphore::new(limits.bodies.min(Semaphore::MAX_PERMITS)));
        Self { router: TowerToHyperService::new(router), limits, bodies, metrics, leaving }
    }

    /// Answers `request`, within the request limit and come what may.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let observed = self.metrics.as_ref().map(Metrics::request);
        let version = request.version();
        let mut response = match AssertUnwindSafe(self.respond(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                tracing::error!("a request ended in a panic: this is a bug");
                if let Some(metrics) = &self.metrics {
                    metrics.panics.inc();
                }
                text(StatusCode::SERVICE_UNAVAILABLE, "the request ended in a bug of this server".to_owned())
            }
        };
        // HTTP/1.1 has no GOAWAY. A client told with an answer goes elsewhere for its next request; one whose idle
        // connection is closed may be sending that request at this very moment.
        if version < Version::HTTP_2 && self.leaving.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(observed) = observed {
            observed.answered(response.status());
        }
        response
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let deadline = Instant::now() + self.limits.request;
        let (head, mut body) = request.into_parts();
        // The application sees whole bodies only: no handler can forget the cap or wait for a client that stalls.
        let received = timeout_at(deadline, self.receive(&mut body)).await.unwrap_or(Err(Refusal::TooSlow));
        let (body, _held) = match received {
            Ok(received) => received,
            Err(refusal) => {
                tracing::debug!(error = &refusal as &dyn std::error::Error, path = head.uri.path(), "refused");
                // Who waits for leave to send (`Expect: 100-continue`) has sent nothing, and reading would give leave.
                if refusal.is_before_the_end() && !head.headers.contains_key(header::EXPECT) {
                    let _ = timeout_at(deadline.min(Instant::now() + LINGER), self.discard(&mut body)).await;
                }
                return text(refusal.status(), refusal.to_string());
            }
        };
        let request = Request::from_parts(head, Body::from(body));
        match timeout_at(deadline, self.router.call(request)).await {
            Ok(Ok(response)) => response,
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the request took too long to answer".to_owned()),
        }
    }

    /// Reads a body to its end. What it holds of the common budget is given back with the permit.
    async fn receive(&self, body: &mut Incoming) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
        let limit = self.limits.body;
        let too_large = |length: usize| if length > limit { Err(Refusal::TooLarge { limit }) } else { Ok(()) };
        too_large(usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX))?;

        let mut held: Option<OwnedSemaphorePermit> = None;
        let mut whole = Pieces::None;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
            too_large(whole.len() + piece.len())?;
            // Counted as they come: a length that is only promised reserves nothing.
            let bytes = u32::try_from(piece.len()).map_err(|_| Refusal::TooLarge { limit })?;
            let permit = Arc::clone(&self.bodies).try_acquire_many_owned(bytes).map_err(|_| Refusal::TooMany)?;
            match &mut held {
                Some(held) => held.merge(permit),
                None => held = Some(permit),
            }
            whole.push(piece);
        }
        Ok((whole.finish(), held))
    }

    /// Reads what a client is still sending of a refused body, a few times the limit and not for ever. A connection that
    /// is closed on unread bytes is reset, and the client sees that instead of the answer (RFC 9112 §9.6).
    async fn discard(&self, body: &mut Incoming) {
        let mut left = self.limits.body.saturating_mul(DISCARDED);
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    }
}

/// A body as it arrives: most come in one piece, which is then not copied.
enum Pieces {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Pieces {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, piece: Bytes) {
        match self {
            Self::None => *self = Self::One(piece),
            Self::One(first) => {
                let mut many = BytesMut::with_capacity(2 * (first.len() + piece.len()));
                many.extend_from_slice(first);
                many.extend_from_slice(&piece);
                *self = Self::Many(many);
            }
            Self::Many(bytes) => bytes.extend_from_slice(&piece),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

/// The API server shows such a text to whoever made the object.
fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
