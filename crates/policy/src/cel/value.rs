//! The values of expressions. JSON is read where it lies: nothing of a pod is copied to be looked at.

use super::functions::network::{Address, Network};
use super::functions::quantity::Quantity;
use super::functions::semver::Semver;
use super::functions::url::Url;
use serde_json::{Map, Number};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'v>),
    Bytes(Rc<[u8]>),
    List(List<'v>),
    Map(Fields<'v>),
    /// Nanoseconds.
    Duration(i64),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    Optional(Option<Rc<Self>>),
    Type(Text<'v>),
    Quantity(Rc<Quantity>),
    Address(Address),
    Network(Network),
    Url(Rc<Url>),
    Semver(Rc<Semver>),
    Format(&'static str),
    /// What only the API server can ask.
    Authorizer,
    /// The policy's variables.
    Variables,
}

/// A string, of a document or made.
#[derive(Debug, Clone)]
pub(crate) enum Text<'v> {
    Borrowed(&'v str),
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A list, of a document or made.
#[derive(Debug, Clone)]
pub(crate) enum List<'v> {
    Json(&'v [serde_json::Value]),
    Values(Rc<Vec<Value<'v>>>),
}

/// A map, of a document or made.
#[derive(Debug, Clone)]
pub(crate) enum Fields<'v> {
    Json(&'v Map<String, serde_json::Value>),
    Values(Rc<BTreeMap<Key<'v>, Value<'v>>>),
}

/// What a map is looked up by.
#[derive(Debug, Clone)]
pub(crate) enum Key<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Text<'v>),
}

impl Key<'_> {
    fn rank(&self) -> (u8, i128) {
        match self {
            Self::Bool(bool) => (0, i128::from(*bool)),
            // Both kinds of integers are one number.
            Self::Int(number) => (1, i128::from(*number)),
            Self::Uint(number) => (1, i128::from(*number)),
            Self::String(_) => (2, 0),
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(a), Self::String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

impl<'v> Key<'v> {
    pub(super) fn to_value(&self) -> Value<'v> {
        match self {
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(number) => Value::Int(*number),
            Self::Uint(number) => Value::Uint(*number),
            Self::String(text) => Value::String(text.clone()),
        }
    }

    /// What can be a key: integral doubles are too, by their number.
    pub(super) fn of(value: &Value<'v>) -> Option<Self> {
        match value {
            Value::Bool(bool) => Some(Self::Bool(*bool)),
            Value::Int(number) => Some(Self::Int(*number)),
            Value::Uint(number) => Some(Self::Uint(*number)),
            Value::String(text) => Some(Self::String(text.clone())),
            Value::Double(number) => integral(*number).map(Self::Int),
            _ => None,
        }
    }
}

/// A double as the integer that it is.
pub(crate) fn integral(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
    let whole = (number.fract() == 0.0 && (-9.2e18..=9.2e18).contains(&number)).then_some(number as i64);
    whole
}

impl<'v> From<&'v serde_json::Value> for Value<'v> {
    fn from(json: &'v serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(bool) => Self::Bool(*bool),
            serde_json::Value::Number(number) => Self::of_number(number),
            serde_json::Value::String(text) => Self::String(Text::Borrowed(text)),
            serde_json::Value::Array(items) => Self::List(List::Json(items)),
            serde_json::Value::Object(fields) => Self::Map(Fields::Json(fields)),
        }
    }
}

impl<'v> Value<'v> {
    /// As the API server reads JSON: what is written as an integer and fits is one.
    fn of_number(number: &Number) -> Self {
        match number.as_i64() {
            Some(number) => Self::Int(number),
            None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// An object of a document.
    pub(crate) fn of_fields(fields: &'v Map<String, serde_json::Value>) -> Self {
        Self::Map(Fields::Json(fields))
    }

    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(List::Values(Rc::new(items)))
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// As `type(x)` names it.
    pub(super) fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => super::QUANTITY,
            Self::Address(_) => super::IP,
            Self::Network(_) => super::CIDR,
            Self::Url(_) => super::URL,
            Self::Semver(_) => super::SEMVER,
            Self::Format(_) => super::FORMAT,
            Self::Authorizer => super::AUTHORIZER,
            Self::Variables => "kubernetes.variables",
        }
    }

    /// What the cost of calls goes by: characters, elements, or one.
    pub(super) fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) if text.is_ascii() => text.len(),
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(fields) => fields.len(),
            _ => 1,
        };
        size as u64
    }

    /// Whether an optional of it counts as none, for `optional.ofNonZeroValue`.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null
            | Self::Bool(false)
            | Self::Int(0)
            | Self::Uint(0)
            | Self::Duration(0)
            | Self::Optional(None) => true,
            Self::Double(number) => *number == 0.0,
            Self::String(_) | Self::Bytes(_) | Self::List(_) | Self::Map(_) => self.size() == 0,
            _ => false,
        }
    }

    /// Numbers by their value, whatever their kinds; the same kind of texts, times and truth values. `None` for what has no order
    /// between them.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (a, b) => compare_numbers(a, b),
        }
    }
}

fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (whole(a), whole(b), a, b) {
        (Some(a), Some(b), ..) => Some(a.cmp(&b)),
        (None, None, Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Some(a), None, _, Value::Double(b)) => compare_mixed(a, *b),
        (None, Some(b), Value::Double(a), _) => compare_mixed(b, *a).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, also where the integer has no double.
#[expect(clippy::cast_possible_truncation, reason = "what is compared is in range")]
fn compare_mixed(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 1e20 {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = double.floor();
    Some(whole.cmp(&(floor as i128)).then(if double > floor { Ordering::Less } else { Ordering::Equal }))
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && (0..a.len()).all(|n| a.get(n) == b.get(n)),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.keys().iter().all(|key| a.get(key).is_some() && a.get(key) == b.get(key))
            }
            (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => **a == **b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Address(a), Self::Address(b)) => a == b,
            (Self::Network(a), Self::Network(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a == b,
            (a, b) => a.compare(b) == Some(Ordering::Equal),
        }
    }
}

impl<'v> List<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Values(items) => items.len(),
        }
    }

    pub(super) fn get(&self, n: usize) -> Option<Value<'v>> {
        match self {
            Self::Json(items) => items.get(n).map(Value::from),
            Self::Values(items) => items.get(n).cloned(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<Value<'v>> {
        match self {
            Self::Json(items) => items.iter().map(Value::from).collect(),
            Self::Values(items) => items.as_ref().clone(),
        }
    }
}

impl<'v> Fields<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(fields) => fields.len(),
            Self::Values(fields) => fields.len(),
        }
    }

    pub(super) fn get(&self, key: &Key<'v>) -> Option<Value<'v>> {
        match (self, key) {
            (Self::Json(fields), Key::String(key)) => fields.get(&**key).map(Value::from),
            (Self::Json(_), _) => None,
            (Self::Values(fields), key) => fields.get(key).cloned(),
        }
    }

    /// The field of a name.
    pub(super) fn field(&self, name: &'v str) -> Option<Value<'v>> {
        match self {
            Self::Json(fields) => fields.get(name).map(Value::from),
            Self::Values(fields) => fields.get(&Key::String(Text::Borrowed(name))).cloned(),
        }
    }

    pub(super) fn keys(&self) -> Vec<Key<'v>> {
        match self {
            Self::Json(fields) => fields.keys().map(|key| Key::String(Text::Borrowed(key))).collect(),
            Self::Values(fields) => fields.keys().cloned().collect(),
        }
    }
}
