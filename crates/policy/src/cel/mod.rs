//! Common Expression Language as the API server has it.
//!
//! The `cel` crate parses. The check, the run and the libraries are here, since three things decide what a policy does that
//! an interpreter of the language alone does not have: the static check, by which the API server refuses a policy; the libraries that are
//! switched on there, and no other; and the cost of what is run, which it limits. So an expression that is taken here ends soon, whatever it is.

mod check;
mod evaluate;
mod functions;
mod literals;
mod node;
mod objects;
mod parse;
mod signatures;
mod types;
mod value;

pub(crate) use evaluate::{Failure, Globals, Run};
pub(crate) use value::{Value, integral};

use node::Node;
use types::Type;

const QUANTITY: &str = "kubernetes.Quantity";
const IP: &str = "net.IP";
const CIDR: &str = "net.CIDR";
const URL: &str = "kubernetes.URL";
const SEMVER: &str = "kubernetes.Semver";
const FORMAT: &str = "kubernetes.NamedFormat";
const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";

/// Why an expression is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("Required value: expression is not specified")]
    Empty,
    /// As the API server says it: line, column and what is wrong.
    #[error("compilation failed: {0}")]
    Refused(String),
    /// A part of it that is known beforehand fails.
    #[error("program instantiation failed: {0}")]
    Instantiation(String),
    /// It has a type that is of no use where it stands.
    #[error("must evaluate to {wanted} but got {found}")]
    Type { wanted: &'static str, found: String },
    /// The API server might take it.
    #[error("the expression cannot be judged here: {0}")]
    TooComplex(&'static str),
}

/// What an expression has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Anything,
    Bool,
    String,
    /// An audit annotation's value.
    StringOrNull,
}

/// The names that an expression may use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// Whether there is `params`.
    has_params: bool,
    /// Whether there is `authorizer`.
    has_authorizer: bool,
    /// Whether there is `variables`.
    has_variables: bool,
    variables: Vec<(String, Type)>,
}

impl Environment {
    /// Of a condition, which has no variables.
    pub(crate) fn of_conditions(has_params: bool) -> Self {
        Self { has_params, has_authorizer: true, ..Self::default() }
    }

    /// The same with `variables`, of which there is none yet.
    pub(crate) fn with_variables(&self) -> Self {
        Self { has_variables: true, ..self.clone() }
    }

    /// The same without `authorizer`.
    pub(crate) fn without_authorizer(&self) -> Self {
        Self { has_authorizer: false, ..self.clone() }
    }

    /// Adds a variable of the policy, which the ones after it may name. One that could not be compiled may be anything.
    pub(crate) fn declare(&mut self, name: &str, program: Option<&Program>) {
        self.variables.push((name.to_owned(), program.map_or(Type::Dyn, |program| program.of.clone())));
    }
}

/// An expression, compiled; to be shared between threads.
#[derive(Debug)]
pub(crate) struct Program {
    of: Type,
    node: Node,
}

impl Program {
    /// Compiles.
    ///
    /// # Errors
    /// [`CompileError`].
    pub(crate) fn compile(text: &str, environment: &Environment, wanted: Wanted) -> Result<Self, CompileError> {
        let (of, node) = parse::parse(text, |tree, source| check::check(text, tree, source, environment))?;
        let fits = match wanted {
            Wanted::Anything => true,
            Wanted::Bool => of == Type::Bool,
            Wanted::String => of == Type::String,
            Wanted::StringOrNull => matches!(of, Type::String | Type::Null),
        };
        if fits {
            return Ok(Self { of, node });
        }
        let wanted = match wanted {
            Wanted::Bool | Wanted::Anything => "bool",
            Wanted::String => "string",
            Wanted::StringOrNull => "one of [string null_type]",
        };
        let found = if of == Type::Null { "null_type".to_owned() } else { of.to_string() };
        Err(CompileError::Type { wanted, found })
    }
}
