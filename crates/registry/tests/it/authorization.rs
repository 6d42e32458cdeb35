use crate::setup::{HandClock, keyring, plain, question, resolver, soon};
use emissary_registry::{Failure, Keyring, Options, Question};
use sample_registry::{Access, Fault, Image, RunningRegistry, SampleRegistry};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn registry() -> SampleRegistry {
    let image = || Image::new("linux/amd64").cmd(&["x"]);
    SampleRegistry::new()
        .put("open:1", image())
        .put("hub:1", image())
        .put("hub:2", image().user("2"))
        .put("basic:1", image())
        .put("token:1", image())
        .access("hub", Access::AnonymousToken)
        .access("basic", Access::basic("me", "right"))
        .access("token", Access::token("me", "right"))
}

/// `401 - /v2/…` for each request: status, whether it had credentials, path.
fn trail(registry: &RunningRegistry) -> Vec<String> {
    let line = |request: sample_registry::Request| {
        let had = if request.had_credentials { '+' } else { '-' };
        let path = request.path.split(['?', '@']).next().unwrap_or_default().to_owned();
        let path = path.split("sha256").next().unwrap_or_default().to_owned();
        format!("{} {had} {path}", request.status)
    };
    registry.requests().into_iter().map(line).collect()
}

#[tokio::test]
async fn each_kind_costs_no_more_than_it_must() {
    let table: &[(&str, Option<&str>, &[&str])] = &[
        ("open:1", Some("right"), &["200 - /v2/open/manifests/1", "200 - /v2/open/blobs/"]),
        (
            "hub:1",
            None,
            &["401 - /v2/hub/manifests/1", "200 - /token", "200 + /v2/hub/manifests/1", "200 + /v2/hub/blobs/"],
        ),
        (
            "hub:1",
            Some("right"),
            &[
                "401 - /v2/hub/manifests/1",
                "401 + /token",
                "200 - /token",
                "200 + /v2/hub/manifests/1",
                "200 + /v2/hub/blobs/",
            ],
        ),
        (
            "basic:1",
            Some("right"),
            &["401 - /v2/basic/manifests/1", "200 + /v2/basic/manifests/1", "200 + /v2/basic/blobs/"],
        ),
        (
            "token:1",
            Some("right"),
            &["401 - /v2/token/manifests/1", "200 + /token", "200 + /v2/token/manifests/1", "200 + /v2/token/blobs/"],
        ),
    ];
    for (name, password, expected) in table {
        let registry = registry().start().await.unwrap();
        let keyring = password.map_or_else(Keyring::anonymous, |password| keyring(&registry, "me", password));
        let question = Question { keyring, ..question(&registry, name, &[]) };
        resolver(plain(&registry)).resolve(&question, soon()).await.unwrap();
        assert_eq!(trail(&registry), *expected, "{name} {password:?}");
    }
}

#[tokio::test]
async fn the_wrong_ones_are_refused() {
    for name in ["basic:1", "token:1"] {
        for (password, expected) in [(None, 0), (Some("wrong"), 1)] {
            let registry = registry().start().await.unwrap();
            let keyring = password.map_or_else(Keyring::anonymous, |password| keyring(&registry, "me", password));
            let question = Question { keyring, ..question(&registry, name, &[]) };
            let failure = resolver(plain(&registry)).resolve(&question, soon()).await.unwrap_err();
            let Failure::Unauthorized { tried } = &*failure else { panic!("{name}: {failure}") };
            assert_eq!(*tried, expected, "{name} {password:?}");
            assert!(registry.requests().len() <= 5, "{:#?}", registry.requests());
        }
    }
}

#[tokio::test]
async fn every_match_is_tried() {
    for name in ["basic:1", "token:1", "hub:1"] {
        let registry = registry().start().await.unwrap();
        let keyring = Keyring::union([keyring(&registry, "me", "wrong"), keyring(&registry, "me", "right")]);
        let question = Question { keyring, ..question(&registry, name, &[]) };
        resolver(plain(&registry)).resolve(&question, soon()).await.unwrap();
    }
}

