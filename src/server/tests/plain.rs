use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::net::IpAddr;

use super::super::{Peer, for_the_pod_itself};
use super::{client, client_config, options, serve};

#[tokio::test]
async fn probes_and_metrics_are_answered_in_the_clear() {
    let fixture = serve(options()).await;
    let settings = fixture.readiness.register("settings");
    let client = client(client_config(&[], "http/1.1"));
    let get = async |path: &str| {
        let answer = client.get(fixture.plain_url(path)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };

    assert_eq!(get("/livez").await, (StatusCode::OK, "ok".to_owned()));
    assert_eq!(
        get("/readyz").await,
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "[+]certificate ok: expires in 0 h\n[-]settings failed: starting\nreadyz check failed\n".to_owned()
        )
    );
    settings.ready("");
    assert_eq!(get("/readyz").await, (StatusCode::OK, "ok".to_owned()));
    for verbose in ["/readyz?verbose", "/readyz?verbose=1", "/readyz?a=b&verbose"] {
        let (status, report) = get(verbose).await;
        assert_eq!(status, StatusCode::OK);
        assert!(report.ends_with("[+]settings ok\nreadyz check passed\n"), "{report}");
    }
    assert_eq!(get("/admission").await.0, StatusCode::NOT_FOUND);
    assert_eq!(client.post(fixture.plain_url("/livez")).send().await.unwrap().status(), 405);

    let answer = client.get(fixture.plain_url("/metrics")).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    assert!(text.contains("# UNIT certificate_expiry_timestamp_seconds seconds\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_for_the_pod_itself_answers_loopback_only() {
    let routes = TowerToHyperService::new(for_the_pod_itself(Router::new().route("/x", get(|| async { "x" }))));
    for (peer, status) in
        [(Some("127.0.0.1"), 200), (Some("::1"), 200), (Some("10.0.0.1"), 403), (Some("fd00::1"), 403), (None, 403)]
    {
        let mut request = Request::get("/x").body(Body::empty()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer.parse::<IpAddr>().unwrap()));
        }
        assert_eq!(routes.call(request).await.unwrap().status(), status, "{peer:?}");
    }
}
