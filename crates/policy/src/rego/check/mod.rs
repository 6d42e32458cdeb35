//! What OPA refuses when it compiles, as far as the text alone says it: regorus takes such modules, and finds out at run time or never.
//!
//! A policy that its engine refuses judges nothing in a cluster, so it has to be refused here too. The other way round is worse:
//! what is refused here by mistake is not judged at all. So a rule of OPA's compiler that needs its whole type inference is left
//! out. In OPA's order; like OPA, the stages after one that found something are not gone through.

mod calls;
mod declarations;
mod functions;
mod names;
mod recursion;
mod safety;
mod scope;

pub(super) use scope::{declared, each_expression};

use super::CompileError;
use regorus::unstable::{Module as Syntax, Span};

/// Who runs the modules, since not everybody lets them do the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// OPA itself.
    Opa,
    /// Gatekeeper: nothing is asked over the network, and of `data` there is only what it has synced, and libraries.
    Gatekeeper,
}

/// A module as it was parsed.
#[derive(Debug)]
pub(super) struct Parsed<'m> {
    pub(super) syntax: &'m Syntax,
    /// Whether it is in Rego before OPA 1.0.
    pub(super) is_v0: bool,
}

/// One thing that is wrong, in OPA's words: `template:3: rego_unsafe_var_error: var x is unsafe`.
#[derive(Debug)]
struct Problem {
    file: String,
    line: u32,
    text: String,
}

impl Problem {
    fn at(span: &Span, code: &str, what: &str) -> Self {
        Self { file: span.source.file().to_string(), line: span.line, text: format!("rego_{code}: {what}") }
    }
}

/// How many arguments a function of OPA's takes.
pub(super) fn arity(name: &str) -> Option<usize> {
    functions::find(name).map(|function| function.arguments.len())
}

/// Checks modules that see each other.
///
/// # Errors
/// What OPA, or Gatekeeper, says of them.
pub(super) fn check(modules: &[Parsed<'_>], host: Host) -> Result<(), CompileError> {
    let names = names::Names::of(modules);
    let stages: [&dyn Fn() -> Vec<Problem>; 8] = [
        &|| names.forbidden(modules, host),
        &|| declarations::problems(modules),
        &|| names.conflicts(),
        &|| calls::undefined(modules, &names, host),
        &|| safety::problems(modules, &names),
        &|| recursion::problems(modules, &names),
        &|| calls::mistyped(modules, &names),
        &|| calls::misused(modules, &names),
    ];
    for stage in stages {
        let mut problems = stage();
        if problems.is_empty() {
            continue;
        }
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        let lines: Vec<String> =
            problems.iter().map(|Problem { file, line, text }| format!("{file}:{line}: {text}")).collect();
        return Err(CompileError(lines.join("\n")));
    }
    Ok(())
}
