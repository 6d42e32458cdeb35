//! Look-ups ahead of need: each once, at their rate, and never in anybody's way.

use crate::setup::{keyring, plain, question, resolver, soon};
use emissary_registry::{Layer, Options, Prefetch, PrefetchCounts, PrefetchOptions, Question, Resolver, Wanted};
use sample_registry::{Access, Fault, Image, Index, RunningRegistry, SampleRegistry};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const AMD64: [&str; 1] = ["linux/amd64"];
const WARM: Duration = Duration::from_secs(10);

fn start(resolver: &Resolver, options: PrefetchOptions) -> Prefetch {
    Prefetch::start(resolver.clone(), options, &TaskTracker::new(), CancellationToken::new())
}

async fn images(count: usize) -> SampleRegistry {
    let index =
        || Index::oci().image(Image::new("linux/amd64").cmd(&["x"])).image(Image::new("linux/arm64").cmd(&["y"]));
    (0..count).fold(SampleRegistry::new(), |registry, n| registry.put(&format!("app-{n}:1"), index()))
}

fn wanted(registry: &RunningRegistry, namespace: &str, n: usize) -> Wanted {
    let question = question(registry, &format!("app-{n}:1"), &AMD64).with_namespace(namespace);
    Wanted { question, stated: true }
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_objects_name_is_looked_up_once_and_is_warm_then() {
    let registry = images(3).await.start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let prefetch = start(&resolver, PrefetchOptions::default());
    prefetch.want("a/one", [wanted(&registry, "a", 0), wanted(&registry, "a", 1), wanted(&registry, "a", 0)]);
    prefetch.want("a/two", [wanted(&registry, "a", 1), wanted(&registry, "a", 2)]);
    // Named anew without a change, as when a status was written.
    prefetch.want("a/one", [wanted(&registry, "a", 0), wanted(&registry, "a", 1)]);
    assert!(!prefetch.warm(Duration::from_millis(1)).await, "nobody said that this was all");
    prefetch.listed();
    assert!(prefetch.warm(WARM).await);
    assert_eq!(registry.requests().len(), 9);
    assert_eq!(prefetch.counts(), PrefetchCounts { images: 3, found: 3, ..PrefetchCounts::default() });
    let pod = question(&registry, "app-2:1", &AMD64).with_namespace("a");
    assert_eq!(resolver.resolve(&pod, soon()).await.unwrap().layer, Layer::Hit);
    assert_eq!(registry.requests().len(), 9);

    prefetch.forget("a/one");
    prefetch.forget("a/one");
    assert_eq!(prefetch.counts().images, 2);
    prefetch.forget("a/two");
    assert_eq!(prefetch.counts().images, 0);
}

#[tokio::test]
async fn what_was_looked_up_for_one_namespace_opens_nothing_for_another() {
    let registry = images(1).await.access("app-0", Access::basic("me", "right")).start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let prefetch = start(&resolver, PrefetchOptions::default());
    let Wanted { question, stated } = wanted(&registry, "a", 0);
    let own = question.clone().with_keyring(keyring(&registry, "me", "right"));
    prefetch.want("a/one", [Wanted { question: own.clone(), stated }]);
    prefetch.listed();
    assert!(prefetch.warm(WARM).await);
    assert_eq!(resolver.resolve(&own, soon()).await.unwrap().layer, Layer::Hit);
    let stranger = question.with_namespace("b");
    assert_eq!(resolver.resolve(&stranger, soon()).await.unwrap_err().kind(), "unauthorized");
}

#[tokio::test]
async fn an_image_for_other_platforms_is_looked_up_for_those_it_has() {
    let registry = images(1).await.start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let prefetch = start(&resolver, PrefetchOptions::default());
    let elsewhere = question(&registry, "app-0:1", &["linux/s390x"]);
    prefetch.want("one", [Wanted { question: elsewhere.clone(), stated: false }]);
    prefetch.want("two", [Wanted { question: elsewhere, stated: true }]);
    prefetch.listed();
    assert!(prefetch.warm(WARM).await);
    assert_eq!((prefetch.counts().found, prefetch.counts().failed), (1, 1));
    let all = question(&registry, "app-0:1", &[]);
    assert_eq!(resolver.resolve(&all, soon()).await.unwrap().layer, Layer::Hit);
}

#[tokio::test]
async fn a_dead_registry_delays_neither_readiness_nor_another_namespace() {
    let registry =
        images(4).await.fault(|head| head.path.contains("dead").then_some(Fault::Stall)).start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let prefetch = start(&resolver, PrefetchOptions { at_once: 4, ..PrefetchOptions::default() });
    let dead = |n: usize| Wanted {
        question: question(&registry, &format!("dead-{n}:1"), &AMD64).with_namespace("a"),
        stated: true,
    };
    prefetch.want("a/dead", (0..50).map(dead));
    prefetch.want("b/well", (0..4).map(|n| wanted(&registry, "b", n)));
    prefetch.listed();
    let before = Instant::now();
    assert!(!prefetch.warm(Duration::from_millis(1500)).await);
    assert!(before.elapsed() < Duration::from_secs(4));
    assert_eq!(prefetch.counts().found, 4);
    assert_eq!(
        registry.requests().iter().filter(|request| request.status == 0).count(),
        2,
        "half of what may run at once"
    );
}

#[tokio::test]
async fn the_rate_is_bounded_once_it_is_warm() {
    let registry = images(12).await.start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let prefetch = start(&resolver, PrefetchOptions { per_second: 10, ..PrefetchOptions::default() });
    prefetch.listed();
    assert!(prefetch.warm(WARM).await);
    let before = Instant::now();
    prefetch.want("a", (0..12).map(|n| wanted(&registry, "a", n)));
    eventually("all are found", || prefetch.counts().found == 12).await;
    assert!(before.elapsed() > Duration::from_millis(950), "{:?}", before.elapsed());
}

#[tokio::test]
async fn trouble_is_tried_again_and_a_refusal_when_it_is_named_again() {
    let options = PrefetchOptions { attempts: 2, retry: Duration::from_millis(50), ..PrefetchOptions::default() };
    let registry = images(1).await.fault(|head| head.path.contains("flaky").then(|| Fault::status(503)));
    let registry = registry.start().await.unwrap();
    // What failed is asked for again at once.
    let resolver =
        resolver(Options { transient_ttl: Duration::ZERO, negative_ttl: Duration::ZERO, ..plain(&registry) });
    let prefetch = start(&resolver, options);
    let of = |name: &str| Wanted { question: question(&registry, name, &AMD64), stated: true };
    prefetch.want("a", [of("flaky:1")]);
    eventually("it was tried twice", || prefetch.counts().failed == 2).await;
    prefetch.want("b", [of("missing:1")]);
    eventually("it was refused", || prefetch.counts().failed == 3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((prefetch.counts().failed, prefetch.counts().waiting), (3, 0));
    prefetch.want("b", [of("missing:1")]);
    eventually("it was refused again", || prefetch.counts().failed == 4).await;
}

#[tokio::test]
async fn it_is_bounded_and_one_namespace_has_half() {
    let registry = images(0).await.fault(|_| Some(Fault::Stall)).start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let prefetch = start(&resolver, PrefetchOptions { most: 30, ..PrefetchOptions::default() });
    prefetch.want("a", (0..100).map(|n| wanted(&registry, "a", n)));
    prefetch.want("b", (0..10).map(|n| wanted(&registry, "b", n)));
    prefetch.want("c", (0..10).map(|n| wanted(&registry, "c", n)));
    assert_eq!((prefetch.counts().images, prefetch.counts().left_out), (30, 85 + 5));
    let everything: Vec<Question> = (0..10_000).map(|n| wanted(&registry, "a", n).question).collect();
    for question in everything {
        prefetch.want("a", [Wanted { question, stated: true }]);
    }
    assert_eq!(prefetch.counts().images, 16);
}
