//! Where artifacts are kept, and which secrets that takes.

use super::controller::Version;
use super::template::{Template, list};
use serde_json::{Map, Value, json};

/// A kind of location (Argo, `ArtifactLocation`).
struct Kind {
    name: &'static str,
    /// The fields without which it stands nowhere, and takes its place from the default repository.
    needs: &'static [&'static str],
    /// The field that names one artifact within its place.
    key: &'static str,
    /// The secrets that it may name.
    secrets: &'static [&'static str],
}

const fn kind(
    name: &'static str,
    needs: &'static [&'static str],
    key: &'static str,
    secrets: &'static [&'static str],
) -> Kind {
    Kind { name, needs, key, secrets }
}

const KINDS: [Kind; 10] = [
    kind("s3", &["endpoint", "bucket", "key"], "key", &["accessKeySecret", "secretKeySecret", "sessionTokenSecret"]),
    kind("git", &["repo"], "repo", &["usernameSecret", "passwordSecret", "sshPrivateKeySecret"]),
    kind("artifactory", &["url", "usernameSecret"], "url", &["usernameSecret", "passwordSecret"]),
    kind("hdfs", &["addresses"], "path", &["krbCCacheSecret", "krbKeytabSecret"]),
    kind("oss", &["endpoint", "bucket", "key"], "key", &["accessKeySecret", "secretKeySecret"]),
    kind("gcs", &["bucket", "key"], "key", &["serviceAccountKeySecret"]),
    kind("azure", &["endpoint", "container", "blob"], "blob", &["accountKeySecret"]),
    kind("http", &["url"], "url", &[]),
    kind("raw", &[], "data", &[]),
    kind("plugin", &["name", "configuration", "key"], "key", &[]),
];

fn is_given(value: &Value) -> bool {
    !value.is_null() && value != "" && value.as_array().is_none_or(|entries| !entries.is_empty())
}

/// Whether a location stands on its own, as opposed to naming a key in the default repository or nothing at all.
fn has_location(location: &Value) -> bool {
    KINDS.iter().any(|kind| {
        let of = &location[kind.name];
        of.is_object() && kind.needs.iter().all(|field| is_given(&of[*field]))
    })
}

/// Whether an artifact was given at all.
pub(super) fn has_location_or_key(artifact: &Value) -> bool {
    has_location(artifact) || KINDS.iter().any(|kind| is_given(&artifact[kind.name][kind.key]))
}

/// The default repository as a template's `archiveLocation`, where the template needs one and has none. `archives_by_spec`
/// is the Workflow's `archiveLogs`.
pub(super) fn archive_location(
    template: &Template,
    version: Version,
    repository: &Value,
    archives_by_spec: Option<bool>,
) -> Option<Value> {
    let own = &template.0["archiveLocation"];
    if has_location(own) {
        return None;
    }
    // 3.1 asks the repository alone.
    let by_object = own["archiveLogs"].as_bool().or(archives_by_spec).filter(|_| version > Version::V31);
    let archives = repository["archiveLogs"] == true || by_object.unwrap_or(false);
    let artifacts = list(&template.0["inputs"]["artifacts"]).iter().chain(list(&template.0["outputs"]["artifacts"]));
    let needs = archives || artifacts.into_iter().any(|artifact| !has_location(artifact));
    let mut location = Map::new();
    for (kind, value) in repository.as_object().filter(|_| needs)? {
        let Some(fields) = value.as_object() else { continue };
        let mut fields = fields.clone();
        // What is a format in the repository is the key of the location.
        for format in ["keyFormat", "blobNameFormat", "pathFormat", "keyPrefix"] {
            if let Some(key) = fields.remove(format) {
                let field = match format {
                    "blobNameFormat" => "blob",
                    "pathFormat" => "path",
                    _ => "key",
                };
                fields.entry(field.to_owned()).or_insert(key);
            }
        }
        location.insert(kind.clone(), Value::Object(fields));
    }
    if version > Version::V31 || !repository["archiveLogs"].is_null() {
        location.insert("archiveLogs".to_owned(), json!(archives));
    }
    Some(Value::Object(location))
}

/// The secrets that a template's locations name, a volume each, in the order in which they are met.
pub(super) fn secret_volumes(template: &Template) -> Vec<Value> {
    let template = &template.0;
    let mut secrets: Vec<(String, Vec<String>)> = Vec::new();
    let locations = std::iter::once(&template["archiveLocation"])
        .chain(list(&template["outputs"]["artifacts"]))
        .chain(list(&template["inputs"]["artifacts"]))
        .chain(std::iter::once(&template["data"]["source"]["artifactPaths"]));
    for location in locations {
        for secret in KINDS.iter().flat_map(|kind| kind.secrets.iter().map(|name| &location[kind.name][*name])) {
            let (Some(name), Some(key)) = (secret["name"].as_str(), secret["key"].as_str()) else { continue };
            if name.is_empty() || key.is_empty() {
                continue;
            }
            match secrets.iter_mut().find(|(other, _)| other == name) {
                Some((_, keys)) if keys.iter().any(|other| other == key) => {}
                Some((_, keys)) => keys.push(key.to_owned()),
                None => secrets.push((name.to_owned(), vec![key.to_owned()])),
            }
        }
    }
    let volume = |(name, keys): (String, Vec<String>)| {
        let items: Vec<Value> = keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        json!({"name": name, "secret": {"secretName": name, "items": items}})
    };
    secrets.into_iter().map(volume).collect()
}
