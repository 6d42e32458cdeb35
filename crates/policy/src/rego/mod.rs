//! Rego modules, compiled once and evaluated as OPA would, by regorus.

mod builtins;
mod normalise;
mod value;

use regorus::{Engine, PolicyLengthConfig, Value};
use std::num::NonZeroUsize;
use std::sync::Arc;

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

/// Why a rule cannot be evaluated: a function that is missing here, or a conflict at run time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(String);

/// Compiled modules and their data. Cheap to clone; a clone evaluates independently of the others.
#[derive(Debug, Clone)]
pub struct Modules {
    engine: Engine,
    packages: Arc<[String]>,
}

impl Modules {
    /// Compiles modules that see each other, over `data`.
    ///
    /// # Errors
    /// [`CompileError`] with the module's name, line and column.
    pub fn compile(modules: &[Module], version: Version, data: &serde_json::Value) -> Result<Self, CompileError> {
        let mut engine = Engine::new();
        engine.set_policy_length_config(PolicyLengthConfig {
            max_col: normalise::COLUMNS,
            max_file_bytes: BYTES,
            max_lines: LINES,
        });
        engine.set_rego_v0(version == Version::V0);
        // As OPA evaluates by default: what fails is undefined.
        engine.set_strict_builtin_errors(false);
        // Else `print` writes to the standard output.
        engine.set_gather_prints(true);
        builtins::add(&mut engine).map_err(CompileError::new)?;
        let mut packages = Vec::with_capacity(modules.len());
        for Module { name, text } in modules {
            let text = normalise::normalise(name, text, version == Version::V0)?;
            let package = engine.add_policy(name.clone(), text).map_err(CompileError::new)?;
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        engine.add_data(value::of_json(data)).map_err(CompileError::new)?;
        Ok(Self { engine, packages: packages.into() })
    }

    /// The packages of the modules, as `data.a.b`, in the order of the modules.
    pub fn packages(&self) -> &[String] {
        &self.packages
    }

    /// What a reference such as `data.main.deny` comes to; `None` where it is undefined. Sets are arrays, as in OPA's JSON.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub fn evaluate(&mut self, reference: &str, input: &Input) -> Result<Option<serde_json::Value>, EvaluationError> {
        self.engine.set_input(input.0.clone());
        let results = self.engine.eval_query(reference.to_owned(), false);
        // Nobody reads them, and they add up.
        let _ = self.engine.take_prints();
        let results = results.map_err(|error| EvaluationError(error.to_string().trim().to_owned()))?;
        let value =
            results.result.first().and_then(|result| result.expressions.first()).map(|expression| &expression.value);
        match value {
            None | Some(Value::Undefined) => Ok(None),
            Some(value) => Ok(Some(value::to_json(value))),
        }
    }
}
