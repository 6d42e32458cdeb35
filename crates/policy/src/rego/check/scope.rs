//! Which variables are a rule's own, where.

use crate::rego::syntax::{Parts, Path, children};
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Rule, Span};
use std::collections::BTreeSet;

/// The variables that hide what has their name outside, the innermost last.
#[derive(Debug, Default)]
pub(in crate::rego) struct Scope<'r>(Vec<BTreeSet<&'r str>>);

impl Scope<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|names| names.contains(name))
    }
}

/// The variables in an expression that is taken apart: `[x, {"k": y}]`.
pub(super) fn pattern<'r>(expression: &'r Expr, found: &mut Vec<&'r Span>) {
    match expression {
        Expr::Var { span, .. } => found.push(span),
        Expr::Array { items, .. } => items.iter().for_each(|item| pattern(item, found)),
        Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, value)| pattern(value, found)),
        _ => {}
    }
}

/// The variables that a statement assigns with `:=`.
pub(super) fn assigned(statement: &LiteralStmt) -> Vec<&Span> {
    let mut found = Vec::new();
    if let Literal::Expr { expr, .. } = &statement.literal
        && let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expr.as_ref()
    {
        pattern(lhs, &mut found);
    }
    found
}

/// The variables that a statement declares.
pub(super) fn declared_by(statement: &LiteralStmt) -> Vec<&Span> {
    let mut found = Vec::new();
    match &statement.literal {
        Literal::SomeVars { vars, .. } => found.extend(vars),
        Literal::SomeIn { key, value, .. } => {
            key.iter().chain([value]).for_each(|expression| pattern(expression, &mut found));
        }
        Literal::Expr { .. } | Literal::NotExpr { .. } | Literal::Every { .. } => found = assigned(statement),
    }
    found
}

/// The variables that the statements of a body declare, in their order.
pub(in crate::rego) fn declared(query: &Query) -> impl Iterator<Item = &Span> {
    query.stmts.iter().flat_map(declared_by)
}

/// What is called with each expression, and the variables that are the rule's own there.
pub(in crate::rego) type Visit<'f, 'r> = dyn FnMut(&'r Expr, &Scope<'r>) + 'f;

/// All expressions of a rule; a reference as a whole, and then what it is indexed by.
pub(in crate::rego) fn each_expression<'r>(rule: &'r Rule, visit: &mut Visit<'_, 'r>) {
    let parts = Parts::of(rule);
    let mut scope = Scope::default();
    let mut own = Vec::new();
    parts.arguments.into_iter().flatten().for_each(|argument| pattern(argument, &mut own));
    scope.0.push(own.into_iter().map(Span::text).collect());
    let first = parts.bodies.first().map(|body| &*body.query);
    within(first, &mut scope, &mut |scope| {
        indices(parts.name, scope, visit);
        let arguments = parts.arguments.into_iter().flatten().map(AsRef::as_ref);
        arguments.chain(parts.results.iter().copied()).for_each(|expression| below(expression, scope, visit));
    });
    for body in parts.bodies {
        within(Some(&body.query), &mut scope, &mut |scope| {
            body.assign.iter().for_each(|assign| below(&assign.value, scope, visit));
            statements(&body.query, scope, visit);
        });
    }
}

/// Does something where the variables of a body are known.
fn within<'r>(query: Option<&'r Query>, scope: &mut Scope<'r>, act: &mut dyn FnMut(&mut Scope<'r>)) {
    scope.0.push(query.into_iter().flat_map(declared).map(Span::text).collect());
    act(scope);
    scope.0.pop();
}

fn statements<'r>(query: &'r Query, scope: &mut Scope<'r>, visit: &mut Visit<'_, 'r>) {
    for statement in &query.stmts {
        for with in &statement.with_mods {
            below(&with.r#as, scope, visit);
        }
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value, collection]).for_each(|expression| below(expression, scope, visit));
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => below(expr, scope, visit),
            Literal::Every { key, value, domain, query, .. } => {
                below(domain, scope, visit);
                scope.0.push(key.iter().chain([value]).map(Span::text).collect());
                within(Some(query), scope, &mut |scope| statements(query, scope, visit));
                scope.0.pop();
            }
        }
    }
}

fn below<'r>(expression: &'r Expr, scope: &mut Scope<'r>, visit: &mut Visit<'_, 'r>) {
    visit(expression, scope);
    if Path::of(expression).is_some() {
        return indices(expression, scope, visit);
    }
    let (expressions, query) = children(expression);
    within(query, scope, &mut |scope| {
        expressions.iter().for_each(|child| below(child, scope, visit));
        query.into_iter().for_each(|query| statements(query, scope, visit));
    });
}

/// What a reference is indexed by.
fn indices<'r>(reference: &'r Expr, scope: &mut Scope<'r>, visit: &mut Visit<'_, 'r>) {
    match reference {
        Expr::RefDot { refr, .. } => indices(refr, scope, visit),
        Expr::RefBrack { refr, index, .. } => {
            indices(refr, scope, visit);
            below(index, scope, visit);
        }
        _ => {}
    }
}
