//! A YAML document whose every node knows where it was written.

use crate::manifest::{Place, Problem, parse_yaml};
use serde::{Deserialize, Deserializer, de};
use serde_json::Number;
use serde_saphyr::Spanned;
use std::{fmt, sync::Arc};

/// Far deeper than any key, and shallow enough for the stack of any thread: a level takes some 40 KiB in a debug build.
const DEEPEST: usize = 24;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Content,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key was written.
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// Parses one document; an empty one is [`Content::Null`].
    pub(super) fn parse(text: &str, source: &Arc<str>) -> Result<Self, Problem> {
        let start = Place { source: Arc::clone(source), line: 1, column: 1 };
        let raw = parse_yaml::<Raw>(text.trim_start_matches('\u{feff}'), &start, DEEPEST)?;
        Ok(Self::of(raw, source))
    }

    fn of(Spanned { value, referenced, .. }: Spanned<Raw>, source: &Arc<str>) -> Self {
        let place =
            |at: serde_saphyr::Location| Place { source: Arc::clone(source), line: at.line(), column: at.column() };
        let value = match value {
            Raw::Null => Content::Null,
            Raw::Bool(value) => Content::Bool(value),
            Raw::Number(value) => Content::Number(value),
            Raw::Text(value) => Content::Text(value),
            Raw::List(items) => Content::List(items.into_iter().map(|item| Self::of(item, source)).collect()),
            Raw::Map(entries) => {
                let entry = |(key, value): (Spanned<String>, _)| Entry {
                    key: key.value,
                    place: place(key.referenced),
                    value: Self::of(value, source),
                };
                Content::Map(entries.into_iter().map(entry).collect())
            }
        };
        Self { value, place: place(referenced) }
    }

    /// A tree that holds `value` at `path` and nothing else.
    pub(super) fn at_path(path: &[String], value: Self) -> Self {
        path.iter().rev().fold(value, |value, key| {
            let place = value.place.clone();
            let entry = Entry { key: key.clone(), place: place.clone(), value };
            Self { value: Content::Map(vec![entry]), place }
        })
    }

    /// A tree that says nothing.
    pub(super) fn empty() -> Self {
        Self { value: Content::Map(Vec::new()), place: Place::whole("default") }
    }

    /// Puts a value at a path of keys, in place of what is there.
    pub(super) fn set(&mut self, path: &[&str], value: Self) {
        let Some((key, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.value, Content::Map(_)) {
            *self = Self::empty();
        }
        let Content::Map(entries) = &mut self.value else { return };
        let place = value.place.clone();
        match entries.iter_mut().find(|entry| entry.key == *key) {
            Some(entry) => entry.value.set(rest, value),
            None => {
                let mut inner = Self { value: Content::Map(Vec::new()), place: place.clone() };
                inner.set(rest, value);
                entries.push(Entry { key: (*key).to_owned(), place, value: inner });
            }
        }
    }

    /// Lays another tree over this one: mappings are merged by key, anything else is replaced. What is empty
    /// (`server:`) sets nothing.
    pub(super) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (_, Content::Null) => {}
            (Content::Map(entries), Content::Map(new)) => {
                for entry in new {
                    match entries.iter_mut().find(|earlier| earlier.key == entry.key) {
                        Some(earlier) => {
                            earlier.value.overlay(entry.value);
                            earlier.place = entry.place;
                        }
                        None => entries.push(entry),
                    }
                }
            }
            (_, value) => *self = Self { value, place: over.place },
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The node at a path of keys.
    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Content::Null => "nothing",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    pub(super) fn problem(&self, text: impl Into<String>) -> Problem {
        Problem::new(self.place.clone(), text)
    }
}

/// The tree before its positions have a source.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> de::Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Number::from_f64(value).map(Raw::Number).ok_or_else(|| E::custom("no finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
