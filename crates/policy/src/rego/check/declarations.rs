//! Variables that are declared twice, in vain or too late, and heads that are none.

use super::scope::{declared_by, pattern};
use super::{Parsed, Problem};
use crate::rego::syntax::{Parts, Path, children};
use regorus::unstable::{AssignOp, Expr, Literal, Module, Query, Rule, RuleHead, Span};
use std::collections::BTreeSet;

pub(super) fn problems(modules: &[Parsed<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for Parsed { syntax, is_v0 } in modules {
        let mut finder = Finder { is_strict: !is_v0 || syntax.rego_v1, problems: &mut problems };
        finder.imports(syntax);
        syntax.policy.iter().for_each(|rule| finder.rule(rule));
    }
    problems
}

/// How a variable came to be known in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Argument,
    Declared,
    Assigned,
}

struct Finder<'p> {
    /// Whether the module is of OPA 1.0, which lets nobody hide the input.
    is_strict: bool,
    problems: &'p mut Vec<Problem>,
}

impl Finder<'_> {
    /// Two of one name, which only modules before OPA 1.0 may have.
    fn imports(&mut self, syntax: &Module) {
        let mut names = BTreeSet::new();
        for import in syntax.imports.iter().filter(|_| self.is_strict) {
            let last = Path::of(&import.refr).and_then(|path| path.steps.last().copied());
            let name = import.r#as.as_ref().map(Span::text).or(last).unwrap_or_default();
            let is_language = Path::of(&import.refr).is_some_and(|path| matches!(path.root.text(), "future" | "rego"));
            if !is_language && !names.insert(name) {
                let what = format!("import must not shadow import of {name}");
                self.problems.push(Problem::at(&import.span, "compile_error", &what));
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let parts = Parts::of(rule);
        if let Rule::Spec { head: RuleHead::Compr { assign: None, .. }, bodies, .. } = rule
            && bodies.is_empty()
            && Path::of(parts.name).is_some_and(|path| path.is_whole)
            && !matches!(parts.name, Expr::RefBrack { .. })
        {
            let what = "var cannot be used for rule name";
            self.problems.push(Problem::at(parts.name.span(), "parse_error", what));
        }
        if let Rule::Default { value, .. } = rule {
            let mut variables = BTreeSet::new();
            all(value, &mut variables);
            if !variables.is_empty() {
                let what = "illegal default rule (value cannot contain var)";
                self.problems.push(Problem::at(value.span(), "parse_error", what));
            }
            return;
        }
        let mut arguments = Vec::new();
        parts.arguments.into_iter().flatten().for_each(|argument| pattern(argument, &mut arguments));
        arguments.iter().for_each(|argument| self.hides(argument, "args"));
        let known: Vec<(&str, How)> = arguments.iter().map(|argument| (argument.text(), How::Argument)).collect();
        for body in parts.bodies {
            let value = body.assign.iter().map(|assign| assign.value.as_ref());
            let results: Vec<&Expr> = parts.results.iter().copied().chain([parts.name]).chain(value).collect();
            self.query(&body.query, &results, &known);
        }
        let heads = parts.arguments.into_iter().flatten().map(AsRef::as_ref).chain(parts.results.iter().copied());
        heads.for_each(|expression| self.expression(expression));
    }

    fn hides(&mut self, name: &Span, what: &str) {
        if self.is_strict && matches!(name.text(), "input" | "data") {
            let what = format!("{what} must not shadow {} (use a different variable name)", name.text());
            self.problems.push(Problem::at(name, "compile_error", &what));
        }
    }

    /// `results`: what is made of the variables outside the body; `known`: variables from outside that must not be declared again.
    fn query<'q>(&mut self, query: &'q Query, results: &[&'q Expr], known: &[(&'q str, How)]) {
        let mut known: Vec<(&str, How)> = known.to_vec();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for statement in &query.stmts {
            let how = match &statement.literal {
                Literal::SomeVars { .. } | Literal::SomeIn { .. } => How::Declared,
                Literal::Expr { expr, .. } => {
                    // What is assigned cannot be made of itself.
                    if let Expr::AssignExpr { op: AssignOp::ColEq, rhs, .. } = expr.as_ref() {
                        direct(rhs, &mut seen);
                    }
                    How::Assigned
                }
                Literal::NotExpr { .. } | Literal::Every { .. } => How::Assigned,
            };
            for name in declared_by(statement).into_iter().filter(|name| name.text() != "_") {
                self.hides(name, "variables");
                let before = known.iter().find(|(known, _)| *known == name.text()).map(|(_, how)| *how);
                let what = match (before, how) {
                    (Some(How::Argument), _) => format!("arg {} redeclared", name.text()),
                    (Some(How::Assigned), _) => format!("var {} assigned above", name.text()),
                    (Some(How::Declared), _) => format!("var {} declared above", name.text()),
                    (None, _) if seen.contains(name.text()) => format!("var {} referenced above", name.text()),
                    (None, how) => {
                        known.push((name.text(), how));
                        continue;
                    }
                };
                self.problems.push(Problem::at(name, "compile_error", &what));
            }
            for expression in of_statement(&statement.literal) {
                direct(expression, &mut seen);
                self.expression(expression);
            }
            statement.with_mods.iter().for_each(|with| self.expression(&with.r#as));
            if let Literal::Every { key, value, query, .. } = &statement.literal {
                let names: Vec<&Span> = key.iter().chain([value]).collect();
                self.unused(&names, query, &[]);
                self.query(query, &[], &[]);
            }
        }
        let declared = query.stmts.iter().filter_map(|statement| match &statement.literal {
            Literal::SomeVars { vars, .. } => Some(vars),
            _ => None,
        });
        self.unused(&declared.flatten().collect::<Vec<_>>(), query, results);
    }

    /// What is declared and then nowhere.
    fn unused(&mut self, names: &[&Span], query: &Query, results: &[&Expr]) {
        if names.is_empty() {
            return;
        }
        let mut used = BTreeSet::new();
        results.iter().for_each(|expression| all(expression, &mut used));
        all_of(query, &mut used);
        for name in names.iter().filter(|name| name.text() != "_" && !used.contains(name.text())) {
            let what = format!("declared var {} unused", name.text());
            self.problems.push(Problem::at(name, "compile_error", &what));
        }
    }

    /// The bodies within an expression.
    fn expression(&mut self, expression: &Expr) {
        let (expressions, query) = children(expression);
        if let Some(query) = query {
            self.query(query, &expressions, &[]);
        }
        expressions.into_iter().for_each(|child| self.expression(child));
    }
}

/// The expressions of a statement; of `every` its domain.
fn of_statement(literal: &Literal) -> Vec<&Expr> {
    match literal {
        Literal::SomeVars { .. } => Vec::new(),
        Literal::SomeIn { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(AsRef::as_ref).collect()
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => vec![expr.as_ref()],
        Literal::Every { domain, .. } => vec![domain.as_ref()],
    }
}

/// The variables of an expression that are not in a body within it.
fn direct<'e>(expression: &'e Expr, found: &mut BTreeSet<&'e str>) {
    if let Expr::Var { span, .. } = expression {
        found.insert(span.text());
    }
    if let (expressions, None) = children(expression) {
        expressions.into_iter().for_each(|child| direct(child, found));
    }
}

/// All variables of an expression.
fn all<'e>(expression: &'e Expr, found: &mut BTreeSet<&'e str>) {
    if let Expr::Var { span, .. } = expression {
        found.insert(span.text());
    }
    let (expressions, query) = children(expression);
    expressions.into_iter().for_each(|child| all(child, found));
    query.into_iter().for_each(|query| all_of(query, found));
}

fn all_of<'q>(query: &'q Query, found: &mut BTreeSet<&'q str>) {
    for statement in &query.stmts {
        of_statement(&statement.literal).into_iter().for_each(|expression| all(expression, found));
        statement.with_mods.iter().for_each(|with| all(&with.r#as, found));
        if let Literal::Every { query, .. } = &statement.literal {
            all_of(query, found);
        }
    }
}
