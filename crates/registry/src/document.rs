//! Manifests, indexes and configurations, read from bytes that a stranger wrote.
//!
//! Of `oci-distribution` only the media types are used. Its manifest types are both too strict and too generous for this
//! place: one index entry without `platform.os` or a manifest with `"layers": null`, both of which exist, fail the whole
//! document; its untagged enum reads a document that is image and index at once as whichever comes first
//! (CVE-2021-41190); and nothing bounds what a few megabytes of it grow to in memory.

use crate::{
    Failure,
    bounded::{AttestationMark, Bounded},
};
use emissary_core::image::{Digest, DigestAlgorithm, ImageProcess, Platform};
use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt::Write as _;

/// Entries of one index. The largest official images have some thirty.
const MOST_ENTRIES: usize = 1024;
/// Words of one `ENTRYPOINT` or `CMD`.
const MOST_WORDS: usize = 1024;
/// Bytes of `ENTRYPOINT`, `CMD` and `USER` together: what Linux lets one argument be long.
const LONGEST_PROCESS: usize = 128 << 10;

/// What a manifest URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// An OCI image index or a Docker manifest list, less what is no image.
    Index(Vec<Entry>),
    /// An OCI or Docker schema 2 image manifest.
    Manifest {
        /// Its configuration.
        config: Descriptor,
    },
}

/// Content by digest (OCI image spec, "Descriptor").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// One line of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) content: Descriptor,
    pub(crate) nested: bool,
    /// `None` where the index leaves it to the configuration.
    pub(crate) platform: Option<Platform>,
}

/// What an image's configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageConfig {
    /// `None` where it names no platform, or `unknown`.
    pub(crate) platform: Option<Platform>,
    pub(crate) process: ImageProcess,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<Bounded<RawEntry, MOST_ENTRIES>>,
    config: Option<RawDescriptor>,
    layers: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<i64>,
    platform: Option<RawPlatform>,
    #[serde(default)]
    annotations: AttestationMark,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct RawConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    config: Option<RawProcess>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawProcess {
    entrypoint: Option<Bounded<String, MOST_WORDS>>,
    cmd: Option<Bounded<String, MOST_WORDS>>,
    user: Option<String>,
}

enum Kind {
    Index,
    Manifest,
    Schema1,
}

impl Kind {
    fn of(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or_default().trim() {
            OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => Some(Self::Index),
            OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE => Some(Self::Manifest),
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Some(Self::Schema1),
            _ => None,
        }
    }
}

/// Reads a manifest or index.
///
/// Its own `mediaType` says what it is, else the `Content-Type`, else its shape: registries that serve everything as
/// `application/json` exist.
pub(crate) fn parse(body: &[u8], content_type: Option<&str>) -> Result<Document, Failure> {
    let raw: RawDocument =
        serde_json::from_slice(body).map_err(|_| Failure::Protocol("the manifest is not the JSON of a manifest"))?;
    let declared = raw.media_type.as_deref().and_then(Kind::of).or_else(|| content_type.and_then(Kind::of));
    if raw.manifests.is_some() && (raw.config.is_some() || raw.layers.is_some()) {
        return Err(Failure::Protocol("the manifest is an index and an image at once"));
    }
    let schema1 = raw.schema_version == Some(1) || raw.fs_layers.is_some();
    match declared {
        Some(Kind::Schema1) => Err(SCHEMA_1),
        _ if schema1 => Err(SCHEMA_1),
        Some(Kind::Index) => index(raw.manifests),
        Some(Kind::Manifest) => manifest(raw.config),
        None if raw.manifests.is_some() => index(raw.manifests),
        None if raw.config.is_some() => manifest(raw.config),
        None => Err(Failure::NotAnImage { what: "a document of an unknown kind" }),
    }
}

/// Refuses Docker's schema 1 before its digest is looked at: that is of the text without the signatures in it, so it would be
/// taken for content that was changed.
pub(crate) fn refuse_schema_1(content_type: Option<&str>) -> Result<(), Failure> {
    match content_type.and_then(Kind::of) {
        Some(Kind::Schema1) => Err(SCHEMA_1),
        Some(Kind::Index | Kind::Manifest) | None => Ok(()),
    }
}

