use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, fmt::Write as _};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// An image of one platform with an empty file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    platform: String,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
    config: Option<Vec<u8>>,
    config_media_type: Option<String>,
    docker: bool,
}

/// An OCI image index or a Docker manifest list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    entries: Vec<IndexEntry>,
    docker: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum IndexEntry {
    Image(Image),
    ImageWithoutPlatform(Image),
    Nested(Index),
    Attestation,
}

/// What a tag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One platform.
    Image(Image),
    /// Several.
    Index(Index),
    /// Bytes served as they are.
    Raw {
        /// `Content-Type` they are served with.
        media_type: String,
        /// The document.
        bytes: Vec<u8>,
    },
}

impl Image {
    /// An OCI image for `os/architecture[/variant]` without entrypoint, cmd and user; `""` leaves the platform out.
    pub fn new(platform: &str) -> Self {
        Self { platform: platform.to_owned(), ..Self::default() }
    }

    /// Sets `ENTRYPOINT`, exec form.
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = Some(owned(words));
        self
    }

    /// Sets `CMD`, exec form.
    pub fn cmd(mut self, words: &[&str]) -> Self {
        self.cmd = Some(owned(words));
        self
    }

    /// Sets `CMD` in shell form, as a builder writes it.
    pub fn shell_cmd(self, line: &str) -> Self {
        self.cmd(&["/bin/sh", "-c", line])
    }

    /// Sets `USER`.
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Uses Docker's schema 2 media types in place of OCI's.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Uses these bytes as the configuration, whatever they are.
    pub fn config(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.config = Some(bytes.into());
        self
    }

    /// Claims another media type for the configuration, as artifacts that are no images do.
    pub fn config_media_type(mut self, media_type: &str) -> Self {
        self.config_media_type = Some(media_type.to_owned());
        self
    }

    fn config_bytes(&self, diff_id: &str) -> Vec<u8> {
        if let Some(bytes) = &self.config {
            return bytes.clone();
        }
        let mut config = json!({
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Entrypoint": self.entrypoint, "Cmd": self.cmd},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        if let Some(user) = &self.user {
            config["config"]["User"] = json!(user);
        }
        if let Value::Object(platform) = platform(&self.platform) {
            for (key, value) in platform {
                config[key] = value;
            }
        }
        config.to_string().into_bytes()
    }
}

impl Index {
    /// An OCI image index.
    pub fn oci() -> Self {
        Self::default()
    }

    /// A Docker manifest list.
    pub fn docker() -> Self {
        Self { docker: true, ..Self::default() }
    }

    /// Lists an image with its platform.
    pub fn image(mut self, image: Image) -> Self {
        self.entries.push(IndexEntry::Image(image));
        self
    }

    /// Lists an image without saying its platform, as some builders do.
    pub fn image_without_platform(mut self, image: Image) -> Self {
        self.entries.push(IndexEntry::ImageWithoutPlatform(image));
        self
    }

    /// Lists another index.
    pub fn nested(mut self, index: Index) -> Self {
        self.entries.push(IndexEntry::Nested(index));
        self
    }

    /// Lists a BuildKit attestation, of platform `unknown/unknown`.
    pub fn attestation(mut self) -> Self {
        self.entries.push(IndexEntry::Attestation);
        self
    }
}

impl Manifest {
    /// Bytes served as they are.
    pub fn raw(media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::Raw { media_type: media_type.to_owned(), bytes: bytes.into() }
    }
}

impl From<Image> for Manifest {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<Index> for Manifest {
    fn from(index: Index) -> Self {
        Self::Index(index)
    }
}

/// Everything that can be fetched. Manifests are kept by repository, blobs by digest.
#[derive(Default)]
pub(crate) struct Store {
    tags: HashMap<(String, String), String>,
    manifests: HashMap<(String, String), Stored>,
    blobs: HashMap<(String, String), Bytes>,
}

#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

impl Store {
    pub(crate) fn put(&mut self, name: &str, manifest: Manifest) {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let stored = self.manifest(repository, manifest);
        self.tags.insert((repository.to_owned(), tag.to_owned()), stored.digest);
    }

    pub(crate) fn digest(&self, name: &str) -> Option<String> {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        self.tags.get(&(repository.to_owned(), tag.to_owned())).cloned()
    }

    /// By tag or digest.
    pub(crate) fn find_manifest(&self, repository: &str, reference: &str) -> Option<Stored> {
        let tag = (repository.to_owned(), reference.to_owned());
        let digest = self.tags.get(&tag).map_or(reference, String::as_str);
        self.manifests.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }

    pub(crate) fn find_blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        self.blobs.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }

    fn manifest(&mut self, repository: &str, manifest: Manifest) -> Stored {
        let (media_type, bytes) = match manifest {
            Manifest::Raw { media_type, bytes } => (media_type, bytes),
            Manifest::Image(image) => self.image(repository, &image),
            Manifest::Index(index) => self.index(repository, index),
        };
        let stored = Stored { media_type, digest: digest(&bytes), bytes: bytes.into() };
        self.manifests.insert((repository.to_owned(), stored.digest.clone()), stored.clone());
        stored
    }

    fn image(&mut self, repository: &str, image: &Image) -> (String, Vec<u8>) {
        let (manifest_type, config_type, layer_type) = match image.docker {
            true => (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER),
            false => (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER),
        };
        // Two zero blocks are a whole, empty tar archive, and uncompressed it is its own diff id.
        let layer = vec![0_u8; 1024];
        let config = image.config_bytes(&digest(&layer));
        let config_type = image.config_media_type.as_deref().unwrap_or(config_type);
        let document = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": descriptor(config_type, &config),
            "layers": [descriptor(layer_type, &layer)],
        });
        for blob in [config, layer] {
            self.blobs.insert((repository.to_owned(), digest(&blob)), blob.into());
        }
        (manifest_type.to_owned(), document.to_string().into_bytes())
    }

    fn index(&mut self, repository: &str, index: Index) -> (String, Vec<u8>) {
        let media_type = if index.docker { DOCKER_LIST } else { OCI_INDEX };
        let entries: Vec<Value> = index.entries.into_iter().map(|entry| self.entry(repository, entry)).collect();
        let document = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        (media_type.to_owned(), document.to_string().into_bytes())
    }

    fn entry(&mut self, repository: &str, entry: IndexEntry) -> Value {
        let mut describe = |manifest: Manifest| {
            let stored = self.manifest(repository, manifest);
            descriptor(&stored.media_type, &stored.bytes)
        };
        match entry {
            IndexEntry::Image(image) => {
                let platform = platform(&image.platform);
                let mut entry = describe(image.into());
                entry["platform"] = platform;
                entry
            }
            IndexEntry::ImageWithoutPlatform(image) => describe(image.into()),
            IndexEntry::Nested(index) => describe(index.into()),
            IndexEntry::Attestation => {
                let mut entry = describe(Image::new("unknown/unknown").into());
                entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
                entry["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
                entry
            }
        }
    }
}

fn platform(text: &str) -> Value {
    let mut parts = text.split('/').filter(|part| !part.is_empty());
    let mut platform = json!({});
    for key in ["os", "architecture", "variant"] {
        if let Some(part) = parts.next() {
            platform[key] = json!(part);
        }
    }
    platform
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
