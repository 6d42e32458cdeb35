//! Variables that nothing gives a value: OPA's safety, statement by statement and whatever their order.
//!
//! A statement can be evaluated once all its variables have values, but for those that it gives one itself: what a reference is
//! indexed by, either side of a unification, what a call returns into. What is left when no statement helps any more is unsafe.

use super::calls::arity;
use super::names::Names;
use super::scope::{assigned, declared, declared_by, pattern};
use super::{Parsed, Problem};
use crate::rego::syntax::{Parts, children, root};
use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query, Span};
use std::collections::{BTreeMap, BTreeSet};

/// A variable: its name, and of `_` the place, since each is another one.
type Variable<'q> = (&'q str, u32);
type Set<'q> = BTreeSet<Variable<'q>>;

fn variable(span: &Span) -> Variable<'_> {
    let name = span.text();
    (name, if name == "_" { span.start } else { 0 })
}

pub(super) fn problems(modules: &[Parsed<'_>], names: &Names<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for (module, Parsed { syntax, .. }) in modules.iter().enumerate() {
        for rule in &syntax.policy {
            let mut finder = Finder { names, module, found: BTreeMap::new() };
            let parts = Parts::of(rule);
            let mut arguments = Vec::new();
            parts.arguments.into_iter().flatten().for_each(|argument| pattern(argument, &mut arguments));
            let arguments: Set<'_> = arguments.into_iter().map(variable).collect();
            let outside = Body { safe: arguments.clone(), own: arguments };
            let mut heads = parts.results.clone();
            brackets(parts.name, &mut heads);
            for (n, body) in parts.bodies.iter().enumerate() {
                let value = body.assign.iter().map(|assign| assign.value.as_ref());
                // An `else` that gives a value of its own does without the head's.
                let has_own = body.assign.is_some() && n > 0;
                let all: Vec<&Expr> =
                    if has_own { value.collect() } else { heads.iter().copied().chain(value).collect() };
                finder.closure(&body.query, &all, &outside);
            }
            if parts.bodies.is_empty() {
                finder.statements(&[], &heads, outside);
            }
            found.extend(finder.told());
        }
    }
    found
}

/// What the reference in a head is indexed by.
fn brackets<'e>(name: &'e Expr, found: &mut Vec<&'e Expr>) {
    match name {
        Expr::RefDot { refr, .. } => brackets(refr, found),
        Expr::RefBrack { refr, index, .. } => {
            brackets(refr, found);
            found.push(index);
        }
        _ => {}
    }
}

/// What is known in a body.
#[derive(Debug, Clone, Default)]
struct Body<'q> {
    /// The variables that have values.
    safe: Set<'q>,
    /// The variables that are no rules, whatever they are called.
    own: Set<'q>,
}

struct Finder<'f, 'q> {
    names: &'f Names<'f>,
    module: usize,
    /// Where each unsafe variable is first, and whether it is one that an assignment declares.
    found: BTreeMap<Variable<'q>, (&'q Span, bool)>,
}

