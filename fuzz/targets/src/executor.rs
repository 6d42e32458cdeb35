//! What the executor reads.

use std::ffi::OsString;
use std::fs;
use std::io::{Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use argoexec_common::arguments::Arguments;
use argoexec_common::exit_code;
use argoexec_tasks::expr::{Expression, Value};
use argoexec_tasks::unpack::{self, Kind};
use emissary_contract::template::normal;
use emissary_contract::{PlatformCommands, Template, further_arguments, go_duration};

/// tar's unit, bytes.
const BLOCK: usize = 512;

/// A tar, gzipped or not. Sums of heads are made right first, since almost nothing that is changed would get past them.
pub(crate) fn tar(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK).filter(|block| block.get(257..262) == Some(b"ustar".as_slice())) {
        // The size of a sparse file: an archive may well make one that is larger than anybody's patience.
        if block.get(156) == Some(&b'S') {
            fill(block, 483..495, b"00000004000\0");
        }
        fill(block, 148..156, b"        ");
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        fill(block, 148..156, format!("{sum:06o}\0 ").as_bytes());
    }
    unpacked(&bytes, Kind::Tar);
}

fn fill(block: &mut [u8], place: std::ops::Range<usize>, with: &[u8]) {
    block.get_mut(place).into_iter().flatten().zip(with).for_each(|(to, from)| *to = *from);
}

/// A zip.
pub(crate) fn zip(bytes: &[u8]) {
    unpacked(bytes, Kind::Zip);
}

/// Unpacks, and looks whether anything has left the target.
#[expect(clippy::unwrap_used, reason = "a fuzzer is told of what it looks for by a panic")]
fn unpacked(bytes: &[u8], kind: Kind) {
    let place = tempfile::tempdir().unwrap();
    let around = place.path().join("around");
    fs::create_dir(&around).unwrap();
    let mut archive = tempfile::tempfile().unwrap();
    archive.write_all(bytes).unwrap();
    archive.rewind().unwrap();
    let target = around.join("target");
    let done = unpack::opened(archive, kind, &target);
    let names = |folder: &Path| -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(place.path()), ["around"]);
    match done {
        Ok(()) => assert_eq!(names(&around), ["target"]),
        Err(_) => assert!(names(&around).is_empty(), "what was refused is not there"),
    }
    if target.is_dir() {
        open_up(&target);
        links_stay(&target, &fs::canonicalize(&target).unwrap());
    }
}

/// Lets folders be read that the archive wanted closed.
#[expect(clippy::unwrap_used, reason = "as above")]
fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            open_up(&entry.path());
        }
    }
}

#[expect(clippy::unwrap_used, reason = "as above")]
fn links_stay(folder: &Path, root: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            if let Ok(leads) = fs::canonicalize(entry.path()) {
                assert!(leads.starts_with(root), "{} leads out", entry.path().display());
            }
        } else if kind.is_dir() {
            links_stay(&entry.path(), root);
        }
    }
}

/// A template, and all that an executor asks it.
pub(crate) fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = Template::parse(text.to_owned()) else { return };
    assert_eq!(template.text(), text, "it is passed on as it came");
    let fields = template.fields();
    assert!(fields.attempts().0 > 0, "a command runs at least once");
    for name in fields.main_containers() {
        let _ = fields.dependencies(name);
        let _ = fields.is_sidecar(name);
    }
    let outputs = fields.outputs.parameters.iter().map(|parameter| &parameter.value_from.path);
    for path in outputs.chain(fields.inputs.artifacts.iter().map(|artifact| &artifact.path)) {
        let inside = normal(path);
        assert!(inside.split('/').all(|part| part != ".."), "{path:?} leaves its folder as {inside:?}");
        let _ = fields.mount_over(path);
    }
}

/// An expression, and what it comes to.
pub(crate) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let json = serde_json::json!({ "statusCode": 200, "body": "{\"a\":[1]}", "headers": { "Server": ["s"] } });
    let variables = [("response", Value::of_json(&json)), ("data", Value::list_of(["a", "b.c"].map(Value::text)))];
    let Ok(expression) = Expression::parse(text, &["response", "data"]) else { return };
    if let Ok(value) = expression.evaluate(&variables) {
        assert!(Value::of_json(&value.to_json()).to_json() == value.to_json(), "what is JSON stays what it is");
    }
}

/// A file of further arguments, and the other short texts that others leave.
pub(crate) fn arguments(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = further_arguments(text);
    let _ = exit_code::parse(text);
    let _ = go_duration(text);
    if let Ok(commands) = PlatformCommands::parse(text) {
        let _ = commands.choose("x86_64");
    }
}

/// A command line, a word a line.
pub(crate) fn command_line(bytes: &[u8]) {
    let words: Vec<OsString> =
        bytes.split(|byte| *byte == b'\n').map(|word| std::ffi::OsStr::from_bytes(word).to_owned()).collect();
    let behind = words.iter().position(|word| word == "--").map(|dashes| words.len() - dashes - 1);
    let parsed = Arguments::parse(words);
    assert!(parsed.words.len() >= behind.unwrap_or_default(), "what is behind -- is the command's");
}
