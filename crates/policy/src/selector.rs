//! `metav1.LabelSelector` (Kubernetes API), which most engines match by.

use serde_json::Value;

/// Labels that an object must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// Why a selector is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSelector {
    /// A field of another type than the API gives it, or one that it lacks.
    #[error("{0} is missing or of the wrong type")]
    Field(&'static str),
    /// An operator that the API lacks.
    #[error("{0:?} is not one of In, NotIn, Exists and DoesNotExist")]
    Operator(String),
    /// Values where there must be none, or none where there must be some.
    #[error("values go with In and NotIn, and only with them")]
    Values,
}

impl LabelSelector {
    /// Reads it; one that is empty matches everything.
    pub(crate) fn read(value: &Value) -> Result<Self, InvalidSelector> {
        let mut requirements = Vec::new();
        for (key, label) in value.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let label = label.as_str().ok_or(InvalidSelector::Field("matchLabels"))?;
            requirements.push(Requirement { key: key.clone(), operator: Operator::In(vec![label.to_owned()]) });
        }
        for expression in value.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |field| expression.get(field).and_then(Value::as_str).ok_or(InvalidSelector::Field(field));
            let values: Vec<String> = expression
                .get("values")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|value| value.as_str().map(str::to_owned).ok_or(InvalidSelector::Field("values")))
                .collect::<Result<_, _>>()?;
            let operator = match (text("operator")?, values.is_empty()) {
                ("In", false) => Operator::In(values),
                ("NotIn", false) => Operator::NotIn(values),
                ("Exists", true) => Operator::Exists,
                ("DoesNotExist", true) => Operator::DoesNotExist,
                ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => return Err(InvalidSelector::Values),
                (other, _) => return Err(InvalidSelector::Operator(other.to_owned())),
            };
            requirements.push(Requirement { key: text("key")?.to_owned(), operator });
        }
        Ok(Self { requirements })
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object whose labels are looked up by `label` is selected.
    pub(crate) fn matches(&self, label: impl Fn(&str) -> Option<String>) -> bool {
        self.requirements.iter().all(|Requirement { key, operator }| {
            let value = label(key);
            match operator {
                Operator::In(values) => value.is_some_and(|value| values.contains(&value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}
