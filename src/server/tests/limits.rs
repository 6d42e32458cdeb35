use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::super::Limits;
use super::{FOREVER, LIMITS, frame, one_answer, options, preface, say, serve, tls, until_closed};
use crate::server::Options;

/// A limit of `limit` was kept: not earlier, and not much later, also on a busy machine.
fn assert_about(limit: Duration, took: Duration) {
    assert!(took >= limit - Duration::from_millis(20) && took < limit + Duration::from_secs(2), "{took:?}");
}

const LENGTH: &str = "POST /length HTTP/1.1\r\nHost: localhost\r\n";

#[tokio::test]
async fn a_client_silent_after_connecting_is_closed() {
    let fixture = serve(options()).await;
    let mut stream = TcpStream::connect(fixture.server.address()).await.unwrap();
    let (said, took) = until_closed(&mut stream).await;
    assert_eq!(said, b"");
    assert_about(LIMITS.handshake, took);
    assert_eq!(fixture.rejected("handshake_timeout"), 1.0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_client_silent_after_the_handshake_is_closed() {
    let fixture = serve(options()).await;
    for (before, protocol, first_words) in [
        (0.0, "http/1.1", Vec::new()),
        (1.0, "h2", Vec::new()),
        (2.0, "h2", preface(&[])[..10].to_vec()),
        (3.0, "h2", preface(&[])),
    ] {
        assert_eq!(fixture.rejected("first_request_timeout"), before);
        let mut stream = fixture.tls(protocol).await;
        say(&mut stream, &first_words).await;
        let (_, took) = until_closed(&mut stream).await;
        assert_about(LIMITS.first_request, took);
    }
    assert_eq!(fixture.rejected("first_request_timeout"), 4.0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_head_that_drips_is_closed() {
    let fixture = serve(options()).await;
    let (mut reader, mut writer) = tokio::io::split(fixture.tls("http/1.1").await);
    let drip = tokio::spawn(async move {
        let _ = writer.write_all(b"GET /slow HTTP/1.1\r\nX-Drip: ").await;
        while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    let (_, took) = until_closed(&mut reader).await;
    drip.abort();
    assert_about(LIMITS.head, took);
    assert_eq!(fixture.rejected("head_timeout"), 1.0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_second_head_is_timed_too() {
    let fixture = serve(options()).await;
    let mut stream = fixture.tls("http/1.1").await;
    say(&mut stream, &format!("{LENGTH}Content-Length: 0\r\n\r\n")).await;
    assert!(one_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    say(&mut stream, "POST /le").await;
    let (_, took) = until_closed(&mut stream).await;
    assert_about(LIMITS.head, took);
    assert_eq!(fixture.rejected("head_timeout"), 1.0);
    fixture.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_past_the_head_limit_and_then_closed_without_blame() {
    let fixture = serve(options()).await;
    for protocol in ["http/1.1", "h2"] {
        let client = fixture.client(protocol);
        for _ in 0..2 {
            client.post(fixture.url("/length")).send().await.unwrap().bytes().await.unwrap();
            sleep(LIMITS.head + Duration::from_millis(100)).await;
        }
    }
    assert_eq!(fixture.metric("connections_accepted_total"), 2.0, "each client needed one");
    super::eventually("idle connections are closed", || fixture.metric("connections_open") == 0.0).await;
    for reason in ["first_request_timeout", "head_timeout", "protocol"] {
        assert_eq!(fixture.rejected(reason), 0.0, "{reason}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_answered() {
    let fixture = serve(options()).await;
    let mut stream = fixture.tls("http/1.1").await;
    say(&mut stream, &format!("{LENGTH}Content-Length: 100\r\n\r\nhalf of it")).await;
    let (said, took) = until_closed(&mut stream).await;
    assert!(said.starts_with(b"HTTP/1.1 408"));
    assert_about(LIMITS.request, took);
    fixture.stop().await;
}

#[tokio::test]
async fn an_application_that_hangs_is_answered_for() {
    let fixture = serve(options()).await;
    for protocol in ["http/1.1", "h2"] {
        let answer = fixture.client(protocol).get(fixture.url("/stuck")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{protocol}");
    }
    assert_eq!(fixture.metric("requests_total{code=\"5xx\"}"), 2.0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let fixture = serve(options()).await;
    for protocol in ["http/1.1", "h2"] {
        let request = fixture.client(protocol).get(fixture.url("/stuck")).timeout(Duration::from_millis(50));
        assert!(request.send().await.unwrap_err().is_timeout());
    }
    super::eventually("abandoned", || fixture.metric("requests_total{code=\"abandoned\"}") == 2.0).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_body_of_the_largest_size_passes_and_a_byte_more_does_not() {
    let fixture = serve(options()).await;
    for protocol in ["http/1.1", "h2"] {
        for (length, status) in [(LIMITS.body, StatusCode::OK), (LIMITS.body + 1, StatusCode::PAYLOAD_TOO_LARGE)] {
            let request = fixture.client(protocol).post(fixture.url("/length")).body(vec![b'x'; length]);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{length} bytes by {protocol}");
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_read_no_further_than_the_cap() {
    let fixture = serve(options()).await;
    let (mut reader, mut writer) = tokio::io::split(fixture.tls("http/1.1").await);
    let flood = tokio::spawn(async move {
        let head = format!("{LENGTH}Transfer-Encoding: chunked\r\n\r\n");
        if writer.write_all(head.as_bytes()).await.is_err() {
            return 0;
        }
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
        let mut written = 0;
        while written < 256 << 20 && writer.write_all(&chunk).await.is_ok() {
            written += 0x1000;
        }
        written
    });
    let answer = one_answer(&mut reader).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // The sockets' buffers take some megabytes more.
    let written = timeout(FOREVER, flood).await.unwrap().unwrap();
    assert!(written < 32 << 20, "{written} bytes");
    fixture.stop().await;
}

/// Posts until there is no room for another body. What takes the room may still be on its way, and only what has
/// arrived counts.
async fn until_refused<F>(post: impl Fn() -> F)
where
    F: Future<Output = reqwest::Result<reqwest::Response>>,
{
    let began = Instant::now();
    loop {
        let status = post().await.unwrap().status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        assert!(status == StatusCode::OK && began.elapsed() < FOREVER, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let fixture = serve(options()).await;
    let mut stream = fixture.tls("h2").await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no byte of a body may be sent.
    say(&mut stream, preface(&[0, 4, 0, 0, 0, 0])).await;
    // GET https://localhost/slow, with END_STREAM and END_HEADERS.
    let head = [b"\x82\x87\x04\x05/slow".as_slice(), b"\x01\x09localhost"].concat();
    say(&mut stream, frame(1, 5, 1, &head)).await;
    let (_, took) = until_closed(&mut stream).await;
    assert_about(LIMITS.request + LIMITS.answer, took);
    assert_eq!(fixture.metric("requests_total{code=\"2xx\"}"), 1.0);
    assert_eq!(fixture.rejected("answer_timeout"), 1.0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_body_is_counted_until_its_request_is_answered() {
    let fixture = serve(options()).await;
    let client = fixture.client("h2");
    let post = |path| client.post(fixture.url(path)).body(vec![b'x'; LIMITS.body]).send();
    let stuck = tokio::spawn(post("/stuck"));
    until_refused(|| post("/length")).await;
    assert_eq!(stuck.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(post("/length").await.unwrap().status(), StatusCode::OK, "what was held is given back");
    fixture.stop().await;
}

#[tokio::test]
async fn bodies_held_at_once_are_limited_together() {
    let fixture = serve(options()).await;
    let half = vec![b'x'; LIMITS.body - 1];
    let mut first = fixture.tls("http/1.1").await;
    say(&mut first, &format!("{LENGTH}Content-Length: {}\r\n\r\n", LIMITS.body)).await;
    first.write_all(&half).await.unwrap();
    first.flush().await.unwrap();

    let second = fixture.client("h2");
    let post = || second.post(fixture.url("/length")).body(half.clone()).send();
    until_refused(post).await;

    first.write_all(b"x").await.unwrap();
    assert!(one_answer(&mut first).await.starts_with("HTTP/1.1 200"));
    assert_eq!(post().await.unwrap().status(), StatusCode::OK, "what was held is given back");
    fixture.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_slot() {
    let limits = Limits { connections: 2, handshake: FOREVER, first_request: FOREVER, ..LIMITS };
    let fixture = serve(Options { limits, ..options() }).await;
    let (first, _second) = (fixture.tls("http/1.1").await, fixture.tls("h2").await);
    let config = fixture.client_config("http/1.1");
    let mut third = std::pin::pin!(tls(fixture.server.address(), config));
    assert!(timeout(Duration::from_millis(150), &mut third).await.is_err(), "there is no third slot");
    assert_eq!(fixture.metric("connections_open"), 2.0);
    assert_eq!(fixture.metric("connection_limit_reached_total"), 1.0);

    drop(first);
    let mut third = timeout(FOREVER, third).await.expect("a slot is free").unwrap();
    say(&mut third, &format!("{LENGTH}Content-Length: 0\r\n\r\n")).await;
    assert!(one_answer(&mut third).await.starts_with("HTTP/1.1 200"));
    drop((third, _second));
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_closed() {
    let fixture = serve(options()).await;
    for protocol in ["http/1.1", "h2"] {
        let mut stream = fixture.tls(protocol).await;
        say(&mut stream, "\0\0\0\0 this is no HTTP, of any version\r\n\r\n").await;
        until_closed(&mut stream).await;
    }
    let mut stream = fixture.tls("http/1.1").await;
    say(&mut stream, &format!("GET /slow HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(40 << 10))).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
    drop(stream);
    super::eventually("all are counted", || fixture.rejected("protocol") == 3.0).await;
    fixture.stop().await;
}
