//! Rego modules, compiled once and evaluated as OPA would, by regorus.

mod builtins;
mod check;
mod edits;
mod normalise;
mod policies;
mod split;
mod syntax;
mod value;

use check::Parsed;
use normalise::{Normalised, Written};
use regorus::{Engine, PolicyLengthConfig, Value};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

pub use check::Host;
pub use policies::{Policies, RequestInputs, Rule};
pub use value::Input;

/// The largest module that is read, in bytes.
const BYTES: NonZeroUsize = NonZeroUsize::new(16 << 20).expect("is not zero");
/// The longest, in lines.
const LINES: NonZeroUsize = NonZeroUsize::new(1 << 20).expect("is not zero");

/// One file of Rego.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where it is from; stands in error messages.
    pub name: String,
    /// The source.
    pub text: String,
}

/// Which Rego a module is written in. `import rego.v1` makes a module of [`Version::V0`] one of [`Version::V1`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Before OPA 1.0: bodies without `if`. What Gatekeeper takes where a template says nothing.
    V0,
    /// OPA 1.0 and later.
    V1,
    /// Whatever each module can be read as, [`Version::V1`] first.
    Either,
}

/// Why modules cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(String);

impl CompileError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string().trim().to_owned())
    }
}

/// Why a rule cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A function that OPA has, perhaps, and that is missing here: what the rule says is not known.
    #[error("{0}")]
    MissingFunction(String),
    /// What OPA would report too, such as a conflict between two values of one function.
    #[error("{0}")]
    Failed(String),
}

impl EvaluationError {
    fn new(error: &anyhow::Error) -> Self {
        let text = error.to_string();
        let told = text.rsplit_once("error: ").map_or(text.as_str(), |(_, told)| told).trim().to_owned();
        if told.ends_with("for same inputs") || told.ends_with("must not produce multiple outputs") {
            return Self::Failed(format!("{}: eval_conflict_error: {told}", place(&text)));
        }
        match told.strip_prefix("could not find function ") {
            Some(function) => Self::MissingFunction(format!("the function {function} is not available here")),
            None => Self::Failed(told),
        }
    }
}

/// A module as it was written.
fn read(name: &str, text: &str, version: Version) -> Result<Written, CompileError> {
    let of = |v0| Written::read(name, text, v0);
    match version {
        Version::V0 => of(true),
        Version::V1 => of(false),
        Version::Either => of(false).or_else(|of_v1| {
            // Who writes without `if` gets the errors of the language without.
            let older = of_v1.0.contains("`if` keyword") || of_v1.0.contains("`contains` keyword");
            of(true).map_err(|of_v0| if older { of_v0 } else { of_v1 })
        }),
    }
}

/// `template:4` of what regorus says of `--> template:4:2`.
fn place(text: &str) -> &str {
    let place = text.split_once("--> ").and_then(|(_, rest)| rest.lines().next()).unwrap_or_default();
    place.rsplit_once(':').map_or(place, |(place, _column)| place).trim()
}

/// Compiled modules and their data. Cheap to clone; a clone evaluates independently of the others.
#[derive(Debug, Clone)]
pub struct Modules {
    engine: Engine,
    packages: Arc<[String]>,
    rules: Arc<BTreeSet<String>>,
}

impl Modules {
    /// Compiles modules that see each other, over `data`.
    ///
    /// # Errors
    /// [`CompileError`] with the module's name and line: regorus cannot read it, or the host would not take it.
    pub fn compile(modules: &[Module], version: Version, host: Host, data: &Input) -> Result<Self, CompileError> {
        let written: Vec<Written> =
            modules.iter().map(|Module { name, text }| read(name, text, version)).collect::<Result<_, _>>()?;
        let parsed: Vec<Parsed<'_>> =
            written.iter().map(|Written { syntax, is_v0, .. }| Parsed { syntax, is_v0: *is_v0 }).collect();
        check::check(&parsed, host)?;
        let mut engine = Engine::new();
        engine.set_policy_length_config(PolicyLengthConfig {
            max_col: split::COLUMNS,
            max_file_bytes: BYTES,
            max_lines: LINES,
        });
        // As OPA evaluates by default: what fails is undefined.
        engine.set_strict_builtin_errors(false);
        // Else `print` writes to the standard output.
        engine.set_gather_prints(true);
        builtins::add(&mut engine).map_err(CompileError::new)?;
        let mut packages = Vec::with_capacity(modules.len());
        let mut rules = BTreeSet::new();
        for (Module { name, .. }, written) in modules.iter().zip(&written) {
            let Normalised { text, rules: names } = written.normalise();
            engine.set_rego_v0(written.is_v0);
            let package = engine.add_policy(name.clone(), text).map_err(CompileError::new)?;
            rules.extend(names.into_iter().map(|name| format!("{package}.{name}")));
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        engine.add_data(data.0.clone()).map_err(CompileError::new)?;
        Ok(Self { engine, packages: packages.into(), rules: Arc::new(rules) })
    }

    /// The packages of the modules, as `data.a.b`, in the order of the modules.
    pub fn packages(&self) -> &[String] {
        &self.packages
    }

    /// References to all rules that are no functions, as `data.a.b.rule`.
    pub fn rules(&self) -> &BTreeSet<String> {
        &self.rules
    }

    /// What a reference such as `data.main.deny` comes to; `None` where it is undefined. Sets are arrays, as in OPA's JSON.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub fn evaluate(&mut self, reference: &str, input: &Input) -> Result<Option<serde_json::Value>, EvaluationError> {
        self.engine.set_input(input.0.clone());
        // A rule is compiled, a query is parsed each time.
        let value = match self.rules.contains(reference) {
            // One that is made of parts, such as `a.b`, is no rule to regorus.
            true => self.engine.eval_rule(reference.to_owned()).or_else(|error| {
                if error.to_string().contains("not a valid rule path") { self.query(reference) } else { Err(error) }
            }),
            false => self.query(reference),
        };
        // Nobody reads them, and they add up.
        let _ = self.engine.take_prints();
        match value.map_err(|error| EvaluationError::new(&error))? {
            Value::Undefined => Ok(None),
            value => Ok(Some(value::to_json(&value))),
        }
    }

    fn query(&mut self, reference: &str) -> anyhow::Result<Value> {
        let mut results = self.engine.eval_query(reference.to_owned(), false)?;
        let first = results.result.first_mut().and_then(|result| result.expressions.first_mut());
        Ok(first.map_or(Value::Undefined, |expression| std::mem::replace(&mut expression.value, Value::Undefined)))
    }
}
