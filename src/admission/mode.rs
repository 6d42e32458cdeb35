use crate::mutation::{Facts, Subject};
use crate::settings::Mode;
use emissary_core::names;
use emissary_core::object::Metadata;
use serde::Deserialize;

/// What is done with an outcome: it is applied to the outcome, never before it, so that a dry run says what enforcing would
/// do.
///
/// The object's own annotation where the operator allows it, else its namespace's label, else the setting.
pub(super) fn effective(setting: Mode, facts: &Facts, subject: &Subject<'_>, annotation_allowed: bool) -> Mode {
    let namespace = || facts.namespace_label(names::MODE).and_then(Mode::of_name);
    let annotation = if annotation_allowed { annotated(subject.object) } else { None };
    annotation.or_else(namespace).unwrap_or(setting)
}

fn annotated(object: &str) -> Option<Mode> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow, default)]
        metadata: Option<Metadata<'a>>,
    }
    let Fields { metadata } = serde_json::from_str(object).ok()?;
    metadata?.annotation(names::MODE).and_then(Mode::of_name)
}
