//! Many at once: who waits, who is told to come back, and what a registry sees of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use sample_registry::{Fault, Image, Index, RunningRegistry, SampleRegistry};
use serde_json::{Value, json};
use tokio::join;
use tokio::time::sleep;

use super::program::{Answer, Webhook, eventually, serve};
use super::reviews::{running, running_in};

/// How long the registry takes to say what a tag of `slow` names.
const SLOW: Duration = Duration::from_secs(2);
/// How long an answer may take that waits for nothing, on a machine that is busy with other tests.
const AT_ONCE: Duration = Duration::from_millis(900);

/// A registry of images that differ in their tags.
async fn slow_registry() -> RunningRegistry {
    let image = |platform| Image::new(platform).entrypoint(&["/app"]);
    let index = || Index::oci().image(image("linux/amd64")).image(image("linux/arm64"));
    let registry = SampleRegistry::new().put("warm:1", index());
    let registry = (1..=5).fold(registry, |registry, tag| registry.put(&format!("slow:{tag}"), index()));
    let is_tag = |path: &str| path.starts_with("/v2/slow/manifests/") && !path.contains("sha256");
    registry.fault(move |head| is_tag(&head.path).then_some(Fault::Delay(SLOW))).start().await.unwrap()
}

async fn assert_quick_refusal(webhook: &Webhook, review: &Value) {
    let answer = webhook.post(review).await;
    let (status, reason, message) = answer.denial();
    assert_eq!((status, reason.as_str()), (503, "ServiceUnavailable"), "{message}");
    assert!(message.contains("too many pods wait for look-ups already"), "{message}");
    assert!(answer.took < AT_ONCE, "{:?}", answer.took);
}

fn under_way(registry: &RunningRegistry) -> usize {
    registry.requests().iter().filter(|request| request.status == 0).count()
}

fn is_allowed(answer: &Answer) -> bool {
    answer.response()["allowed"] == true
}

#[tokio::test]
async fn waiting_is_bounded_in_all_and_for_each_namespace() {
    let registry = slow_registry().await;
    let webhook =
        serve("{mode: enforce, platforms: [linux/amd64], admission: {maxWaiting: 3, maxWaitingPerNamespace: 2}}")
            .registry(&registry)
            .start()
            .await;
    let review = |namespace: &str, tag: u32| running_in(namespace, &registry.reference(&format!("slow:{tag}")));
    let warm = running_in("a", &registry.reference("warm:1"));
    assert!(is_allowed(&webhook.post(&warm).await));

    let (first, second, third) = (review("a", 1), review("a", 2), review("b", 3));
    let waiting = async { join!(webhook.post(&first), webhook.post(&second), webhook.post(&third)) };
    let refused = async {
        eventually("three look-ups are under way", async || under_way(&registry) == 3).await;
        assert_quick_refusal(&webhook, &review("a", 4)).await;
        assert_quick_refusal(&webhook, &review("c", 5)).await;
        // Who needs to wait for nothing is not counted.
        let answer = webhook.post(&warm).await;
        assert!(is_allowed(&answer) && answer.took < AT_ONCE, "{answer:?}");
        // The three are still waiting, and the look-ups of those who were refused were begun.
        eventually("five look-ups are under way", async || under_way(&registry) == 5).await;
    };
    let (waited, ()) = join!(waiting, refused);
    assert!([waited.0, waited.1, waited.2].iter().all(is_allowed));
    // The look-up of one who was refused went on, and there is room again.
    assert!(is_allowed(&webhook.post(&review("a", 4)).await));
}

// The registry on another thread than its clients, who are busy with TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_thousand_pods_of_one_cold_image_are_one_look_up_and_all_are_patched() {
    let image = |platform| Image::new(platform).entrypoint(&["/app"]);
    let index = Index::oci().image(image("linux/amd64")).image(image("linux/arm64"));
    let registry = SampleRegistry::new().put("cold:1", index).fault(|_| Some(Fault::Delay(Duration::from_millis(100))));
    let registry = registry.start().await.unwrap();
    // As many may wait as by default.
    let webhook = serve("{mode: enforce, platforms: [linux/amd64]}").registry(&registry).start().await;
    let review = running(&registry.reference("cold:1"));
    // Of one HTTP/2 connection 128 requests are served at a time.
    let clients: Vec<_> = (0..10).map(|_| webhook.client_of("h2")).collect();
    let answers = join_all((0..1000).map(|n| {
        let (mut review, client, webhook) = (review.clone(), &clients[n % clients.len()], &webhook);
        review["request"]["uid"] = json!(format!("uid-{n}"));
        async move { (format!("uid-{n}"), webhook.post_by(client, "/mutate?timeout=30s", &review).await) }
    }))
    .await;
    for (uid, answer) in &answers {
        let response = answer.response();
        assert_eq!((&response["uid"], response["patch"].is_string()), (&json!(uid), true), "{response}");
    }
    assert_eq!(registry.requests().len(), 3, "{:#?}", registry.requests());
    let mut took: Vec<Duration> = answers.iter().map(|(_, answer)| answer.took).collect();
    took.sort();
    println!("a thousand at once: {:?} at the median, {:?} the last", took[500], took[999]);
}

