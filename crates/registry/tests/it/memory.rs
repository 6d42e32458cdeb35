use crate::setup::{HandClock, plain, question, resolver, shown, soon};
use emissary_registry::{Layer, Options, Resolved, Resolver};
use futures_util::future::join_all;
use sample_registry::{Fault, Image, Index, RunningRegistry, SampleRegistry};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

fn image(word: &str) -> Index {
    Index::oci().image(Image::new("linux/amd64").cmd(&[word])).image(Image::new("linux/arm64").cmd(&[word]))
}

async fn slow(delay: Duration) -> RunningRegistry {
    let registry = SampleRegistry::new().put("app:1", image("x"));
    registry.fault(move |_| Some(Fault::Delay(delay))).start().await.unwrap()
}

#[tokio::test]
async fn a_hundred_at_once_are_one() {
    let registry = slow(Duration::from_millis(50)).await;
    let resolver = resolver(plain(&registry));
    let question = question(&registry, "app:1", &["linux/amd64"]);
    let answers = join_all((0..100).map(|_| resolver.resolve(&question, soon()))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(registry.requests().len(), 3);
}

#[tokio::test]
async fn a_look_up_outlives_its_asker() {
    let registry = slow(Duration::from_millis(200)).await;
    let tasks = TaskTracker::new();
    let resolver = Resolver::new(plain(&registry), tasks.clone()).unwrap();
    let question = question(&registry, "app:1", &["linux/amd64"]);
    // One whose future is dropped, and one whose deadline passes.
    timeout(Duration::from_millis(20), resolver.resolve(&question, soon())).await.unwrap_err();
    let deadline = Instant::now() + Duration::from_millis(20);
    let failure = resolver.resolve(&question, deadline).await.unwrap_err();
    assert_eq!(failure.kind(), "timeout");
    assert!(failure.is_transient());

    tasks.close();
    tasks.wait().await;
    resolver.resolve(&question, Instant::now()).await.unwrap();
    assert_eq!(registry.requests().len(), 3);
}

#[tokio::test]
async fn an_answer_is_fresh_for_its_time() {
    let clock = HandClock::default();
    let registry = SampleRegistry::new().put("app:1", image("old")).start().await.unwrap();
    let options = Options { clock: clock.clock(), ttl: Duration::from_secs(60), ..plain(&registry) };
    let resolver = resolver(options);
    let question = question(&registry, "app:1", &["linux/amd64"]);
    let first = resolver.resolve(&question, soon()).await.unwrap();
    registry.put("app:1", image("new"));
    clock.turn(59);
    let again = resolver.resolve(&question, soon()).await.unwrap();
    let expected = Resolved { layer: Layer::Hit, age: Duration::from_secs(59), ..(*first).clone() };
    assert_eq!(*again, expected);
    assert_eq!(registry.requests().len(), 3);
    clock.turn(1);
    let second = resolver.resolve(&question, soon()).await.unwrap();
    assert_eq!(shown(&second), ["linux/amd64:  + new"]);
    assert!(second.checked_at > first.checked_at);
    // A HEAD that says that it is another, and what that is.
    assert_eq!(registry.requests().len(), 3 + 4);
}

#[tokio::test]
async fn what_a_digest_names_is_read_once() {
    let clock = HandClock::default();
    let registry = SampleRegistry::new()
        .put("app:1", image("x"))
        .put("app:same", image("x"))
        .put("app:single", Image::new("linux/amd64").cmd(&["y"]))
        .start()
        .await
        .unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    resolver.resolve(&question(&registry, "app:1", &["linux/amd64"]), soon()).await.unwrap();
    clock.turn(3600);
    // The tag is asked for again; that it names the same says all.
    resolver.resolve(&question(&registry, "app:1", &["linux/amd64"]), soon()).await.unwrap();
    assert_eq!(registry.requests().len(), 4);
    resolver.resolve(&question(&registry, "app:same", &["linux/amd64"]), soon()).await.unwrap();
    assert_eq!(registry.requests().len(), 5);
    let by_digest = format!("app@{}", registry.digest("app:1").unwrap());
    resolver.resolve(&question(&registry, &by_digest, &["linux/amd64"]), soon()).await.unwrap();
    assert_eq!(registry.requests().len(), 5);
    for requests in [7, 8] {
        clock.turn(3600);
        resolver.resolve(&question(&registry, "app:single", &[]), soon()).await.unwrap();
        assert_eq!(registry.requests().len(), requests);
    }
}

#[tokio::test]
async fn failures_are_remembered_by_kind() {
    let hook = |head: &sample_registry::RequestHead| match head.path.as_str() {
        "/v2/app/manifests/broken" => Some(Fault::status(503)),
        "/v2/app/manifests/limited" => Some(Fault::status(429).header("retry-after", "100")),
        _ => None,
    };
    // Seconds for which nothing is asked again.
    for (name, life) in [("app:broken", 2), ("app:absent", 30), ("app:limited", 100)] {
        let clock = HandClock::default();
        let registry = SampleRegistry::new().fault(hook).start().await.unwrap();
        let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
        let question = question(&registry, name, &[]);
        for (turn, requests) in [(0, 1), (life - 1, 1), (1, 2)] {
            clock.turn(turn);
            resolver.resolve(&question, soon()).await.unwrap_err();
            assert_eq!(registry.requests().len(), requests, "{name} after {turn} s more");
        }
    }
}

#[tokio::test]
async fn memory_is_bounded_in_bytes() {
    const IMAGES: usize = 16;
    let mut registry = SampleRegistry::new();
    for n in 0..IMAGES {
        let image = Image::new("linux/amd64").cmd(&["x".repeat(20_000).as_str(), &n.to_string()]);
        registry = registry.put(&format!("app:{n}"), image);
    }
    let registry = registry.start().await.unwrap();
    for (cache_bytes, forgotten) in [(8 << 20, false), (100_000, true)] {
        let resolver = resolver(Options { cache_bytes, ..plain(&registry) });
        let before = registry.requests().len();
        for n in (0..IMAGES).chain(0..IMAGES) {
            resolver.resolve(&question(&registry, &format!("app:{n}"), &[]), soon()).await.unwrap();
        }
        // All of them are some 320 kB, twice.
        let requests = registry.requests().len() - before;
        assert_eq!(requests > 3 * IMAGES, forgotten, "{requests} requests with {cache_bytes} bytes");
    }
}

#[tokio::test]
async fn a_slow_failure_is_remembered_from_its_end() {
    let clock = HandClock::default();
    let turned = clock.clone();
    let hook = move |_: &sample_registry::RequestHead| {
        turned.turn(10);
        Some(Fault::status(503))
    };
    let registry = SampleRegistry::new().fault(hook).start().await.unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    for _ in 0..2 {
        resolver.resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap_err();
    }
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn the_order_of_platforms_makes_no_other_question() {
    let registry = SampleRegistry::new().put("app:1", image("x")).start().await.unwrap();
    let resolver = resolver(plain(&registry));
    for platforms in [["linux/amd64", "linux/arm64"], ["linux/arm64", "linux/amd64"]] {
        resolver.resolve(&question(&registry, "app:1", &platforms), soon()).await.unwrap();
    }
    assert_eq!(registry.requests().len(), 5);
}
