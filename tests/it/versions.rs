//! What earlier versions of this program wrote, which later ones leave as it is: pods are rewritten by one replica and asked
//! about again by another, which an upgrade has made newer.
//!
//! `tests/oracles/versions/VERSION.jsonl.gz` is written once for a version and never changed afterwards.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::oracle::{reviews, twins};
use crate::oracles::{BARE, assert_none, rewrite, without_argo};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/versions")
}

/// The profiles under which a version's pods were written, and of how many pods one is.
const PROFILES: [(&str, usize); 4] = [("pss-restricted", 1), ("psp-legacy", 4), ("openshift", 4), ("none", 4)];

/// The pods of old controllers, and some of the newest as their users might have written them.
fn sources() -> Vec<(String, Value)> {
    let old = twins().into_iter().map(|(old, _)| (old.name.clone(), old.object().clone()));
    let bare = reviews().into_iter().filter(|recorded| BARE.contains(&recorded.name.as_str()));
    let bare = bare.map(|recorded| (format!("{}, bare", recorded.name), without_argo(recorded.object())));
    bare.chain(old).collect()
}

fn write(file: &Path) {
    let sources = sources();
    let mut lines = GzEncoder::new(File::create(file).unwrap(), Compression::best());
    for (profile, every) in PROFILES {
        let picked: Vec<_> = sources.iter().step_by(every).collect();
        let pods: Vec<&Value> = picked.iter().map(|(_, pod)| pod).collect();
        for ((name, _), pod) in picked.iter().zip(rewrite(&["--profile", profile, "--offline", "-o", "json"], &pods)) {
            writeln!(lines, "{}", json!({"name": name, "profile": profile, "pod": pod})).unwrap();
        }
    }
    lines.finish().unwrap();
}

#[test]
fn pods_that_earlier_versions_have_rewritten_stay_as_they_are() {
    let of_this_version = folder().join(format!("{}.jsonl.gz", env!("CARGO_PKG_VERSION")));
    if std::env::var_os("UPDATE_VERSIONS").is_some() {
        write(&of_this_version);
    }
    assert!(of_this_version.exists(), "UPDATE_VERSIONS=1 writes {}", of_this_version.display());
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let lines = BufReader::new(GzDecoder::new(File::open(&file).unwrap())).lines();
        let written: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(written.len() > 100, "{}: only {}", file.display(), written.len());
        let pods: Vec<&Value> = written.iter().map(|line| &line["pod"]).collect();
        let mut complaints = Vec::new();
        for profile in PROFILES.map(|(profile, _)| profile) {
            let patches = rewrite(&["--profile", profile, "--offline", "-o", "patch"], &pods);
            let changed = written.iter().zip(&patches).filter(|(_, patch)| **patch != json!([]));
            complaints.extend(changed.map(|(line, patch)| {
                format!("{}, written under {}, under {profile}: {patch}", line["name"], line["profile"])
            }));
        }
        assert_none(&complaints, PROFILES.len() * written.len());
    }
}