#[tokio::test]
async fn what_one_may_see_another_may_not() {
    let registry = registry().start().await.unwrap();
    let resolver = resolver(plain(&registry));
    for name in ["basic:1", "token:1"] {
        let anonymous = question(&registry, name, &[]);
        let owner = Question { keyring: keyring(&registry, "me", "right"), ..anonymous.clone() };
        let stranger = Question { keyring: keyring(&registry, "me", "wrong"), ..anonymous.clone() };
        assert!(resolver.resolve(&owner, soon()).await.is_ok());
        assert!(resolver.resolve(&anonymous, soon()).await.is_err());
        assert!(resolver.resolve(&stranger, soon()).await.is_err());
        // The digest is no key to the content either.
        let digest = registry.digest(name).unwrap();
        let repository = name.split(':').next().unwrap();
        let by_digest = question(&registry, &format!("{repository}@{digest}"), &[]);
        assert!(resolver.resolve(&by_digest, soon()).await.is_err());
    }
}

#[tokio::test]
async fn a_token_serves_until_it_expires() {
    let clock = HandClock::default();
    let registry = registry().start().await.unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let tokens = || registry.requests().iter().filter(|request| request.path.starts_with("/token")).count();
    resolver.resolve(&question(&registry, "hub:1", &[]), soon()).await.unwrap();
    resolver.resolve(&question(&registry, "hub:2", &[]), soon()).await.unwrap();
    assert_eq!(tokens(), 1, "{:#?}", trail(&registry));
    clock.turn(299);
    resolver.resolve(&question(&registry, "hub:absent", &[]), soon()).await.unwrap_err();
    assert_eq!(tokens(), 2);
}

#[tokio::test]
async fn one_token_for_all_who_wait_for_it() {
    let image = || Image::new("linux/amd64").cmd(&["x"]);
    let mut registry = SampleRegistry::new().access("hub", Access::AnonymousToken);
    for tag in 0..20 {
        registry = registry.put(&format!("hub:{tag}"), image().user(&tag.to_string()));
    }
    let registry = registry.start().await.unwrap();
    let resolver = resolver(Options { concurrency_per_host: 100, ..plain(&registry) });
    let questions: Vec<_> = (0..20).map(|tag| question(&registry, &format!("hub:{tag}"), &[])).collect();
    let answers = questions.iter().map(|question| resolver.resolve(question, soon()));
    assert!(futures_util::future::join_all(answers).await.iter().all(Result::is_ok));
    assert_eq!(registry.requests().iter().filter(|request| request.path.starts_with("/token")).count(), 1);
}

#[tokio::test]
async fn one_refusal_for_all_who_wait_for_it() {
    let hook =
        |head: &sample_registry::RequestHead| (head.path == "/token").then(|| Fault::Delay(Duration::from_millis(500)));
    let registry = registry().fault(hook).start().await.unwrap();
    let resolver = resolver(Options { concurrency_per_host: 100, ..plain(&registry) });
    let questions: Vec<_> = (0..10).map(|tag| question(&registry, &format!("token:{tag}"), &[])).collect();
    let answers = questions.iter().map(|question| resolver.resolve(question, soon()));
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(answer.unwrap_err().kind(), "unauthorized");
    }
    assert_eq!(registry.requests().iter().filter(|request| request.path.starts_with("/token")).count(), 1);
}

#[tokio::test]
async fn what_is_hidden_from_one_may_be_shown_to_the_next() {
    // As registries do that would not even say whether a private repository exists.
    let hook = |head: &sample_registry::RequestHead| {
        let stranger = head.authorization.as_ref().is_some_and(|sent| !sent.ends_with("bWU6cmlnaHQ="));
        stranger.then(|| Fault::status(404))
    };
    let registry = registry().fault(hook).start().await.unwrap();
    let ask = async |keyring| {
        let question = Question { keyring, ..question(&registry, "basic:1", &[]) };
        resolver(plain(&registry)).resolve(&question, soon()).await
    };
    let (stranger, owner) = (keyring(&registry, "me", "wrong"), keyring(&registry, "me", "right"));
    assert_eq!(ask(stranger.clone()).await.unwrap_err().kind(), "not-found");
    assert!(ask(Keyring::union([stranger, owner])).await.is_ok());
}

#[tokio::test]
async fn a_token_withdrawn_early_is_fetched_anew() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refusals);
    // Refuses the token once, at the blob, and without a challenge.
    let hook = move |head: &sample_registry::RequestHead| {
        let refuse = head.path.contains("/blobs/") && count.fetch_add(1, Ordering::Relaxed) == 0;
        refuse.then(|| Fault::status(401))
    };
    let registry = registry().fault(hook).start().await.unwrap();
    resolver(plain(&registry)).resolve(&question(&registry, "hub:1", &[]), soon()).await.unwrap();
    assert_eq!(registry.requests().iter().filter(|request| request.path.starts_with("/token")).count(), 2);
}
