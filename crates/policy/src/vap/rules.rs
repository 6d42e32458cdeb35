//! Conditions, variables, validations and annotations in CEL: the part of a ValidatingAdmissionPolicy that Gatekeeper's templates have too.

use crate::cel::{CompileError, Environment, Failure, Globals, Program, Run, Value, Wanted};
use serde_json::Value as Json;

/// What all validations of a policy may cost (Kubernetes, `RuntimeCELCostBudget`); the annotations have as much again.
const BUDGET: u64 = 10_000_000;
/// What all match conditions may cost.
const CONDITIONS_BUDGET: u64 = 2_500_000;
/// The longest message that an expression gives, in bytes.
const MESSAGE: usize = 5 << 10;
/// The longest value of an annotation, in bytes.
const ANNOTATION: usize = 10 << 10;

/// What is to be evaluated.
#[derive(Debug)]
pub(crate) struct Rules {
    variables: Vec<(String, Result<Program, CompileError>)>,
    variable_texts: Vec<String>,
    pub(crate) conditions: Vec<Expression>,
    pub(crate) validations: Vec<Validation>,
    pub(crate) annotations: Vec<(String, Expression)>,
    /// Whether what fails is admitted.
    pub(crate) ignores_failures: bool,
}

/// An expression and its text, which stands in messages.
#[derive(Debug)]
pub(crate) struct Expression {
    text: String,
    pub(crate) program: Result<Program, CompileError>,
}

/// What an object has to be like.
#[derive(Debug)]
pub(crate) struct Validation {
    pub(crate) expression: Expression,
    pub(crate) message: String,
    pub(crate) message_expression: Option<Expression>,
    /// A reason of the API, such as `Invalid`.
    pub(crate) reason: String,
}

/// What one validation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing against it, or an error that is ignored.
    Nothing,
    /// Why not.
    Against {
        /// For people.
        message: String,
        /// For programs; empty for an error.
        reason: String,
    },
    /// Nobody here can say.
    Unknown(String),
}

/// What all of them say.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// One a validation; one alone where nothing could be evaluated; none where a condition leaves the request out.
    pub(crate) validations: Vec<Finding>,
    /// What is written into the audit log, by key.
    pub(crate) annotations: Vec<(String, String)>,
    /// Annotations that could not be evaluated.
    pub(crate) failed_annotations: Vec<Finding>,
}

/// Where a text stands in a policy, and what is wrong with it.
pub(crate) type Problem = (String, String, CompileError);

fn text<'v>(value: &'v Json, key: &str) -> &'v str {
    value.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Json, key: &str) -> &'v [Json] {
    value.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Expression {
    fn compile(text: &str, environment: &Environment, wanted: Wanted) -> Self {
        Self { text: text.to_owned(), program: Program::compile(text, environment, wanted) }
    }

    fn evaluate<'v>(&'v self, run: &Run<'v>) -> Result<Value<'v>, Failure> {
        match &self.program {
            Ok(program) => run.evaluate(program).map_err(|failure| match failure {
                Failure::Unknown(why) => Failure::Unknown(why),
                failure => Failure::Error(format!("expression '{}' resulted in error: {failure}", self.text)),
            }),
            Err(CompileError::TooComplex(why)) => Err(Failure::Unknown((*why).to_owned())),
            Err(error) => Err(Failure::Error(format!("compilation error: {error}"))),
        }
    }
}

impl Rules {
    /// Compiles `conditions`, and what is below `spec`; `given` variables go before the policy's own.
    pub(crate) fn compile(spec: &Json, conditions: &[Json], has_params: bool, given: &[(&str, &str)]) -> Self {
        let own =
            items(spec, "variables").iter().map(|variable| (text(variable, "name"), text(variable, "expression")));
        let all: Vec<(&str, &str)> = given.iter().copied().chain(own).collect();
        let plain = Environment::of_conditions(has_params);
        let mut environment = if all.is_empty() { plain.clone() } else { plain.with_variables() };
        let mut variables = Vec::with_capacity(all.len());
        let variable_texts = all.iter().map(|(_, text)| (*text).to_owned()).collect();
        for (name, text) in all {
            let program = Program::compile(text, &environment, Wanted::Anything);
            environment.declare(name, program.as_ref().ok());
            variables.push((name.to_owned(), program));
        }
        let without_authorizer = environment.without_authorizer();
        let validations = items(spec, "validations").iter().map(|validation| Validation {
            expression: Expression::compile(text(validation, "expression"), &environment, Wanted::Bool),
            message: text(validation, "message").to_owned(),
            message_expression: Some(text(validation, "messageExpression"))
                .filter(|text| !text.is_empty())
                .map(|text| Expression::compile(text, &without_authorizer, Wanted::String)),
            reason: text(validation, "reason").to_owned(),
        });
        let annotations = items(spec, "auditAnnotations").iter().map(|annotation| {
            let expression =
                Expression::compile(text(annotation, "valueExpression"), &environment, Wanted::StringOrNull);
            (text(annotation, "key").to_owned(), expression)
        });
        Self {
            conditions: conditions
                .iter()
                .map(|condition| Expression::compile(text(condition, "expression"), &plain, Wanted::Bool))
                .collect(),
            validations: validations.collect(),
            annotations: annotations.collect(),
            variables,
            variable_texts,
            ignores_failures: text(spec, "failurePolicy") == "Ignore",
        }
    }

