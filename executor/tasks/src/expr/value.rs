//! Values, what they are equal to, and how they are ordered.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value as Json;

use super::ExpressionError;

/// How deep lists and maps may stand in each other. JSON is read down to 128.
const DEPTH: u32 = 200;
/// How large a value may be once it is written out, bytes: what it holds twice counts twice.
const WEIGHT: usize = 16 << 20;

/// A value of an expression. To copy one is cheap.
#[derive(Debug, Clone, Default)]
pub enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<List>),
    /// A list that is not there, such as the values of a header that nobody sent: it is empty, and equal to nil.
    NoList,
    Map(Rc<Map>),
}

/// Values in a row.
#[derive(Debug)]
pub struct List {
    elements: Vec<Value>,
    size: Size,
}

/// Values by keys.
#[derive(Debug)]
pub struct Map {
    entries: BTreeMap<Key, Value>,
    /// Whether what it holds are lists: a key that is not there then gives [`Value::NoList`].
    of_lists: bool,
    size: Size,
}

/// How much work a value is. It is known beforehand, since a few copies of copies are more than any machine can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    weight: usize,
    depth: u32,
}

/// A key. Only `groupBy` and `fromPairs` make any that is no text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
}

impl Value {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// What JSON holds. As in Go, whole numbers without a fraction are numbers like others.
    pub fn of_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => Self::Float(number.as_f64().unwrap_or_default()),
            Json::String(text) => Self::text(text),
            Json::Array(list) => Self::list_of(list.iter().map(Self::of_json)),
            Json::Object(fields) => Map::of(fields.iter().map(|(name, value)| (name.as_str(), Self::of_json(value)))),
        }
    }

    /// As JSON. What is no number there, such as infinity, is null.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Nil | Self::NoList => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => match whole(*number) {
                Some(whole) => Json::from(whole),
                None => Json::from(*number),
            },
            Self::Text(text) => Json::from(&**text),
            Self::List(list) => list.elements.iter().map(Self::to_json).collect(),
            Self::Map(map) => {
                Json::Object(map.entries.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect())
            }
        }
    }

    /// The type's name, as `type()` gives it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "string",
            Self::List(_) | Self::NoList => "array",
            Self::Map(_) => "map",
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::Text(text) => Size { weight: size_of::<Self>() + text.len(), depth: 0 },
            Self::List(list) => list.size,
            Self::Map(map) => map.size,
            _ => Size { weight: size_of::<Self>(), depth: 0 },
        }
    }

    /// What it is to go through it, bytes.
    pub(super) fn weight(&self) -> usize {
        self.size().weight
    }

    /// The value, unless it is larger or deeper than what can be dealt with.
    pub(super) fn bounded(self) -> Result<Self, ExpressionError> {
        let Size { weight, depth } = self.size();
        match weight > WEIGHT || depth > DEPTH {
            true => Err(ExpressionError::new("a value becomes too large")),
            false => Ok(self),
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::NoList)
    }

    /// A list.
    pub fn list_of(elements: impl IntoIterator<Item = Self>) -> Self {
        let elements: Vec<_> = elements.into_iter().collect();
        let size = Size::over(elements.iter());
        Self::List(Rc::new(List { elements, size }))
    }

    /// The elements, if it is a list.
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(&list.elements),
            Self::NoList => Some(&[]),
            _ => None,
        }
    }

    /// A number, whatever kind of number it is.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "as the language does it")]
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Equal as the language has it: numbers by what they are worth, lists by their elements.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Map(one), Self::Map(other)) => {
                let same = |((key, value), (other_key, other)): ((&Key, &Self), (&Key, &Self))| {
                    key == other_key && value.equals(other)
                };
                one.entries.len() == other.entries.len() && one.entries.iter().zip(&other.entries).all(same)
            }
            (one, other) if one.is_nil() && other.is_nil() => true,
            (one, other) => match (one.list(), other.list(), one.number(), other.number()) {
                (Some(one), Some(other), ..) => {
                    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.equals(other))
                }
                (_, _, Some(one), Some(other)) => one == other,
                _ => false,
            },
        }
    }

    /// The order of two numbers or two texts; nothing where there is none.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            // A number that is none is above and below nothing; equal to nothing it is by `equals`.
            (one, other) => one.number()?.partial_cmp(&other.number()?).or(Some(Ordering::Equal)),
        }
    }
}

/// A whole number that a float can hold exactly.
fn whole(number: f64) -> Option<i64> {
    /// Above it not every whole number is one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "within what a float holds exactly")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl Map {
    /// A map of names.
    pub fn of<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
        Self::of_entries(fields.into_iter().map(|(name, value)| (Key::Text(name.into()), value)).collect(), false)
    }

    /// A map of lists, in which what is not there is [`Value::NoList`].
    pub fn of_lists<'a>(fields: impl IntoIterator<Item = (&'a str, Vec<Value>)>) -> Value {
        let list = |(name, list): (&str, Vec<Value>)| (Key::Text(name.into()), Value::list_of(list));
        Self::of_entries(fields.into_iter().map(list).collect(), true)
    }

    pub(super) fn of_entries(entries: BTreeMap<Key, Value>, of_lists: bool) -> Value {
        let size = Size::over(entries.values());
        let keys = entries.keys().map(|key| if let Key::Text(text) = key { text.len() } else { 0 });
        let size = Size { weight: size.weight.saturating_add(keys.sum()), ..size };
        Value::Map(Rc::new(Self { entries, of_lists, size }))
    }

    pub(super) fn entries(&self) -> &BTreeMap<Key, Value> {
        &self.entries
    }

    /// The value of a key that may be there.
    pub(super) fn find(&self, key: &Value) -> Option<&Value> {
        self.entries.get(&Key::of(key)?)
    }

    /// The value of a key, or what stands for one that is not there.
    pub(super) fn get(&self, key: &Value) -> Value {
        let absent = if self.of_lists { Value::NoList } else { Value::Nil };
        self.find(key).cloned().unwrap_or(absent)
    }
}

impl Size {
    fn over<'a>(values: impl Iterator<Item = &'a Value>) -> Self {
        let empty = Self { weight: size_of::<Value>(), depth: 1 };
        values.map(Value::size).fold(empty, |all, one| Self {
            weight: all.weight.saturating_add(one.weight),
            depth: all.depth.max(one.depth.saturating_add(1)),
        })
    }
}

impl Key {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(Self::Bool(*truth)),
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Float(number) => whole(*number).map(Self::Int),
            Value::Text(text) => Some(Self::Text(Rc::clone(text))),
            _ => None,
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(Rc::clone(text)),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(truth) => truth.fmt(formatter),
            Self::Int(number) => number.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}
