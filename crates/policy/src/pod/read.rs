use std::fmt::{self, Write};

use serde_json::{Map, Value};

/// A field of a pod whose value has not the type that the API gives it.
///
/// The API server refuses such an object before any policy sees it, so nothing can be said of what they would say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {expected} is expected")]
pub struct Misfit {
    /// Where, such as `spec.containers[0].securityContext.runAsUser`.
    pub path: String,
    /// What the API has there, with its article.
    pub expected: &'static str,
}

/// Where a value stands: a chain of steps up to the object, on the stack of who reads it. It costs nothing until it is told.
#[derive(Clone, Copy)]
pub(crate) struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Field(&'p str),
    Key(&'p str),
    Index(usize),
}

impl<'p> At<'p> {
    /// A field of the object itself.
    pub(crate) fn root(field: &'p str) -> Self {
        Self { parent: None, step: Step::Field(field) }
    }

    pub(crate) fn field(&'p self, field: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Field(field) }
    }

    /// An entry of a map whose keys are the users'.
    pub(crate) fn key(&'p self, key: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    fn misfit(&self, expected: &'static str) -> Misfit {
        Misfit { path: self.to_string(), expected }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(field) => {
                if self.parent.is_some() {
                    f.write_char('.')?;
                }
                f.write_str(field)
            }
            Step::Key(key) => write!(f, "[{key}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Null counts as absent, here and below, as in the API.
pub(crate) fn object<'a>(value: &'a Value, at: &At<'_>) -> Result<Option<&'a Map<String, Value>>, Misfit> {
    match value {
        Value::Null => Ok(None),
        Value::Object(fields) => Ok(Some(fields)),
        _ => Err(at.misfit("an object")),
    }
}

pub(crate) fn list<'a>(value: &'a Value, at: &At<'_>) -> Result<&'a [Value], Misfit> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(at.misfit("a list")),
    }
}

pub(crate) fn text<'a>(value: &'a Value, at: &At<'_>) -> Result<Option<&'a str>, Misfit> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(at.misfit("a string")),
    }
}

pub(crate) fn flag(value: &Value, at: &At<'_>) -> Result<Option<bool>, Misfit> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        _ => Err(at.misfit("true or false")),
    }
}

pub(crate) fn integer(value: &Value, at: &At<'_>) -> Result<Option<i64>, Misfit> {
    match value {
        Value::Null => Ok(None),
        value => value.as_i64().map(Some).ok_or_else(|| at.misfit("an integer")),
    }
}

pub(crate) fn texts<'a>(value: &'a Value, at: &At<'_>) -> Result<Vec<&'a str>, Misfit> {
    let items = list(value, at)?.iter().enumerate();
    items.map(|(index, item)| Ok(text(item, &at.index(index))?.unwrap_or_default())).collect()
}

pub(crate) fn integers(value: &Value, at: &At<'_>) -> Result<Option<Vec<i64>>, Misfit> {
    if value.is_null() {
        return Ok(None);
    }
    let items = list(value, at)?.iter().enumerate();
    items
        .map(|(index, item)| Ok(integer(item, &at.index(index))?.unwrap_or_default()))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// One field of each object of a list; what lacks it has the field's zero value, as in the API.
pub(crate) fn each<'a, T: Default>(
    value: &'a Value,
    at: &At<'_>,
    name: &str,
    read: impl Fn(&'a Value, &At<'_>) -> Result<Option<T>, Misfit>,
) -> Result<Vec<T>, Misfit> {
    let mut found = Vec::new();
    for (index, item) in list(value, at)?.iter().enumerate() {
        let at = at.index(index);
        let field = object(item, &at)?.and_then(|fields| fields.get(name));
        found.push(match field {
            Some(value) => read(value, &at.field(name))?.unwrap_or_default(),
            None => T::default(),
        });
    }
    Ok(found)
}
