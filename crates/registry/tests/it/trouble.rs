//! What happens while a registry is in trouble, and how it is spared.

use crate::setup::{HandClock, hasty, keyring, plain, question, resolver, shown, soon};
use emissary_registry::{Failure, Freshness, Layer, Options, Resolver};
use futures_util::future::join_all;
use sample_registry::{Fault, Image, RequestHead, RunningRegistry, SampleRegistry};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// A registry whose fault can be changed while it runs.
async fn changeable() -> (RunningRegistry, Arc<Mutex<Option<Fault>>>) {
    let fault = Arc::new(Mutex::new(None));
    let current = Arc::clone(&fault);
    let mut registry = SampleRegistry::new().fault(move |_: &RequestHead| current.lock().unwrap().clone());
    for n in 0..20 {
        registry = registry.put(&format!("app:{n}"), Image::new("linux/amd64").cmd(&["x"]));
    }
    (registry.start().await.unwrap(), fault)
}

fn set(current: &Mutex<Option<Fault>>, fault: impl Into<Option<Fault>>) {
    *current.lock().unwrap() = fault.into();
}

async fn kind(resolver: &Resolver, registry: &RunningRegistry, name: &str) -> String {
    let outcome = resolver.resolve(&question(registry, name, &[]), soon()).await;
    outcome.map_or_else(|failure| failure.kind().to_owned(), |resolved| resolved.layer.as_str().to_owned())
}

#[tokio::test]
async fn an_image_that_fails_again_is_left_alone_longer() {
    let clock = HandClock::default();
    let (registry, fault) = changeable().await;
    set(&fault, Fault::status(503));
    let resolver = resolver(Options { clock: clock.clock(), breaker_failures: 100, ..plain(&registry) });
    let mut requests = 0;
    for wait in [2, 4, 8, 16, 32, 60, 60] {
        kind(&resolver, &registry, "app:1").await;
        requests += 1;
        clock.turn(wait - 1);
        kind(&resolver, &registry, "app:1").await;
        assert_eq!(registry.requests().len(), requests, "before {wait} s");
        clock.turn(1);
    }
    // Another is not concerned, and a success makes good.
    assert_eq!(kind(&resolver, &registry, "app:2").await, "server-error");
    set(&fault, None);
    assert_eq!(kind(&resolver, &registry, "app:1").await, "fetched");
    let counts = resolver.counts();
    assert_eq!((counts.failed, counts.negative, counts.fetched), (8, 7, 1));
}

#[tokio::test]
async fn jitter_shortens_the_wait_up_to_half() {
    for (random, wait) in [(0.0, 2000), (0.5, 1500), (0.999_999, 1001)] {
        let clock = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let read = Arc::clone(&clock);
        let milliseconds = move || Duration::from_millis(read.load(std::sync::atomic::Ordering::Relaxed));
        let (registry, fault) = changeable().await;
        set(&fault, Fault::status(503));
        let resolver = resolver(Options {
            clock: emissary_registry::Clock::from_fn(move || std::time::UNIX_EPOCH + milliseconds()),
            random: emissary_registry::Random::from_fn(move || random),
            ..plain(&registry)
        });
        for (at, requests) in [(0, 1), (wait - 2, 1), (wait, 2)] {
            clock.store(at, std::sync::atomic::Ordering::Relaxed);
            kind(&resolver, &registry, "app:1").await;
            assert_eq!(registry.requests().len(), requests, "{random} after {at} ms");
        }
    }
}

#[tokio::test]
async fn a_host_that_fails_is_asked_by_one_at_a_time() {
    let clock = HandClock::default();
    let (registry, fault) = changeable().await;
    set(&fault, Fault::status(503));
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let ask = async |n: usize| kind(&resolver, &registry, &format!("app:{n}")).await;
    for n in 0..5 {
        assert_eq!(ask(n).await, "server-error");
    }
    assert_eq!(ask(5).await, "left-alone");
    clock.turn(4);
    assert_eq!(ask(6).await, "left-alone");
    assert_eq!(registry.requests().len(), 5);
    // Half-open: one asks, the others do not wait for what becomes of it.
    clock.turn(1);
    set(&fault, Fault::Delay(Duration::from_millis(100)));
    let mut kinds = join_all((5..15).map(ask)).await;
    kinds.sort();
    assert_eq!((kinds[0].as_str(), kinds[1].as_str(), kinds[9].as_str()), ("fetched", "left-alone", "left-alone"));
    set(&fault, None);
    for n in 5..15 {
        assert!(["fetched", "hit", "revalidated"].contains(&ask(n).await.as_str()));
    }
    assert_eq!(resolver.counts().breaker_open, 2 + 9);
}

#[tokio::test]
async fn answers_that_are_no_outage_open_no_breaker() {
    let (registry, fault) = changeable().await;
    for status in [401, 404, 418, 429] {
        set(&fault, Fault::status(status));
        let resolver = resolver(plain(&registry));
        for n in 0..10 {
            assert_ne!(kind(&resolver, &registry, &format!("app:{n}")).await, "left-alone", "{status}");
        }
    }
}

