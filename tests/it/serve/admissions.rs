//! A real pod in, a patch out.

use sample_registry::{Image, Index, SampleRegistry};
use serde_json::{Value, json};

use super::program::{Answer, PROTOCOLS, Webhook, serve};
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
    assert_eq!(second, json!({"uid": review["request"]["uid"], "allowed": true, "auditAnnotations": second["auditAnnotations"]}));
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
    let webhook = serve("mode: enforce").registry(&registry).start().await;
    let review = running(&registry.reference("team/app:1"));
    for protocol in PROTOCOLS {
        let answer = webhook.post_by(&webhook.client_of(protocol), "/mutate?timeout=7s", &review).await;
        let patched = answer.patched(&review["request"]["object"]).expect("a patch");
        // The pod's own args go before the image's CMD.
        assert_eq!(wrapped(&patched, "main"), ["/app", "--serve"]);
        assert_eq!(patched["spec"]["containers"][1]["args"], review["request"]["object"]["spec"]["containers"][1]["args"]);
        assert_settled(&webhook, &review, &patched).await;

        let response = answer.response();
        let digest = registry.digest("team/app:1").unwrap();
        let commands = response["auditAnnotations"]["commands"].as_str().unwrap();
        assert!(commands.ends_with(&format!("(registry, linux/amd64, {digest})")), "{commands}");
        assert_eq!(registry.requests().len(), 3, "index, manifest, configuration; none for the second");
    }
}
