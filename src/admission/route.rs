use super::{Admission, DryRuns, budget};
use crate::review::Live;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, StreamExt as _};
use std::convert::Infallible;
use std::sync::Arc;

/// `POST /mutate`. How long a body may be is the server's to say.
pub fn routes(admission: Arc<Admission>) -> Router {
    Router::new().route("/mutate", post(answer)).layer(DefaultBodyLimit::disable()).with_state(admission)
}

/// `GET /dryrun`: what dry runs found, as JSON lines, an object a template and outcome.
pub fn report(dry_runs: DryRuns) -> Router {
    let lines = async move || ([(header::CONTENT_TYPE, "application/jsonl")], dry_runs.to_json_lines());
    Router::new().route("/dryrun", get(lines))
}

/// `GET /recorded`: what was recorded of reviewed pods, a JSON document a line.
pub fn recorded(review: Live) -> Router {
    let lines = async move || {
        let files = stream::iter(review.records()).filter_map(async |file| {
            // One that has gone meanwhile made room for another.
            tokio::fs::read(file).await.ok().map(Ok::<_, Infallible>)
        });
        ([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(files))
    };
    Router::new().route("/recorded", get(lines))
}

async fn answer(
    State(admission): State<Arc<Admission>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_json(&headers) {
        let text = "send an AdmissionReview as application/json\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    match admission.answer(&body, budget::timeout(query.as_deref())).await {
        Ok(response) => ([(header::CONTENT_TYPE, "application/json")], response.to_json()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}