    /// Everything that does not compile.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let variables = self.variables.iter().zip(&self.variable_texts).enumerate().map(|(n, ((_, program), text))| {
            (format!("spec.variables[{n}].expression"), text.clone(), program.as_ref().err())
        });
        let of = |place: String, expression: &Expression| {
            (place, expression.text.clone(), expression.program.as_ref().err().cloned())
        };
        let conditions =
            self.conditions.iter().enumerate().map(|(n, one)| of(format!("spec.matchConditions[{n}].expression"), one));
        let validations = self.validations.iter().enumerate().flat_map(|(n, validation)| {
            let message = validation
                .message_expression
                .as_ref()
                .map(|message| of(format!("spec.validations[{n}].messageExpression"), message));
            std::iter::once(of(format!("spec.validations[{n}].expression"), &validation.expression)).chain(message)
        });
        let annotations = self
            .annotations
            .iter()
            .enumerate()
            .map(|(n, (_, one))| of(format!("spec.auditAnnotations[{n}].valueExpression"), one));
        variables
            .map(|(place, text, error)| (place, text, error.cloned()))
            .chain(conditions)
            .chain(validations)
            .chain(annotations)
            .filter_map(|(place, text, error)| Some((place, text, error?)))
            .collect()
    }

    /// Evaluates everything.
    pub(crate) fn evaluate<'v>(&'v self, globals: Globals<'v>) -> Findings {
        match self.is_meant(&globals) {
            Ok(true) => {}
            Ok(false) => return Findings::default(),
            Err(failure) => {
                return Findings { validations: vec![self.finding(failure)], ..Findings::default() };
            }
        }
        let run = Run::new(globals.clone(), &self.variables);
        let validations = match self.validated(&run) {
            Ok(validations) => validations,
            Err(failure) => vec![self.finding(failure)],
        };
        let mut findings = Findings { validations, ..Findings::default() };
        if !self.annotations.is_empty() {
            self.annotate(globals, &mut findings);
        }
        findings
    }

    /// Whether all conditions are met: one that is not goes before one that fails.
    fn is_meant<'v>(&'v self, globals: &Globals<'v>) -> Result<bool, Failure> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let run = Run::new(globals.clone(), &[]);
        let (mut errors, mut unknown) = (Vec::new(), None);
        for condition in &self.conditions {
            match condition.evaluate(&run) {
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(_) => {}
                Err(Failure::Unknown(why)) => unknown = Some(Failure::Unknown(why)),
                Err(failure) => errors.push(failure.to_string()),
            }
            within(&run, CONDITIONS_BUDGET)?;
        }
        match (unknown, &errors[..]) {
            (Some(unknown), _) => Err(unknown),
            (None, []) => Ok(true),
            (None, _) if self.ignores_failures => Ok(false),
            (None, [one]) => Err(Failure::Error(one.clone())),
            (None, several) => Err(Failure::Error(format!("[{}]", several.join(", ")))),
        }
    }

    fn finding(&self, failure: Failure) -> Finding {
        match failure {
            Failure::Unknown(why) => Finding::Unknown(why),
            _ if self.ignores_failures => Finding::Nothing,
            failure => Finding::Against { message: failure.to_string(), reason: String::new() },
        }
    }

    fn validated<'v>(&'v self, run: &Run<'v>) -> Result<Vec<Finding>, Failure> {
        let mut outcomes = Vec::with_capacity(self.validations.len());
        for validation in &self.validations {
            outcomes.push(validation.expression.evaluate(run));
            within(run, BUDGET)?;
        }
        let findings = self.validations.iter().zip(outcomes).map(|(validation, outcome)| match outcome {
            Ok(Value::Bool(true)) => Finding::Nothing,
            Ok(_) => Finding::Against { message: validation.told(run), reason: validation.reason.clone() },
            Err(failure) => self.finding(failure),
        });
        Ok(findings.collect())
    }

    fn annotate<'v>(&'v self, globals: Globals<'v>, findings: &mut Findings) {
        let run = Run::new(globals, &self.variables);
        for (key, expression) in &self.annotations {
            match expression.evaluate(&run).and_then(|value| within(&run, BUDGET).map(|()| value)) {
                Ok(Value::String(value)) if !value.trim().is_empty() => {
                    let value = value.trim();
                    let value = value.get(..value.floor_char_boundary(ANNOTATION)).unwrap_or(value);
                    findings.annotations.push((key.clone(), value.to_owned()));
                }
                Ok(_) => {}
                Err(failure) => findings.failed_annotations.push(self.finding(failure)),
            }
        }
    }
}

fn within(run: &Run<'_>, budget: u64) -> Result<(), Failure> {
    match run.spent() > budget {
        true => Err(Failure::Error(
            "validation failed due to running out of cost budget, no further validation rules will be run".to_owned(),
        )),
        false => Ok(()),
    }
}

impl Validation {
    /// The message: the expression's, if it gives one line that is not too long; else the policy's; else the expression.
    fn told<'v>(&'v self, run: &Run<'v>) -> String {
        let made = self.message_expression.as_ref().and_then(|message| match message.evaluate(run) {
            Ok(Value::String(text)) => Some(text.trim().to_owned()),
            _ => None,
        });
        let fits = |text: &String| !text.is_empty() && text.len() <= MESSAGE && !text.contains('\n');
        made.filter(fits).unwrap_or_else(|| match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.text.trim()),
            message => message.to_owned(),
        })
    }
}
