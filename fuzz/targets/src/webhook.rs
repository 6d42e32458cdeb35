//! What the webhook reads.

use std::fs;
use std::sync::Arc;

use emissary_core::image::{ImageIndex, Reference};
use emissary_core::lookup::{Answers, Indexes};
use emissary_core::object::AdmissionRequest;
use emissary_core::outcome::Outcome;
use emissary_core::pod::{self, Context, Options, Pod};
use emissary_core::workflow::{self, Kind, WorkflowOptions};
use emissary_registry::{Hosts, strangers};
use emissary_webhook::settings::parse_index;
use serde_json::Value;

/// An AdmissionReview, and the pod in it.
pub(crate) fn review(bytes: &[u8]) {
    if let Ok(request) = AdmissionRequest::parse(bytes) {
        for object in request.object().into_iter().chain(request.old_object()) {
            pod(object.as_bytes());
        }
    }
}

/// A pod, to be rewritten.
pub(crate) fn pod(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let empty = ImageIndex::default();
    let indexes = Indexes::new(&empty, &empty);
    if let Ok(pod) = Pod::parse(text)
        && let Ok(plan) = pod::plan(&pod, &Context::default(), &Options::default(), &indexes)
    {
        applies(text, &plan.apply(&Answers::new(), &indexes));
    }
}

/// A Workflow or another kind with templates.
pub(crate) fn workflow(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let empty = ImageIndex::default();
    let indexes = Indexes::new(&empty, &empty);
    let all = WorkflowOptions { kinds: Kind::ALL.to_vec(), ..WorkflowOptions::default() };
    for kind in Kind::ALL {
        if let Ok(Ok(plan)) = workflow::plan(text, kind, &Options::default(), &all, &indexes) {
            applies(text, &plan.apply(&Answers::new(), &indexes));
        }
    }
}

/// What is answered is a patch that applies.
#[expect(clippy::unwrap_used, reason = "a fuzzer is told of what it looks for by a panic")]
fn applies(text: &str, outcome: &Outcome) {
    if let Outcome::Rewrite(edits, _) = outcome {
        let mut object: Value = serde_json::from_str(text).unwrap();
        edits.apply(&mut object).unwrap();
    }
}

/// An image index: YAML or JSON.
pub(crate) fn image_index(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(problems) = parse_index(text, &Arc::from("index.yaml")) {
        assert!(!problems.is_empty(), "what is refused has a reason");
    }
}

/// An image's name.
#[expect(clippy::unwrap_used, reason = "as above")]
pub(crate) fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = Reference::parse(text) {
        let canonical = reference.canonical();
        assert_eq!(Reference::parse(&canonical).unwrap().canonical(), canonical, "{text:?}");
    }
}

/// A `hosts.toml`.
#[expect(clippy::unwrap_used, reason = "as above")]
pub(crate) fn hosts(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("registry.example.com");
    fs::create_dir(&registry).unwrap();
    fs::write(registry.join("hosts.toml"), bytes).unwrap();
    let (hosts, problems) = Hosts::load(folder.path(), &Hosts::default());
    assert!(hosts.registries().count() + problems.len() == 1, "it is read, or refused with a reason");
}

/// A `WWW-Authenticate` header.
pub(crate) fn challenge(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(strangers::challenges(text) <= text.len(), "there are no more challenges than characters");
    }
}

/// A manifest, an index of them, or an image's configuration.
pub(crate) fn manifest(bytes: &[u8]) {
    for content_type in [None, Some("application/vnd.oci.image.index.v1+json")] {
        let _ = strangers::manifest(bytes, content_type);
    }
    let _ = strangers::config(bytes);
}
