//! What `docker save` wrote before Docker 25, and skopeo's `docker-archive`: `manifest.json`, and configurations named by
//! their digests.

use super::store::Store;
use super::{Config, Image, verify};
use emissary_core::image::Digest;
use serde::Deserialize;

const MANIFEST_LIMIT: u64 = 4 << 20;
const CONFIG_LIMIT: u64 = 8 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

pub(super) fn images(store: &mut Store) -> Result<Vec<Image>, String> {
    let bytes = store.read("manifest.json", MANIFEST_LIMIT)?;
    let saved: Vec<Saved> = serde_json::from_slice(&bytes).map_err(|error| format!("manifest.json: {error}"))?;
    saved.into_iter().map(|saved| image(store, saved)).collect()
}

fn image(store: &mut Store, Saved { config, repo_tags }: Saved) -> Result<Image, String> {
    // `<hex>.json`, or `blobs/sha256/<hex>` since Docker 25.
    let hex = config.strip_suffix(".json").or_else(|| config.strip_prefix("blobs/sha256/"));
    let digest = hex.and_then(|hex| Digest::parse(&format!("sha256:{hex}")).ok());
    let Some(digest) = digest else {
        return Err(format!("manifest.json: the configuration {config:?} is not named by its digest"));
    };
    let bytes = store.read(&config, CONFIG_LIMIT)?;
    verify(&bytes, &digest)?;
    let process = Config::parse(&bytes, &config)?;
    Ok(Image { names: repo_tags.unwrap_or_default(), digest: None, processes: vec![process] })
}
