//! What is read of each kind: the little that admissions need, and nothing else.

use super::watch::{Object, Resource, Target, Unreadable};
use crate::mutation::Labels;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emissary_core::pod::LimitRangeItem;
use emissary_core::workflow::Kind;
use emissary_registry::{Keyring, PullSecret};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The types of an image pull secret, each with the key that its credentials are under (Kubernetes API), and what is watched
/// by it.
pub(super) const SECRET_TYPES: [(&str, &str, Target); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", Target::all("dockerconfigjson-secrets", SECRETS)),
    ("kubernetes.io/dockercfg", ".dockercfg", Target::all("dockercfg-secrets", SECRETS)),
];
/// A secret that is named is watched whatever its type is.
pub(super) const NAMED_SECRETS: Target = Target::all("named-secrets", SECRETS);
const SECRETS: Resource = Resource::core("secrets");

pub(super) const NAMESPACES: Target = Target::metadata("namespaces", Resource::core("namespaces"));
pub(super) const ACCOUNTS: Target = Target::all("service-accounts", Resource::core("serviceaccounts"));
pub(super) const LIMIT_RANGES: Target = Target::all("limit-ranges", Resource::core("limitranges"));
pub(super) const NODES: Target = Target::metadata("nodes", Resource::core("nodes"));
pub(super) const WORKFLOWS: Target = Target::metadata("workflows", argo("workflows"));
/// The kinds that are stored for later runs, and whether they stand in namespaces.
pub(super) const TEMPLATES: [(Kind, bool, Target); 3] = [
    (Kind::WorkflowTemplate, true, Target::all("workflow-templates", argo("workflowtemplates"))),
    (Kind::ClusterWorkflowTemplate, false, Target::all("cluster-workflow-templates", argo("clusterworkflowtemplates"))),
    (Kind::CronWorkflow, true, Target::all("cron-workflows", argo("cronworkflows"))),
];

const fn argo(plural: &'static str) -> Resource {
    Resource { group: "argoproj.io", version: "v1alpha1", plural }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// The labels of an object, in the order of their keys.
pub(super) fn labels(object: &Object<'_>) -> Result<Labels, Unreadable> {
    let Fields { metadata } = object.read()?;
    Ok(metadata.labels.unwrap_or_default().into_iter().collect())
}

/// A Workflow: whose labels they are, since one of the same name may follow it.
#[derive(Debug, Clone)]
pub(super) struct Workflow {
    pub(super) uid: Box<str>,
    pub(super) labels: Labels,
}

pub(super) fn workflow(object: &Object<'_>) -> Result<Workflow, Unreadable> {
    let Fields { metadata: Metadata { uid, labels } } = object.read()?;
    Ok(Workflow { uid: uid.into(), labels: labels.unwrap_or_default().into_iter().collect() })
}

/// A pull secret's credentials, their HMACs made already, and what is wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) keyring: Keyring,
    pub(super) fault: Option<Arc<str>>,
}

pub(super) fn credentials(object: &Object<'_>) -> Result<Credentials, Unreadable> {
    #[derive(Deserialize)]
    struct Secret<'a> {
        #[serde(borrow, default)]
        r#type: Cow<'a, str>,
        #[serde(borrow, default)]
        data: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    }
    let Secret { r#type: kind, data } = object.read()?;
    let key = SECRET_TYPES.iter().find(|(name, ..)| *name == kind).map(|(_, key, _)| *key).unwrap_or_default();
    let encoded = data.as_ref().and_then(|data| data.get(key));
    let decoded = encoded.map(|text| STANDARD.decode(text.as_bytes())).transpose();
    let decoded = decoded.map_err(|_| Unreadable("its data is not Base64".to_owned()))?;
    let data: BTreeMap<String, Vec<u8>> = decoded.into_iter().map(|bytes| (key.to_owned(), bytes)).collect();
    let (keyring, warnings) = Keyring::from_pull_secret(&PullSecret { name: object.name, kind: &kind, data: &data });
    let fault = warnings.into_iter().next().map(|warning| match warning.in_part {
        true => format!("only in part: {}", warning.fault).into(),
        false => warning.fault.into(),
    });
    Ok(Credentials { keyring, fault })
}

/// The names of a ServiceAccount's image pull secrets.
pub(super) fn account(object: &Object<'_>) -> Result<Arc<[Box<str>]>, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Account {
        #[serde(default)]
        image_pull_secrets: Option<Vec<Name>>,
    }
    #[derive(Deserialize)]
    struct Name {
        #[serde(default)]
        name: Box<str>,
    }
    let Account { image_pull_secrets } = object.read()?;
    Ok(image_pull_secrets.into_iter().flatten().map(|secret| secret.name).collect())
}

/// The items of a LimitRange.
pub(super) fn limit_range(object: &Object<'_>) -> Result<Arc<[LimitRangeItem]>, Unreadable> {
    #[derive(Deserialize)]
    struct LimitRange {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        #[serde(default)]
        limits: Option<Vec<LimitRangeItem>>,
    }
    let LimitRange { spec } = object.read()?;
    Ok(spec.limits.unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn secret(kind: &str, data: &Value) -> Result<Credentials, Unreadable> {
        credentials(&Object::of("a", "s", &json!({"type": kind, "data": data}).to_string()))
    }

    #[test]
    fn secrets_become_keyrings_and_their_faults_say_nothing_secret() {
        let config = STANDARD.encode(r#"{"auths": {"quay.io": {"username": "u", "password": "hunter2"}}}"#);
        let older = STANDARD.encode(r#"{"quay.io": {"username": "u", "password": "hunter2"}}"#);
        let (json_type, older_type) = (SECRET_TYPES[0].0, SECRET_TYPES[1].0);
        let table = [
            (json_type, json!({".dockerconfigjson": config}), r#"["quay.io"]"#, ""),
            (older_type, json!({".dockercfg": older}), r#"["quay.io"]"#, ""),
            (json_type, json!({".dockerconfigjson": STANDARD.encode("hunter2")}), "[]", "JSON object"),
            (json_type, json!({}), "[]", "no data"),
            (json_type, Value::Null, "[]", "no data"),
            ("Opaque", json!({"password": STANDARD.encode("hunter2")}), "[]", "type"),
        ];
        for (kind, data, keyring, fault) in table {
            let read = secret(kind, &data).unwrap();
            assert_eq!(format!("{:?}", read.keyring), keyring, "{data}");
            let said = read.fault.as_deref().unwrap_or_default();
            assert!(said.contains(fault) && said.is_empty() == fault.is_empty(), "{data}: {said}");
            assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
        }
        let error = secret(json_type, &json!({".dockerconfigjson": "%hunter2%"})).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_absent_is_empty() {
        let empty =
            Object::of("a", "x", r#"{"metadata": {"uid": "u", "labels": null}, "imagePullSecrets": null, "spec": {}}"#);
        assert!(labels(&empty).unwrap().is_empty() && account(&empty).unwrap().is_empty());
        assert!(limit_range(&empty).unwrap().is_empty() && &*workflow(&empty).unwrap().uid == "u");
        let full = Object::of(
            "a",
            "x",
            r#"{"metadata": {"labels": {"b": "2", "a": "1"}}, "imagePullSecrets": [{"name": "s"}, {}]}"#,
        );
        assert_eq!(labels(&full).unwrap()[0], ("a".to_owned(), "1".to_owned()));
        assert_eq!(&*account(&full).unwrap(), ["s".into(), "".into()]);
    }
}