const SCHEMA_1: Failure =
    Failure::NotAnImage { what: "one in Docker's manifest schema 1, which runtimes no longer pull; push it again" };

fn index(manifests: Option<Bounded<RawEntry, MOST_ENTRIES>>) -> Result<Document, Failure> {
    let manifests = manifests.ok_or(Failure::Protocol("the index has no manifests"))?;
    if manifests.overflowed {
        return Err(Failure::TooLarge { what: "the index", limit: MOST_ENTRIES as u64, unit: "entries" });
    }
    Ok(Document::Index(manifests.items.into_iter().filter_map(entry).collect()))
}

/// An entry that may be an image; what is malformed or something else is passed over, since the next may be fine.
fn entry(raw: RawEntry) -> Option<Entry> {
    let nested = match raw.media_type.as_deref().filter(|text| !text.is_empty()).map(Kind::of) {
        Some(Some(Kind::Index)) => true,
        Some(Some(Kind::Manifest)) | None => false,
        Some(Some(Kind::Schema1) | None) => return None,
    };
    let platform = match raw.platform {
        Some(RawPlatform { os, architecture, variant }) => {
            let (os, architecture) = (os.unwrap_or_default(), architecture.unwrap_or_default());
            if is_unknown(&os) && is_unknown(&architecture) && !(os.is_empty() && architecture.is_empty()) {
                return None;
            }
            platform(&os, &architecture, variant.as_deref())
        }
        None => None,
    };
    if raw.annotations.0 {
        return None;
    }
    let digest = Digest::parse(&raw.digest?).ok()?;
    let size = u64::try_from(raw.size?).ok()?;
    Some(Entry { content: Descriptor { digest, size }, nested, platform })
}

fn is_unknown(text: &str) -> bool {
    text.is_empty() || text == "unknown"
}

/// `None` unless both are known and look like a platform, so that what is listed to a user is one.
fn platform(os: &str, architecture: &str, variant: Option<&str>) -> Option<Platform> {
    const LONGEST: usize = 32;
    if is_unknown(os) || is_unknown(architecture) {
        return None;
    }
    let variant = variant.filter(|variant| !variant.is_empty());
    let parts = [Some(os), Some(architecture), variant];
    if parts.into_iter().flatten().any(|part| part.len() > LONGEST) {
        return None;
    }
    let text = match variant {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    };
    Platform::parse(&text).ok()
}

fn manifest(config: Option<RawDescriptor>) -> Result<Document, Failure> {
    let config = config.ok_or(Failure::Protocol("the manifest has no config"))?;
    match config.media_type.as_deref().unwrap_or_default() {
        IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE => {}
        // Docker wrote this before 1.10 and still takes it for an image's configuration.
        "application/octet-stream" => {}
        "application/vnd.cncf.helm.config.v1+json" => return Err(Failure::NotAnImage { what: "a Helm chart" }),
        _ => return Err(Failure::NotAnImage { what: "another kind of OCI artifact" }),
    }
    let digest = config.digest.as_deref().and_then(|text| Digest::parse(text).ok());
    let size = config.size.and_then(|size| u64::try_from(size).ok());
    match (digest, size) {
        (Some(digest), Some(size)) => Ok(Document::Manifest { config: Descriptor { digest, size } }),
        _ => Err(Failure::Protocol("the manifest's config has no valid digest and size")),
    }
}

/// Reads an image's configuration. What is missing or null is empty, as in Go.
pub(crate) fn parse_config(body: &[u8]) -> Result<ImageConfig, Failure> {
    let raw: RawConfig = serde_json::from_slice(body)
        .map_err(|_| Failure::Protocol("the image's config is not the JSON of a config"))?;
    let RawConfig { os, architecture, variant, config } = raw;
    let platform = platform(&os.unwrap_or_default(), &architecture.unwrap_or_default(), variant.as_deref());
    let process = config.unwrap_or(RawProcess { entrypoint: None, cmd: None, user: None });
    let RawProcess { entrypoint, cmd, user } = process;
    let process =
        ImageProcess { entrypoint: words(entrypoint)?, cmd: words(cmd)?, user: user.filter(|user| !user.is_empty()) };
    let words = process.entrypoint.iter().chain(&process.cmd).chain(&process.user);
    if words.map(String::len).sum::<usize>() > LONGEST_PROCESS {
        return Err(Failure::TooLarge { what: "the image's command", limit: LONGEST_PROCESS as u64, unit: "bytes" });
    }
    Ok(ImageConfig { platform, process })
}

