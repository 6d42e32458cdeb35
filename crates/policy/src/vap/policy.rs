use super::matching::{InvalidMatching, Matching};
use super::rules::Rules;
use crate::cel::CompileError;
use serde_json::Value;

/// A ValidatingAdmissionPolicy, compiled.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) matching: Matching,
    pub(super) param_kind: Option<ParamKind>,
    pub(super) rules: Rules,
}

/// Of what kind the parameters are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ParamKind {
    pub(super) api_version: String,
    pub(super) kind: String,
}

/// Why a policy is refused, in the API server's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidPolicy {
    #[error(transparent)]
    Matching(#[from] InvalidMatching),
    #[error("{place}: Required value")]
    Required { place: String },
    #[error("{place}: Duplicate value: {value:?}")]
    Duplicate { place: String, value: String },
    #[error("{place}: Unsupported value: {value:?}: supported values: {supported}")]
    Unsupported { place: String, value: String, supported: &'static str },
    #[error("{place}: Invalid value: {value:?}: {problem}")]
    Invalid { place: String, value: String, problem: String },
    #[error("{place}: Internal error: {problem}")]
    Internal { place: String, problem: String },
}

/// The most audit annotations of a policy.
const ANNOTATIONS: usize = 20;
/// The most match conditions.
const CONDITIONS: usize = 64;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn required(place: impl Into<String>) -> InvalidPolicy {
    InvalidPolicy::Required { place: place.into() }
}

fn invalid(place: String, value: &str, problem: impl Into<String>) -> InvalidPolicy {
    InvalidPolicy::Invalid { place, value: value.to_owned(), problem: problem.into() }
}

impl Policy {
    pub(super) fn read(document: &Value) -> Result<Self, InvalidPolicy> {
        let name = document.get("metadata").map_or("", |metadata| text(metadata, "name"));
        if name.is_empty() {
            return Err(required("metadata.name"));
        }
        let spec = document.get("spec").unwrap_or(&Value::Null);
        if let Some(policy) = spec.get("failurePolicy").and_then(Value::as_str)
            && !matches!(policy, "Fail" | "Ignore")
        {
            let (place, value) = ("spec.failurePolicy".to_owned(), policy.to_owned());
            return Err(InvalidPolicy::Unsupported { place, value, supported: "\"Fail\", \"Ignore\"" });
        }
        let param_kind = spec.get("paramKind").filter(|kind| !kind.is_null()).map(ParamKind::read).transpose()?;
        let constraints = spec.get("matchConstraints").filter(|given| !given.is_null());
        let matching = Matching::read("spec.matchConstraints", constraints.unwrap_or(&Value::Null))?;
        if !matching.has_rules() {
            return Err(required("spec.matchConstraints.resourceRules"));
        }
        if items(spec, "validations").is_empty() && items(spec, "auditAnnotations").is_empty() {
            return Err(required("spec.validations"));
        }
        named(spec, "matchConditions", "name", CONDITIONS, is_qualified)?;
        named(spec, "variables", "name", usize::MAX, is_identifier)?;
        named(spec, "auditAnnotations", "key", ANNOTATIONS, is_qualified)?;
        for (n, validation) in items(spec, "validations").iter().enumerate() {
            check(&format!("spec.validations[{n}]"), validation)?;
        }
        let rules = Rules::compile(spec, items(spec, "matchConditions"), param_kind.is_some(), &[]);
        for (place, text, error) in rules.problems() {
            match error {
                // It may be right, and is judged as what nobody can judge.
                CompileError::TooComplex(_) => {}
                CompileError::Empty => return Err(required(place)),
                error @ CompileError::Instantiation(_) => {
                    return Err(InvalidPolicy::Internal { place, problem: error.to_string() });
                }
                error => return Err(invalid(place, &text, error.to_string())),
            }
        }
        Ok(Self { name: name.to_owned(), matching, param_kind, rules })
    }
}

impl ParamKind {
    fn read(kind: &Value) -> Result<Self, InvalidPolicy> {
        let of = |key: &str| match text(kind, key) {
            "" => Err(required(format!("spec.paramKind.{key}"))),
            value => Ok(value.to_owned()),
        };
        Ok(Self { api_version: of("apiVersion")?, kind: of("kind")? })
    }
}

/// A list of what has names: each has one that is allowed and that no other has.
fn named(spec: &Value, list: &str, key: &str, most: usize, is_allowed: fn(&str) -> bool) -> Result<(), InvalidPolicy> {
    let all = items(spec, list);
    if all.len() > most {
        return Err(invalid(format!("spec.{list}"), &all.len().to_string(), format!("must have at most {most} items")));
    }
    let mut seen: Vec<&str> = Vec::with_capacity(all.len());
    for (n, item) in all.iter().enumerate() {
        let (place, name) = (format!("spec.{list}[{n}].{key}"), text(item, key));
        if name.is_empty() {
            return Err(required(place));
        }
        if seen.contains(&name) {
            return Err(InvalidPolicy::Duplicate { place, value: name.to_owned() });
        }
        if !is_allowed(name) {
            return Err(invalid(place, name, "is not a name that is allowed here"));
        }
        seen.push(name);
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    const RESERVED: [&str; 21] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
        && !RESERVED.contains(&name)
}

/// `name`, or `example.com/name`.
fn is_qualified(name: &str) -> bool {
    let (prefix, name) = name.split_once('/').map_or((None, name), |(prefix, name)| (Some(prefix), name));
    let is_part = |part: &str, extra: &[u8], most: usize| {
        let is_end = |c: char| c.is_ascii_alphanumeric();
        part.len() <= most
            && part.starts_with(is_end)
            && part.ends_with(is_end)
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
    };
    is_part(name, b"-_.", 63) && prefix.is_none_or(|prefix| is_part(prefix, b"-.", 253))
}

fn check(place: &str, validation: &Value) -> Result<(), InvalidPolicy> {
    let at = |field: &str| format!("{place}.{field}");
    if text(validation, "expression").trim().is_empty() {
        return Err(required(at("expression")));
    }
    let message = text(validation, "message");
    if !message.is_empty() && message.trim().is_empty() {
        return Err(invalid(at("message"), message, "message must be non-empty if specified"));
    }
    if message.trim().contains('\n') {
        return Err(invalid(at("message"), message, "must not contain line breaks"));
    }
    let expression = text(validation, "messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        return Err(invalid(at("messageExpression"), expression, "must be non-empty if specified"));
    }
    match validation.get("reason").and_then(Value::as_str) {
        None | Some("Forbidden" | "Invalid" | "RequestEntityTooLarge") => Ok(()),
        Some(other) => Err(InvalidPolicy::Unsupported {
            place: at("reason"),
            value: other.to_owned(),
            supported: "\"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
        }),
    }
}
