//! What is remembered, proved and left alone where a registry has mirrors.

use crate::setup::{HandClock, keyring, plain, question, resolver, soon};
use emissary_registry::{Freshness, Hosts, Keyring, Layer, Options, Question, Resolver};
use sample_registry::{Access, Fault, Image, RunningRegistry, SampleRegistry};
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

fn registry() -> SampleRegistry {
    (0..10).fold(SampleRegistry::new(), |registry, n| {
        registry.put(&format!("app:{n}"), Image::new("linux/amd64").entrypoint(&["/secret", &n.to_string()]))
    })
}

/// A registry whose fault can be changed while it runs.
async fn changeable(registry: SampleRegistry) -> (RunningRegistry, Arc<Mutex<Option<Fault>>>) {
    let fault = Arc::new(Mutex::new(None));
    let current = Arc::clone(&fault);
    (registry.fault(move |_| current.lock().unwrap().clone()).start().await.unwrap(), fault)
}

/// The server's `hosts.toml`, with one mirror.
fn mirrored(server: &RunningRegistry, mirror: &RunningRegistry, more: &str) -> Options {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join(server.address().to_string());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("hosts.toml"), format!("[host.\"http://{}\"]\n{more}", mirror.address())).unwrap();
    let (hosts, problems) = Hosts::load(directory.path(), &Hosts::default());
    assert_eq!(problems, []);
    Options { hosts, ..plain(server) }
}

async fn ask(resolver: &Resolver, question: &Question) -> String {
    let outcome = resolver.resolve(question, soon()).await;
    outcome.map_or_else(|failure| failure.kind().to_owned(), |resolved| resolved.layer.as_str().to_owned())
}

fn methods(registry: &RunningRegistry, before: usize) -> Vec<String> {
    registry.requests()[before..].iter().map(|request| request.method.clone()).collect()
}

#[tokio::test]
async fn a_mirror_that_is_down_opens_its_own_breaker_only() {
    let clock = HandClock::default();
    let ((mirror, fault), server) = (changeable(registry()).await, registry().start().await.unwrap());
    *fault.lock().unwrap() = Some(Fault::status(503));
    let options = Options { clock: clock.clock(), breaker_failures: 2, ..mirrored(&server, &mirror, "") };
    let resolver = resolver(options);
    for n in 0..6 {
        let question = question(&server, &format!("app:{n}"), &[]);
        assert_eq!(ask(&resolver, &question).await, "fetched", "{n}");
    }
    assert_eq!((mirror.requests().len(), server.requests().len()), (2, 12));
    assert_eq!(resolver.counts().breaker_open, 0);
    // And it is asked again when it may have recovered.
    *fault.lock().unwrap() = None;
    clock.turn(5);
    assert_eq!(ask(&resolver, &question(&server, "app:7", &[])).await, "fetched");
    assert_eq!((mirror.requests().len(), server.requests().len()), (4, 12));
}

#[tokio::test]
async fn what_a_mirrors_credential_opens_is_released_to_nobody_else() {
    let closed = |password| registry().access("app", Access::basic("me", password));
    let (mirror, server) = (closed("right").start().await.unwrap(), closed("other").start().await.unwrap());
    let resolver = resolver(mirrored(&server, &mirror, ""));
    let digest = mirror.digest("app:1").unwrap();
    let strangers = [Keyring::anonymous(), keyring(&mirror, "me", "wrong"), keyring(&server, "me", "wrong")];
    let mut before = Vec::new();
    for stranger in &strangers {
        let absent = question(&server, "app:absent", &[]).with_keyring(stranger.clone());
        before.push(resolver.resolve(&absent, soon()).await.unwrap_err().to_string());
    }
    for name in ["app:1".to_owned(), format!("app@{digest}")] {
        let of = |keyring: Keyring| question(&server, &name, &[]).with_keyring(keyring);
        let owner = of(keyring(&mirror, "me", "right"));
        resolver.resolve(&owner, soon()).await.unwrap();
        assert_eq!(ask(&resolver, &owner).await, "hit", "{name}");
        for (stranger, expected) in strangers.iter().zip(&before) {
            let failure = resolver.resolve(&of(stranger.clone()), soon()).await.unwrap_err();
            assert_eq!(failure.to_string(), *expected, "{name}");
        }
    }
    // The registry's own credential is as good.
    let own = question(&server, "app:1", &[]).with_keyring(keyring(&server, "me", "other"));
    assert_eq!(ask(&resolver, &own).await, "revalidated");
}

#[tokio::test]
async fn a_warm_always_tag_costs_the_mirror_one_head() {
    let clock = HandClock::default();
    let (mirror, server) = (registry().start().await.unwrap(), registry().start().await.unwrap());
    let resolver = resolver(Options { clock: clock.clock(), ..mirrored(&server, &mirror, "") });
    let question = question(&server, "app:1", &[]).with_freshness(Freshness::Always);
    assert_eq!(ask(&resolver, &question).await, "fetched");
    let before = mirror.requests().len();
    clock.turn(6);
    assert_eq!(ask(&resolver, &question).await, "revalidated");
    assert_eq!((methods(&mirror, before), server.requests().len()), (vec!["HEAD".to_owned()], 0));
}

