//! What a template says of where an artifact is.

use emissary_contract::path;
use serde_json::{Map, Value, json};

use super::StorageError;
use super::http::Http;
use super::s3::S3;
use crate::beneath;
use crate::pod::Pod;

/// The longest secret, bytes: what a Secret of the API can hold.
const LONGEST_SECRET: u64 = 1 << 20;

/// The kinds of place that an artifact can be at, and the field that is its key, by the template's names.
const KINDS: [(&str, &str); 10] = [
    ("s3", "key"),
    ("http", "url"),
    ("artifactory", "url"),
    ("raw", "data"),
    ("gcs", "key"),
    ("azure", "blob"),
    ("oss", "key"),
    ("hdfs", "path"),
    ("git", "repo"),
    ("plugin", "key"),
];

/// A place, with what is needed to get there.
#[derive(Debug)]
pub(crate) enum Location {
    /// In the template itself.
    Raw(String),
    Http(Http),
    S3(S3),
}

/// The kind of an artifact's place; nothing where it has none.
fn kind_of(artifact: &Value) -> Option<(&'static str, &'static str, &Map<String, Value>)> {
    KINDS.iter().find_map(|(kind, key)| Some((*kind, *key, artifact.get(*kind)?.as_object()?)))
}

/// An artifact's key, where it has a place with one.
pub(crate) fn key_of(artifact: &Value) -> Option<&str> {
    let (_, key, fields) = kind_of(artifact)?;
    fields.get(key)?.as_str().filter(|key| !key.is_empty())
}

/// The artifact as it is reported: with a key under the template's archive location where it had none.
///
/// # Errors
/// Where the template has no archive location.
pub(crate) fn report_as(mut artifact: Value, name: &str, archive: &Value) -> Result<Value, StorageError> {
    if key_of(&artifact).is_some() {
        return Ok(artifact);
    }
    let Some((kind, key, fields)) = kind_of(archive) else {
        return Err(StorageError::lasting(
            "there is nowhere to store it: give the artifact a location, or the controller an artifact repository",
        ));
    };
    let prefix = fields.get(key).and_then(Value::as_str).unwrap_or_default().trim_end_matches('/');
    let whole = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    if let Some(artifact) = artifact.as_object_mut() {
        // The place's other fields are the controller's to add, as it does for a key alone.
        artifact.insert(kind.to_owned(), json!({ key: whole }));
    }
    Ok(artifact)
}

/// Where an artifact is: its own fields if they are a whole place, else the archive location's with its key. Nothing where it
/// has no place at all, or a plugin's.
///
/// # Errors
/// Where a secret is missing, the place is not whole, or of a kind that this executor does not have.
pub(crate) fn located(pod: &Pod, artifact: &Value) -> Result<Option<Location>, StorageError> {
    let archive = pod.value.get("archiveLocation").unwrap_or(&Value::Null);
    let Some((kind, key, own)) = kind_of(artifact) else { return Ok(None) };
    let fields = match (kind_of(archive), whole(kind, own)) {
        (Some((of_archive, _, archive)), false) if of_archive == kind => {
            let mut fields = archive.clone();
            fields.insert(key.to_owned(), own.get(key).cloned().unwrap_or_default());
            fields
        }
        _ => own.clone(),
    };
    let fields = Fields { pod, kind, fields: &fields };
    match kind {
        "raw" => Ok(Some(Location::Raw(fields.text("data").to_owned()))),
        "http" | "artifactory" => Http::read(&fields).map(Location::Http).map(Some),
        "s3" => S3::read(&fields).map(Location::S3).map(Some),
        "plugin" => Ok(None),
        other => Err(StorageError::lasting(format!(
            "artifacts in {other} are not supported by this executor; s3, http, artifactory and raw are"
        ))),
    }
}

/// Whether a place needs nothing of the archive location.
fn whole(kind: &str, fields: &Map<String, Value>) -> bool {
    let has = |name: &str| fields.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    match kind {
        "s3" => has("endpoint") && has("bucket"),
        _ => true,
    }
}

/// A place's fields, and the secrets that they name.
pub(crate) struct Fields<'a> {
    pod: &'a Pod,
    kind: &'static str,
    fields: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// A text; empty where it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether something is true.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A list.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        self.fields.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// The fields of a field, where there is one.
    pub(crate) fn under(&self, name: &str) -> Option<Fields<'_>> {
        let fields = self.fields.get(name)?.as_object()?;
        Some(Fields { pod: self.pod, kind: self.kind, fields })
    }

    /// The secret that a field names, where it names one.
    ///
    /// # Errors
    /// Where the secret is not mounted, or is no text. The message has its name, never what is in it.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<String>, StorageError> {
        let Some(selector) = self.under(name) else { return Ok(None) };
        let (secret, key) = (selector.text("name"), selector.text("key"));
        if secret.is_empty() || key.is_empty() {
            return Ok(None);
        }
        let root = self.pod.shared.place(path::SECRETS);
        // The kubelet mounts a secret's keys as links.
        let file = beneath::open(&root, &format!("{secret}/{key}"), beneath::Links::OfTheRoot);
        let text = file.and_then(|file| beneath::text(file, LONGEST_SECRET));
        match text {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => Err(StorageError::lasting(format!(
                "cannot read key {key} of secret {secret} for {}.{name}: {error}",
                self.kind
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_put_together_where_there_is_none() {
        let archive = json!({"archiveLogs": true, "s3": {"bucket": "b", "key": "wf/pod"}});
        let cases = [
            (json!({"name": "a", "path": "/x"}), json!({"name": "a", "path": "/x", "s3": {"key": "wf/pod/a.tgz"}})),
            (json!({"name": "a", "s3": {"key": "own"}}), json!({"name": "a", "s3": {"key": "own"}})),
            (json!({"name": "a", "s3": {"bucket": "own"}}), json!({"name": "a", "s3": {"key": "wf/pod/a.tgz"}})),
            (json!({"name": "a", "http": {"url": "http://u"}}), json!({"name": "a", "http": {"url": "http://u"}})),
        ];
        for (artifact, expected) in cases {
            assert_eq!(report_as(artifact, "a.tgz", &archive).unwrap(), expected);
        }
        assert!(report_as(json!({"name": "a"}), "a.tgz", &Value::Null).is_err());
    }
}
