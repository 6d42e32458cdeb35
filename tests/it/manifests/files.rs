//! What has to hold of `webhook/` as it is written.

use serde_json::{Value, json};

use super::{documents, list, read};

fn registration() -> Value {
    let [registration] = documents(&read("webhook/base/mutating-webhook.yaml")).try_into().unwrap();
    registration
}

#[test]
fn every_entry_is_careful() {
    let registration = registration();
    assert_eq!(list(&registration["webhooks"]).len(), 3);
    for entry in list(&registration["webhooks"]) {
        let expected = json!({
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None",
            "timeoutSeconds": 10,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&entry[key], value, "{}: {key}", entry["name"]);
        }
        assert!(
            entry["clientConfig"].get("caBundle").is_none(),
            "{}: it would be blanked at each apply",
            entry["name"]
        );
        assert_eq!(list(&entry["matchConditions"]).len(), 1, "{}", entry["name"]);
        let excluded = &entry["namespaceSelector"]["matchExpressions"];
        assert_eq!(
            excluded,
            &json!([
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "emissary-webhook"]},
                {"key": "emissary-webhook.io/mode", "operator": "NotIn", "values": ["off"]},
            ]),
            "{}",
            entry["name"]
        );
        for rule in list(&entry["rules"]) {
            assert_eq!(rule["operations"], json!(["CREATE"]), "{}", entry["name"]);
        }
    }
}

/// A pod that two entries select would come twice.
#[test]
fn no_pod_is_selected_twice() {
    let registration = registration();
    let selects = |entry: &Value, labels: &Value| {
        list(&entry["objectSelector"]["matchExpressions"]).iter().all(|expression| {
            let value = labels.get(expression["key"].as_str().unwrap());
            match expression["operator"].as_str().unwrap() {
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                "NotIn" => value.is_none_or(|value| !list(&expression["values"]).contains(value)),
                other => panic!("{other}"),
            }
        })
    };
    let (workflow, inject) = ("workflows.argoproj.io/workflow", "emissary-webhook.io/inject");
    let component = "workflows.argoproj.io/component";
    for (labels, expected) in [
        (json!({}), [false, false]),
        (json!({workflow: "w"}), [true, false]),
        (json!({workflow: "w", inject: "true"}), [false, true]),
        (json!({workflow: "w", inject: "false"}), [false, false]),
        (json!({workflow: "w", component: "agent"}), [false, false]),
        (json!({inject: "true"}), [false, true]),
        // It counts as "true", with a warning.
        (json!({inject: "yes"}), [false, true]),
        (json!({inject: "false"}), [false, false]),
    ] {
        let selected = [0, 1].map(|entry| selects(&registration["webhooks"][entry], &labels));
        assert_eq!(selected, expected, "{labels}");
    }
}

#[test]
fn state_comes_without_content() {
    let state = documents(&read("webhook/base/state.yaml"));
    assert_eq!(state.len(), 3);
    for object in &state {
        let keys: Vec<&String> = object.as_object().unwrap().keys().filter(|key| *key != "type").collect();
        assert_eq!(keys, ["apiVersion", "kind", "metadata"], "an upgrade would take back what is in it");
    }
}

/// The text by which Argo 3.3 and later tells what to try again (`IsTransientErr` in its util/errors).
#[test]
fn the_policys_messages_make_argo_try_again() {
    let [policy] = documents(&read("webhook/components/policy/policy.yaml")).try_into().unwrap();
    for validation in list(&policy["spec"]["validations"]) {
        for key in ["message", "messageExpression"] {
            assert!(validation[key].as_str().unwrap().contains("i/o timeout"), "{key}");
        }
    }
}
