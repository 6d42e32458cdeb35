use super::{Text, null_as_default};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Required node affinity, as far as it names single values.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    node_affinity: NodeAffinity<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeAffinity<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    required_during_scheduling_ignored_during_execution: Selector<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    node_selector_terms: Vec<Term<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    match_expressions: Vec<Expression<'a>>,
}

#[derive(Debug, Deserialize)]
struct Expression<'a> {
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    operator: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    values: Vec<Text<'a>>,
}

impl<'a> Affinity<'a> {
    /// Reads `spec.affinity`. The API server has validated it in a pod and nobody in a template, so what is not readable
    /// decides nothing.
    pub fn read(raw: Option<&'a RawValue>) -> Self {
        let read = raw.and_then(|raw| serde_json::from_str::<Option<Self>>(raw.get()).ok());
        read.flatten().unwrap_or_default()
    }

    /// The one value that every term demands of a label, whichever of its names a term uses. Terms are alternatives, so all
    /// must agree; within a term `In` with a single value counts, and nothing else.
    pub fn demanded(&self, keys: &[&str]) -> Option<&str> {
        let demand = |term: &'_ Term<'a>| -> Option<usize> {
            term.match_expressions
                .iter()
                .position(|e| keys.contains(&e.key.as_str()) && e.operator == "In" && e.values.len() == 1)
        };
        let terms = &self.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms;
        let mut demanded =
            terms.iter().map(|term| demand(term).map(|at| term.match_expressions[at].values[0].as_str()));
        let first = demanded.next()??;
        demanded.all(|other| other == Some(first)).then_some(first)
    }
}
