//! What the program is made of, as a CycloneDX document: the packages that are linked into it, by what cargo says.
//!
//! Left out is what only runs while it is built (macros, build scripts, tests). C code that a package brings along is not
//! named apart from that package.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// For which the image is built.
pub(crate) const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

const PROGRAM: &str = "emissary-webhook";

/// A package as cargo names it: name and version.
type Name = (String, String);

/// `cargo xtask sbom`.
///
/// # Errors
/// Those of [`document`].
pub(crate) fn print() -> anyhow::Result<ExitCode> {
    print!("{}", document(Path::new("."))?);
    Ok(ExitCode::SUCCESS)
}

/// The document for the workspace in `root`. It has neither a time nor a serial number, so it is the same for the same lock.
///
/// # Errors
/// Where cargo cannot be asked, or what it says is not what it used to say.
pub(crate) fn document(root: &Path) -> anyhow::Result<String> {
    let linked = linked(root)?;
    let metadata: Value = serde_json::from_str(&cargo(
        root,
        &["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET],
    )?)?;
    let checksums = checksums(root)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let named: BTreeMap<&str, (Name, &Value)> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, (name(package)?, package)))).collect();
    let (mut program, mut components) = (None, Vec::new());
    for (package_name, package) in named.values() {
        if !linked.contains(package_name) {
            continue;
        }
        let component = component(package_name, package, checksums.get(package_name));
        match package_name.0 == PROGRAM {
            true => program = Some(component),
            false => components.push((package_name, component)),
        }
    }
    let program = program.context("cargo metadata does not know the program")?;
    components.sort_by_key(|(name, _)| *name);
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata resolves nothing")?;
    let mut dependencies = BTreeMap::new();
    for node in nodes {
        let Some((of, _)) = node["id"].as_str().and_then(|id| named.get(id)) else { continue };
        if !linked.contains(of) {
            continue;
        }
        let on = node["deps"].as_array().into_iter().flatten().filter_map(|dependency| {
            let is_normal = |kind: &Value| kind["kind"].is_null();
            let kinds = dependency["dep_kinds"].as_array()?;
            let (on, _) = named.get(dependency["pkg"].as_str()?)?;
            (kinds.iter().any(is_normal) && linked.contains(on)).then(|| purl(on))
        });
        dependencies.insert(purl(of), on.collect::<BTreeSet<_>>());
    }
    let dependencies: Vec<Value> =
        dependencies.into_iter().map(|(of, on)| json!({"ref": of, "dependsOn": on})).collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": program},
        "components": components.into_iter().map(|(_, component)| component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    Ok(format!("{document:#}\n"))
}

/// The packages that are linked into the program, with the features that it turns on.
fn linked(root: &Path) -> anyhow::Result<BTreeSet<Name>> {
    let tree = ["tree", "--locked", "--package", PROGRAM, "--target", TARGET, "--edges", "normal,no-proc-macro"];
    let listing = cargo(root, &[&tree[..], &["--prefix", "none", "--format", "{p}"]].concat())?;
    let mut linked = BTreeSet::new();
    for line in listing.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v'))) else {
            bail!("cargo tree says {line:?}");
        };
        linked.insert((name.to_owned(), version.to_owned()));
    }
    Ok(linked)
}

/// SHA-256 of each package that the registry sent, from the lock.
fn checksums(root: &Path) -> anyhow::Result<BTreeMap<Name, String>> {
    let file = root.join("Cargo.lock");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let lock: toml::Table = text.parse().context("Cargo.lock is not what it was")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock lists no packages")?;
    let of = |package: &toml::Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
    let with_checksum = |package| Some(((of(package, "name")?, of(package, "version")?), of(package, "checksum")?));
    Ok(packages.iter().filter_map(with_checksum).collect())
}

fn component(name: &Name, package: &Value, checksum: Option<&String>) -> Value {
    let kind = if name.0 == PROGRAM { "application" } else { "library" };
    let mut component =
        json!({"type": kind, "bom-ref": purl(name), "name": name.0, "version": name.1, "purl": purl(name)});
    if let Some(license) = package["license"].as_str() {
        // Older packages write "MIT/Apache-2.0", which SPDX calls OR.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

fn name(package: &Value) -> Option<Name> {
    Some((package["name"].as_str()?.to_owned(), package["version"].as_str()?.to_owned()))
}

/// A package URL (purl-spec, "cargo").
fn purl((name, version): &Name) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn cargo(root: &Path, words: &[&str]) -> anyhow::Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(words).current_dir(root).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("cargo says what is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_what_is_linked_and_nothing_else() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let text = document(root).unwrap();
        assert_eq!(text, document(root).unwrap());
        let document: Value = serde_json::from_str(&text).unwrap();
        let components = document["components"].as_array().unwrap();
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        assert!(has("rustls") && has("ring") && has("emissary-core"));
        assert!(!has("serde_derive") && !has("proptest") && !has("xtask") && !has("cc"));
        let references: BTreeSet<&str> =
            components.iter().filter_map(|component| component["bom-ref"].as_str()).collect();
        assert_eq!(references.len(), components.len(), "a component twice");
        for component in components {
            let is_ours = component["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("emissary-") || name == "sample-registry");
            assert_eq!(component["hashes"].is_array(), !is_ours, "{component}");
            assert!(component["licenses"].is_array(), "{component}");
        }
        for dependency in document["dependencies"].as_array().unwrap() {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(references.contains(on.as_str().unwrap()), "{on}");
            }
        }
    }
}
