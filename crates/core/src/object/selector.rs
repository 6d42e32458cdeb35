use super::null_as_default;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `LabelSelector` of the Kubernetes API: all that it asks holds. One that asks nothing fits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    #[serde(default, deserialize_with = "null_as_default")]
    match_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_as_default")]
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Expression {
    key: String,
    operator: Operator,
    #[serde(default, deserialize_with = "null_as_default")]
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether labels fit.
    pub fn matches(&self, labels: &[(String, String)]) -> bool {
        let label = |key: &str| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let equal = self.match_labels.iter().all(|(key, value)| label(key) == Some(value));
        equal
            && self.match_expressions.iter().all(|Expression { key, operator, values }| {
                let value = label(key);
                match operator {
                    Operator::In => value.is_some_and(|value| values.contains(value)),
                    // A label that is not there is in no list.
                    Operator::NotIn => value.is_none_or(|value| !values.contains(value)),
                    Operator::Exists => value.is_some(),
                    Operator::DoesNotExist => value.is_none(),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fits_as_the_api_says() {
        let labels = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
        let one = |operator: &str, key: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let table = [
            (json!({}), true),
            (json!({"matchLabels": null, "matchExpressions": null}), true),
            (json!({"matchLabels": {"a": "1"}}), true),
            (json!({"matchLabels": {"a": "1", "c": "1"}}), false),
            (json!({"matchLabels": {"a": "2"}}), false),
            (one("In", "a", &["0", "1"]), true),
            (one("In", "c", &["1"]), false),
            (one("NotIn", "a", &["1"]), false),
            (one("NotIn", "c", &["1"]), true),
            (one("Exists", "b", &[]), true),
            (one("Exists", "c", &[]), false),
            (one("DoesNotExist", "b", &[]), false),
            (one("DoesNotExist", "c", &[]), true),
        ];
        for (selector, expected) in table {
            let read: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(read.matches(&labels), expected, "{selector}");
        }
        assert!(serde_json::from_value::<LabelSelector>(one("Near", "a", &[])).is_err());
    }
}
