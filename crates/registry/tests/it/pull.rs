use crate::setup::{ask, listed, plain, question, resolver, shown, soon};
use emissary_core::image::Reference;
use emissary_registry::{Failure, Options, Proxies, Question};
use sample_registry::{Image, Index, Manifest, RunningRegistry, SampleRegistry};

fn app(platform: &str) -> Image {
    Image::new(platform).entrypoint(&["/app", platform]).cmd(&["run"]).user("1000")
}

fn multi() -> Index {
    Index::oci().image(app("linux/amd64")).image(app("linux/arm64/v8")).attestation()
}

async fn registry() -> RunningRegistry {
    let artifact = |media_type: &str| Image::new("").config("{}").config_media_type(media_type);
    let schema1 = Manifest::raw(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        r#"{"schemaVersion": 1, "fsLayers": [], "history": []}"#,
    );
    let deep = (0..3).fold(Index::oci().image(app("linux/amd64")), |inner, _| Index::oci().nested(inner));
    SampleRegistry::new()
        .put("app:single", app("linux/amd64"))
        .put("app:schema2", app("linux/amd64").docker())
        .put("app:multi", multi())
        .put("app:list", Index::docker().image(app("linux/amd64").docker()).image(app("windows/amd64").docker()))
        .put("app:nested", Index::oci().nested(Index::oci().nested(multi())))
        .put("app:deep", deep)
        .put("app:silent", Index::oci().image_without_platform(app("linux/s390x")).image(app("linux/amd64")))
        .put(
            "app:tuned",
            Index::oci().image(app("linux/amd64/v3")).image(app("linux/amd64")).image(app("linux/arm/v6")),
        )
        .put("app:bare", Image::new("").cmd(&["x"]))
        .put("app:empty", Image::new("linux/amd64").config(r#"{"os":"linux","architecture":"amd64","config":null}"#))
        .put("app:chart", artifact("application/vnd.cncf.helm.config.v1+json"))
        .put("app:artifact", artifact("application/vnd.oci.empty.v1+json"))
        .put("app:schema1", schema1)
        .put("app:attestations", Index::oci().attestation())
        .put("app:notjson", Manifest::raw("application/vnd.oci.image.manifest.v1+json", "<html>"))
        .put("app:badconfig", Image::new("linux/amd64").config("[]"))
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn counts_of_a_cold_look_up() {
    let registry = registry().await;
    let table: &[(&str, &[&str], usize)] = &[
        ("app:single", &["linux/amd64"], 2),
        ("app:single", &[], 2),
        ("app:multi", &["linux/amd64"], 3),
        ("app:multi", &["linux/amd64", "linux/arm64"], 5),
        ("app:multi", &[], 5),
        ("app:nested", &["linux/amd64"], 5),
        ("app:silent", &["linux/amd64"], 3),
        ("app:silent", &["linux/s390x"], 3),
    ];
    let mut before = 0;
    for (name, platforms, expected) in table {
        ask(&registry, name, platforms).await.unwrap();
        let requests = registry.requests();
        assert_eq!(requests.len() - before, *expected, "{name} {platforms:?}: {:#?}", &requests[before..]);
        assert!(requests[before..].iter().all(|r| r.method == "GET" && r.status == 200 && !r.had_credentials));
        before = requests.len();
    }
}

#[tokio::test]
async fn finds_what_an_image_runs() {
    let registry = registry().await;
    type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
    let table: &[Row] = &[
        ("app:single", &["linux/amd64"], &["linux/amd64: /app linux/amd64 + run"], &["linux/amd64"]),
        ("app:single", &[], &["linux/amd64: /app linux/amd64 + run"], &["linux/amd64"]),
        ("app:schema2", &["linux/amd64"], &["linux/amd64: /app linux/amd64 + run"], &["linux/amd64"]),
        // A single manifest is what every node gets.
        ("app:single", &["linux/arm64"], &["linux/arm64: /app linux/amd64 + run"], &["linux/amd64"]),
        ("app:bare", &["linux/arm64"], &["linux/arm64:  + x"], &[]),
        ("app:bare", &[], &["unknown/unknown:  + x"], &[]),
        ("app:empty", &[], &["linux/amd64:  + "], &["linux/amd64"]),
        ("app:multi", &["linux/arm64"], &["linux/arm64: /app linux/arm64/v8 + run"], &["linux/amd64", "linux/arm64"]),
        (
            "app:multi",
            &[],
            &["linux/amd64: /app linux/amd64 + run", "linux/arm64: /app linux/arm64/v8 + run"],
            &["linux/amd64", "linux/arm64"],
        ),
        (
            "app:multi",
            &["linux/amd64", "windows/amd64"],
            &["linux/amd64: /app linux/amd64 + run"],
            &["linux/amd64", "linux/arm64"],
        ),
        (
            "app:list",
            &["windows/amd64"],
            &["windows/amd64: /app windows/amd64 + run"],
            &["linux/amd64", "windows/amd64"],
        ),
        ("app:nested", &["linux/amd64"], &["linux/amd64: /app linux/amd64 + run"], &["linux/amd64", "linux/arm64"]),
        // The one that is exactly what is wanted, wherever it stands, else one that will do.
        (
            "app:tuned",
            &["linux/amd64"],
            &["linux/amd64: /app linux/amd64 + run"],
            &["linux/amd64/v3", "linux/amd64", "linux/arm/v6"],
        ),
        (
            "app:tuned",
            &["linux/amd64/v3"],
            &["linux/amd64/v3: /app linux/amd64/v3 + run"],
            &["linux/amd64/v3", "linux/amd64", "linux/arm/v6"],
        ),
        ("app:silent", &["linux/s390x"], &["linux/s390x: /app linux/s390x + run"], &["linux/amd64", "linux/s390x"]),
    ];
    for (name, platforms, processes, offered) in table {
        let resolved = ask(&registry, name, platforms).await.unwrap();
        assert_eq!(shown(&resolved), *processes, "{name} {platforms:?}");
        assert_eq!(listed(&resolved.offered), *offered, "{name} {platforms:?}");
        assert_eq!(resolved.digest.as_str(), registry.digest(name).unwrap(), "{name}");
    }
    let user = ask(&registry, "app:single", &[]).await.unwrap().processes[0].2.user.clone();
    assert_eq!(user.as_deref(), Some("1000"));
}

#[tokio::test]
async fn says_what_is_no_image() {
    let registry = registry().await;
    let table = [
        ("app:absent", "not-found"),
        ("absent:1", "not-found"),
        ("app:chart", "not-an-image"),
        ("app:artifact", "not-an-image"),
        ("app:schema1", "not-an-image"),
        ("app:attestations", "not-an-image"),
        ("app:notjson", "protocol"),
        ("app:badconfig", "protocol"),
        ("app:deep", "too-large"),
    ];
    for (name, kind) in table {
        let failure = ask(&registry, name, &["linux/amd64"]).await.unwrap_err();
        assert_eq!((failure.kind(), failure.is_transient()), (kind, false), "{name}: {failure}");
    }
    let failure = ask(&registry, "app:multi", &["windows/amd64"]).await.unwrap_err();
    let Failure::NoSuchPlatform { offered } = &*failure else { panic!("{failure}") };
    assert_eq!(listed(offered), ["linux/amd64", "linux/arm64"]);
}

#[tokio::test]
async fn a_digest_goes_before_a_tag() {
    let registry = registry().await;
    let digest = registry.digest("app:multi").unwrap();
    let image = registry.reference(&format!("app:absent@{digest}"));
    let reference = Reference::parse(&image).unwrap();
    let question = Question { reference, ..question(&registry, "app:multi", &["linux/amd64"]) };
    let resolver = resolver(plain(&registry));
    let resolved = resolver.resolve(&question, soon()).await.unwrap();
    assert_eq!(resolved.digest.as_str(), digest);
    assert_eq!(registry.requests().len(), 3);

    let absent = format!("sha256:{}", "0".repeat(64));
    let reference = Reference::parse(&registry.reference(&format!("app@{absent}"))).unwrap();
    let failure = resolver.resolve(&Question { reference, ..question }, soon()).await.unwrap_err();
    assert_eq!(failure.kind(), "not-found");
}

#[tokio::test]
async fn a_proxy_is_asked_when_told() {
    // A registry serves as its own proxy: it looks only at the path of what it is asked.
    let registry = registry().await;
    let proxies = |no_proxy: &str| Proxies {
        http: Some(format!("http://{}", registry.address())),
        no_proxy: no_proxy.to_owned(),
        ..Proxies::default()
    };
    // Nobody listens there.
    let host = "127.0.0.1:1";
    let options = |proxies| Options { plain_http: vec![host.to_owned()], proxies, ..plain(&registry) };
    let reference = Reference::parse(&format!("{host}/app:single")).unwrap();
    let question = Question { reference, ..question(&registry, "app:single", &[]) };
    resolver(options(proxies(""))).resolve(&question, soon()).await.unwrap();
    assert_eq!(registry.requests().len(), 2);
    resolver(options(proxies("127.0.0.1"))).resolve(&question, soon()).await.unwrap_err();
    assert_eq!(registry.requests().len(), 2);
}
