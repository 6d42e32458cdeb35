//! Archives of output artifacts, read by others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::pod::Pod;

/// Runs a step that does nothing and has one artifact; where its archive is.
fn archive(pod: &Pod, name: &str, packed: Value) -> PathBuf {
    let path = pod.path(name).components().collect::<PathBuf>();
    let template = json!({"outputs": {"artifacts": [{"name": "a", "path": path, "archive": packed}]}});
    pod.write("var/run/argo/template", template.to_string());
    let ended = pod.sh("exit 0");
    assert_eq!(ended.both(), (0, Some("0")), "{}", ended.last_words);
    pod.path(&format!("var/run/argo/outputs/artifacts{}.tgz", path.display()))
}

/// The entries by their names: kind, and what is in them or where they lead.
fn entries(file: &Path) -> BTreeMap<String, (tar::EntryType, Vec<u8>)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(file).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        match entry.link_name_bytes() {
            Some(link) => bytes.extend_from_slice(&link),
            None => drop(entry.read_to_end(&mut bytes).unwrap()),
        }
        (name, (entry.header().entry_type(), bytes))
    });
    entries.collect()
}

#[test]
fn a_folder_is_archived_under_its_name() {
    let pod = Pod::new(&json!({}));
    pod.write("out/deep/er/file", "text");
    pod.write("out/empty", "");
    symlink("deep/er/file", pod.path("out/link")).unwrap();
    symlink("/etc/passwd", pod.path("out/away")).unwrap();
    fs::hard_link(pod.path("out/deep/er/file"), pod.path("out/second")).unwrap();
    fs::set_permissions(pod.path("out/empty"), fs::Permissions::from_mode(0o4711)).unwrap();
    assert!(Command::new("mkfifo").arg(pod.path("out/pipe")).status().unwrap().success());
    let file = archive(&pod, "out", json!({"tar": {}}));
    let found = entries(&file);
    let kinds: Vec<_> = found.iter().map(|(name, (kind, bytes))| (name.as_str(), *kind, bytes.as_slice())).collect();
    assert_eq!(
        kinds,
        [
            ("out/", tar::EntryType::Directory, &b""[..]),
            ("out/away", tar::EntryType::Symlink, b"/etc/passwd"),
            ("out/deep/", tar::EntryType::Directory, b""),
            ("out/deep/er/", tar::EntryType::Directory, b""),
            ("out/deep/er/file", tar::EntryType::Regular, b"text"),
            ("out/empty", tar::EntryType::Regular, b""),
            ("out/link", tar::EntryType::Symlink, b"deep/er/file"),
            ("out/second", tar::EntryType::Regular, b"text"),
        ]
    );
    // The machine's own tar reads the same.
    let listed = Command::new("tar").arg("-tzf").arg(&file).output().unwrap();
    assert!(listed.status.success());
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), kinds.len());
    let unpacked = pod.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    assert!(Command::new("tar").arg("-xpzf").arg(&file).arg("-C").arg(&unpacked).status().unwrap().success());
    assert_eq!(fs::metadata(unpacked.join("out/empty")).unwrap().permissions().mode() & 0o7777, 0o4711);
}

#[test]
fn a_file_and_a_link_to_one_are_archived_as_files() {
    let pod = Pod::new(&json!({}));
    pod.write("file", "text");
    symlink(pod.path("file"), pod.path("link")).unwrap();
    for name in ["file", "link"] {
        for packed in [json!(null), json!({"none": {}}), json!({"zip": {}}), json!({"tar": {"compressionLevel": 0}})] {
            let found = entries(&archive(&pod, name, packed));
            assert_eq!(found, BTreeMap::from([(name.to_owned(), (tar::EntryType::Regular, b"text".to_vec()))]));
        }
    }
}

