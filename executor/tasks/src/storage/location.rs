//! What a template says of where an artifact is.

use emissary_contract::path;
use serde_json::{Map, Value, json};

use super::StorageError;
use super::azure::Azure;
use super::gcs::Gcs;
use super::git::Git;
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
    Gcs(Gcs),
    Azure(Azure),
    Git(Git),
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

/// Where an artifact is: its own place if that is whole, else the archive location with its key. Nothing where it has no place
/// at all, or a plugin's.
///
/// # Errors
/// Where a secret is missing, the place is not whole, or of a kind that this executor does not have.
pub(crate) fn located(pod: &Pod, artifact: &Value) -> Result<Option<Location>, StorageError> {
    let Some((kind, key, own)) = kind_of(artifact) else { return Ok(None) };
    let archive = pod.value.get("archiveLocation").and_then(kind_of).filter(|_| !is_whole(kind, own));
    let (kind, fields) = match archive {
        // Of whatever kind it is: a key alone says only which object of the repository it is.
        Some((of_archive, key_of_archive, archive)) => {
            let mut fields = archive.clone();
            fields.insert(key_of_archive.to_owned(), own.get(key).cloned().unwrap_or_default());
            (of_archive, fields)
        }
        None => (kind, own.clone()),
    };
    read(&Fields { pod, kind, fields: &fields })
}

/// Where objects are that are searched for: the artifact's own place, with what it does not say of the archive location's, if
/// that is of the same kind and the artifact names no other server. Without a key it is everything.
///
/// # Errors
/// As [`located`].
pub(super) fn searched(pod: &Pod, artifact: &Value) -> Result<Option<Location>, StorageError> {
    let Some((kind, key, own)) = kind_of(artifact) else { return Ok(None) };
    let archive = pod.value.get("archiveLocation").and_then(kind_of);
    // Another server is not shown the repository's credentials.
    let archive = archive.filter(|(archive, ..)| *archive == kind && !own.contains_key("endpoint"));
    let mut fields = archive.map(|(_, _, fields)| fields.clone()).unwrap_or_default();
    fields.remove(key);
    fields.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    if fields.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
        fields.insert(key.to_owned(), "/".into());
    }
    read(&Fields { pod, kind, fields: &fields })
}

/// A place of any kind.
fn read(fields: &Fields) -> Result<Option<Location>, StorageError> {
    match fields.kind {
        "raw" => Ok(Some(Location::Raw(fields.text("data").to_owned()))),
        "http" | "artifactory" => Http::read(fields).map(Location::Http).map(Some),
        "s3" => S3::read(fields).map(Location::S3).map(Some),
        "gcs" => Gcs::read(fields).map(Location::Gcs).map(Some),
        "azure" => Azure::read(fields).map(Location::Azure).map(Some),
        "git" => Git::read(fields).map(Location::Git).map(Some),
        "plugin" => Ok(None),
        other => Err(StorageError::lasting(instead(other))),
    }
}

/// What to write for a kind that this executor does not have.
fn instead(kind: &str) -> String {
    let other = match kind {
        "oss" => {
            "OSS speaks S3 as well, so write s3 with endpoint: s3.oss-REGION.aliyuncs.com, addressingStyle: virtual-hosted and \
             the same bucket, key and secrets"
        }
        "hdfs" => {
            "with WebHDFS write http with url: https://NAMENODE:PORT/webhdfs/v1/PATH?op=OPEN, or ?op=CREATE for an output"
        }
        _ => "there are s3, gcs, azure, http, artifactory, git and raw",
    };
    format!("artifacts in {kind} are not supported by this executor: {other}")
}

/// What makes a place whole, so that it needs nothing of the archive location.
const WHOLE: [(&str, &[&str]); 9] = [
    ("s3", &["endpoint", "bucket", "key"]),
    ("gcs", &["bucket", "key"]),
    ("azure", &["endpoint", "container", "blob"]),
    ("oss", &["endpoint", "bucket", "key"]),
    ("http", &["url"]),
    ("artifactory", &["url", "usernameSecret"]),
    ("hdfs", &["addresses"]),
    ("git", &["repo"]),
    ("plugin", &["name", "configuration", "key"]),
];

fn is_whole(kind: &str, fields: &Map<String, Value>) -> bool {
    let has = |name: &&str| match fields.get(*name) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(_)) => true,
        _ => false,
    };
    WHOLE.iter().find(|(known, _)| *known == kind).is_none_or(|(_, names)| names.iter().all(has))
}

/// A place's fields, and the secrets that they name.
pub(crate) struct Fields<'a> {
    pod: &'a Pod,
    kind: &'static str,
    fields: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// The template's name of the place.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// Where it is not, by name.
    pub(crate) fn needed(&self, name: &str) -> Result<String, StorageError> {
        match self.text(name) {
            "" => Err(StorageError::lasting(format!("{}.{name} is not set", self.kind))),
            text => Ok(text.to_owned()),
        }
    }

    /// A text; empty where it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether something is true.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A number that is not negative.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
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
