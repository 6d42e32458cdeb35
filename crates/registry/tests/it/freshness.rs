use crate::setup::{HandClock, keyring, plain, question, resolver, shown, soon};
use emissary_registry::{Freshness, Layer, Options, Question};
use sample_registry::{Access, Fault, Image, Index, Manifest, RunningRegistry, SampleRegistry};

const PLATFORMS: [&str; 8] = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/ppc64le",
    "linux/s390x",
    "windows/amd64",
];

fn eight(word: &str) -> Index {
    PLATFORMS.iter().fold(Index::oci(), |index, platform| index.image(Image::new(platform).cmd(&[platform, word])))
}

fn always(question: &Question) -> Question {
    question.clone().with_freshness(Freshness::Always)
}

/// Methods of the requests since `before`.
fn methods(registry: &RunningRegistry, before: usize) -> Vec<String> {
    registry.requests()[before..].iter().map(|request| request.method.clone()).collect()
}

#[tokio::test]
async fn a_tag_of_eight_platforms() {
    let clock = HandClock::default();
    let registry = SampleRegistry::new()
        .put("open:1", eight("x"))
        .put("hub:1", eight("x"))
        .access("hub", Access::AnonymousToken)
        .start()
        .await
        .unwrap();
    for (name, cold) in [("open:1", 3), ("hub:1", 5)] {
        let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
        let question = question(&registry, name, &["linux/arm64"]);
        let before = registry.requests().len();
        let resolved = resolver.resolve(&question, soon()).await.unwrap();
        assert_eq!((resolved.layer, resolved.offered.len()), (Layer::Fetched, 8));
        assert_eq!(methods(&registry, before), vec!["GET"; cold], "{name} cold");

        // Warm within its TTL, and for Always within seconds.
        let before = registry.requests().len();
        clock.turn(4);
        for question in [&question, &always(&question)] {
            let resolved = resolver.resolve(question, soon()).await.unwrap();
            assert_eq!((resolved.layer, resolved.age.as_secs()), (Layer::Hit, 4));
        }
        clock.turn(200);
        assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Hit);
        assert_eq!(methods(&registry, before), Vec::<String>::new(), "{name} warm");

        // Older than that.
        let resolved = resolver.resolve(&always(&question), soon()).await.unwrap();
        assert_eq!((resolved.layer, resolved.age.as_secs()), (Layer::Revalidated, 0));
        assert_eq!(methods(&registry, before), ["HEAD"], "{name} for Always");
        // Which serves the others too.
        clock.turn(299);
        // Another platform is a cold one.
        let before = registry.requests().len();
        assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Hit);
        assert_eq!(methods(&registry, before), Vec::<String>::new(), "{name} warm again");
    }
}

#[tokio::test]
async fn another_platform_is_read_when_it_is_wanted() {
    let registry = SampleRegistry::new().put("app:1", eight("x")).start().await.unwrap();
    let resolver = resolver(plain(&registry));
    let ask = async |platforms: &[&str]| resolver.resolve(&question(&registry, "app:1", platforms), soon()).await;
    ask(&["linux/amd64"]).await.unwrap();
    let resolved = ask(&["linux/amd64", "linux/arm64"]).await.unwrap();
    assert_eq!(shown(&resolved), ["linux/amd64:  + linux/amd64 x", "linux/arm64:  + linux/arm64 x"]);
    assert_eq!(registry.requests().len(), 3 + 3);
    ask(&["linux/arm64"]).await.unwrap();
    // What is not offered is known too.
    assert_eq!(ask(&["linux/riscv64"]).await.unwrap_err().kind(), "no-such-platform");
    assert_eq!(registry.requests().len(), 3 + 3);
    ask(&[]).await.unwrap();
    assert_eq!(registry.requests().len(), 3 + 3 + 1 + 2 * 6);
    ask(&PLATFORMS).await.unwrap();
    assert_eq!(registry.requests().len(), 3 + 3 + 1 + 2 * 6);
}

#[tokio::test]
async fn a_digest_needs_no_network() {
    let clock = HandClock::default();
    let registry = SampleRegistry::new().put("app:1", eight("x")).start().await.unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let name = format!("app@{}", registry.digest("app:1").unwrap());
    let question = always(&question(&registry, &name, &["linux/amd64"]));
    resolver.resolve(&question, soon()).await.unwrap();
    clock.turn(599);
    assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Hit);
    assert_eq!(registry.requests().len(), 3);
    // Only that one may still see it is asked for again.
    clock.turn(1);
    assert_eq!(resolver.resolve(&question, soon()).await.unwrap().layer, Layer::Revalidated);
    assert_eq!(methods(&registry, 3), ["HEAD"]);
}

