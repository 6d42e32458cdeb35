use super::*;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config(architecture: &str, entrypoint: &str) -> Vec<u8> {
    let config =
        json!({"architecture": architecture, "os": "linux", "config": {"Entrypoint": [entrypoint], "Cmd": null}});
    config.to_string().into_bytes()
}

/// Files by name, as a folder or a tar.
#[derive(Default)]
struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    fn put(&mut self, name: &str, content: impl Into<Vec<u8>>) -> &mut Self {
        self.0.push((name.to_owned(), content.into()));
        self
    }

    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let hex = hex(content);
        self.put(&format!("blobs/sha256/{hex}"), content);
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": content.len()})
    }

    fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &self.0 {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn tar(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.tar");
        let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
        for (name, content) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        archive.finish().unwrap();
        (folder, path)
    }
}

fn layout() -> Files {
    let mut files = Files::default();
    files.put("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut manifests = Vec::new();
    for (architecture, entrypoint) in [("amd64", "/app"), ("arm64", "/app-arm")] {
        let config = files.blob("application/vnd.oci.image.config.v1+json", &config(architecture, entrypoint));
        let manifest = json!({"config": config, "layers": []}).to_string();
        manifests.push(files.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes()));
    }
    let mut attestation = json!({"digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    manifests.push(attestation);
    let index = json!({"manifests": manifests}).to_string();
    let mut top = files.blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    top["annotations"] = json!({"org.opencontainers.image.ref.name": "quay.io/team/app:1"});
    let chart = files.blob("application/vnd.cncf.helm.config.v1+json", b"{}");
    let chart = json!({"config": chart, "layers": []}).to_string();
    let chart = files.blob("application/vnd.oci.image.manifest.v1+json", chart.as_bytes());
    files.put("index.json", json!({"manifests": [top, chart]}).to_string());
    files
}

fn docker() -> Files {
    let mut files = Files::default();
    let config = config("amd64", "/app");
    let name = format!("{}.json", hex(&config));
    files.put(&name, config);
    files.put("layer.tar", vec![7; 4096]);
    files.put("manifest.json", json!([{"Config": name, "RepoTags": ["a:1", "b:2"], "Layers": []}]).to_string());
    files
}

fn words(image: &Image) -> Vec<String> {
    image.processes.iter().map(|(platform, process)| format!("{platform} {}", process.entrypoint.join(" "))).collect()
}

#[test]
fn a_layout_is_read_as_a_folder_and_as_a_tar() {
    let files = layout();
    let (folder, (_kept, tar)) = (files.folder(), files.tar());
    for path in [folder.path(), &tar] {
        let images = import(path).unwrap().unwrap();
        assert_eq!(images.len(), 1, "a chart is no image");
        assert_eq!(images[0].names, ["quay.io/team/app:1"]);
        assert!(images[0].digest.is_some());
        assert_eq!(words(&images[0]), ["linux/amd64 /app", "linux/arm64 /app-arm"]);
    }
}

#[test]
fn a_docker_archive_is_read() {
    let (_kept, tar) = docker().tar();
    let images = import(&tar).unwrap().unwrap();
    assert_eq!((images[0].names.clone(), images[0].digest.clone()), (vec!["a:1".to_owned(), "b:2".to_owned()], None));
    assert_eq!(words(&images[0]), ["linux/amd64 /app"]);
}

/// What each change to a good archive is answered with.
#[test]
fn what_is_damaged_or_hostile_is_refused() {
    let spoil = |mut files: Files, wanted: &str, by: &dyn Fn(&mut Vec<u8>)| {
        files.0.iter_mut().filter(|(name, _)| name.starts_with(wanted)).take(1).for_each(|(_, content)| by(content));
        let (_kept, tar) = files.tar();
        import(&tar).unwrap_err().to_string()
    };
    let append = |content: &mut Vec<u8>| content.push(b' ');
    let flip = |content: &mut Vec<u8>| content[0] = b'<';
    let table: [(String, &str); 7] = [
        (spoil(layout(), "blobs/", &append), "bytes, and"),
        (spoil(layout(), "blobs/", &flip), "another digest"),
        (spoil(layout(), "index.json", &flip), "index.json: "),
        (spoil(layout(), "index.json", &|content| *content = vec![b' '; 5 << 20]), "longer than 4 MiB"),
        (spoil(docker(), "manifest.json", &flip), "manifest.json: "),
        (
            spoil(docker(), "manifest.json", &|content| *content = br#"[{"Config": "../../etc/passwd"}]"#.to_vec()),
            "is not named by its digest",
        ),
        (
            spoil(docker(), "manifest.json", &|content| {
                *content = format!(r#"[{{"Config": "{}.json"}}]"#, "0".repeat(64)).into_bytes();
            }),
            "is not there",
        ),
    ];
    for (found, expected) in table {
        assert!(found.contains(expected), "{found}: {expected}");
    }
}

#[test]
fn links_do_not_lead_out_of_a_layout() {
    let folder = layout().folder();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), r#"{"manifests": []}"#).unwrap();
    fs::remove_file(folder.path().join("index.json")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("index.json")).unwrap();
    assert!(import(folder.path()).unwrap_err().to_string().contains("leads out of the layout"));
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::File::create(&file).unwrap().write_all(b"images: |\n  a: {}\n").unwrap();
    assert_eq!(import(&file), Ok(None));
    fs::write(&file, [0x1f, 0x8b, 8, 0]).unwrap();
    assert!(import(&file).unwrap_err().to_string().contains("is compressed"));
    assert!(import(folder.path()).unwrap_err().to_string().contains("neither an OCI image layout"));
    let mut cut = Files::default();
    cut.put("manifest.json", vec![b' '; 2000]);
    let (_kept, tar) = cut.tar();
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..1000]).unwrap();
    assert!(import(&tar).is_err());
}
