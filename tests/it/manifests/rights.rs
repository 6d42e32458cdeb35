//! What the webhook may do by `webhook/`: little, and no secret but its own.

use serde_json::Value;

use super::{documents, find, list, read};

const READ: [&str; 3] = ["get", "list", "watch"];

fn words(value: &Value) -> Vec<&str> {
    list(value).iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn nothing_is_written_but_by_name() {
    let objects = documents(&read("webhook/base/rbac.yaml"));
    let mut writes = Vec::new();
    for kind in ["ClusterRole", "Role"] {
        for rule in list(&find(&objects, kind, "emissary-webhook")["rules"]) {
            let (resources, verbs) = (words(&rule["resources"]), words(&rule["verbs"]));
            for group in [&resources, &verbs, &words(&rule["apiGroups"])] {
                assert!(!group.contains(&"*"), "{rule}");
            }
            if resources.contains(&"secrets") {
                assert_eq!((kind, words(&rule["resourceNames"])), ("Role", vec!["emissary-webhook-certificate"]));
            }
            if !verbs.iter().all(|verb| READ.contains(verb)) {
                writes.push((kind, resources.join(","), words(&rule["resourceNames"]).join(",")));
            }
        }
    }
    let writes: Vec<_> =
        writes.iter().map(|(kind, resources, names)| (*kind, resources.as_str(), names.as_str())).collect();
    assert_eq!(
        writes,
        [
            ("ClusterRole", "mutatingwebhookconfigurations", "emissary-webhook"),
            ("Role", "secrets", "emissary-webhook-certificate"),
            ("Role", "leases", "emissary-webhook"),
            ("Role", "events", ""),
        ]
    );
}
