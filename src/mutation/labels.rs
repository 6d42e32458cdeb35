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
