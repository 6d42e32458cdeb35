use super::{Text, null_as_default};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;

/// `ObjectMeta`, as far as anything here reads it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Absent in a request that uses `generateName`.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    /// The prefix that the API server completes.
    #[serde(borrow, default)]
    pub generate_name: Option<Text<'a>>,
    /// Absent where the client left it to the request's path.
    #[serde(borrow, default)]
    pub namespace: Option<Text<'a>>,
    /// `metadata.labels`; `None` where the field itself is absent.
    #[serde(borrow, default)]
    pub labels: Option<StringMap<'a>>,
    /// `metadata.annotations`; `None` where the field itself is absent.
    #[serde(borrow, default)]
    pub annotations: Option<StringMap<'a>>,
    /// `metadata.ownerReferences`.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

impl<'a> Metadata<'a> {
    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key)
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)
    }

    /// The Workflow that owns the object, if one does.
    pub fn workflow_owner(&self) -> Option<&OwnerReference<'a>> {
        self.owner_references
            .iter()
            .find(|owner| owner.kind == "Workflow" && owner.api_version.as_str().starts_with("argoproj.io/"))
    }
}

/// `OwnerReference`, as far as anything here reads it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    /// `argoproj.io/v1alpha1` for a Workflow.
    #[serde(borrow, default)]
    pub api_version: Text<'a>,
    /// `Workflow`, `Job`, …
    #[serde(borrow, default)]
    pub kind: Text<'a>,
    /// The owner's name.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// The owner's uid.
    #[serde(borrow, default)]
    pub uid: Text<'a>,
}

/// A small map of strings in the order it was written: labels, annotations, a node selector.
#[derive(Debug, Clone, Default)]
pub struct StringMap<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'a> StringMap<'a> {
    /// The value of a key; the last one where a key is written twice, as JSON readers do.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All pairs, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is no pair at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for StringMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = StringMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    pairs.push((key, value.unwrap_or_default()));
                }
                Ok(StringMap(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}
