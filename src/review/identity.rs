//! Whether a policy can read by which name a pod goes. Pods that differ in nothing else are judged once where none can.
//!
//! Rego sees a request through `input` alone, an expression through a few roots. So it is enough to look at what follows each
//! root in the text: a path that ends above the name hands the name over, one that leads elsewhere does not.

use serde_json::Value;

/// What an object goes by: these of `metadata`, and of the request itself.
const IDENTITY: [&str; 3] = ["name", "generateName", "uid"];

/// Where a root leads: the steps to the object below it, and to the request.
struct Root {
    name: &'static str,
    /// Each a way to a pod's own fields.
    objects: &'static [&'static [&'static str]],
    /// Each a way to a request's fields.
    requests: &'static [&'static [&'static str]],
}

/// A Rego module: conftest's, OPA's and Gatekeeper's inputs.
const REGO: [Root; 1] = [Root {
    name: "input",
    objects: &[&[], &["request", "object"], &["request", "oldObject"], &["review", "object"], &["review", "oldObject"]],
    requests: &[&["request"], &["review"]],
}];

/// An expression (ValidatingAdmissionPolicy, and Gatekeeper's native validation, which has variables of its own).
const EXPRESSION: [Root; 4] = [
    Root { name: "object", objects: &[&[]], requests: &[] },
    Root { name: "oldObject", objects: &[&[]], requests: &[] },
    Root { name: "variables.anyObject", objects: &[&[]], requests: &[] },
    Root { name: "request", objects: &[], requests: &[&[]] },
];

/// Whether a Rego module can.
pub(super) fn module_reads_it(text: &str) -> bool {
    reads(text, &REGO)
}

/// Whether a document can: a template by its sources, a constraint by its match, another kind of policy by any of its texts.
pub(super) fn document_reads_it(document: &Value) -> bool {
    let group = document.get("apiVersion").and_then(Value::as_str).unwrap_or_default().split('/').next();
    match group {
        Some("constraints.gatekeeper.sh") => document.pointer("/spec/match/name").is_some(),
        Some("templates.gatekeeper.sh") => {
            let targets = document.pointer("/spec/targets").into_iter();
            targets.flat_map(texts).any(|text| reads(text, &REGO) || reads(text, &EXPRESSION))
        }
        Some("admissionregistration.k8s.io") => texts(document).iter().any(|text| reads(text, &EXPRESSION)),
        // A Kyverno policy matches by name, and quotes it.
        Some(group) => group.ends_with("kyverno.io"),
        None => false,
    }
}

/// All strings of a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn reads(text: &str, roots: &[Root]) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    roots.iter().any(|root| {
        text.match_indices(root.name).any(|(at, found)| {
            let (before, after) =
                (text.get(..at).unwrap_or_default(), text.get(at + found.len()..).unwrap_or_default());
            // A part of a longer word, or a field of that name, such as `review.object`.
            let is_root = !before.ends_with(|c| is_word(c) || c == '.') && !after.starts_with(is_word);
            is_root && root.hands_over(&path(after))
        })
    })
}

impl Root {
    fn hands_over(&self, path: &[Option<&str>]) -> bool {
        let names = IDENTITY.iter();
        let of_objects = self.objects.iter().flat_map(|way| {
            let below = names.clone().map(|name| [way, &["metadata", *name][..]].concat());
            below.collect::<Vec<_>>()
        });
        let of_requests = self
            .requests
            .iter()
            .flat_map(|way| IDENTITY.iter().map(|name| [way, &[*name][..]].concat()).collect::<Vec<_>>());
        // One leads to the other, as far as both go; an unknown step may be any.
        let meets =
            |identity: Vec<&str>| path.iter().zip(identity).all(|(step, name)| step.is_none_or(|step| step == name));
        of_objects.chain(of_requests).any(meets)
    }
}

/// The steps that follow a root: `.a`, `["a"]`; `None` for one that is not known, such as `[i]`, where it ends.
fn path(mut text: &str) -> Vec<Option<&str>> {
    let mut steps = Vec::new();
    loop {
        let (step, rest) = if let Some(rest) = text.strip_prefix('.') {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            (rest.get(..end).filter(|step| !step.is_empty()), rest.get(end..).unwrap_or_default())
        } else if let Some(rest) = text.strip_prefix('[') {
            let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once("\"]"));
            quoted.map_or((None, ""), |(step, rest)| (Some(step), rest))
        } else {
            return steps;
        };
        steps.push(step);
        if step.is_none() {
            return steps;
        }
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_reads_the_name_where_a_path_may_lead_to_it() {
        let table = [
            ("violation[{\"msg\": m}] { c := input.review.object.spec.containers[_]; m := c.name }", false),
            ("x := input.parameters.name", false),
            ("x := input.review.object.metadata.labels", false),
            ("x := input.review.object[\"spec\"]", false),
            ("x := data.inventory.cluster", false),
            ("my_input := 1", false),
            ("x := input.review.object.metadata.name", true),
            ("x := input.review.object.metadata[\"name\"]", true),
            ("x := input.review.object.metadata[k]", true),
            ("x := input.review.object[k]", true),
            ("pod := input.review.object", true),
            ("import input.review as r", true),
            ("x := sprintf(\"%v\", [input])", true),
            ("x := input.review.name", true),
            ("x := input.request.uid", true),
            ("x := input.metadata.generateName", true),
            ("f(x) with input as x", true),
        ];
        for (text, expected) in table {
            assert_eq!(module_reads_it(text), expected, "{text}");
        }
    }

    #[test]
    fn an_expression_too() {
        let table = [
            ("object.spec.containers.all(c, has(c.resources))", false),
            ("request.operation == 'CREATE'", false),
            ("variables.anyObject.spec.hostNetwork", false),
            ("object.metadata.name.startsWith('a')", true),
            ("object.?metadata", true),
            ("has(object.metadata)", true),
            ("request.name", true),
            ("dyn(object)", true),
        ];
        for (text, expected) in table {
            let document = serde_json::json!({"apiVersion": "admissionregistration.k8s.io/v1", "spec": {"a": [text]}});
            assert_eq!(document_reads_it(&document), expected, "{text}");
        }
    }
}
