//! Workflows under the schemas that Argo defines for them.

use serde_json::{Value, json};

use super::{WORKFLOWS, by_url, cluster_with_argo, entry};
use crate::oracle::{image_index, reviews};
use crate::serve::program::serve;

#[tokio::test]
async fn workflows_are_filled_and_keep_all_that_was_filled() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let namespace = cluster.namespace("workflows").await;
    let webhook = serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
        .file("index.yaml", &image_index().to_string())
        .start()
        .await;
    namespace.register([entry("workflows", by_url(&webhook), WORKFLOWS)]).await;

    let (mut filled, mut all) = (0, 0);
    for recorded in reviews().into_iter().filter(|recorded| recorded.object()["kind"] == "Workflow") {
        let name = format!("recorded-{all}");
        all += 1;
        let mut review = recorded.review.clone();
        let object = &mut review["request"]["object"];
        object["metadata"] = json!({"name": name, "labels": object["metadata"]["labels"]});
        let expected = webhook.post(&review).await.patched(&review["request"]["object"]);
        filled += usize::from(expected.is_some());
        let expected = expected.unwrap_or_else(|| review["request"]["object"].clone());

        let created = namespace.create("argoproj.io/v1alpha1/workflows", &review["request"]["object"]).await;
        let created = created.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", recorded.name));
        assert_eq!(missing("", &expected["spec"], &created["spec"]), [""; 0], "{}", recorded.name);
        // And it is so that it is kept.
        assert_eq!(namespace.get("argoproj.io/v1alpha1/workflows", &name).await.unwrap()["spec"], created["spec"]);
    }
    assert!(filled >= 5 && all > filled, "{filled} of {all}");
}

/// What of `expected` is not in `object`. There may be more: a schema has defaults.
fn missing(path: &str, expected: &Value, object: &Value) -> Vec<String> {
    match (expected, object) {
        (Value::Object(expected), Value::Object(object)) => expected
            .iter()
            .flat_map(|(key, value)| missing(&format!("{path}/{key}"), value, object.get(key).unwrap_or(&Value::Null)))
            .collect(),
        (Value::Array(expected), Value::Array(object)) if expected.len() == object.len() => {
            let pairs = expected.iter().zip(object).enumerate();
            pairs.flat_map(|(index, (one, other))| missing(&format!("{path}/{index}"), one, other)).collect()
        }
        _ if expected == object => Vec::new(),
        _ => vec![format!("{path}: {expected}, and not {object}")],
    }
}
