//! One object, as it came.

use serde::Deserialize;

/// An object as the API server sent it.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Its namespace; empty where its kind has none.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    text: Text<'a>,
}

/// Not shown: it may be a Secret.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl<'a> Object<'a> {
    pub(in crate::cluster) fn of(namespace: &'a str, name: &'a str, text: &'a str) -> Self {
        Self { namespace, name, text: Text(text) }
    }

    /// The whole of it, as JSON text: for whoever reads it by other means than [`Object::read`], and keeps nothing of it.
    pub fn text(&self) -> &'a str {
        self.text.0
    }

    /// The fields that `T` names; the others are passed over.
    ///
    /// # Errors
    /// [`Unreadable`] where they have other types.
    pub fn read<T: Deserialize<'a>>(&self) -> Result<T, Unreadable> {
        serde_json::from_str(self.text.0).map_err(Unreadable::from)
    }
}

/// Why an object cannot be used: a text for logs, without anything of the object's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl From<serde_json::Error> for Unreadable {
    /// Where, and not what: the parser's own text quotes what it found.
    fn from(error: serde_json::Error) -> Self {
        Self(format!("its JSON is not of the expected form, at byte {}", error.column()))
    }
}