#[tokio::test]
async fn a_mirror_without_head_is_asked_with_get() {
    let clock = HandClock::default();
    let refuse = |head: &sample_registry::RequestHead| (head.method == "HEAD").then(|| Fault::status(405));
    let mirror = registry().fault(refuse).start().await.unwrap();
    // Nothing but the mirror can be reached.
    let server = registry().fault(|_| Some(Fault::status(503))).start().await.unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..mirrored(&server, &mirror, "") });
    let question = question(&server, "app:1", &[]).with_freshness(Freshness::Always);
    assert_eq!(ask(&resolver, &question).await, "fetched");
    clock.turn(6);
    assert_eq!(ask(&resolver, &question).await, "revalidated");
    assert_eq!((methods(&mirror, 2), server.requests().len()), (vec!["HEAD".to_owned(), "GET".to_owned()], 0));
}

#[tokio::test]
async fn who_only_says_what_a_tag_is_proves_nothing() {
    let mirror = registry().start().await.unwrap();
    let server = registry().access("app", Access::basic("me", "right")).start().await.unwrap();
    let resolver = resolver(mirrored(&server, &mirror, "capabilities = [\"resolve\"]"));
    let owner = question(&server, "app:1", &[]).with_keyring(keyring(&server, "me", "right"));
    assert_eq!((ask(&resolver, &owner).await, ask(&resolver, &owner).await), ("fetched".into(), "hit".into()));
    assert_eq!(ask(&resolver, &question(&server, "app:1", &[])).await, "unauthorized");
}

#[tokio::test]
async fn a_refusal_is_not_final_while_a_mirror_is_in_trouble() {
    let clock = HandClock::default();
    let (mirror, fault) = changeable(registry().access("app", Access::basic("me", "right"))).await;
    let server = registry().access("app", Access::basic("me", "other")).start().await.unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..mirrored(&server, &mirror, "") });
    let owner = question(&server, "app:1", &[]).with_keyring(keyring(&mirror, "me", "right"));
    assert_eq!(ask(&resolver, &owner).await, "fetched");
    *fault.lock().unwrap() = Some(Fault::status(503));
    clock.turn(1000);
    for _ in 0..2 {
        assert_eq!(ask(&resolver, &owner).await, "stale");
    }
    assert_eq!(ask(&resolver, &question(&server, "app:1", &[])).await, "unauthorized");
    // And then it is.
    *fault.lock().unwrap() = Some(Fault::status(404));
    clock.turn(60);
    assert_eq!(ask(&resolver, &owner).await, "unauthorized");
}

#[tokio::test]
async fn a_registry_that_stalls_holds_up_nobody_who_has_the_same_mirror() {
    let mirror = SampleRegistry::new().put("quick:1", Image::new("linux/amd64")).start().await.unwrap();
    let server = registry().fault(|_| Some(Fault::Stall)).start().await.unwrap();
    let options = mirrored(&server, &mirror, "");
    let resolver = resolver(Options { concurrency_per_host: 1, request_timeout: Duration::from_secs(5), ..options });
    let stalled: Vec<_> = (0..3)
        .map(|n| {
            let (resolver, question) = (resolver.clone(), question(&server, &format!("app:{n}"), &[]));
            tokio::spawn(async move { resolver.resolve(&question, soon()).await })
        })
        .collect();
    let started = Instant::now();
    while server.requests().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(4));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    let quick = resolver.resolve(&question(&server, "quick:1", &[]), deadline).await.unwrap();
    assert_eq!(quick.layer, Layer::Fetched);
    stalled.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_mirrors_rate_limit_is_not_the_registrys() {
    let limit = |_: &sample_registry::RequestHead| Some(Fault::status(429).header("retry-after", "100"));
    let (mirror, server) = (registry().fault(limit).start().await.unwrap(), registry().start().await.unwrap());
    let resolver = resolver(Options { clock: HandClock::default().clock(), ..mirrored(&server, &mirror, "") });
    for n in 0..3 {
        assert_eq!(ask(&resolver, &question(&server, &format!("app:{n}"), &[])).await, "fetched");
    }
    assert_eq!((mirror.requests().len(), server.requests().len()), (1, 6));
}

#[tokio::test]
async fn who_waits_in_the_next_line_too_long_is_no_outage() {
    // It has nothing, and says so late.
    let late = |_: &sample_registry::RequestHead| Some(Fault::Delay(Duration::from_millis(400)));
    let mirror = SampleRegistry::new().fault(late).start().await.unwrap();
    let server = registry().fault(|_| Some(Fault::Stall)).start().await.unwrap();
    let options = mirrored(&server, &mirror, "capabilities = [\"resolve\"]");
    let options = Options { concurrency_per_host: 1, lookup_timeout: Duration::from_millis(800), ..options };
    let resolver = resolver(options);
    let tag = question(&server, "app:1", &[]);
    let digest = question(&server, &format!("app@{}", server.digest("app:2").unwrap()), &[]);
    // What has a digest is asked of the registry at once, so that it is there first and leaves later.
    let holder = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        ask(&resolver, &digest).await
    };
    assert_eq!(tokio::join!(ask(&resolver, &tag), holder), ("busy".into(), "timeout".into()));
}