fn words(list: Option<Bounded<String, MOST_WORDS>>) -> Result<Vec<String>, Failure> {
    match list {
        Some(Bounded { overflowed: true, .. }) => {
            Err(Failure::TooLarge { what: "the image's command", limit: MOST_WORDS as u64, unit: "words" })
        }
        Some(Bounded { items, .. }) => Ok(items),
        None => Ok(Vec::new()),
    }
}

/// Checks content against the digest by which it is known.
pub(crate) fn verify(body: &[u8], digest: &Digest) -> Result<(), Failure> {
    if hex(body, digest.algorithm()) == digest.hex() {
        return Ok(());
    }
    Err(Failure::DigestMismatch { expected: digest.clone() })
}

/// The `sha256` digest of content that came without one.
pub(crate) fn digest(body: &[u8]) -> Result<Digest, Failure> {
    let text = format!("sha256:{}", hex(body, DigestAlgorithm::Sha256));
    Digest::parse(&text).map_err(|_| Failure::Protocol("the content has no digest"))
}

fn hex(body: &[u8], algorithm: DigestAlgorithm) -> String {
    let write = |hash: &[u8]| {
        hash.iter().fold(String::with_capacity(hash.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    match algorithm {
        DigestAlgorithm::Sha256 => write(&Sha256::digest(body)),
        DigestAlgorithm::Sha512 => write(&Sha512::digest(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn kind(result: Result<Document, Failure>) -> String {
        match result {
            Ok(Document::Index(entries)) => {
                let show = |entry: &Entry| match (&entry.platform, entry.nested) {
                    (_, true) => "index".to_owned(),
                    (Some(platform), _) => platform.to_string(),
                    (None, _) => "?".to_owned(),
                };
                entries.iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Ok(Document::Manifest { .. }) => "manifest".to_owned(),
            Err(failure) => failure.kind().to_owned(),
        }
    }

    #[test]
    fn tells_images_from_the_rest() {
        let config = json!({"mediaType": IMAGE_CONFIG_MEDIA_TYPE, "digest": DIGEST, "size": 2});
        let with = |media_type: &str| json!({"mediaType": media_type, "digest": DIGEST, "size": 2});
        let table = [
            (json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "config": config, "layers": []}), None, "manifest"),
            (json!({"config": config, "layers": null}), None, "manifest"),
            (json!({"config": config}), Some("application/json"), "manifest"),
            (json!({"config": config}), Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), "manifest"),
            (json!({"config": with("application/octet-stream")}), None, "manifest"),
            (json!({"config": with("application/vnd.cncf.helm.config.v1+json")}), None, "not-an-image"),
            (json!({"config": with("application/vnd.oci.empty.v1+json")}), None, "not-an-image"),
            (json!({"config": {"mediaType": IMAGE_CONFIG_MEDIA_TYPE, "digest": "x", "size": 2}}), None, "protocol"),
            (json!({"config": {"mediaType": IMAGE_CONFIG_MEDIA_TYPE, "digest": DIGEST, "size": -2}}), None, "protocol"),
            (json!({"config": config, "manifests": []}), None, "protocol"),
            (json!({"layers": [], "manifests": []}), None, "protocol"),
            (json!({"schemaVersion": 1, "fsLayers": []}), None, "not-an-image"),
            (json!({}), Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), "not-an-image"),
            (json!({"mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE}), None, "protocol"),
            (json!({"mediaType": "text/x"}), None, "not-an-image"),
            (json!({}), Some(OCI_IMAGE_MEDIA_TYPE), "protocol"),
            (json!([]), None, "protocol"),
            (json!({"manifests": []}), None, ""),
            (json!({"manifests": [{}, with(OCI_IMAGE_MEDIA_TYPE)]}), None, "?"),
        ];
        for (document, content_type, expected) in table {
            assert_eq!(kind(parse(document.to_string().as_bytes(), content_type)), expected, "{document}");
        }
    }

    #[test]
    fn passes_over_entries_that_are_no_images() {
        let entry = |platform: serde_json::Value, extra: serde_json::Value| {
            let mut entry = json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": DIGEST, "size": 2});
            entry["platform"] = platform;
            for (key, value) in extra.as_object().unwrap() {
                entry[key] = value.clone();
            }
            entry
        };
        let amd64 = json!({"os": "linux", "architecture": "amd64"});
        let document = json!({"manifests": [
            entry(amd64.clone(), json!({})),
            entry(json!({"os": "unknown", "architecture": "unknown"}), json!({})),
            entry(amd64.clone(), json!({"annotations": {"vnd.docker.reference.type": "attestation-manifest"}})),
            entry(amd64.clone(), json!({"annotations": null, "size": -1})),
            entry(amd64.clone(), json!({"digest": "md5:1"})),
            entry(amd64.clone(), json!({"mediaType": "application/vnd.in-toto+json"})),
            entry(json!({"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1"}), json!({"annotations": {"a": "b"}})),
            entry(json!({}), json!({})),
            entry(json!({"os": "linux\n", "architecture": "amd64"}), json!({})),
            entry(json!(null), json!({"mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE})),
        ]});
        assert_eq!(kind(parse(document.to_string().as_bytes(), None)), "linux/amd64 linux/arm64 ? ? index");
    }

    #[test]
    fn reads_configs_of_every_builder() {
        let own = |entrypoint: &[&str], cmd: &[&str], user: Option<&str>| {
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            ImageProcess { entrypoint: own(entrypoint), cmd: own(cmd), user: user.map(str::to_owned) }
        };
        let table = [
            (json!({}), None, own(&[], &[], None)),
            (json!({"config": null}), None, own(&[], &[], None)),
            (json!({"config": {"Entrypoint": null, "Cmd": null, "User": ""}}), None, own(&[], &[], None)),
            (
                json!({"os": "linux", "architecture": "arm", "variant": "v6", "created": 7, "config": {
                    "Entrypoint": ["/a", ""], "Cmd": ["b"], "User": "1000:1000", "Env": ["SECRET=1"]}}),
                Some("linux/arm/v6"),
                own(&["/a", ""], &["b"], Some("1000:1000")),
            ),
            (json!({"os": "linux", "architecture": "unknown"}), None, own(&[], &[], None)),
        ];
        for (config, platform, process) in table {
            let parsed = parse_config(config.to_string().as_bytes()).unwrap();
            let platform = platform.map(|text| Platform::parse(text).unwrap());
            assert_eq!(parsed, ImageConfig { platform, process }, "{config}");
        }
    }

    #[test]
    fn bounds_what_a_config_may_say() {
        let table = [
            json!({"config": {"Cmd": vec![""; MOST_WORDS + 1]}}),
            json!({"config": {"Entrypoint": ["x".repeat(LONGEST_PROCESS)], "Cmd": ["y"]}}),
        ];
        for config in table {
            let failure = parse_config(config.to_string().as_bytes()).unwrap_err();
            assert!(matches!(failure, Failure::TooLarge { .. }), "{failure}");
        }
        let index = json!({"manifests": vec![json!({}); MOST_ENTRIES + 1]});
        assert!(matches!(parse(index.to_string().as_bytes(), None), Err(Failure::TooLarge { .. })));
    }

    #[test]
    fn verifies_both_algorithms() {
        let abc256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let abc512 = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(digest(b"abc").unwrap().as_str(), abc256);
        for text in [abc256, abc512] {
            let digest = Digest::parse(text).unwrap();
            assert!(verify(b"abc", &digest).is_ok());
            assert!(verify(b"abd", &digest).is_err());
        }
    }
}
