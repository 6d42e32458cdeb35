use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{
    FOREVER, client, client_config, eventually, frame, metric, one_answer, options, preface, say, serve, until_closed,
};
use crate::server::{Drain, Limits, Options};

#[tokio::test]
async fn requests_in_flight_are_answered_and_no_new_ones_let_in() {
    let fixture = serve(options()).await;
    let in_flight: Vec<_> = ["http/1.1", "h2"]
        .into_iter()
        .flat_map(|protocol| {
            let client = fixture.client(protocol);
            (0..4).map(move |_| client.clone())
        })
        .map(|client| tokio::spawn(client.get(fixture.url("/slow")).send()))
        .collect();
    eventually("under way", || fixture.metric("connections_open") >= 5.0).await;
    sleep(Duration::from_millis(100)).await;

    let address = fixture.server.address();
    fixture.shutdown.cancel();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let ready = client(client_config(&[], "http/1.1")).get(fixture.plain_url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE, "probes are answered to the end");

    for request in in_flight {
        assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    let began = Instant::now();
    fixture.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "nothing to wait for: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_lame_duck_fails_readiness_but_serves() {
    let drain = Drain { lame_duck: Duration::from_millis(300), timeout: FOREVER };
    let fixture = serve(Options { drain, ..options() }).await;
    assert!(fixture.readiness.is_ready());
    let mut open = fixture.tls("http/1.1").await;

    fixture.shutdown.cancel();
    eventually("no longer ready", || !fixture.readiness.is_ready()).await;
    let answer = fixture.client("h2").post(fixture.url("/length")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "a new connection is served");

    say(&mut open, "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    let answer = one_answer(&mut open).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_request_that_is_on_its_way_when_the_end_comes_is_answered() {
    const REQUEST: &str = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let limits = Limits { first_request: FOREVER, ..super::LIMITS };
    let fixture = serve(Options { limits, ..options() }).await;
    let (mut fresh, mut kept_alive) = (fixture.tls("http/1.1").await, fixture.tls("http/1.1").await);
    say(&mut kept_alive, REQUEST).await;
    one_answer(&mut kept_alive).await;

    let address = fixture.server.address();
    fixture.shutdown.cancel();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    for stream in [&mut fresh, &mut kept_alive] {
        say(stream, REQUEST).await;
        let answer = one_answer(stream).await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    }
    let began = Instant::now();
    fixture.stop().await;
    assert!(began.elapsed() < FOREVER / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn idle_and_silent_connections_do_not_hold_up_the_end() {
    let limits = Limits { first_request: FOREVER, handshake: FOREVER, idle: FOREVER, ..super::LIMITS };
    let fixture = serve(Options { limits, ..options() }).await;
    let mut silent = fixture.tls("http/1.1").await;
    let mut silent_too = fixture.tls("h2").await;
    let idle = fixture.client("h2");
    idle.post(fixture.url("/length")).send().await.unwrap();

    say(&mut silent_too, preface(&[])).await;

    let began = Instant::now();
    fixture.stop().await;
    assert!(began.elapsed() < FOREVER / 2, "{:?}", began.elapsed());
    until_closed(&mut silent).await;
    let (said, _) = until_closed(&mut silent_too).await;
    let go_away = frame(7, 0, 0, &[0; 8])[..9].to_vec();
    assert!(said.windows(9).any(|window| window == go_away), "an HTTP/2 client is told: {said:x?}");
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let limits = Limits { request: Duration::from_secs(60), ..super::LIMITS };
    let drain = Drain { lame_duck: Duration::ZERO, timeout: Duration::from_millis(100) };
    let fixture = serve(Options { limits, drain, ..options() }).await;
    let stuck: Vec<_> = ["http/1.1", "h2"]
        .map(|protocol| tokio::spawn(fixture.client(protocol).get(fixture.url("/stuck")).send()))
        .into();
    eventually("under way", || fixture.metric("connections_open") == 2.0).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(fixture.tracker.len(), 6, "two listeners, the end, two connections, one HTTP/2 stream");
    let registry = Arc::clone(&fixture.registry);
    let began = Instant::now();
    fixture.stop().await;
    assert!(began.elapsed() < FOREVER / 2, "{:?}", began.elapsed());
    assert_eq!(metric(&registry, "requests_total{code=\"abandoned\"}"), 2.0, "their tasks have ended");
    for request in stuck {
        assert!(timeout(FOREVER, request).await.unwrap().unwrap().is_err());
    }
}
