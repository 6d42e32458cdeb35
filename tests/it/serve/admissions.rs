//! A real pod in, a patch out.

use sample_registry::{Image, Index, SampleRegistry};
use serde_json::{Value, json};

use super::program::{PROTOCOLS, Webhook, serve};
use super::reviews::{LEGACY, TWIN, recorded, running, with_object, wrapped};
use crate::oracle::{differences, image_index, normalise};

/// An index of two platforms, an attestation beside them.
fn multi_arch() -> Index {
    let image = |platform| Image::new(platform).entrypoint(&["/app", "--serve"]).cmd(&["all"]);
    Index::oci().image(image("linux/amd64")).image(image("linux/arm64")).attestation()
}

/// Posts what came back once more, as a reinvocation does: nothing is left to do.
async fn assert_settled(webhook: &Webhook, review: &Value, patched: &Value) {
    let second = webhook.post(&with_object(review, patched)).await.response();
    assert_eq!(
        second,
        json!({"uid": review["request"]["uid"], "allowed": true, "auditAnnotations": second["auditAnnotations"]})
    );
    assert_eq!(second["auditAnnotations"]["outcome"], "unchanged");
}

#[tokio::test]
async fn a_recorded_pod_becomes_what_its_controller_made_for_emissary() {
    let webhook = serve("{mode: enforce, rewrite: {profile: none}, imageIndex: {files: [index.yaml]}}")
        .file("index.yaml", &image_index().to_string())
        .start()
        .await;
    let (recorded, twin) = (recorded(LEGACY), recorded(TWIN));
    for protocol in PROTOCOLS {
        let answer = webhook.post_by(&webhook.client_of(protocol), &recorded.path, &recorded.review).await;
        let response = answer.response();
        assert_eq!(response["uid"], recorded.review["request"]["uid"]);
        let patched = answer.patched(recorded.object()).expect("a patch");
        assert_eq!(differences(&normalise(&patched), &normalise(twin.object())), [""; 0], "{protocol}");
        assert_settled(&webhook, &recorded.review, &patched).await;

        let audit = &response["auditAnnotations"];
        assert_eq!((&audit["mode"], &audit["outcome"]), (&json!("enforce"), &json!("rewrite")));
        let commands = audit["commands"].as_str().unwrap();
        assert!(commands.starts_with("main: argoproj/argosay:v2 runs ["), "{commands}");
        assert!(commands.ends_with("(image index, key argoproj/argosay:v2)"), "{commands}");
    }
}

#[tokio::test]
async fn an_image_is_looked_up_in_its_registry_once() {
    let registry = SampleRegistry::new().put("team/app:1", multi_arch()).start().await.unwrap();
    let webhook = serve("{mode: enforce, platforms: [linux/amd64]}").registry(&registry).start().await;
    let review = running(&registry.reference("team/app:1"));
    for protocol in PROTOCOLS {
        let answer = webhook.post_by(&webhook.client_of(protocol), "/mutate?timeout=7s", &review).await;
        let patched = answer.patched(&review["request"]["object"]).expect("a patch");
        // The pod's own args go before the image's CMD.
        assert_eq!(wrapped(&patched, "main"), ["/app", "--serve", "echo", "hello argo"]);
        assert_settled(&webhook, &review, &patched).await;

        let response = answer.response();
        let digest = registry.digest("team/app:1").unwrap();
        let commands = response["auditAnnotations"]["commands"].as_str().unwrap();
        assert!(commands.ends_with(&format!("(registry, linux/amd64, {digest})")), "{commands}");
        assert_eq!(registry.requests().len(), 3, "index, manifest, configuration; none for the second");
    }
}

#[tokio::test]
async fn a_fresh_install_says_what_it_would_do_and_does_nothing() {
    let registry = SampleRegistry::new().put("team/app:1", multi_arch()).start().await.unwrap();
    let webhook = serve("").registry(&registry).start().await;
    let review = running(&registry.reference("team/app:1"));

    let response = webhook.post(&review).await.response();
    assert_eq!((&response["allowed"], response.get("patch")), (&json!(true), None));
    let first = response["warnings"][0].as_str().unwrap();
    assert!(first.starts_with("dry run, nothing changed: would make "), "{first}");
    assert!(first.ends_with(" and fill 1 command"), "{first}");

    let audit = &response["auditAnnotations"];
    assert_eq!((&audit["mode"], &audit["outcome"]), (&json!("dry-run"), &json!("rewrite")));
    assert!(audit["commands"].as_str().unwrap().contains("runs [\"/app\",\"--serve\""), "{audit}");
    let mut pod = review["request"]["object"].clone();
    let patch: json_patch::Patch = serde_json::from_str(audit["patch"].as_str().unwrap()).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(wrapped(&pod, "main"), ["/app", "--serve", "echo", "hello argo"]);
}

#[tokio::test]
async fn what_would_be_denied_is_admitted_by_a_dry_run() {
    let registry = SampleRegistry::new().start().await.unwrap();
    let webhook = serve("").registry(&registry).start().await;
    let response = webhook.post(&running(&registry.reference("team/none:1"))).await.response();
    assert_eq!(response["allowed"], true);
    let first = response["warnings"][0].as_str().unwrap();
    assert!(first.starts_with("dry run, admitted: would deny: container main has no command"), "{first}");
    let audit = &response["auditAnnotations"];
    assert_eq!((&audit["mode"], &audit["outcome"]), (&json!("dry-run"), &json!("denial")));
    assert!(audit["reason"].as_str().unwrap().ends_with("check its name and tag"), "{audit}");
}

#[tokio::test]
async fn a_dry_run_of_the_request_takes_the_same_path() {
    let webhook = serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
        .file("index.yaml", &image_index().to_string())
        .start()
        .await;
    let mut review = recorded(LEGACY).review;
    let real = webhook.post(&review).await.response();
    review["request"]["dryRun"] = json!(true);
    assert_eq!(webhook.post(&review).await.response(), real);
    assert!(real["patch"].is_string());
}
