use crate::mutation::{Facts, Subject};
use emissary_core::names;
use emissary_core::object::Metadata;
use serde::Deserialize;
use std::str::FromStr;

/// What is done with an outcome. It is applied to the outcome, never before it, so that a dry run says what enforcing
/// would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The object is rewritten or denied.
    Enforce,
    /// The object is admitted as it is, and what would have been done is said.
    #[default]
    DryRun,
    /// The object is admitted as it is, unseen.
    Off,
}

impl Mode {
    /// As labels, annotations and settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry-run",
            Self::Off => "off",
        }
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Enforce, Self::DryRun, Self::Off].into_iter().find(|mode| mode.name() == text).ok_or(())
    }
}

/// The object's own annotation where the operator allows it, else its namespace's label, else the setting.
pub(super) fn effective(setting: Mode, facts: &Facts, subject: &Subject<'_>, annotation_allowed: bool) -> Mode {
    let namespace = || facts.namespace_label(names::MODE).and_then(|mode| mode.parse().ok());
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
    metadata?.annotation(names::MODE)?.parse().ok()
}
