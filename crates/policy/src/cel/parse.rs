//! From text to a tree, within bounds.

use super::CompileError;
use cel::common::ast::SourceInfo;
use cel::{Env, IdedExpr};
use std::thread;

/// The longest expression that is read, in characters. The API server's limit too.
const CHARACTERS: usize = 100_000;
/// The most operators, dots and brackets: each may nest the tree once more.
const OPERATORS: usize = 8_000;
/// The deepest nesting of brackets.
const NESTING: usize = 48;
/// Enough for a tree of as many levels as there are operators; memory that is not touched is not used.
const STACK: usize = 512 << 20;

/// Parses an expression, and hands the tree to `then` where there is room for recursion.
///
/// The parser and the tree's own `Drop` recurse as deep as the tree is, so they get a stack of their own; and if the parser
/// panics, only that thread ends.
pub(super) fn parse<T: Send>(
    text: &str,
    then: impl FnOnce(&IdedExpr, &SourceInfo) -> Result<T, CompileError> + Send,
) -> Result<T, CompileError> {
    if text.trim().is_empty() {
        return Err(CompileError::Empty);
    }
    bounded(text)?;
    let work = move || {
        let parser = Env::default().parser();
        let (tree, source) = parser.parse_with_source_info(text).map_err(|errors| {
            let texts = errors.errors.iter().map(|error| super::check::located(text, error.pos, &error.msg));
            CompileError::Refused(texts.collect::<Vec<_>>().join("\n"))
        })?;
        then(&tree, &source)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("cel".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(CompileError::TooComplex("the parser fails on it")),
            Err(_no_thread) => Err(CompileError::TooComplex("there is no memory to parse it")),
        }
    })
}

/// Refuses what is longer or deeper than anybody writes. Brackets within texts are counted too, which is on the safe side.
fn bounded(text: &str) -> Result<(), CompileError> {
    if text.chars().count() > CHARACTERS {
        return Err(CompileError::TooComplex("it is longer than 100,000 characters"));
    }
    let (mut nesting, mut deepest, mut operators) = (0_usize, 0_usize, 0_usize);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => {
                nesting += 1;
                operators += 1;
                deepest = deepest.max(nesting);
            }
            ')' | ']' | '}' => nesting = nesting.saturating_sub(1),
            '.' | '+' | '-' | '*' | '/' | '%' | '?' | '!' | '<' | '>' | '=' | '&' | '|' => operators += 1,
            _ => {}
        }
    }
    if deepest > NESTING {
        return Err(CompileError::TooComplex("it is nested too deeply"));
    }
    if operators > OPERATORS {
        return Err(CompileError::TooComplex("it has too many operators"));
    }
    Ok(())
}
