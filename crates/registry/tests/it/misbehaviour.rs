use crate::setup::{ask, hasty, keyring, plain, question, resolver, soon};
use emissary_core::image::Reference;
use emissary_registry::{Failure, Options, Question};
use sample_registry::{Access, Fault, Image, Index, RequestHead, RunningRegistry, SampleRegistry};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

async fn faulty(hook: impl Fn(&RequestHead) -> Option<Fault> + Send + Sync + 'static) -> RunningRegistry {
    let image = Image::new("linux/amd64").cmd(&["x"]);
    SampleRegistry::new()
        .put("app:1", Index::oci().image(image.clone()))
        .put("token:1", image)
        .access("token", Access::token("me", "right"))
        .fault(hook)
        .start()
        .await
        .unwrap()
}

/// The parts of a look-up, as the paths that ask for them have it.
fn is_part(head: &RequestHead, part: &str) -> bool {
    match part {
        "index" => head.path.ends_with("/manifests/1"),
        "manifest" => head.path.contains("/manifests/sha256:"),
        "config" => head.path.contains("/blobs/"),
        _ => head.path == "/token",
    }
}

#[tokio::test]
async fn every_fault_of_every_part_is_classified() {
    let gib = 1 << 30;
    let table: Vec<(Fault, [&str; 3])> = vec![
        (Fault::Stall, ["timeout"; 3]),
        (Fault::Drip(Duration::from_millis(30)), ["timeout"; 3]),
        (Fault::Truncate, ["unreachable"; 3]),
        (Fault::WrongBytes, ["digest-mismatch"; 3]),
        // Blobs are known by the digest that was asked for.
        (Fault::WrongDigest, ["digest-mismatch", "digest-mismatch", "none"]),
        (Fault::WrongLength(100_000), ["unreachable", "digest-mismatch", "digest-mismatch"]),
        (Fault::WrongLength(7), ["digest-mismatch"; 3]),
        (Fault::Huge(u64::MAX), ["too-large", "digest-mismatch", "digest-mismatch"]),
        (Fault::WrongLength(gib), ["too-large", "digest-mismatch", "digest-mismatch"]),
        (Fault::status(404), ["not-found"; 3]),
        (Fault::status(401), ["unauthorized"; 3]),
        (Fault::status(403), ["unauthorized"; 3]),
        (Fault::status(429), ["rate-limited"; 3]),
        (Fault::status(500), ["server-error"; 3]),
        (Fault::status(503), ["server-error"; 3]),
        (Fault::status(418), ["rejected"; 3]),
        (Fault::status(204), ["rejected"; 3]),
        (Fault::status(302), ["protocol"; 3]),
        (Fault::redirect("ftp://example.com/"), ["protocol"; 3]),
        (Fault::redirect("http://user:password@example.com/"), ["protocol"; 3]),
        (Fault::redirect("http://["), ["protocol"; 3]),
        (Fault::redirect("/v2/app/manifests/elsewhere"), ["not-found"; 3]),
        (Fault::status(401).header("www-authenticate", "Bearer realm=\"no url\""), ["protocol"; 3]),
        (Fault::status(401).header("www-authenticate", "Bearer realm=\"http://127.0.0.1:1/t\""), ["protocol"; 3]),
        (Fault::status(401).header("www-authenticate", "Bearer"), ["unauthorized"; 3]),
        (Fault::status(401).header("www-authenticate", "\"=,\"=,"), ["unauthorized"; 3]),
        (Fault::status(200).header("content-encoding", "gzip"), ["protocol", "digest-mismatch", "digest-mismatch"]),
    ];
    for (fault, expected) in table {
        for (part, expected) in ["index", "manifest", "config"].into_iter().zip(expected) {
            let of_hook = fault.clone();
            let registry = faulty(move |head| is_part(head, part).then(|| of_hook.clone())).await;
            // Only what is to time out has little time, so that a busy machine fails nothing else.
            let options = if expected == "timeout" { hasty(&registry) } else { plain(&registry) };
            let question = question(&registry, "app:1", &["linux/amd64"]);
            let got = resolver(options).resolve(&question, soon()).await;
            let kind = got.as_ref().map_or_else(|failure| failure.kind(), |_| "none");
            assert_eq!(kind, expected, "{fault:?} of the {part}: {got:?}");
        }
    }
}

