use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{StatusCode, Version};
use rustls::ClientConfig;
use rustls::crypto::ring;

use super::super::{StartError, listen};
use super::{certificate, one_answer, options, roots, say, serve, tls};
use crate::server::Options;

#[tokio::test]
async fn both_versions_are_chosen_by_alpn() {
    let fixture = serve(options()).await;
    for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let request = fixture.client(protocol).post(fixture.url("/length")).body("12345");
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        assert_eq!(answer.text().await.unwrap(), "5");
    }
    assert_eq!(fixture.metric("requests_total{code=\"2xx\"}"), 2.0);
    assert_eq!(fixture.metric("request_duration_seconds_count"), 2.0);
    assert_eq!(fixture.metric("connections_accepted_total"), 2.0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_client_without_alpn_or_with_tls_1_2_is_served() {
    let fixture = serve(options()).await;
    let mut config = fixture.client_config("h2");
    config.alpn_protocols.clear();
    let mut old = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots(&[&fixture.certificate]))
        .with_no_client_auth();
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    for config in [config, old] {
        let mut stream = tls(fixture.server.address(), config).await.unwrap();
        say(&mut stream, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").await;
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_goes_on() {
    let fixture = serve(options()).await;
    for protocol in ["h2", "http/1.1"] {
        let client = fixture.client(protocol);
        let answer = client.get(fixture.url("/panic")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!answer.text().await.unwrap().contains("on purpose"), "what went wrong is for our log");
        let answer = client.post(fixture.url("/length")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(fixture.metric("panics_total"), 2.0);
    assert_eq!(fixture.metric("connections_accepted_total"), 2.0);
    fixture.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let fixture = serve(options()).await;
    let taken = fixture.server.address();
    let error = listen::bind(taken).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let error = StartError::Bind { address: taken, source: error };
    assert_eq!(error.to_string(), format!("cannot listen on {taken}"));
    fixture.stop().await;
}

#[tokio::test]
async fn every_address_includes_ipv4() {
    let fixture = serve(Options { listen: "[::]:0".parse().unwrap(), ..options() }).await;
    let ipv4 = SocketAddr::from(([127, 0, 0, 1], fixture.server.address().port()));
    tls(ipv4, fixture.client_config("h2")).await.unwrap();
    fixture.stop().await;
}

#[tokio::test]
async fn strangers_are_refused_and_counted() {
    let fixture = serve(options()).await;
    let stranger = certificate();
    let config = super::client_config(&[&stranger], "h2");
    assert!(tls(fixture.server.address(), config).await.is_err());
    super::eventually("counted", || fixture.rejected("handshake") == 1.0).await;
    fixture.stop().await;
}
