//! `index import` of archives that skopeo wrote.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::layout::{Image, Layout};
use super::{SKOPEO, need};

/// What `index import` prints for these words.
fn import(words: &[&str], folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
        .current_dir(folder)
        .args(["index", "import", "--file", "-"])
        .args(words)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_skopeo_wrote_is_imported() {
    let Some([skopeo]) = need([SKOPEO]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let source = path.join("layout");
    let mut layout = Layout::new(&source);
    layout.image("1.0", &Image::linux("amd64", json!({"Entrypoint": ["/app"], "Cmd": ["serve", "daemon off;"]})));
    layout.index("both", &[Image::linux("amd64", json!({"Cmd": ["a"]})), Image::linux("arm64", json!({"Cmd": ["b"]}))]);
    let copies = [
        ("oci:layout:1.0", "docker-archive:saved.tar:quay.io/team/app:1.0", false),
        ("oci:layout:1.0", "oci-archive:one.tar:quay.io/team/app:1.0", false),
        ("oci:layout:both", "oci:again:2.0", true),
    ];
    for (from, to, all) in copies {
        let mut copy = Command::new(&skopeo);
        copy.current_dir(path).args(["--insecure-policy", "--registries-conf", "/dev/null", "copy", "--quiet"]);
        copy.env_clear().env("HOME", path).env("PATH", "/usr/bin:/bin");
        if all {
            copy.arg("--all");
        }
        let output = copy.args([from, to]).output().unwrap();
        assert!(output.status.success(), "{from} to {to}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let entry = "quay.io/team/app:1.0: {entrypoint: [/app], cmd: [serve, \"daemon off;\"]}\n";
    assert_eq!(import(&["saved.tar"], path), entry);
    assert_eq!(import(&["one.tar"], path), entry);
    let both = "x.io/app:2.0: {cmd: [a], platforms: {linux/arm64: {cmd: [b]}}}\n";
    assert_eq!(import(&["again", "--name", "x.io/app"], path), both);
    assert_eq!(import(&["one.tar", "saved.tar"], path), entry, "one image in two archives is one entry");

    // A layer cut short does not matter, a configuration that was changed does.
    let saved = fs::read(path.join("saved.tar")).unwrap();
    let at = saved.windows(4).position(|bytes| bytes == b"/app").unwrap();
    let mut changed = saved.clone();
    changed[at + 1] = b'x';
    fs::write(path.join("changed.tar"), changed).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
        .current_dir(path)
        .args(["index", "import", "--file", "-", "changed.tar"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("another digest"), "{stderr}");
}
