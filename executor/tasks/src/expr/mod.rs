//! Expressions of templates, in the language of expr (expr-lang.org) that Argo evaluates them with.
//!
//! What is here is what its definition documents, without dates and methods: literals, operators, membership, slices,
//! predicates, variables, and the functions on texts, numbers, lists and maps. Everything else is refused by name. Whoever
//! writes an expression may be anybody, so it is bounded: in length, in depth, in steps and in what it allocates.
//!
//! A leaf: it knows of values and nothing else. [`Expression::parse`] is told the variables that there are, so that a name
//! that is none is found before anything is done; [`Expression::evaluate`] gets their values. Types are looked at when an
//! operator meets them, and not before.

mod evaluate;
mod functions;
mod lexer;
mod parser;
mod strings;
mod syntax;
mod text;
mod value;

use std::rc::Rc;

pub use value::{Map, Value};

/// The longest expression, bytes.
const LONGEST: usize = 64 << 10;
/// What is evaluated of one expression, in nodes and elements of lists.
const STEPS: usize = 20_000_000;
/// What one expression may allocate, bytes.
const BYTES: usize = 64 << 20;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpressionError(String);

impl ExpressionError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// With the byte of the expression that is wrong, from 1.
    fn at(byte: usize, why: impl std::fmt::Display) -> Self {
        Self(format!("byte {}: {why}", byte + 1))
    }
}

/// An expression that has been read.
#[derive(Debug)]
pub struct Expression {
    root: Rc<syntax::Node>,
}

impl Expression {
    /// Reads an expression over `variables`.
    ///
    /// # Errors
    /// Where it is none, is too long or too deep, or has a name, a function or an operator that is not known.
    pub fn parse(source: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST {
            return Err(ExpressionError::new(format!("it is longer than {LONGEST} bytes")));
        }
        parser::parse(source, variables).map(|root| Self { root })
    }

    /// The value, given those of the variables; one that is not given is nil.
    ///
    /// # Errors
    /// Where an operator or a function does not take what it is given, or the expression does too much.
    pub fn evaluate(&self, variables: &[(&str, Value)]) -> Result<Value, ExpressionError> {
        evaluate::run(&self.root, variables)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and where the value is neither true nor false.
    pub fn holds(&self, variables: &[(&str, Value)]) -> Result<bool, ExpressionError> {
        match self.evaluate(variables)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(ExpressionError::new(format!("it is a value of type {}, and has to be a bool", other.kind()))),
        }
    }
}

#[cfg(test)]
mod tests;
