//! The Pod Security Standards, as Pod Security Admission holds a namespace's pods to them.
//!
//! [`evaluate`] is one standard against one pod; [`Pss`] is the admission around it: a cluster's configuration, a namespace's labels,
//! exemptions, and which requests count. It judges the pod that is about to be stored, after everything that mutates it.

mod admission;
mod checks;
mod configuration;
mod labels;
mod level;

use serde_json::Value;

pub use admission::{Pss, Response};
pub use checks::Violation;
pub(crate) use checks::{DEFAULT_CAPABILITIES, HARMLESS_VOLUMES, RESTRICTED_VOLUMES};
pub use configuration::{Configuration, ConfigurationError, Modes};
pub use level::{Level, Standard, Version};

use crate::pod::{Misfit, Pod};

/// What a standard has against a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// In the API server's order; none, and the pod is allowed.
    pub violations: Vec<Violation>,
}

impl Evaluation {
    /// Whether nothing is violated.
    pub fn is_allowed(&self) -> bool {
        self.violations.is_empty()
    }

    /// All violations as the API server tells them: `reason (detail), reason (detail)`.
    pub fn detail(&self) -> String {
        let mut detail = String::new();
        for violation in &self.violations {
            let comma = if detail.is_empty() { "" } else { ", " };
            detail.extend([comma, violation.reason, " (", &violation.detail, ")"]);
        }
        detail
    }
}

/// Holds a pod to a standard. The pod is the whole object, after the API server's defaults.
///
/// # Errors
/// A field that is judged has another type than in the API.
pub fn evaluate(standard: Standard, pod: &Value) -> Result<Evaluation, Misfit> {
    Ok(evaluate_read(standard, &Pod::read(pod)?))
}

fn evaluate_read(standard: Standard, pod: &Pod<'_>) -> Evaluation {
    Evaluation { violations: checks::violations(standard, pod) }
}
