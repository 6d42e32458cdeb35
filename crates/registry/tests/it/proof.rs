//! Who may learn what is remembered.

use crate::setup::{HandClock, keyring, plain, question, resolver, soon};
use emissary_registry::{Keyring, Layer, Options};
use sample_registry::{Access, Fault, Image, Index, RunningRegistry, SampleRegistry};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

fn image() -> Index {
    Index::oci().image(Image::new("linux/amd64").entrypoint(&["/secret"]))
}

fn registry() -> SampleRegistry {
    SampleRegistry::new()
        .put("basic:1", image())
        .put("token:1", image())
        .put("open:1", image())
        .access("basic", Access::basic("me", "right"))
        .access("token", Access::token("me", "right"))
}

fn both(registry: &RunningRegistry) -> Keyring {
    Keyring::union([keyring(registry, "me", "wrong"), keyring(registry, "me", "right")])
}

#[tokio::test]
async fn a_stranger_learns_neither_content_nor_existence() {
    for repository in ["basic", "token"] {
        let registry = registry().start().await.unwrap();
        let resolver = resolver(plain(&registry));
        let digest = registry.digest(&format!("{repository}:1")).unwrap();
        let names = [format!("{repository}:1"), format!("{repository}@{digest}")];
        // Said to strangers before anybody has seen it, and of what does not exist.
        let absent = format!("{repository}:absent");
        let strangers = [Keyring::anonymous(), keyring(&registry, "me", "wrong")];
        let mut before = Vec::new();
        for stranger in &strangers {
            let question = question(&registry, &absent, &[]).with_keyring(stranger.clone());
            before.push(resolver.resolve(&question, soon()).await.unwrap_err().to_string());
        }
        for name in &names {
            let owner = question(&registry, name, &[]).with_keyring(keyring(&registry, "me", "right"));
            resolver.resolve(&owner, soon()).await.unwrap();
        }
        for name in &names {
            for (stranger, expected) in strangers.iter().zip(&before) {
                let question = question(&registry, name, &[]).with_keyring(stranger.clone());
                for _ in 0..2 {
                    let failure = resolver.resolve(&question, soon()).await.unwrap_err();
                    assert_eq!(failure.to_string(), *expected, "{name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_same_credential_elsewhere_shares_what_is_known() {
    let registry = registry().start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let ask = async |keyring| {
        let question = question(&registry, "basic:1", &[]).with_keyring(keyring).with_namespace("any");
        resolver.resolve(&question, soon()).await.unwrap().layer
    };
    assert_eq!(ask(keyring(&registry, "me", "right")).await, Layer::Fetched);
    // Another secret with the same in it, besides others.
    assert_eq!(ask(both(&registry)).await, Layer::Hit);
}

#[tokio::test]
async fn what_is_open_is_open_to_all() {
    let registry = registry().start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let question = question(&registry, "open:1", &[]);
    resolver.resolve(&question, soon()).await.unwrap();
    let other = question.with_keyring(keyring(&registry, "someone", "else"));
    assert_eq!(resolver.resolve(&other, soon()).await.unwrap().layer, Layer::Hit);
}

#[tokio::test]
async fn a_second_owner_proves_himself_with_one_head() {
    let registry = SampleRegistry::new()
        .put("app:1", image())
        .fault(|head| head.authorization.is_none().then(|| Fault::status(401).header("www-authenticate", "Basic")))
        .start()
        .await
        .unwrap();
    let resolver = resolver(plain(&registry));
    for (user, methods) in [("a", &["GET"; 4][..]), ("b", &["HEAD"; 2][..])] {
        let before = registry.requests().len();
        let question = question(&registry, "app:1", &["linux/amd64"]).with_keyring(keyring(&registry, user, "x"));
        resolver.resolve(&question, soon()).await.unwrap();
        let seen: Vec<_> = registry.requests()[before..].iter().map(|request| request.method.clone()).collect();
        // The first of each is the one without credentials that brings the challenge.
        assert_eq!(seen, methods, "{user}");
    }
}

#[tokio::test]
async fn a_proof_runs_out() {
    let clock = HandClock::default();
    let registry = registry().start().await.unwrap();
    let options = Options { clock: clock.clock(), ttl: Duration::from_secs(100_000), ..plain(&registry) };
    let resolver = resolver(Options { authorization_ttl: Duration::from_secs(60), ..options });
    let question = question(&registry, "basic:1", &[]).with_keyring(keyring(&registry, "me", "right"));
    resolver.resolve(&question, soon()).await.unwrap();
    let before = registry.requests().len();
    clock.turn(59);
    assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Hit);
    assert_eq!(registry.requests().len(), before);
    clock.turn(1);
    assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Revalidated);
    let methods: Vec<_> = registry.requests()[before..].iter().map(|request| request.method.clone()).collect();
    assert_eq!(methods, ["HEAD"]);
}

#[tokio::test]
async fn a_refusal_takes_the_proof_back() {
    // The registry withdraws the credential, then fails.
    for withdrawn in [401, 403, 404] {
        let (refuse, fail) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (refused, failed) = (Arc::clone(&refuse), Arc::clone(&fail));
        let clock = HandClock::default();
        let registry = registry()
            .fault(move |_| {
                let status = if failed.load(Ordering::Relaxed) { 503 } else { withdrawn };
                (failed.load(Ordering::Relaxed) || refused.load(Ordering::Relaxed)).then(|| Fault::status(status))
            })
            .start()
            .await
            .unwrap();
        let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
        let question = question(&registry, "basic:1", &[]).with_keyring(keyring(&registry, "me", "right"));
        resolver.resolve(&question, soon()).await.unwrap();
        refuse.store(true, Ordering::Relaxed);
        clock.turn(300);
        assert!(!resolver.resolve(&question, soon()).await.unwrap_err().is_transient());
        fail.store(true, Ordering::Relaxed);
        clock.turn(30);
        let failure = resolver.resolve(&question, soon()).await.unwrap_err();
        assert_eq!(failure.kind(), "server-error", "after {withdrawn}");
    }
}

#[tokio::test]
async fn a_strangers_not_found_is_not_the_owners() {
    let clock = HandClock::default();
    let right = "Basic bWU6cmlnaHQ=";
    let registry = registry()
        .fault(move |head| {
            let hidden = head.authorization.as_deref().is_some_and(|sent| sent != right);
            hidden.then(|| Fault::status(404))
        })
        .start()
        .await
        .unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let ask = async |password| {
        let question = question(&registry, "basic:1", &[]).with_keyring(keyring(&registry, "me", password));
        resolver.resolve(&question, soon()).await
    };
    ask("right").await.unwrap();
    assert_eq!(ask("wrong").await.unwrap_err().kind(), "not-found");
    assert_eq!(ask("right").await.unwrap().layer, Layer::Hit);
}
