//! What is denied, by which code, and what the answer says: Argo tries again after a 503, and takes a 422 as final.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sample_registry::{Access, Fault, Image, RunningRegistry, SampleRegistry};
use serde_json::json;

use super::program::{eventually, serve};
use super::reviews::{recorded, running, wrapped};

const INVALID: (u64, &str) = (422, "Invalid");
const UNAVAILABLE: (u64, &str) = (503, "ServiceUnavailable");

/// Said by the registry in every answer that is a failure.
const TEXT: &str = "<h1>internal words of the registry</h1>";
const PASSWORD: &str = "correct-horse-battery";

/// A registry whose repositories are named after what is wrong with them.
async fn registry() -> RunningRegistry {
    let app = || Image::new("linux/amd64").entrypoint(&["/app"]);
    let faulty = ["status-500", "status-429", "status-403", "status-418", "wrong-bytes", "huge", "cut"];
    let registry = SampleRegistry::new()
        .put("empty:1", Image::new("linux/amd64"))
        .put("private:1", app())
        .access("private", Access::basic("ci", "another-password"));
    let registry = faulty.iter().fold(registry, |registry, name| registry.put(&format!("{name}:1"), app()));
    let fault = |path: &str| {
        let repository = path.strip_prefix("/v2/")?.split('/').next()?;
        match repository {
            "wrong-bytes" => Some(Fault::WrongBytes),
            "huge" => Some(Fault::Huge(u64::MAX)),
            "cut" => Some(Fault::Truncate),
            _ => Some(Fault::status(repository.strip_prefix("status-")?.parse().ok()?).body(TEXT)),
        }
    };
    registry.fault(move |head| fault(&head.path)).start().await.unwrap()
}

#[tokio::test]
async fn each_failure_has_its_code_and_names_container_and_image() {
    let registry = registry().await;
    let docker_config =
        json!({"auths": {registry.address().to_string(): {"auth": STANDARD.encode(format!("ci:{PASSWORD}"))}}});
    let webhook = serve("{mode: enforce, platforms: [linux/amd64]}")
        .file("config.json", &docker_config.to_string())
        .flags(&["--docker-config", "config.json"])
        .registry(&registry)
        .start()
        .await;
    for (repository, code, says) in [
        ("none", INVALID, "the registry has no such image; check its name and tag"),
        ("private", INVALID, "an image pull secret that opens it"),
        ("status-403", INVALID, "the registry refuses access"),
        ("status-418", INVALID, "HTTP 418"),
        ("wrong-bytes", INVALID, "does not match its digest"),
        ("huge", INVALID, "the manifest is larger than 4194304 bytes"),
        ("status-500", UNAVAILABLE, "the registry answers with HTTP 500"),
        ("status-429", UNAVAILABLE, "the registry limits the rate of requests"),
        ("cut", UNAVAILABLE, "the registry cannot be reached"),
    ] {
        let image = registry.reference(&format!("{repository}:1"));
        let answer = webhook.post(&running(&image)).await;
        let (status, reason, message) = answer.denial();
        assert_eq!((status, reason.as_str()), code, "{repository}: {message}");
        let begins =
            format!("emissary-webhook: container main has no command, and image {image} could not be looked up: ");
        assert!(message.starts_with(&begins) && message.contains(says), "{message}");
        let audit = &answer.response()["auditAnnotations"];
        assert_eq!((&audit["outcome"], &audit["mode"]), (&json!("denial"), &json!("enforce")));
        for secret in [TEXT, "internal words", PASSWORD, "said by the sample registry", "config.json"] {
            assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
        }
    }
    let log = webhook.log();
    assert!(!log.iter().any(|line| line.to_string().contains(PASSWORD)), "{log:#?}");
}

#[tokio::test]
async fn nothing_to_run_and_no_image_name_are_the_users_to_mend() {
    let registry = registry().await;
    let webhook = serve("{mode: enforce, platforms: [linux/amd64]}").registry(&registry).start().await;
    let without_args = recorded("3.3.10-docker-nocmd-noargs").review.to_string();
    for (image, says) in [
        (registry.reference("empty:1"), "has neither ENTRYPOINT nor CMD"),
        ("team/UPPER:1".to_owned(), "cannot be looked up"),
    ] {
        let review = serde_json::from_str(&without_args.replace("nginx:1.21", &image)).unwrap();
        let (status, reason, message) = webhook.post(&review).await.denial();
        assert_eq!((status, reason.as_str()), INVALID, "{message}");
        assert!(message.contains("container main") && message.contains(&image) && message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn a_slow_registry_is_unavailable_in_time_and_known_later() {
    const SLOW: Duration = Duration::from_millis(2200);
    let registry = SampleRegistry::new()
        .put("slow:1", Image::new("linux/amd64").entrypoint(&["/app"]))
        .fault(|head| head.path.contains("/manifests/").then_some(Fault::Delay(SLOW)))
        .start()
        .await
        .unwrap();
    let webhook = serve("{mode: enforce, platforms: [linux/amd64]}").registry(&registry).start().await;
    let review = running(&registry.reference("slow:1"));

    let answer = webhook.post_within("2s", &review).await;
    let (status, reason, message) = answer.denial();
    assert_eq!((status, reason.as_str()), UNAVAILABLE, "{message}");
    assert!(message.ends_with("the registry did not answer in time"), "{message}");
    // Two seconds less half a second; what passes two is lost on the API server.
    let took = answer.took.as_millis();
    assert!((1400..2000).contains(&took), "{took} ms");

    // Nobody waited for it any more, and it went on.
    eventually("manifest and configuration", async || answered(&registry) == 2).await;
    let answer = webhook.post_within("2s", &review).await;
    let patched = answer.patched(&review["request"]["object"]).expect("a patch");
    assert_eq!(wrapped(&patched, "main"), ["/app", "echo", "hello argo"]);
    assert!(answer.took < SLOW / 4, "{:?}", answer.took);
    assert_eq!(registry.requests().len(), 2);
}

fn answered(registry: &RunningRegistry) -> usize {
    registry.requests().iter().filter(|request| request.status != 0).count()
}
