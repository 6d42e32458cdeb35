//! Deserialises from a [`Node`], so that an error has the place and the path of what was typed.

use super::tree::{Content, Entry, Node};
use crate::manifest::{Place, Problem};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, value::StrDeserializer};
use std::fmt;

/// Reads a value of any type from a tree.
pub(super) fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Problem> {
    T::deserialize(node).map_err(|fault| {
        let path: Vec<&str> = fault.path.iter().rev().map(String::as_str).collect();
        let text = if path.is_empty() { fault.text } else { format!("{}: {}", path.join("."), fault.text) };
        Problem::new(fault.place.unwrap_or_else(|| node.place.clone()), text)
    })
}

/// An error on its way out: what is wrong, and from the inside to the outside where.
#[derive(Debug)]
pub(super) struct Fault {
    text: String,
    place: Option<Place>,
    path: Vec<String>,
}

impl Fault {
    fn within(mut self, key: impl Into<String>, place: &Place) -> Self {
        self.path.push(key.into());
        self.at(place)
    }

    fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { text: text.to_string(), place: None, path: Vec::new() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            Unexpected::Bool(value) => format!("the boolean {value} (text needs quotes)"),
            Unexpected::Unsigned(value) => format!("the number {value}"),
            Unexpected::Signed(value) => format!("the number {value}"),
            Unexpected::Float(value) => format!("the number {value}"),
            Unexpected::Str(value) => format!("{value:?}"),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a mapping".to_owned(),
            other => other.to_string(),
        };
        // serde's own words for Rust's types; the rest is what our visitors say.
        let expected = match expected.to_string().as_str() {
            "a string" => "text".to_owned(),
            "path string" => "a path".to_owned(),
            "a sequence" => "a list".to_owned(),
            "u32" => "a whole number".to_owned(),
            text if text.starts_with("struct ") || text == "a map" => "a mapping of keys".to_owned(),
            text => text.to_owned(),
        };
        Self::custom(format_args!("expected {expected}, found {found}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown_key(field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("{variant:?} is not one of {}", expected.join(", ")))
    }
}

/// Says that a key is unknown and names the nearest known one, or all of them.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(nearest) => format!("unknown key `{key}`; did you mean `{nearest}`?"),
        None => format!("unknown key `{key}`; known here: {}", known.join(", ")),
    }
}

/// The known name that differs in at most two letters of five, upper and lower case being the same.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    known
        .filter_map(|name| Some((distance(&typed, &name.to_ascii_lowercase())?, name)))
        .min()
        .filter(|(distance, name)| distance * 5 <= name.len().max(typed.len()) * 2)
        .map(|(_, name)| name)
}

/// Insertions, deletions, substitutions and swaps of neighbours between two words (optimal string alignment). Nothing where one
/// is long: such a text resembles no key, and the table would be large.
fn distance(a: &str, b: &str) -> Option<usize> {
    if a.len() > 64 || b.len() > 64 {
        return None;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    Some(rows[a.len()][b.len()])
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let found = match &self.value {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Number(value) => match (value.as_u64(), value.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (_, Some(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(value.as_f64().unwrap_or(f64::NAN)),
            },
            Content::Text(value) => visitor.visit_borrowed_str(value),
            Content::List(items) => visitor.visit_seq(Items { items: items.iter(), next: 0 }),
            Content::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), current: None }),
        };
        found.map_err(|fault| fault.at(&self.place))
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// serde would read a struct from a list too, its fields in their order.
    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Content::List(_) => Err(<Fault as de::Error>::invalid_type(Unexpected::Seq, &visitor).at(&self.place)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let chosen = match &self.value {
            Content::Text(name) => {
                let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            // `off` is a boolean to YAML, and a mode to whoever types it.
            Content::Bool(false) if variants.contains(&"off") => {
                let name: StrDeserializer<'_, Fault> = "off".into_deserializer();
                visitor.visit_enum(name)
            }
            _ => Err(de::Error::custom(format_args!("expected one of {}, found {}", variants.join(", "), self.kind()))),
        };
        chosen.map_err(|fault| fault.at(&self.place))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Node>,
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.next() else { return Ok(None) };
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|fault| fault.within((self.next - 1).to_string(), &item.place))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    /// A key without a value sets nothing: its default holds.
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.current = Some(entry);
        let key: StrDeserializer<'de, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(&entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry =
            self.current.take().ok_or_else(|| <Fault as de::Error>::custom("a value was read before its key"))?;
        seed.deserialize(&entry.value).map_err(|fault| fault.within(entry.key.as_str(), &entry.place))
    }
}
