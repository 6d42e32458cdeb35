//! SIGTERM and new certificates under load: nobody who was let in goes without an answer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Client;
use sample_registry::{Fault, Image, SampleRegistry};
use serde_json::Value;
use tokio::join;

use super::program::{FOREVER, PROTOCOLS, Serve, Webhook, client, eventually, make_certificate, serve};
use super::reviews::running;

const CONNECTIONS: usize = 8;

/// Posts one review after the other until told to stop, or until nobody listens any more; how many were answered.
///
/// The test fails where a request was begun and not answered: a connection that could not be made was not let in.
async fn keep_posting(webhook: &Webhook, client: &Client, review: &Value, stop: &AtomicBool, count: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let url = webhook.url("/mutate?timeout=7s");
        let request = client.post(url).header("content-type", "application/json").body(review.to_string());
        match request.send().await {
            Ok(response) => {
                assert_eq!(response.status(), 200);
                assert!(response.text().await.unwrap().contains("\"patch\""));
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.is_connect() => return,
            Err(error) => panic!("a request that was let in got no answer: {error:?}"),
        }
    }
}

async fn load(webhook: &Webhook, clients: &[Client], review: &Value, stop: &AtomicBool, count: &AtomicUsize) {
    join_all(clients.iter().map(|client| keep_posting(webhook, client, review, stop, count))).await;
}

fn enforcing() -> Serve {
    serve("{mode: enforce, imageIndex: {files: [index.yaml]}}").file("index.yaml", "app: {cmd: [/app]}")
}

#[tokio::test]
async fn sigterm_under_load_answers_everything_and_ends_with_0() {
    const LAME_DUCK: Duration = Duration::from_millis(600);
    let mut webhook =
        enforcing().flags(&["--set", "server.lameDuck=600ms", "--set", "server.drainTimeout=5s"]).start().await;
    let review = running("app");
    let clients: Vec<Client> = (0..CONNECTIONS).map(|n| webhook.client_of(PROTOCOLS[n % 2])).collect();
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let end = async {
        eventually("all are posting", async || count.load(Ordering::Relaxed) > 4 * CONNECTIONS).await;
        webhook.terminate();
        let told = Instant::now();
        eventually("no longer ready", async || webhook.get("/readyz").await.0 == 503).await;
        assert!(told.elapsed() < LAME_DUCK, "{:?}", told.elapsed());
        let (_, report) = webhook.get("/readyz").await;
        assert!(report.contains("[-]shutdown failed: the process is shutting down"), "{report}");
        let before = count.load(Ordering::Relaxed);
        eventually("it still answers", async || count.load(Ordering::Relaxed) > before + CONNECTIONS).await;
        // A newcomer is let in as long as endpoints may still name this replica.
        let newcomer = webhook.client_of("http/1.1");
        assert_eq!(webhook.post_by(&newcomer, "/mutate", &review).await.status, 200);
        told
    };
    let (told, ()) = join!(end, load(&webhook, &clients, &review, &stop, &count));
    let status = webhook.ended().await;
    assert_eq!(status.code(), Some(0), "{:#?}", webhook.log());
    let took = told.elapsed();
    assert!(took >= LAME_DUCK && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn sigterm_waits_for_an_admission_that_waits_for_a_registry() {
    let registry = SampleRegistry::new()
        .put("slow:1", Image::new("linux/amd64").entrypoint(&["/app"]))
        .fault(|head| head.path.contains("/manifests/").then_some(Fault::Delay(Duration::from_millis(800))))
        .start()
        .await
        .unwrap();
    let mut webhook = serve("{mode: enforce, platforms: [linux/amd64]}").registry(&registry).start().await;
    let review = running(&registry.reference("slow:1"));
    let end = async {
        eventually("the look-up is under way", async || registry.requests().len() == 1).await;
        webhook.terminate();
    };
    let (answer, ()) = join!(webhook.post(&review), end);
    answer.patched(&review["request"]["object"]).expect("a patch");
    assert_eq!(webhook.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let mut webhook = enforcing().flags(&["--set", "server.lameDuck=1m"]).start().await;
    webhook.terminate();
    eventually("no longer ready", async || webhook.get("/readyz").await.0 == 503).await;
    let told = Instant::now();
    webhook.terminate();
    let status = webhook.ended().await;
    assert!(told.elapsed() < FOREVER / 4, "{:?}", told.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(webhook.log().iter().any(|line| line["message"] == "told twice to stop: leaving at once"));
}

#[tokio::test]
async fn a_new_certificate_drops_no_request() {
    let webhook = enforcing().start().await;
    let review = running("app");
    let next = make_certificate();
    let newcomer = |protocol| client(&[&next], protocol);
    let clients: Vec<Client> = (0..CONNECTIONS).map(|n| webhook.client_of(PROTOCOLS[n % 2])).collect();
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let swap = async {
        eventually("all are posting", async || count.load(Ordering::Relaxed) > 4 * CONNECTIONS).await;
        webhook.install(&next);
        eventually("the new one is served", async || {
            let url = webhook.url("/none");
            newcomer("h2").get(url).send().await.is_ok()
        })
        .await;
        assert_eq!(webhook.metric("emissary_webhook_certificate_reloads_total").await, 1.0);
        assert_eq!(webhook.metric("emissary_webhook_certificate_reload_failures_total").await, 0.0);
        let before = count.load(Ordering::Relaxed);
        eventually("the connections of before go on", async || {
            count.load(Ordering::Relaxed) > before + 4 * CONNECTIONS
        })
        .await;
        stop.store(true, Ordering::Relaxed);
    };
    join!(swap, load(&webhook, &clients, &review, &stop, &count));
    for protocol in PROTOCOLS {
        assert_eq!(webhook.post_by(&newcomer(protocol), "/mutate", &review).await.status, 200, "{protocol}");
    }
}