#[tokio::test]
async fn a_rate_limit_holds_for_the_account() {
    let clock = HandClock::default();
    let registry = SampleRegistry::new()
        .put("app:1", Image::new("linux/amd64"))
        .fault(|head| match head.authorization.as_deref() {
            None => Some(Fault::status(401).header("www-authenticate", "Basic")),
            // a:x
            Some("Basic YTp4") => Some(Fault::status(429).header("retry-after", "100")),
            Some(_) => None,
        })
        .start()
        .await
        .unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let ask = async |user, name: &str| {
        let question = question(&registry, name, &[]).with_keyring(keyring(&registry, user, "x"));
        resolver.resolve(&question, soon()).await
    };
    assert_eq!(ask("a", "app:1").await.unwrap_err().kind(), "rate-limited");
    let requests = registry.requests().len();
    clock.turn(60);
    // Not even of another image.
    let failure = ask("a", "other:1").await.unwrap_err();
    let Failure::RateLimited { retry_after } = *failure else { panic!("{failure}") };
    assert_eq!(retry_after, Some(Duration::from_secs(40)));
    assert_eq!(registry.requests().len(), requests);
    assert_eq!(ask("b", "app:1").await.unwrap().layer, Layer::Fetched);
    let requests = registry.requests().len();
    clock.turn(40);
    ask("a", "app:1").await.unwrap_err();
    assert!(registry.requests().len() > requests);
}

#[tokio::test]
async fn a_server_that_says_when_to_come_back_is_obeyed() {
    let clock = HandClock::default();
    let (registry, fault) = changeable().await;
    set(&fault, Fault::status(503).header("retry-after", "99999"));
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    // Within reason.
    for (turn, requests) in [(0, 1), (299, 1), (1, 2)] {
        clock.turn(turn);
        assert_eq!(kind(&resolver, &registry, "app:1").await, "server-error");
        assert_eq!(registry.requests().len(), requests);
    }
}

#[tokio::test]
async fn what_was_known_outlasts_an_outage() {
    let outages = [Fault::status(503), Fault::status(429), Fault::Stall];
    for outage in outages {
        let clock = HandClock::default();
        let (registry, fault) = changeable().await;
        // Only what is to time out has little time, so that a busy machine fails nothing else.
        let options = if outage == Fault::Stall { hasty(&registry) } else { plain(&registry) };
        let options = Options { clock: clock.clock(), ..options };
        let resolver = resolver(Options { max_stale: Duration::from_secs(10_000), ..options });
        let question = question(&registry, "app:1", &[]);
        let fetched = resolver.resolve(&question, soon()).await.unwrap();
        set(&fault, outage.clone());
        clock.turn(9999);
        for way in ["asked", "remembered"] {
            let stale = resolver.resolve(&question, soon()).await.unwrap();
            assert!(stale.is_stale(), "{outage:?} {way}");
            assert_eq!((stale.age.as_secs(), stale.checked_at), (9999, fetched.checked_at), "{outage:?} {way}");
            assert_eq!(shown(&stale), shown(&fetched));
        }
        assert_eq!(resolver.counts().stale, 2);
        clock.turn(1);
        resolver.resolve(&question, soon()).await.unwrap_err();
        // And then it is back.
        set(&fault, None);
        clock.turn(100);
        assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Revalidated);
    }
}

#[tokio::test]
async fn an_open_breaker_serves_what_was_known() {
    let clock = HandClock::default();
    let (registry, fault) = changeable().await;
    let resolver = resolver(Options { clock: clock.clock(), breaker_failures: 1, ..plain(&registry) });
    kind(&resolver, &registry, "app:1").await;
    set(&fault, Fault::status(503));
    clock.turn(1000);
    assert_eq!(kind(&resolver, &registry, "app:2").await, "server-error");
    let requests = registry.requests().len();
    assert_eq!(kind(&resolver, &registry, "app:1").await, "stale");
    assert_eq!(registry.requests().len(), requests);
}

#[tokio::test]
async fn a_refusal_is_no_outage() {
    for status in [401, 403, 404, 418] {
        let clock = HandClock::default();
        let (registry, fault) = changeable().await;
        let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
        kind(&resolver, &registry, "app:1").await;
        set(&fault, Fault::status(status));
        clock.turn(1000);
        let failure = resolver.resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap_err();
        assert!(!failure.is_transient(), "{status}: {failure}");
    }
}

#[tokio::test]
async fn an_operator_may_want_nothing_stale() {
    let clock = HandClock::default();
    let (registry, fault) = changeable().await;
    let resolver = resolver(Options { clock: clock.clock(), max_stale: Duration::ZERO, ..plain(&registry) });
    kind(&resolver, &registry, "app:1").await;
    set(&fault, Fault::status(503));
    clock.turn(300);
    assert_eq!(kind(&resolver, &registry, "app:1").await, "server-error");
}

#[tokio::test]
async fn who_has_no_time_gets_what_was_known() {
    let clock = HandClock::default();
    let (registry, fault) = changeable().await;
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let question = question(&registry, "app:1", &[]);
    resolver.resolve(&question, soon()).await.unwrap();
    set(&fault, Fault::Stall);
    clock.turn(300);
    let deadline = || Instant::now() + Duration::from_millis(50);
    let stale = resolver.resolve(&question, deadline()).await.unwrap();
    assert_eq!((stale.layer, stale.age.as_secs()), (Layer::Stale, 300));
    // The registry was not asked to the end, so the proof counts no longer than it does at other times.
    clock.turn(300);
    assert_eq!(resolver.resolve(&question, deadline()).await.unwrap_err().kind(), "timeout");
    // Nobody else waits for what one alone wants fresh.
    let always = question.with_freshness(Freshness::Always);
    assert_eq!(resolver.resolve(&always, deadline()).await.unwrap_err().kind(), "timeout");
}
