//! Images on disk, for clusters whose registries cannot be asked: an OCI image layout (a folder or a tar) and what `docker
//! save` writes.
//!
//! An archive comes from anywhere. Nothing is unpacked; of its members only manifests and configurations are read, under a
//! cap, and what goes by a digest is verified.

mod docker;
mod layout;
mod store;

use crate::manifest::{Place, Problem};
use emissary_core::image::{Digest, ImageProcess, Platform};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};
use std::path::Path;
use store::Store;

/// An image that was found on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// What it is called there: whole names, or only a tag in a layout that leaves the rest to its place.
    pub names: Vec<String>,
    /// Of its index or manifest; an archive of `docker save` does not have it.
    pub digest: Option<Digest>,
    /// What it runs, by platform.
    pub processes: Vec<(Platform, ImageProcess)>,
}

/// Reads the images of a layout or archive; `None` for a file that is neither.
///
/// # Errors
/// What is wrong with it. Of an archive in which one image is damaged none is taken.
pub fn import(path: &Path) -> Result<Option<Vec<Image>>, Problem> {
    let problem = |text: String| Problem::new(Place::whole(path.display().to_string()), text);
    let Some(mut store) = Store::open(path).map_err(problem)? else { return Ok(None) };
    let images = if store.has("oci-layout") {
        layout::images(&mut store)
    } else if store.has("manifest.json") {
        docker::images(&mut store)
    } else {
        Err("is neither an OCI image layout (it has no oci-layout) nor a docker archive (no manifest.json)".to_owned())
    };
    images.map(Some).map_err(problem)
}

/// An image's configuration (OCI image spec), as far as it is read. Docker's has the same members.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    variant: Option<String>,
    config: Option<Process>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
}

impl Config {
    fn parse(bytes: &[u8], name: &str) -> Result<(Platform, ImageProcess), String> {
        let Self { architecture, os, variant, config } =
            serde_json::from_slice(bytes).map_err(|error| format!("{name}: not an image's configuration: {error}"))?;
        if architecture.is_empty() || os.is_empty() {
            return Err(format!("{name}: not an image's configuration: it has no architecture or os"));
        }
        let Process { entrypoint, cmd, user } = config.unwrap_or_default();
        let process = ImageProcess {
            entrypoint: entrypoint.unwrap_or_default(),
            cmd: cmd.unwrap_or_default(),
            user: user.filter(|user| !user.is_empty()),
        };
        Ok((Platform::new(&os, &architecture, variant.as_deref()), process))
    }
}

fn verify(bytes: &[u8], digest: &Digest) -> Result<(), String> {
    use emissary_core::image::DigestAlgorithm;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let found = match digest.algorithm() {
        DigestAlgorithm::Sha256 => hex(&Sha256::digest(bytes)),
        DigestAlgorithm::Sha512 => hex(&Sha512::digest(bytes)),
    };
    if found == digest.hex() { Ok(()) } else { Err(format!("{digest}: the content has another digest; it is damaged")) }
}

#[cfg(test)]
mod tests;