#[test]
fn names_have_any_length() {
    let pod = Pod::new(&json!({}));
    let long = "n".repeat(250);
    let mut name = "out".to_owned();
    // Just before, at and behind what a head has room for, and further than a system call takes.
    let mut folder = File::open(pod.path("")).unwrap();
    fs::create_dir(pod.path("out")).unwrap();
    for part in ["out", &"m".repeat(92), "x", "y", &long, &long, &long, &long] {
        let _ = rustix::fs::mkdirat(&folder, part, rustix::fs::Mode::from_raw_mode(0o755));
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, part, flags, rustix::fs::Mode::empty()).unwrap().into();
        if part != "out" {
            name = format!("{name}/{part}");
        }
        let link = "l".repeat(150);
        rustix::fs::symlinkat(link.as_str(), &folder, "link").unwrap();
    }
    let found = entries(&archive(&pod, "out", json!({})));
    assert!(found.contains_key(&format!("{name}/")), "{:?}", found.keys().last());
    assert_eq!(found[&format!("{name}/link")], (tar::EntryType::Symlink, vec![b'l'; 150]));
    assert_eq!(found.len(), 8 * 2);
}

#[test]
fn trees_have_any_depth() {
    let pod = Pod::new(&json!({}));
    fs::create_dir(pod.path("out")).unwrap();
    // Each level costs a descriptor, of which a process may have 1024 unless it asks for more.
    let line =
        format!("cd {}; i=0; while [ $i -lt 1500 ]; do mkdir d; cd -P d; i=$((i+1)); done", pod.path("out").display());
    assert_eq!(pod.sh(&line).code, 0);
    let file = archive(&pod, "out", json!({}));
    let listed = Command::new("tar").arg("-tzf").arg(file).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 1501);
}

#[test]
fn holes_are_not_read() {
    let pod = Pod::new(&json!({}));
    pod.write("sparse", "begin");
    let file = File::options().write(true).open(pod.path("sparse")).unwrap();
    file.write_all_at(b"middle", 40 << 20).unwrap();
    file.set_len(64 << 20).unwrap();
    let found = entries(&archive(&pod, "sparse", json!({"none": {}})));
    let (_, bytes) = &found["sparse"];
    assert_eq!(bytes.len(), 64 << 20);
    assert!(bytes == &fs::read(pod.path("sparse")).unwrap());
}

#[test]
fn what_is_written_is_not_in_itself() {
    let pod = Pod::new(&json!({}));
    pod.write("other", "text");
    let found = entries(&archive(&pod, "", json!({})));
    assert!(found.keys().any(|name| name.ends_with("/other")));
    assert!(!found.keys().any(|name| name.contains("outputs/artifacts")), "{found:?}");
}

#[test]
fn what_may_not_be_read_is_named() {
    if rustix::process::getuid().is_root() {
        // Root reads everything; a process that is not is held by `containers`.
        return;
    }
    let pod = Pod::new(&json!({}));
    pod.write("out/secret", "text");
    fs::set_permissions(pod.path("out/secret"), fs::Permissions::from_mode(0o0)).unwrap();
    let template = json!({"outputs": {"artifacts": [{"name": "a", "path": pod.path("out")}]}});
    pod.write("var/run/argo/template", template.to_string());
    let ended = pod.sh("exit 0");
    assert_eq!(ended.both(), (64, Some("64")));
    assert!(ended.last_words.contains("out/secret"), "{}", ended.last_words);
}

#[test]
fn a_hundred_thousand_files_take_no_more_memory_than_one() {
    let pod = Pod::new(&json!({}));
    let folder = pod.path("out");
    fs::create_dir(&folder).unwrap();
    for number in 0..100_000 {
        fs::write(folder.join(format!("file-{number:06}")), number.to_string()).unwrap();
    }
    let template = json!({"outputs": {"artifacts": [{"name": "a", "path": folder}]}});
    pod.write("var/run/argo/template", template.to_string());
    let begun = Instant::now();
    let mut child = pod.emissary("main", &["true"]).spawn().unwrap();
    let mut peak: u64 = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = writeln!(io::stderr(), "100000 files: {peak} kB, {:?}", begun.elapsed());
    assert!(peak < 16 << 10, "{peak} kB");
    let file = pod.path(&format!("var/run/argo/outputs/artifacts{}.tgz", folder.display()));
    let listed = Command::new("tar").arg("-tzf").arg(file).output().unwrap();
    assert_eq!(listed.stdout.iter().filter(|byte| **byte == b'\n').count(), 100_001);
}
