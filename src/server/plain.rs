use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::connection::Peer;
use super::readiness::Readiness;

/// `encode`'s format, which carries the timestamps and units that Prometheus' older text format has no place for.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the plain port answers: `/livez`, `/readyz` and `/metrics`.
///
/// Liveness has no checks on purpose: it answers as long as the process can answer, and whatever else is wrong with a
/// webhook, a restart would only drop the admissions in flight.
pub(super) fn router(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(move |RawQuery(query): RawQuery| async move { readyz(&readiness, query.as_deref()) }))
        .route("/metrics", get(move || async move { metrics(&registry) }))
}

/// Routes that answer only whom the kernel says comes from this very pod, such as `kubectl port-forward`.
pub fn for_the_pod_itself(routes: Router) -> Router {
    routes.layer(from_fn(async |request: Request, next: Next| match request.extensions().get::<Peer>() {
        Some(Peer(address)) if address.is_loopback() => next.run(request).await,
        _ => (StatusCode::FORBIDDEN, "only from the pod itself: kubectl port-forward to it, and ask there\n")
            .into_response(),
    }))
}

fn readyz(readiness: &Readiness, query: Option<&str>) -> Response {
    let verbose = query.is_some_and(|query| {
        query.split('&').any(|pair| pair.split_once('=').map_or(pair, |(name, _)| name) == "verbose")
    });
    let report = readiness.report();
    match (report.is_ready(), verbose) {
        (true, false) => "ok".into_response(),
        (true, true) => report.to_string().into_response(),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, report.to_string()).into_response(),
    }
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