impl<'q> Finder<'_, 'q> {
    /// Each variable once; those that are assigned something unsafe only where nothing else is wrong.
    fn told(self) -> impl Iterator<Item = Problem> {
        let is_all = self.found.values().all(|(_, is_assigned)| *is_assigned);
        let told = self.found.into_values().filter(move |(_, is_assigned)| is_all || !is_assigned);
        told.map(|(span, _)| Problem::at(span, "unsafe_var_error", &format!("var {} is unsafe", span.text())))
    }

    /// A body and what is made of its variables.
    fn closure(&mut self, query: &'q Query, results: &[&'q Expr], outside: &Body<'q>) {
        let mut body = outside.clone();
        for name in declared(query) {
            body.own.insert(variable(name));
            body.safe.remove(&variable(name));
        }
        self.statements(&query.stmts, results, body);
    }

    fn statements(&mut self, statements: &'q [LiteralStmt], results: &[&'q Expr], mut body: Body<'q>) {
        let mut all = Set::new();
        let mut left: Vec<&LiteralStmt> = statements.iter().collect();
        left.iter()
            .for_each(|statement| self.statement_needs(statement, &body, &mut |span| _ = all.insert(variable(span))));
        loop {
            let before = left.len();
            left.retain(|statement| {
                let given = self.gives(statement, &body);
                let mut is_ready = true;
                let mut need =
                    |span| is_ready &= body.safe.contains(&variable(span)) || given.contains(&variable(span));
                self.statement_needs(statement, &body, &mut need);
                // What a body within needs of this one has to be there before.
                each_closure(statement, &mut |query, results| {
                    let mut inner = Set::new();
                    closure_variables(query, results, &mut inner);
                    is_ready &= inner
                        .iter()
                        .all(|name| !all.contains(name) || body.safe.contains(name) || given.contains(name));
                });
                if is_ready {
                    body.safe.extend(given);
                }
                !is_ready
            });
            // What is made of the variables is computed in the body too: a reference in a head may give values.
            let known = body.safe.len();
            for result in results {
                let mut given = Set::new();
                self.indices(result, &body, &mut given);
                if self.is_safe(result, &body, &given) {
                    body.safe.extend(given);
                }
            }
            if left.len() == before && body.safe.len() == known {
                break;
            }
        }
        let assigned: Set<'_> = statements.iter().flat_map(assigned).map(variable).collect();
        let mut needed = Vec::new();
        for statement in left {
            self.statement_needs(statement, &body, &mut |span| needed.push(span));
        }
        results.iter().for_each(|result| self.needs(result, &body, &mut |span| needed.push(span)));
        for span in needed.into_iter().filter(|span| !body.safe.contains(&variable(span))) {
            let first = statements.iter().find_map(|statement| occurrence(statement, variable(span))).unwrap_or(span);
            let is_assigned = assigned.contains(&variable(span));
            self.found.entry(variable(span)).or_insert((first, is_assigned));
        }
        // What is declared behind a body within this one has another meaning in there.
        let mut late: Vec<Set<'_>> = Vec::with_capacity(statements.len());
        for statement in statements.iter().rev() {
            let mut names: Set<'_> = late.last().cloned().unwrap_or_default();
            names.extend(declared_by(statement).into_iter().map(variable));
            late.push(names);
        }
        for (statement, late) in statements.iter().zip(late.into_iter().rev()) {
            let mut before = body.clone();
            before.safe.retain(|name| !late.contains(name));
            self.statement_closures(statement, &before);
        }
        results.iter().for_each(|result| self.closures(result, &body));
    }

    fn closures(&mut self, expression: &'q Expr, body: &Body<'q>) {
        let (expressions, query) = children(expression);
        match query {
            Some(query) => self.closure(query, &expressions, body),
            None => expressions.into_iter().for_each(|child| self.closures(child, body)),
        }
    }

    fn statement_closures(&mut self, statement: &'q LiteralStmt, body: &Body<'q>) {
        statement.with_mods.iter().for_each(|with| self.closures(&with.r#as, body));
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { collection, .. } => self.closures(collection, body),
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.closures(expr, body),
            Literal::Every { key, value, domain, query, .. } => {
                self.closures(domain, body);
                let mut inner = body.clone();
                for name in key.iter().chain([value]) {
                    inner.own.insert(variable(name));
                    inner.safe.insert(variable(name));
                }
                self.closure(query, &[], &inner);
            }
        }
    }

    /// Whether a variable is one of the rule's, and not a name from outside.
    fn is_own(&self, name: &str, body: &Body<'_>) -> bool {
        body.own.contains(&(name, 0)) || !self.names.is_global(self.module, name)
    }

    fn statement_needs<'e>(&self, statement: &'e LiteralStmt, body: &Body<'_>, need: &mut dyn FnMut(&'e Span)) {
        statement.with_mods.iter().for_each(|with| self.needs(&with.r#as, body, need));
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value, collection]).for_each(|expression| self.needs(expression, body, need));
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.needs(expr, body, need),
            Literal::Every { domain, .. } => self.needs(domain, body, need),
        }
    }

    /// The variables of an expression, but for those of bodies within it.
    fn needs<'e>(&self, expression: &'e Expr, body: &Body<'_>, need: &mut dyn FnMut(&'e Span)) {
        if let Expr::Var { span, .. } = expression
            && self.is_own(span.text(), body)
        {
            need(span);
        }
        if let (expressions, None) = children(expression) {
            expressions.into_iter().for_each(|child| self.needs(child, body, need));
        }
    }

    fn is_safe(&self, expression: &Expr, body: &Body<'_>, given: &Set<'_>) -> bool {
        let mut is_safe = true;
        self.needs(expression, body, &mut |span| {
            is_safe &= body.safe.contains(&variable(span)) || given.contains(&variable(span));
        });
        is_safe
    }

    /// The variables that a statement gives values, by what has values before.
    fn gives(&self, statement: &'q LiteralStmt, body: &Body<'q>) -> Set<'q> {
        let mut given = Set::new();
        statement.with_mods.iter().for_each(|with| self.indices(&with.r#as, body, &mut given));
        match &statement.literal {
            Literal::SomeVars { .. } | Literal::NotExpr { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                self.indices(collection, body, &mut given);
                if self.is_safe(collection, body, &given) {
                    key.iter().chain([value]).for_each(|element| self.all(element, body, &mut given));
                }
            }
            Literal::Every { domain, .. } => self.indices(domain, body, &mut given),
            Literal::Expr { expr, .. } => {
                self.indices(expr, body, &mut given);
                match expr.as_ref() {
                    Expr::AssignExpr { op: AssignOp::Eq | AssignOp::ColEq, lhs, rhs, .. } => {
                        self.unify(lhs, rhs, body, &mut given);
                        self.unify(rhs, lhs, body, &mut given);
                    }
                    Expr::Call { fcn, params, .. } => {
                        let arity = arity(fcn, self.names, self.module);
                        if let Some((last, inputs)) =
                            params.split_last().filter(|(_, inputs)| arity == Some(inputs.len()))
                            && inputs.iter().all(|input| self.is_safe(input, body, &given))
                        {
                            self.all(last, body, &mut given);
                        }
                    }
                    _ => {}
                }
            }
        }
        given
    }

    /// What references are indexed by, where they begin with something known.
    fn indices(&self, expression: &'q Expr, body: &Body<'q>, given: &mut Set<'q>) {
        if matches!(expression, Expr::RefBrack { .. } | Expr::RefDot { .. }) {
            let begins = root(expression).map(Span::text);
            let has_value = |name| body.safe.contains(&(name, 0)) || given.contains(&(name, 0));
            let is_known = begins.is_none_or(|name| !self.is_own(name, body) || has_value(name));
            if is_known {
                self.steps(expression, body, given);
            }
        }
        if let (expressions, None) = children(expression) {
            expressions.into_iter().for_each(|child| self.indices(child, body, given));
        }
    }

    fn steps(&self, reference: &'q Expr, body: &Body<'q>, given: &mut Set<'q>) {
        match reference {
            Expr::RefDot { refr, .. } => self.steps(refr, body, given),
            Expr::RefBrack { refr, index, .. } => {
                self.steps(refr, body, given);
                self.all(index, body, given);
            }
            _ => {}
        }
    }

    /// Gives values to the variables of `to`, if `from` has one.
    fn unify(&self, to: &'q Expr, from: &'q Expr, body: &Body<'q>, given: &mut Set<'q>) {
        match (to, from) {
            (Expr::Array { items, .. }, Expr::Array { items: others, .. }) if items.len() == others.len() => {
                items.iter().zip(others).for_each(|(to, from)| self.unify(to, from, body, given));
            }
            (Expr::Object { fields, .. }, Expr::Object { fields: others, .. }) => {
                for (_, key, to) in fields {
                    let of_key = others.iter().find(|(_, other, _)| other.span().text() == key.span().text());
                    of_key.into_iter().for_each(|(_, _, from)| self.unify(to, from, body, given));
                }
            }
            _ if self.is_safe(from, body, given) => self.all(to, body, given),
            _ => {}
        }
    }

    /// The variables of what is taken apart.
    fn all(&self, taken: &'q Expr, body: &Body<'q>, given: &mut Set<'q>) {
        let mut variables = Vec::new();
        pattern(taken, &mut variables);
        given.extend(variables.into_iter().map(variable).filter(|(name, _)| self.is_own(name, body)));
    }
}

