//! OCI image layout (image-spec, image-layout.md): `index.json`, and blobs by digest.

use super::store::Store;
use super::{Config, Image, verify};
use emissary_core::image::{Digest, ImageProcess, Platform};
use serde::Deserialize;
use std::collections::BTreeMap;

const MANIFEST_LIMIT: u64 = 4 << 20;
const CONFIG_LIMIT: u64 = 8 << 20;
/// Indexes within indexes, that of the layout not included.
const DEEPEST: usize = 3;
/// Manifests of one layout.
const MOST_MANIFESTS: usize = 10_000;

/// What containerd writes beside the tag: the whole name.
const WHOLE_NAME: &str = "io.containerd.image.name";
const NAME: &str = "org.opencontainers.image.ref.name";
/// BuildKit marks its attestations so.
const ATTESTATION: &str = "vnd.docker.reference.type";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    fn annotation(&self, key: &str) -> Option<&String> {
        self.annotations.as_ref()?.get(key)
    }
}

pub(super) fn images(store: &mut Store) -> Result<Vec<Image>, String> {
    let bytes = store.read("index.json", MANIFEST_LIMIT)?;
    let index: Document = serde_json::from_slice(&bytes).map_err(|error| format!("index.json: {error}"))?;
    let mut images: Vec<Image> = Vec::new();
    let mut left = MOST_MANIFESTS;
    for descriptor in index.manifests.unwrap_or_default() {
        let name = descriptor.annotation(WHOLE_NAME).or_else(|| descriptor.annotation(NAME)).cloned();
        // An image with two names is listed twice.
        if let Some(known) = images.iter_mut().find(|image| image.digest.as_ref() == Some(&descriptor.digest)) {
            known.names.extend(name);
            continue;
        }
        let mut processes = Vec::new();
        walk(store, &descriptor, 0, &mut left, &mut processes)?;
        // A signature or a chart beside the images.
        if !processes.is_empty() {
            images.push(Image { names: name.into_iter().collect(), digest: Some(descriptor.digest), processes });
        }
    }
    Ok(images)
}

fn walk(
    store: &mut Store,
    descriptor: &Descriptor,
    depth: usize,
    left: &mut usize,
    processes: &mut Vec<(Platform, ImageProcess)>,
) -> Result<(), String> {
    let Descriptor { digest, .. } = descriptor;
    if depth > DEEPEST {
        return Err(format!("{digest}: indexes stand too deep within each other"));
    }
    *left = left.checked_sub(1).ok_or("it has too many manifests")?;
    if descriptor.annotation(ATTESTATION).is_some() {
        return Ok(());
    }
    let bytes = blob(store, descriptor, MANIFEST_LIMIT)?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| format!("{digest}: {error}"))?;
    for inner in document.manifests.iter().flatten() {
        walk(store, inner, depth + 1, left, processes)?;
    }
    let is_image = |media_type: &str| {
        ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"]
            .contains(&media_type)
    };
    if let Some(config) = document.config.filter(|config| is_image(&config.media_type)) {
        let bytes = blob(store, &config, CONFIG_LIMIT)?;
        let (platform, process) = Config::parse(&bytes, config.digest.as_str())?;
        if !processes.iter().any(|(known, _)| *known == platform) {
            processes.push((platform, process));
        }
    }
    Ok(())
}

/// A blob, of the size and digest by which it is named. The name is made of a checked digest, so it leads nowhere else.
fn blob(store: &mut Store, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, String> {
    let Descriptor { digest, size, .. } = descriptor;
    let bytes = store.read(&format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex()), limit)?;
    if bytes.len() as u64 != *size {
        return Err(format!("{digest}: has {} bytes, and {size} are announced; it is damaged", bytes.len()));
    }
    verify(&bytes, digest)?;
    Ok(bytes)
}
