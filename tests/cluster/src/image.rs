//! Images of a few files, as archives that containerd imports (OCI image-spec, `image-layout.md`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An image of programs and links to them.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// The name that pods call it by.
    pub name: &'a str,
    /// Files by their path in the image, without a leading slash: where each comes from. All may run.
    pub files: &'a [(&'a str, &'a Path)],
    /// Further names in `/bin` of the first file.
    pub links: &'a [&'a str],
    /// The `config` of the image: `Entrypoint`, `Cmd`, `User`, …; `PATH` is `/bin`.
    pub config: Value,
}

/// An image that was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an image of {}", file.display())]
pub struct ImageError {
    /// Which file it was about.
    pub file: PathBuf,
    #[source]
    source: io::Error,
}

impl Image<'_> {
    /// Writes the archive.
    ///
    /// # Errors
    /// A file cannot be read, or the archive not be written.
    pub fn write(&self, archive: &Path) -> Result<(), ImageError> {
        let layer = self.layer()?;
        let of_archive = |source| ImageError { file: archive.to_owned(), source };
        let whole = self.archive(&layer).map_err(of_archive)?;
        fs::write(archive, whole).map_err(of_archive)
    }

    fn archive(&self, layer: &[u8]) -> io::Result<Vec<u8>> {
        let mut config = self.config.clone();
        config["Env"] = json!(["PATH=/bin"]);
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        });
        let config = config.to_string().into_bytes();
        let descriptor = |kind: &str, blob: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": digest(blob),
                "size": blob.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config),
            "layers": [descriptor("layer.v1.tar", layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("manifest.v1+json", &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        add(&mut tar, "index.json", index.as_bytes(), 0o644)?;
        for blob in [layer, &config, &manifest] {
            add(&mut tar, &format!("blobs/{}", digest(blob).replace(':', "/")), blob, 0o644)?;
        }
        tar.into_inner()
    }

    fn layer(&self) -> Result<Vec<u8>, ImageError> {
        let mut tar = tar::Builder::new(Vec::new());
        let of_image = |source| ImageError { file: PathBuf::from(self.name), source };
        for (folder, mode) in [("bin/", 0o755), ("tmp/", 0o1777)] {
            let mut header = header(tar::EntryType::Directory, 0, mode);
            tar.append_data(&mut header, folder, io::empty()).map_err(of_image)?;
        }
        for (path, from) in self.files {
            let of_file = |source| ImageError { file: (*from).to_owned(), source };
            let content = fs::read(from).map_err(of_file)?;
            add(&mut tar, path, &content, 0o755).map_err(of_file)?;
        }
        let target = self.files.first().map(|(path, _)| format!("/{path}")).unwrap_or_default();
        for link in self.links {
            let mut header = header(tar::EntryType::Symlink, 0, 0o777);
            tar.append_link(&mut header, format!("bin/{link}"), &target).map_err(of_image)?;
        }
        tar.into_inner().map_err(of_image)
    }
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, content.len() as u64, mode);
    tar.append_data(&mut header, path, content)
}

fn digest(blob: &[u8]) -> String {
    let hash = Sha256::digest(blob);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
