use emissary_core::object::Metadata;
use serde::Deserialize;
use std::borrow::Cow;

/// An object's labels, read when one is asked for.
#[derive(Debug, Clone, Copy)]
pub enum ObjectLabels<'a> {
    /// They have been.
    Read(&'a Metadata<'a>),
    /// The whole object, as JSON text.
    Unread(&'a str),
}

impl<'a> ObjectLabels<'a> {
    /// A label's value. What is no object has none; why it is none is said by whoever reads the rest of it.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default)]
            metadata: Option<Metadata<'a>>,
        }
        match self {
            Self::Read(metadata) => metadata.label(name).map(Cow::Borrowed),
            Self::Unread(text) => {
                let Fields { metadata } = serde_json::from_str(text).ok()?;
                metadata?.label(name).map(|value| Cow::Owned(value.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_wherever_it_is_read() {
        let text = r#"{"metadata": {"labels": {"a": "1", "b": "\u0032"}}}"#;
        let metadata: Metadata<'_> = serde_json::from_str(r#"{"labels": {"a": "1"}}"#).unwrap();
        let table = [
            (ObjectLabels::Unread(text), "a", Some("1")),
            (ObjectLabels::Unread(text), "b", Some("2")),
            (ObjectLabels::Unread(text), "c", None),
            (ObjectLabels::Unread("{}"), "a", None),
            (ObjectLabels::Unread("no object"), "a", None),
            (ObjectLabels::Read(&metadata), "a", Some("1")),
            (ObjectLabels::Read(&metadata), "b", None),
        ];
        for (labels, name, expected) in table {
            assert_eq!(labels.get(name).as_deref(), expected, "{labels:?} {name}");
        }
    }
}
