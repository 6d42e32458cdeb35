use super::exclude::Exclusion;
use super::fields::{self, Violation};
use super::matching::{Match, Matching, selects};
use super::{Action, Outcome, fits, items, text, texts};
use crate::cel::{Globals, Value as CelValue};
use crate::pod::Pod;
use crate::pss::{Level, Standard, Version};
use crate::request::{Operation, Request};
use crate::vap::rules::{Finding, Rules};
use crate::vap::{namespace_json, request_json};
use serde_json::{Value, json};

/// A rule of a policy.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    matching: Matching,
    /// Why it cannot be judged where it matches, whatever it checks.
    unknown: Option<String>,
    check: Check,
    /// Of the rule itself, before the policy's.
    overrides: Vec<Override>,
    action: Option<Action>,
}

/// What a rule checks.
#[derive(Debug)]
enum Check {
    PodSecurity {
        standard: Standard,
        level: String,
        version: String,
        exclusions: Vec<Exclusion>,
    },
    Expressions(Box<Rules>),
    /// Something that is not judged here, by the name of its field.
    Other(String),
}

/// Another action for some namespaces.
#[derive(Debug)]
pub(super) struct Override {
    action: Action,
    namespaces: Option<Vec<String>>,
    selector: Option<Value>,
}

impl Override {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let action = text(value, "action");
        matches!(action, "Enforce" | "enforce" | "Audit" | "audit").then(|| Self {
            action: Action::read(action),
            namespaces: value.get("namespaces").filter(|given| given.is_array()).map(|_| texts(value, "namespaces")),
            selector: value.get("namespaceSelector").filter(|given| given.is_object()).cloned(),
        })
    }

    fn is_for(&self, request: &Request) -> bool {
        let labels = request.namespace_object.as_ref().and_then(|namespace| namespace.object.get("metadata"));
        let labels = labels.and_then(|metadata| metadata.get("labels")).and_then(Value::as_object);
        let is_within = self.namespaces.as_ref().is_none_or(|all| all.iter().any(|one| fits(one, &request.namespace)));
        is_within && self.selector.as_ref().is_none_or(|selector| selects(selector, labels))
    }

    /// The first that is for a request.
    pub(super) fn action(overrides: &[Self], request: &Request) -> Option<Action> {
        overrides.iter().find(|one| one.is_for(request)).map(|one| one.action)
    }
}

/// What a rule may check besides, by the fields of `validate`.
const OTHER_CHECKS: [&str; 6] = ["pattern", "anyPattern", "deny", "foreach", "manifests", "assert"];

impl Rule {
    /// Reads it; the error says why Kyverno would not take it, or why it says nothing of pods. `None` where it validates nothing.
    pub(super) fn read(rule: &Value) -> Result<Option<Self>, String> {
        let name = text(rule, "name").to_owned();
        if let Some(kind) = ["mutate", "generate"].into_iter().find(|kind| rule.get(*kind).is_some()) {
            return Err(format!("rule {name}: {kind} is not simulated"));
        }
        let given = |key: &str| !items(rule, key).is_empty() || rule.get(key).is_some_and(Value::is_object);
        let unknown = if given("context") {
            Some("its context is read from a cluster".to_owned())
        } else if given("preconditions") {
            Some("its preconditions are not judged here".to_owned())
        } else {
            None
        };
        let validate = rule.get("validate").unwrap_or(&Value::Null);
        let check = if given("verifyImages") {
            Check::Other("verifyImages".to_owned())
        } else if let Some(security) = validate.get("podSecurity") {
            Check::pod_security(security).map_err(|why| format!("rule {name}: {why}"))?
        } else if let Some(cel) = validate.get("cel") {
            Check::expressions(rule, validate, cel).map_err(|why| format!("rule {name}: {why}"))?
        } else if let Some(other) = OTHER_CHECKS.into_iter().find(|key| validate.get(*key).is_some()) {
            Check::Other(format!("validate.{other}"))
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            name,
            matching: Matching::read(rule),
            unknown,
            check,
            overrides: items(validate, "failureActionOverrides").iter().filter_map(Override::read).collect(),
            action: validate.get("failureAction").and_then(Value::as_str).map(Action::read),
        }))
    }

    /// What is done about it, where the rule says it.
    pub(super) fn action(&self, request: &Request) -> Option<Action> {
        Override::action(&self.overrides, request).or(self.action)
    }

    /// `None` where it does not match.
    pub(super) fn judge(&self, request: &Request) -> Option<Outcome> {
        // Kyverno's webhook hears of these only where a rule asks for them.
        let is_rare = matches!(request.operation, Operation::Delete | Operation::Connect);
        if is_rare && !self.matching.names_operation(request.operation.as_str()) {
            return None;
        }
        match self.matching.matches(request) {
            Match::No => return None,
            Match::Unknown(why) => return Some(Outcome::Unknown(why.to_owned())),
            Match::Yes => {}
        }
        if let Some(why) = &self.unknown {
            return Some(Outcome::Unknown(why.clone()));
        }
        match &self.check {
            Check::Other(kind) => Some(Outcome::Unknown(format!("{kind} is not judged here"))),
            Check::PodSecurity { .. } if request.operation == Operation::Delete => None,
            Check::PodSecurity { standard, level, version, exclusions } => {
                Some(match self.violations(*standard, exclusions, &request.object) {
                    Err(why) => Outcome::Unknown(why),
                    Ok(violations) if violations.is_empty() => Outcome::Pass,
                    Ok(violations) => Outcome::Fail(self.told(level, version, &violations)),
                })
            }
            Check::Expressions(rules) => Some(evaluate(rules, request)),
        }
    }

    fn violations(&self, standard: Standard, exclusions: &[Exclusion], pod: &Value) -> Result<Vec<Violation>, String> {
        let pod = Pod::read(pod).map_err(|misfit| misfit.to_string())?;
        let mut found = fields::violations(standard, &pod);
        exclusions.iter().for_each(|exclusion| exclusion.apply(standard, &pod, &mut found));
        Ok(found)
    }

    fn told(&self, level: &str, version: &str, violations: &[Violation]) -> String {
        let mut message =
            format!("Validation rule '{}' failed. It violates PodSecurity \"{level}:{version}\": ", self.name);
        for Violation { reason, errors, .. } in violations {
            let errors: Vec<String> = errors.iter().map(fields::FieldError::told).collect();
            message.push_str(&format!("(Forbidden reason: {reason}, field error list: [{}])", errors.join(", ")));
        }
        message
    }
}

