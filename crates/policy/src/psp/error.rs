use std::fmt;

use crate::quote::quoted;

/// What a policy has against one field of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// Which field, with the indices of lists; the plugin puts `pod.` before some of them.
    pub path: String,
    /// Of what kind the error is, the value, and what is wrong with it.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl FieldError {
    /// `value`: as Go prints it.
    pub(super) fn invalid(path: impl Into<String>, value: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self { path: path.into(), message: with_detail(format!("Invalid value: {value}"), detail) }
    }

    /// Of a string.
    pub(super) fn invalid_text(path: impl Into<String>, value: &str, detail: impl fmt::Display) -> Self {
        Self::invalid(path, quoted(value), detail)
    }

    /// Of something that is not set.
    pub(super) fn invalid_nothing(path: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::invalid(path, "\"null\"", detail)
    }

    pub(super) fn forbidden(path: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { path: path.into(), message: with_detail("Forbidden".to_owned(), detail) }
    }

    pub(super) fn required(path: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self { path: path.into(), message: with_detail("Required value".to_owned(), detail) }
    }
}

fn with_detail(mut message: String, detail: impl fmt::Display) -> String {
    let detail = detail.to_string();
    if !detail.is_empty() {
        message.extend([": ", &detail]);
    }
    message
}

/// Errors as Go prints a list of them.
pub(super) fn listed<'e>(errors: impl Iterator<Item = &'e FieldError>) -> String {
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    format!("[{}]", errors.join(" "))
}