#[tokio::test]
async fn a_moved_tag_is_seen() {
    let clock = HandClock::default();
    let registry = SampleRegistry::new().put("app:1", eight("old")).start().await.unwrap();
    let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
    let question = question(&registry, "app:1", &["linux/amd64"]);
    resolver.resolve(&question, soon()).await.unwrap();
    registry.put("app:1", eight("new"));
    clock.turn(5);
    let resolved = resolver.resolve(&always(&question), soon()).await.unwrap();
    assert_eq!(
        (shown(&resolved), resolved.layer),
        (vec!["linux/amd64:  + linux/amd64 new".to_owned()], Layer::Fetched)
    );
    // And back again: what it was is still known.
    registry.put("app:1", eight("old"));
    clock.turn(5);
    let before = registry.requests().len();
    let resolved = resolver.resolve(&always(&question), soon()).await.unwrap();
    assert_eq!(shown(&resolved), ["linux/amd64:  + linux/amd64 old"]);
    assert_eq!(methods(&registry, before), ["HEAD"]);
}

#[tokio::test]
async fn registries_without_head_are_asked_with_get() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let table = [
        Fault::status(405),
        Fault::status(400),
        Fault::status(501),
        Fault::status(200),
        Fault::status(200).header("docker-content-digest", "md5:0"),
        Fault::status(200).header("docker-content-digest", &digest),
    ];
    for fault in table {
        let clock = HandClock::default();
        let of_hook = fault.clone();
        let registry = SampleRegistry::new()
            .put("app:1", eight("x"))
            .fault(move |head| (head.method == "HEAD").then(|| of_hook.clone()))
            .start()
            .await
            .unwrap();
        let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
        let question = always(&question(&registry, "app:1", &["linux/amd64"]));
        resolver.resolve(&question, soon()).await.unwrap();
        clock.turn(5);
        let resolved = resolver.resolve(&question, soon()).await.unwrap();
        assert_eq!((resolved.layer, resolved.age.as_secs()), (Layer::Revalidated, 0), "{fault:?}");
        assert_eq!(methods(&registry, 3), ["HEAD", "GET"], "{fault:?}");
    }
}

#[tokio::test]
async fn nothing_of_the_rest_is_kept() {
    // What else a configuration holds does not make it heavier.
    let config = |extra: &str| {
        format!(r#"{{"os":"linux","architecture":"amd64","config":{{"Cmd":["x"],"Env":["SECRET={extra}"]}}}}"#)
    };
    let mut sizes = Vec::new();
    for extra in ["", &"x".repeat(100_000)] {
        let image = Image::new("linux/amd64").config(config(extra));
        let registry = SampleRegistry::new().put("app:1", Manifest::Image(image)).start().await.unwrap();
        let resolver = resolver(plain(&registry));
        resolver.resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap();
        sizes.push(resolver.counts().bytes);
    }
    assert!(sizes[0].abs_diff(sizes[1]) < 50, "{sizes:?}");
}

#[tokio::test]
async fn the_credential_that_won_is_tried_first() {
    let clock = HandClock::default();
    let image = || Image::new("linux/amd64").cmd(&["x"]);
    let registry = SampleRegistry::new()
        .put("token:1", image())
        .put("hub:1", image())
        .access("token", Access::token("me", "right"))
        .access("hub", Access::AnonymousToken)
        .start()
        .await
        .unwrap();
    let all = emissary_registry::Keyring::union(
        ["wrong", "false", "right"].map(|password| keyring(&registry, "me", password)),
    );
    for name in ["token:1", "hub:1"] {
        let resolver = resolver(Options { clock: clock.clock(), ..plain(&registry) });
        let question = question(&registry, name, &[]).with_keyring(all.clone());
        resolver.resolve(&question, soon()).await.unwrap();
        // The token has run out by now.
        clock.turn(400);
        let before = registry.requests().len();
        resolver.resolve(&question, soon()).await.unwrap();
        let paths: Vec<_> =
            registry.requests()[before..].iter().map(|r| format!("{} {}", r.status, r.method)).collect();
        assert_eq!(paths, ["401 HEAD", "200 GET", "200 HEAD"], "{name}");
    }
}