/// The bodies right within a statement, and what is made of them; that of an `every` without its own variables.
fn each_closure<'q>(statement: &'q LiteralStmt, visit: &mut dyn FnMut(&'q Query, &[&'q Expr])) {
    fn below<'q>(expression: &'q Expr, visit: &mut dyn FnMut(&'q Query, &[&'q Expr])) {
        let (expressions, query) = children(expression);
        match query {
            Some(query) => visit(query, &expressions),
            None => expressions.into_iter().for_each(|child| below(child, visit)),
        }
    }
    statement.with_mods.iter().for_each(|with| below(&with.r#as, visit));
    match &statement.literal {
        Literal::SomeVars { .. } => {}
        Literal::SomeIn { collection, .. } => below(collection, visit),
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => below(expr, visit),
        Literal::Every { domain, query, .. } => {
            below(domain, visit);
            visit(query, &[]);
        }
    }
}

/// All variables of a body but those that it declares.
fn closure_variables<'q>(query: &'q Query, results: &[&'q Expr], found: &mut Set<'q>) {
    fn below<'q>(expression: &'q Expr, found: &mut Set<'q>) {
        if let Expr::Var { span, .. } = expression {
            found.insert(variable(span));
        }
        let (expressions, query) = children(expression);
        match query {
            Some(query) => closure_variables(query, &expressions, found),
            None => expressions.into_iter().for_each(|child| below(child, found)),
        }
    }
    let mut own = Set::new();
    results.iter().for_each(|result| below(result, &mut own));
    for statement in &query.stmts {
        statement.with_mods.iter().for_each(|with| below(&with.r#as, &mut own));
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value, collection]).for_each(|expression| below(expression, &mut own));
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => below(expr, &mut own),
            Literal::Every { key, value, domain, query, .. } => {
                below(domain, &mut own);
                let mut inner = Set::new();
                closure_variables(query, &[], &mut inner);
                key.iter().chain([value]).for_each(|name| _ = inner.remove(&variable(name)));
                own.extend(inner);
            }
        }
    }
    for name in declared(query) {
        own.remove(&variable(name));
    }
    found.extend(own);
}