#[tokio::test]
async fn tokens_of_every_kind_do_no_harm() {
    let answer = |body: &str| Fault::status(200).body(body);
    let table = [
        (answer(r#"{"token": "a\nb"}"#), "protocol"),
        (answer(r#"{"token": "a\u0000b"}"#), "protocol"),
        (answer(r#"{"token": ""}"#), "protocol"),
        (answer(r#"{"token": 7}"#), "protocol"),
        (answer("{}"), "protocol"),
        (answer("<html>"), "protocol"),
        (answer(r#"{"token": "wrong", "expires_in": -1}"#), "unauthorized"),
        (answer(r#"{"access_token": "wrong", "expires_in": 1e300}"#), "unauthorized"),
        (answer(r#"{"token": "é"}"#), "unauthorized"),
        (Fault::Huge(u64::MAX), "too-large"),
        (Fault::Stall, "timeout"),
        (Fault::status(400), "unauthorized"),
        (Fault::status(403), "unauthorized"),
        (Fault::status(429), "rate-limited"),
        (Fault::status(502), "server-error"),
        (Fault::redirect("/token"), "protocol"),
    ];
    for (fault, expected) in table {
        let of_hook = fault.clone();
        let registry = faulty(move |head| is_part(head, "token").then(|| of_hook.clone())).await;
        let question = Question { keyring: keyring(&registry, "me", "right"), ..question(&registry, "token:1", &[]) };
        let options = if expected == "timeout" { hasty(&registry) } else { plain(&registry) };
        let failure = resolver(options).resolve(&question, soon()).await.unwrap_err();
        assert_eq!(failure.kind(), expected, "{fault:?}: {failure}");
        assert!(registry.requests().len() <= 8, "{fault:?}: {:#?}", registry.requests());
    }
}

#[tokio::test]
async fn rate_limits_say_how_long_if_they_know() {
    let table = [(Fault::status(429), None), (Fault::status(429).header("retry-after", "7"), Some(7))];
    for (fault, expected) in table {
        let registry = faulty(move |_| Some(fault.clone())).await;
        let failure = ask(&registry, "app:1", &[]).await.unwrap_err();
        let Failure::RateLimited { retry_after } = &*failure else { panic!("{failure}") };
        assert_eq!(*retry_after, expected.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn redirects_end() {
    let registry = faulty(|head| is_part(head, "config").then(|| Fault::redirect(&head.path))).await;
    let failure = ask(&registry, "app:1", &[]).await.unwrap_err();
    assert_eq!(failure.kind(), "protocol", "{failure}");
    assert_eq!(registry.requests().len(), 2 + 6);
}

#[tokio::test]
async fn credentials_stay_with_their_registry() {
    // Redirected away, and away and back again: of a blob, of a manifest and of the token endpoint.
    for part in ["config", "index", "token"] {
        for back in [false, true] {
            let home = Arc::new(OnceLock::<String>::new());
            let to_home = Arc::clone(&home);
            let elsewhere = SampleRegistry::new()
                .fault(move |head| back.then(|| Fault::redirect(&format!("{}{}", to_home.get().unwrap(), head.path))))
                .start()
                .await
                .unwrap();
            let away = format!("http://{}", elsewhere.address());
            let registry = faulty(move |head| {
                let sent = head.authorization.is_some();
                (is_part(head, part) && sent).then(|| Fault::redirect(&format!("{away}{}", head.path)))
            })
            .await;
            home.set(format!("http://{}", registry.address())).unwrap();
            let question =
                Question { keyring: keyring(&registry, "me", "right"), ..question(&registry, "token:1", &[]) };
            resolver(plain(&registry)).resolve(&question, soon()).await.unwrap_err();
            let seen = elsewhere.requests();
            assert!(!seen.is_empty(), "{part}: nothing was redirected");
            assert!(seen.iter().all(|request| !request.had_credentials), "{part}: {seen:#?}");
            // What comes back comes without them, or it would be sent away again, until there are too many redirects.
            assert!(registry.requests().len() < 12, "{part}: {:#?}", registry.requests());
        }
    }
}

#[tokio::test]
async fn a_challenge_from_elsewhere_is_not_answered() {
    let elsewhere = SampleRegistry::new()
        .fault(|head| match head.path.as_str() {
            "/token" => None,
            // The realm that the redirect put into the query.
            _ => Some(Fault::status(401).header("www-authenticate", &format!("Bearer realm=\"{}\"", head.query))),
        })
        .start()
        .await
        .unwrap();
    let away = format!("http://{}", elsewhere.address());
    for challenge_of in ["config", "index"] {
        let to = format!("{away}/v2/blob?{away}/token");
        let registry = faulty(move |head| is_part(head, challenge_of).then(|| Fault::redirect(&to))).await;
        let question = Question { keyring: keyring(&registry, "me", "right"), ..question(&registry, "app:1", &[]) };
        let mut options = plain(&registry);
        options.plain_http.push(elsewhere.address().to_string());
        let failure = resolver(options).resolve(&question, soon()).await.unwrap_err();
        assert_eq!(failure.kind(), "rejected");
    }
    assert_eq!(elsewhere.requests().len(), 2, "{:#?}", elsewhere.requests());
}

#[tokio::test]
async fn a_blob_elsewhere_is_found() {
    let image = || Image::new("linux/amd64").cmd(&["x"]);
    let elsewhere = SampleRegistry::new().put("token:1", image()).start().await.unwrap();
    let to = format!("http://{}", elsewhere.address());
    let registry =
        faulty(move |head| is_part(head, "config").then(|| Fault::redirect(&format!("{to}{}", head.path)))).await;
    let question = Question { keyring: keyring(&registry, "me", "right"), ..question(&registry, "token:1", &[]) };
    resolver(plain(&registry)).resolve(&question, soon()).await.unwrap();
    assert_eq!(elsewhere.requests().len(), 1);
}

#[tokio::test]
async fn a_realm_elsewhere_gets_nothing_in_the_clear() {
    let elsewhere = SampleRegistry::new().start().await.unwrap();
    let challenge = format!("Bearer realm=\"http://{}/token\"", elsewhere.address());
    let registry = faulty(move |_| Some(Fault::status(401).header("www-authenticate", &challenge))).await;
    let question = Question { keyring: keyring(&registry, "me", "right"), ..question(&registry, "token:1", &[]) };
    let failure = resolver(plain(&registry)).resolve(&question, soon()).await.unwrap_err();
    assert_eq!(failure.kind(), "protocol");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn texts_are_ours() {
    let body = r#"{"errors": [{"message": "call 555-1234 to unlock"}]}"#;
    for status in [401, 403, 404, 418, 429, 500] {
        let registry = faulty(move |_| Some(Fault::status(status).header("x-secret", "555").body(body))).await;
        let failure = ask(&registry, "app:1", &[]).await.unwrap_err();
        assert!(!failure.to_string().contains("555"), "{failure}");
    }
}

#[tokio::test]
async fn the_whole_look_up_has_an_end() {
    // Each request alone is quick enough.
    let registry = faulty(|_| Some(Fault::Delay(Duration::from_millis(150)))).await;
    let options = Options { lookup_timeout: Duration::from_millis(300), ..plain(&registry) };
    let failure = resolver(options).resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap_err();
    assert_eq!(failure.kind(), "timeout");
}

#[tokio::test]
async fn nobody_listens() {
    let registry = faulty(|_| None).await;
    let (question, options) = (question(&registry, "app:1", &[]), plain(&registry));
    drop(registry);
    let failure = resolver(options).resolve(&question, soon()).await.unwrap_err();
    assert_eq!((failure.kind(), failure.is_transient()), ("unreachable", true));
    assert!(std::error::Error::source(&*failure).is_some());
}

#[tokio::test]
async fn a_name_that_is_no_host_is_said_to_be_none() {
    let registry = faulty(|_| None).await;
    for name in ["1.2.3.4.5/x", "256.256.256.256/x", "1.2.3.4.0x/x"] {
        let question = Question { reference: Reference::parse(name).unwrap(), ..question(&registry, "app:1", &[]) };
        let failure = resolver(plain(&registry)).resolve(&question, soon()).await.unwrap_err();
        assert_eq!(failure.kind(), "bad-host", "{name}");
    }
}

#[tokio::test]
async fn one_host_is_asked_a_few_things_at_a_time() {
    let registry = faulty(|_| Some(Fault::Delay(Duration::from_millis(50)))).await;
    let resolver = resolver(Options { concurrency_per_host: 2, ..plain(&registry) });
    let questions: Vec<_> = (0..8).map(|n| question(&registry, &format!("app:absent-{n}"), &[])).collect();
    let before = Instant::now();
    futures_util::future::join_all(questions.iter().map(|question| resolver.resolve(question, soon()))).await;
    assert!(before.elapsed() >= Duration::from_millis(200), "{:?}", before.elapsed());
}
