//! Many at once: what they cost, and who waits for whom.

use crate::setup::{HandClock, plain, question, resolver, soon};
use emissary_core::image::Reference;
use emissary_registry::{Layer, Options, Priority, Question};
use futures_util::future::join_all;
use sample_registry::{Fault, Image, Index, RequestHead, RunningRegistry, SampleRegistry};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

async fn slow(delay: Duration) -> RunningRegistry {
    let image = || Index::oci().image(Image::new("linux/amd64").cmd(&["x"]));
    let mut registry = SampleRegistry::new().put("app:1", image());
    for n in 0..10 {
        registry = registry.put(&format!("many-{n}:1"), image());
    }
    registry.fault(move |_| Some(Fault::Delay(delay))).start().await.unwrap()
}

#[tokio::test]
async fn a_thousand_of_one_cold_image_are_three_requests() {
    let registry = slow(Duration::from_millis(100)).await;
    let resolver = resolver(plain(&registry));
    let questions: Vec<Question> = (0..1000)
        .map(|n| question(&registry, "app:1", &["linux/amd64"]).with_namespace(format!("team-{}", n % 7)))
        .collect();
    let before = Instant::now();
    let answers = join_all(questions.iter().map(|question| resolver.resolve(question, soon()))).await;
    let elapsed = before.elapsed();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().layer == Layer::Fetched));
    assert_eq!(registry.requests().len(), 3);
    let counts = resolver.counts();
    assert_eq!((counts.fetched, counts.coalesced), (1000, 999));
    // Three requests of 100 ms, and room for a busy machine.
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

#[tokio::test]
async fn ten_thousand_cold_images_of_a_slow_registry_hold_nobody() {
    let image = || Index::oci().image(Image::new("linux/amd64").cmd(&["x"]));
    let registry = SampleRegistry::new()
        .put("app:1", image())
        .put("other:1", image())
        .fault(|head| head.path.contains("flood").then(|| Fault::Delay(Duration::from_secs(1))))
        .start()
        .await
        .unwrap();
    let clock = HandClock::default();
    let options = Options { clock: clock.clock(), lookups_per_namespace: 100, lookups: 250, ..plain(&registry) };
    let resolver = resolver(options);
    let warm = question(&registry, "app:1", &["linux/amd64"]).with_namespace("calm");
    resolver.resolve(&warm, soon()).await.unwrap();
    let before = registry.requests().len();

    let floods: Vec<Question> = (0..10_000)
        .map(|n| question(&registry, &format!("flood-{n}:1"), &[]).with_namespace(format!("flood-{}", n % 2)))
        .collect();
    let deadline = Instant::now() + Duration::from_millis(150);
    let flood = join_all(floods.iter().map(|question| resolver.resolve(question, deadline)));
    let meanwhile = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..1000 {
            let before = Instant::now();
            assert_eq!(resolver.resolve(&warm, soon()).await.unwrap().layer, Layer::Hit);
            slowest = slowest.max(before.elapsed());
        }
        // Another who has something cold to ask finds room.
        let other = question(&registry, "other:1", &["linux/amd64"]).with_namespace("calm");
        resolver.resolve(&other, soon()).await.unwrap();
        slowest
    };
    let (answers, slowest) = tokio::join!(flood, meanwhile);
    let busy = answers.iter().filter(|answer| answer.as_ref().unwrap_err().kind() == "busy").count();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().is_transient()));
    // On a machine so slow that some end in between, a few more find room.
    assert!((9_000..=10_000 - 200).contains(&busy), "{busy}");
    assert_eq!(resolver.counts().busy as usize, busy);
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    assert!(registry.requests().len() - before < 1000);
}

#[tokio::test]
async fn a_dead_registry_delays_no_other() {
    let dead = SampleRegistry::new().fault(|_| Some(Fault::Stall)).start().await.unwrap();
    let alive = slow(Duration::ZERO).await;
    let mut options = plain(&alive);
    options.plain_http.push(dead.address().to_string());
    let resolver = resolver(options);
    let questions: Vec<Question> =
        (0..500).map(|n| question(&dead, &format!("app:{n}"), &[]).with_namespace("unlucky")).collect();
    let started = Instant::now() + Duration::from_millis(500);
    let waiting = join_all(questions.iter().map(|question| resolver.resolve(question, started)));
    assert!(waiting.await.iter().all(Result::is_err));
    assert_eq!(dead.requests().len(), 8);
    for namespace in ["unlucky", "lucky"] {
        let n = usize::from(namespace == "lucky");
        let question = question(&alive, &format!("many-{n}:1"), &["linux/amd64"]).with_namespace(namespace);
        // The hosts are apart, whoever asks.
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(resolver.resolve(&question, deadline).await.unwrap().layer, Layer::Fetched);
    }
}

/// Which repositories were asked for, in the order of their first requests.
fn order(registry: &RunningRegistry) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for request in registry.requests() {
        let repository = request.path.split('/').nth(2).unwrap_or_default().to_owned();
        if !order.contains(&repository) {
            order.push(repository);
        }
    }
    order
}

#[tokio::test]
async fn namespaces_take_turns_and_prefetch_comes_last() {
    let registry = slow(Duration::from_millis(10)).await;
    let resolver = resolver(Options { concurrency_per_host: 1, ..plain(&registry) });
    let ask = |n: usize, namespace: &'static str, priority| {
        question(&registry, &format!("many-{n}:1"), &[]).with_namespace(namespace).with_priority(priority)
    };
    let questions = [
        ask(0, "big", Priority::Normal),
        ask(1, "ahead", Priority::Low),
        ask(2, "ahead", Priority::Low),
        ask(3, "big", Priority::Normal),
        ask(4, "big", Priority::Normal),
        ask(5, "big", Priority::Normal),
        ask(6, "small", Priority::Normal),
        // A pod comes that needs what was only prefetched.
        ask(2, "big", Priority::Normal),
    ];
    join_all(questions.iter().map(|question| resolver.resolve(question, soon()))).await;
    let expected = ["many-0", "many-3", "many-6", "many-2", "many-4", "many-5", "many-1"];
    assert_eq!(order(&registry), expected);
}

#[tokio::test]
async fn hosts_without_end_are_no_way_round() {
    // Names of hosts cost nothing, so the bound by namespace holds over all of them.
    let registry = slow(Duration::ZERO).await;
    let resolver = resolver(Options { lookups_per_namespace: 50, ..plain(&registry) });
    let questions: Vec<Question> = (0..500)
        .map(|n| Question::new(Reference::parse(&format!("127.0.0.1:1/app-{n}/x:{n}")).unwrap()).with_namespace("a"))
        .collect();
    let answers = join_all(questions.iter().map(|question| resolver.resolve(question, Instant::now()))).await;
    let busy = answers.iter().filter(|answer| answer.as_ref().unwrap_err().kind() == "busy").count();
    assert_eq!(busy, 450);
}

#[tokio::test]
async fn no_more_look_ups_run_than_a_host_may_be_asked() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let registry = SampleRegistry::new()
        .fault(move |_: &RequestHead| {
            peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let now = Arc::clone(&now);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                now.fetch_sub(1, Ordering::Relaxed);
            });
            Some(Fault::Delay(Duration::from_millis(30)))
        })
        .start()
        .await
        .unwrap();
    let resolver = resolver(Options { concurrency_per_host: 3, ..plain(&registry) });
    let questions: Vec<Question> = (0..12).map(|n| question(&registry, &format!("app-{n}:1"), &[])).collect();
    join_all(questions.iter().map(|question| resolver.resolve(question, soon()))).await;
    assert_eq!(most.load(Ordering::Relaxed), 3);
}
