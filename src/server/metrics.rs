use std::sync::atomic::AtomicU64;

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::metrics::Declare as _;

/// What the HTTPS listener counts. The plain port, which serves these figures, is not among them.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) connections_open: Gauge,
    pub(super) connections_accepted: Counter,
    pub(super) connections_rejected: Family<Rejected, Counter>,
    pub(super) connection_limit_reached: Counter,
    pub(super) accept_failures: Counter,
    pub(super) requests: Family<Answered, Counter>,
    pub(super) request_duration: Histogram,
    pub(super) panics: Counter,
    pub(super) certificate_expiry: Gauge<f64, AtomicU64>,
    pub(super) certificate_reloads: Counter,
    pub(super) certificate_reload_failures: Counter,
}

/// Why a connection was closed by us before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake took too long.
    HandshakeTimeout,
    /// No request came.
    FirstRequestTimeout,
    /// A request's head did not end.
    HeadTimeout,
    /// An answer was not taken.
    AnswerTimeout,
    /// What came was no HTTP, or the peer broke off.
    Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Rejected {
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    code: &'static str,
}

impl Metrics {
    /// Declares the metrics in `registry`, under whatever prefix it has.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            connections_open: registry.declare("connections_open", "HTTPS connections open now"),
            connections_accepted: registry.declare("connections_accepted", "HTTPS connections accepted"),
            connections_rejected: registry.declare(
                "connections_rejected",
                "HTTPS connections closed because the client did not keep to the protocol or its time",
            ),
            connection_limit_reached: registry.declare(
                "connection_limit_reached",
                "Times that accepting had to wait because as many connections as allowed were open",
            ),
            accept_failures: registry
                .declare("accept_failures", "Failures to accept a connection, as when file descriptors run out"),
            requests: registry.declare("requests", "HTTPS requests, by class of status"),
            request_duration: registry.declare_seconds(
                "request_duration",
                "From the end of a request's head to the start of its answer",
                // From a warm admission's fraction of a millisecond to the API server's longest patience.
                Histogram::new([
                    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                ]),
            ),
            panics: registry.declare("panics", "Requests that ended in a bug of ours"),
            certificate_expiry: registry.declare_seconds(
                "certificate_expiry_timestamp",
                "When the certificate being served expires, since the Unix epoch",
                Gauge::default(),
            ),
            certificate_reloads: registry.declare("certificate_reloads", "New certificates taken into service"),
            certificate_reload_failures: registry
                .declare("certificate_reload_failures", "Changed certificate files that were not taken into service"),
        }
    }

    pub(super) fn reject(&self, reason: Reason) {
        let reason = match reason {
            Reason::Handshake => "handshake",
            Reason::HandshakeTimeout => "handshake_timeout",
            Reason::FirstRequestTimeout => "first_request_timeout",
            Reason::HeadTimeout => "head_timeout",
            Reason::AnswerTimeout => "answer_timeout",
            Reason::Protocol => "protocol",
        };
        self.connections_rejected.get_or_create(&Rejected { reason }).inc();
    }

    /// Counts a connection as open until the value is dropped.
    pub(super) fn open(&self) -> Open {
        self.connections_accepted.inc();
        self.connections_open.inc();
        Open(self.connections_open.clone())
    }

    /// Counts a request once the value is dropped: as abandoned by its client, unless it was answered.
    pub(super) fn request(&self) -> Request<'_> {
        Request { metrics: self, began: Instant::now(), code: "abandoned" }
    }
}

#[derive(Debug)]
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug)]
pub(super) struct Request<'a> {
    metrics: &'a Metrics,
    began: Instant,
    code: &'static str,
}

impl Request<'_> {
    pub(super) fn answered(mut self, status: StatusCode) {
        self.code = match status.as_u16() {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.metrics.requests.get_or_create(&Answered { code: self.code }).inc();
        self.metrics.request_duration.observe(self.began.elapsed().as_secs_f64());
    }
}
