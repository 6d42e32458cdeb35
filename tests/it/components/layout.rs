//! Image layouts on disk (OCI image-spec, `image-layout.md`) of images whose only content is their configuration.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A folder in the OCI image layout, for `skopeo copy oci:FOLDER:TAG …`.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    folder: &'a Path,
    manifests: Vec<Value>,
}

/// What one image says: its platform, and the `config` of its configuration (`Entrypoint`, `Cmd`, `User`, …).
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) os: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) config: Value,
}

impl Image {
    pub(crate) fn linux(architecture: &'static str, config: Value) -> Self {
        Self { os: "linux", architecture, config }
    }
}

impl<'a> Layout<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { folder, manifests: Vec::new() }
    }

    /// Adds an image of one platform under `tag`; its manifest's digest.
    pub(crate) fn image(&mut self, tag: &str, image: &Image) -> String {
        let descriptor = self.manifest(image);
        self.name(tag, descriptor)
    }

    /// Adds an index of several images under `tag`; the index's digest.
    pub(crate) fn index(&mut self, tag: &str, images: &[Image]) -> String {
        let manifests: Vec<Value> = images
            .iter()
            .map(|image| {
                let mut descriptor = self.manifest(image);
                descriptor["platform"] = json!({"os": image.os, "architecture": image.architecture});
                descriptor
            })
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
        let descriptor = self.blob(media_type, index.to_string().as_bytes());
        self.name(tag, descriptor)
    }

    /// Adds an artifact that is no image (OCI image spec, "Guidelines for Artifact Usage") under `tag`.
    pub(crate) fn artifact(&mut self, tag: &str, config_type: &str, layer_type: &str) {
        let layer = self.blob(layer_type, b"content");
        let config = self.blob(config_type, b"{}");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
        let descriptor = self.blob(media_type, manifest.to_string().as_bytes());
        self.name(tag, descriptor);
    }

    fn manifest(&self, Image { os, architecture, config }: &Image) -> Value {
        // Two blocks of zeros end a tar; so this one is empty. Compressed, because skopeo compresses what is not, and the
        // manifest would be another.
        let layer = [0; 1024];
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&layer).unwrap();
        let packed = self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed.finish().unwrap());
        let config = json!({
            "os": os,
            "architecture": architecture,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
            "history": [{"created_by": "tests"}],
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [packed]});
        self.blob(media_type, manifest.to_string().as_bytes())
    }

    /// Writes a blob; its descriptor.
    fn blob(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = sha256(content);
        fs::write(self.folder.join("blobs/sha256").join(&digest["sha256:".len()..]), content).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn name(&mut self, tag: &str, mut descriptor: Value) -> String {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        self.manifests.push(descriptor);
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
        digest
    }
}

/// A digest as the OCI image-spec writes it.
pub(crate) fn sha256(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn a_digest_is_that_of_the_bytes() {
    // FIPS 180-2, appendix B.1.
    assert_eq!(sha256(b"abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