/// Where a variable is first in a statement, bodies included.
fn occurrence<'q>(statement: &'q LiteralStmt, wanted: Variable<'_>) -> Option<&'q Span> {
    fn below<'q>(expression: &'q Expr, wanted: Variable<'_>) -> Option<&'q Span> {
        if let Expr::Var { span, .. } = expression
            && variable(span) == wanted
        {
            return Some(span);
        }
        let (expressions, query) = children(expression);
        let within = query.into_iter().flat_map(|query| &query.stmts);
        expressions
            .into_iter()
            .find_map(|child| below(child, wanted))
            .or_else(|| within.into_iter().find_map(|statement| occurrence(statement, wanted)))
    }
    let (expressions, query): (Vec<&Expr>, Option<&Query>) = match &statement.literal {
        Literal::SomeVars { .. } => (Vec::new(), None),
        Literal::SomeIn { key, value, collection, .. } => {
            (key.iter().chain([value, collection]).map(AsRef::as_ref).collect(), None)
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => (vec![expr.as_ref()], None),
        Literal::Every { domain, query, .. } => (vec![domain.as_ref()], Some(query)),
    };
    let with = statement.with_mods.iter().map(|with| with.r#as.as_ref());
    expressions
        .into_iter()
        .chain(with)
        .find_map(|expression| below(expression, wanted))
        .or_else(|| query?.stmts.iter().find_map(|statement| occurrence(statement, wanted)))
}
