//! What people install: `webhook/` (kustomize) and `charts/emissary-webhook`.
//!
//! A plain `cargo test` holds what needs no other program: generated files, values against their schema, metrics that are
//! asked for against metrics that there are, and what the registration and the rights may contain. Rendering is helm's and
//! kubectl's own.

mod applied;
mod files;
mod generated;
mod metrics;
mod modes;
mod policy;
mod rendered;
mod rights;
mod values;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use emissary_webhook::manifest;
use serde_json::Value;

pub(crate) use policy::put_policy_in_force;

pub(crate) const CHART: &str = "charts/emissary-webhook";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The YAML documents of a text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents = manifest::read([PathBuf::from(manifest::STDIN)], text.as_bytes());
    documents.map(|document| document.unwrap_or_else(|problem| panic!("{problem}")).value).collect()
}

/// The one object of a kind and name.
#[track_caller]
fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The entries of a list, none where it is absent.
fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether an object is a hook of Helm's, and not installed with the others.
fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"].get("helm.sh/hook").is_some()
}