#[tokio::test]
async fn a_crowd_at_a_dead_registry_is_told_to_come_back_and_delays_nobody() {
    let registry = SampleRegistry::new()
        .put("warm:1", Image::new("linux/amd64").entrypoint(&["/app"]))
        .put("other:1", Image::new("linux/amd64").entrypoint(&["/app"]))
        .fault(|head| head.path.contains("dead").then_some(Fault::Stall))
        .start()
        .await
        .unwrap();
    let webhook =
        serve("{mode: enforce, platforms: [linux/amd64], admission: {maxWaiting: 3, maxWaitingPerNamespace: 2}}")
            .registry(&registry)
            .start()
            .await;
    let (crowd, warm) =
        (running_in("a", &registry.reference("dead:1")), running_in("b", &registry.reference("warm:1")));
    assert!(is_allowed(&webhook.post(&warm).await));
    let clients: Vec<_> = (0..3).map(|_| webhook.client_of("h2")).collect();
    let waiting = join_all((0..100).map(|n| webhook.post_by(&clients[n % 3], "/mutate?timeout=10s", &crowd)));
    let meanwhile = async {
        eventually("the look-up is under way", async || under_way(&registry) == 1).await;
        // A dead registry of one tenant's: neither another's cold image nor a warm one waits for it.
        let cold = running_in("b", &registry.reference("other:1"));
        for review in [&cold, &warm] {
            let answer = webhook.post(review).await;
            // The crowd waits 4.5 s.
            assert!(is_allowed(&answer) && answer.took < Duration::from_secs(4), "{answer:?}");
        }
    };
    let (answers, ()) = join!(waiting, meanwhile);
    let mut took: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    took.sort();
    assert!(answers.iter().all(|answer| answer.denial().0 == 503));
    // All but two had left by then, though the API server would have waited for 10 s.
    assert!(took[97] < Duration::from_secs(8) && took[98] > Duration::from_secs(8), "{:?}", &took[96..]);
}

// The registry on another thread than its clients, who are busy with TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_flood_of_cold_images_takes_neither_memory_nor_anybodys_time() {
    const FLOOD: u32 = 2000;
    let registry = SampleRegistry::new()
        .put("warm:1", Image::new("linux/amd64").entrypoint(&["/app"]))
        .fault(|head| head.path.contains("flood").then_some(Fault::Stall))
        .start()
        .await
        .unwrap();
    let webhook = serve("{mode: enforce, platforms: [linux/amd64]}").registry(&registry).start().await;
    let warm = running_in("calm", &registry.reference("warm:1"));
    assert!(is_allowed(&webhook.post(&warm).await));
    let before = webhook.resident();
    let client = webhook.client_of("h2");
    let flood = stream::iter(0..FLOOD).for_each_concurrent(40, |n| {
        let review = running_in(&format!("flood-{}", n % 3), &registry.reference(&format!("flood-{n}:1")));
        let (webhook, client) = (&webhook, &client);
        async move { assert_eq!(webhook.post_by(client, "/mutate?timeout=3s", &review).await.denial().0, 503) }
    });
    let ended = AtomicBool::new(false);
    let flood = async {
        flood.await;
        ended.store(true, Ordering::Relaxed);
    };
    let meanwhile = async {
        let mut took = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let answer = webhook.post(&warm).await;
            assert!(is_allowed(&answer), "{answer:?}");
            took.push(answer.took);
            sleep(Duration::from_millis(10)).await;
        }
        took.sort();
        took
    };
    let ((), took) = join!(flood, meanwhile);
    let (median, last) = (took[took.len() / 2], took[took.len() - 1]);
    let grown = webhook.resident().saturating_sub(before);
    println!(
        "{} warm answers meanwhile: {median:?} at the median, {last:?} the last; grown by {grown} bytes",
        took.len()
    );
    // Far from what a wait for the registry would be, and from what two thousand tasks and bodies would take.
    assert!(median < SLOW, "{median:?}");
    assert!(grown < 64 << 20, "{grown} bytes");
}
