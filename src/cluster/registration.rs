//! The MutatingWebhookConfigurations that send admissions here, and the one field of theirs that we write.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, TestOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use serde_json::json;

use crate::certificate::Bundle;

/// The Service that registrations name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Whether an entry is answered by us: it names our Service, or a URL, since a configuration that bears our name and
/// calls an address does so to reach us outside the cluster. An entry that names another's Service is another's.
pub(super) fn is_ours(entry: &MutatingWebhook, service: &ServiceName) -> bool {
    let config = &entry.client_config;
    match &config.service {
        Some(named) => named.namespace == service.namespace && named.name == service.name,
        None => config.url.is_some(),
    }
}

/// The entries of ours whose `caBundle` is another than `bundle`, with their places.
pub(super) fn differing<'a>(
    registration: &'a MutatingWebhookConfiguration,
    service: &ServiceName,
    bundle: &Bundle,
) -> Vec<(usize, &'a MutatingWebhook)> {
    let entries = registration.webhooks.iter().flatten().enumerate();
    entries
        .filter(|(_, entry)| is_ours(entry, service))
        .filter(|(_, entry)| bundle_of(entry).as_ref() != Some(bundle))
        .collect()
}

/// Whom an entry's `caBundle` trusts; `None` where it is empty or no bundle.
pub(super) fn bundle_of(entry: &MutatingWebhook) -> Option<Bundle> {
    let ByteString(pem) = entry.client_config.ca_bundle.as_ref()?;
    Bundle::from_pem(pem).ok()
}

/// Sets the `caBundle` of these entries, and fails where one of them has moved. Nothing else is written: an apply would
/// own more than one field, and take a change away that somebody else makes meanwhile.
pub(super) fn patch(differing: &[(usize, &MutatingWebhook)], bundle: &Bundle) -> JsonPatch {
    let value = json!(ByteString(bundle.to_pem().into_bytes()));
    let operations = differing.iter().flat_map(|(place, entry)| {
        let place = place.to_string();
        let path = |rest: &[&str]| PointerBuf::from_tokens(["webhooks", &place].iter().chain(rest).copied());
        [
            PatchOperation::Test(TestOperation { path: path(&["name"]), value: json!(entry.name) }),
            PatchOperation::Add(AddOperation { path: path(&["clientConfig", "caBundle"]), value: value.clone() }),
        ]
    });
    JsonPatch(operations.collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::certificate::Stock;

    fn registration(webhooks: serde_json::Value) -> MutatingWebhookConfiguration {
        serde_json::from_value(json!({ "metadata": { "name": "emissary-webhook" }, "webhooks": webhooks })).unwrap()
    }

    fn entry(name: &str, config: serde_json::Value) -> serde_json::Value {
        json!({ "name": name, "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"] })
    }

    #[test]
    fn only_ca_bundles_of_our_entries_are_written() {
        let made = |_| Stock::make(&["a".to_owned()], SystemTime::now(), Duration::from_secs(3600)).unwrap();
        let [ours, other] = [0, 1].map(made);
        let base64 = |stock: &Stock| json!(ByteString(stock.bundle().to_pem().into_bytes()));
        let service = |name: &str| json!({ "namespace": "argo", "name": name });
        let registration = registration(json!([
            entry("a.example", json!({ "service": service("emissary-webhook"), "caBundle": base64(&ours) })),
            entry("b.example", json!({ "service": service("emissary-webhook"), "caBundle": base64(&other) })),
            entry("c.example", json!({ "service": service("somebody-else") })),
            entry("d.example", json!({ "service": service("emissary-webhook") })),
            entry("e.example", json!({ "url": "https://127.0.0.1:10250/mutate", "caBundle": "Z2FyYmFnZQ==" })),
        ]));
        let service = ServiceName { namespace: "argo".to_owned(), name: "emissary-webhook".to_owned() };
        let differing = differing(&registration, &service, ours.bundle());
        let names: Vec<&str> = differing.iter().map(|(_, entry)| entry.name.as_str()).collect();
        assert_eq!(names, ["b.example", "d.example", "e.example"]);

        let patch = patch(&differing, ours.bundle());
        let mut patched = serde_json::to_value(&registration).unwrap();
        json_patch::patch(&mut patched, &patch).unwrap();
        let mut expected = serde_json::to_value(&registration).unwrap();
        for place in [1, 3, 4] {
            expected["webhooks"][place]["clientConfig"]["caBundle"] = base64(&ours);
        }
        assert_eq!(patched, expected);

        let mut moved = serde_json::to_value(&registration).unwrap();
        moved["webhooks"].as_array_mut().unwrap().reverse();
        assert!(json_patch::patch(&mut moved, &patch).is_err(), "an entry that has moved is not written to");
    }
}
