//! Images of a few files, as archives that containerd imports (OCI image-spec, `image-layout.md`).

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An image whose files are one program and links to it.
pub(super) struct Image<'a> {
    /// The name that pods call it by.
    pub(super) name: &'a str,
    /// A static program of this machine, which becomes `/bin/NAME`.
    pub(super) program: &'a Path,
    /// Further names of it in `/bin`.
    pub(super) links: &'a [&'a str],
    /// The `config` of the image: `Entrypoint`, `Cmd`, …
    pub(super) config: Value,
}

impl Image<'_> {
    /// Writes the archive.
    pub(super) fn write(&self, archive: &Path) -> anyhow::Result<()> {
        let layer = self.layer()?;
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
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
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
            "layers": [descriptor("layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("manifest.v1+json", &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        add(&mut tar, "index.json", index.as_bytes(), 0o644)?;
        for blob in [&layer, &config, &manifest] {
            add(&mut tar, &format!("blobs/{}", digest(blob).replace(':', "/")), blob, 0o644)?;
        }
        fs::write(archive, tar.into_inner()?).with_context(|| format!("cannot write {}", archive.display()))
    }

    fn layer(&self) -> anyhow::Result<Vec<u8>> {
        let program = fs::read(self.program).with_context(|| format!("cannot read {}", self.program.display()))?;
        let name = self.program.file_name().and_then(|name| name.to_str()).context("a program without a name")?;
        let mut tar = tar::Builder::new(Vec::new());
        for (folder, mode) in [("bin/", 0o755), ("tmp/", 0o1777)] {
            let mut header = header(tar::EntryType::Directory, 0, mode);
            tar.append_data(&mut header, folder, std::io::empty())?;
        }
        add(&mut tar, &format!("bin/{name}"), &program, 0o755)?;
        for link in self.links {
            tar.append_link(&mut header(tar::EntryType::Symlink, 0, 0o777), format!("bin/{link}"), name)?;
        }
        Ok(tar.into_inner()?)
    }
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut header = header(tar::EntryType::Regular, content.len() as u64, mode);
    tar.append_data(&mut header, path, content).with_context(|| format!("cannot archive {path}"))
}

fn digest(blob: &[u8]) -> String {
    let hash = Sha256::digest(blob);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