impl Check {
    fn pod_security(security: &Value) -> Result<Self, String> {
        let (level, version) = (text(security, "level"), text(security, "version"));
        let wrong = |field: &str, value: &str| format!("validate.podSecurity.{field} cannot be {value:?}");
        let standard = Standard {
            level: Level::parse(level).ok_or_else(|| wrong("level", level))?,
            version: match Version::parse(version) {
                None if version.is_empty() => Version::Latest,
                Some(known @ (Version::Latest | Version::Minor(19..=32))) => known,
                _ => return Err(wrong("version", version)),
            },
        };
        Ok(Self::PodSecurity {
            standard,
            level: level.to_owned(),
            version: version.to_owned(),
            exclusions: items(security, "exclude").iter().map(Exclusion::read).collect(),
        })
    }

    fn expressions(rule: &Value, validate: &Value, cel: &Value) -> Result<Self, String> {
        if cel.get("paramKind").is_some() {
            return Ok(Self::Other("validate.cel with parameters".to_owned()));
        }
        // The rule's message stands in for those of its expressions.
        let validations = items(cel, "expressions").iter().map(|validation| {
            let mut validation = validation.clone();
            if text(&validation, "message").is_empty() && validation.is_object() {
                validation["message"] = Value::from(text(validate, "message"));
            }
            validation
        });
        let spec = json!({
            "validations": validations.collect::<Vec<_>>(),
            "variables": cel.get("variables").cloned().unwrap_or_default(),
        });
        let rules = Rules::compile(&spec, items(rule, "celPreconditions"), false, &[]);
        match rules.problems().into_iter().next() {
            Some((place, _, error)) => Err(format!("{place}: {error}")),
            None => Ok(Self::Expressions(Box::new(rules))),
        }
    }
}

/// The outcome of expressions; one that is against the request speaks for all.
pub(super) fn evaluate(rules: &Rules, request: &Request) -> Outcome {
    let request_json = request_json(request);
    let namespace = match &request.namespace_object {
        Some(namespace) => Some(namespace_json(namespace)),
        None if request.namespace.is_empty() => Some(Value::Null),
        None => None,
    };
    let findings = rules.evaluate(Globals {
        object: CelValue::from(&request.object),
        old_object: CelValue::from(&request.old_object),
        request: CelValue::from(&request_json),
        namespace_object: namespace.as_ref().map(CelValue::from),
        params: CelValue::Null,
    });
    if findings.validations.is_empty() {
        return Outcome::Skip;
    }
    let mut unknown = None;
    for finding in findings.validations {
        match finding {
            Finding::Against { message, .. } => return Outcome::Fail(message),
            Finding::Unknown(why) => unknown = unknown.or(Some(why)),
            Finding::Nothing => {}
        }
    }
    unknown.map_or(Outcome::Pass, Outcome::Unknown)
}
