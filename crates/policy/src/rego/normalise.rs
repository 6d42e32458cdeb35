//! Rewrites a module so that regorus evaluates it as OPA does.
//!
//! Text in, text out: what differs between the two engines is how some constructs are compiled, and each has another
//! spelling that both take alike. The engine's own parser finds the places. In order:
//!
//! - a rule with several bodies after one head becomes several rules, since regorus takes no second body of a set rule;
//! - a line that begins with a parenthesis is a statement of its own, where regorus would call what ends the line before;
//! - operands of a negated call or comparison are computed before it: where one is undefined, OPA finds the whole body
//!   undefined, and regorus the negation true;
//! - an `every` variable that is an index below `not` is named anew, since regorus loses it there;
//! - what stands behind `with … as` is computed before the statement, since regorus iterates over nothing there;
//! - a head's key or value that iterates is computed in the body, for the same reason;
//! - a call that returns into its last argument becomes a unification, since regorus knows no such calls;
//! - a variable that hides a rule of the module is named anew, since regorus may find the rule;
//! - the negative of anything but a number is a difference;
//! - `some` goes to the beginning of its body, since regorus declares it once for each round of a loop before it, and then
//!   complains that it is declared twice;
//! - functions that regorus has otherwise become functions of ours.

use super::CompileError;
use super::builtins::RENAMED;
use super::check::{self, declared, each_expression};
use super::edits::{Replacement, apply};
use super::split::{COLUMNS, source, split};
use super::syntax::{children, root};
use regorus::Source;
use regorus::unstable::{
    AssignOp, BoolOp, Expr, Literal, LiteralStmt, Module, Parser, Query, Ref, Rule, RuleBody, RuleHead, Span,
};
use std::collections::BTreeSet;

/// A prefix of variables that no policy uses by chance.
const VARIABLE: &str = "__emissary_";

/// A module, spelt so that both engines agree on what it means.
pub(super) struct Normalised {
    pub(super) text: String,
    /// The names of its rules, functions left out; each once.
    pub(super) rules: BTreeSet<String>,
}

/// A module as its author wrote it, as far as regorus can read that.
#[derive(Debug)]
pub(super) struct Written {
    text: String,
    pub(super) syntax: Module,
    /// Whether it is in Rego before OPA 1.0.
    pub(super) is_v0: bool,
}

impl Written {
    /// Reads a module.
    pub(super) fn read(name: &str, text: &str, is_v0: bool) -> Result<Self, CompileError> {
        let text = split(name, text)?;
        let source = source(name, &text)?;
        let syntax = parse(&source, is_v0)?;
        Ok(Self { text, syntax, is_v0 })
    }

    /// Respells it.
    pub(super) fn normalise(&self) -> Normalised {
        let Self { text, syntax, .. } = self;
        let rules = rules(syntax).map(str::to_owned).collect();
        let needs_if = !self.is_v0 || syntax.rego_v1;
        let mut rewriter = Rewriter { text, edits: Vec::new(), variables: 0, names: names(syntax), needs_if };
        for rule in &syntax.policy {
            rewriter.rule(rule);
        }
        Normalised { text: rewriter.apply(), rules }
    }
}

fn parse(source: &Source, v0: bool) -> Result<Module, CompileError> {
    let mut parser = Parser::new(source).map_err(CompileError::new)?;
    parser.set_max_col(COLUMNS);
    if !v0 {
        parser.enable_rego_v1().map_err(CompileError::new)?;
    }
    parser.parse().map_err(CompileError::new)
}

/// The names by which the module may mean a rule or something imported: where OPA looks, a variable is a reference.
fn names(module: &Module) -> BTreeSet<String> {
    let last_of = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let imports = module.imports.iter().map(|import| match &import.r#as {
        Some(alias) => alias.text().to_owned(),
        None => last_of(import.refr.span().text()),
    });
    imports.chain(rules(module).map(str::to_owned)).collect()
}

/// The names of rules that are no functions.
fn rules(module: &Module) -> impl Iterator<Item = &str> {
    module.policy.iter().filter_map(|rule| match rule.as_ref() {
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. }, .. }
        | Rule::Default { refr, .. } => root(refr).map(Span::text),
        Rule::Spec { head: RuleHead::Func { .. }, .. } => None,
    })
}

struct Rewriter<'t> {
    text: &'t str,
    /// None lies within another: what is replaced as a whole takes those within it along.
    edits: Vec<Replacement>,
    variables: usize,
    names: BTreeSet<String>,
    /// Whether bodies begin with `if`.
    needs_if: bool,
}

impl Rewriter<'_> {
    fn apply(self) -> String {
        apply(self.text, self.edits)
    }

    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Spec { span, head, bodies } => {
                self.rename_what_hides(rule);
                match head {
                    RuleHead::Compr { span: _, refr, assign } => {
                        self.expression(refr);
                        assign.iter().for_each(|assign| self.expression(&assign.value));
                    }
                    RuleHead::Set { span: _, refr, key } => {
                        self.expression(refr);
                        key.iter().for_each(|key| self.expression(key));
                    }
                    RuleHead::Func { span: _, refr: _, args, assign } => {
                        args.iter().for_each(|argument| self.expression(argument));
                        assign.iter().for_each(|assign| self.expression(&assign.value));
                    }
                }
                for body in bodies {
                    body.assign.iter().for_each(|assign| self.expression(&assign.value));
                    self.query(&body.query);
                }
                let result = match head {
                    RuleHead::Set { key, .. } => key.as_ref(),
                    RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
                        assign.as_ref().map(|assign| &assign.value)
                    }
                };
                if let Some(result) = result.filter(|result| iterates(result)) {
                    self.compute_in_bodies(result, bodies, span);
                }
            }
            Rule::Default { .. } => {}
        }
    }

    fn query(&mut self, query: &Query) {
        for statement in &query.stmts {
            self.statement(query, statement);
        }
        let Some((first, others)) = query.stmts.split_first() else { return };
        for statement in others.iter().filter(|one| matches!(one.literal, Literal::SomeVars { .. })) {
            let declaration = self.take(&statement.span);
            self.edits.push(Replacement::insert(first.span.start as usize, format!("{declaration}; ")));
            self.replace(&statement.span, "true".to_owned());
        }
    }

    fn statement(&mut self, query: &Query, statement: &LiteralStmt) {
        let mut values = Vec::new();
        for with in &statement.with_mods {
            self.expression(&with.r#as);
            if iterates(&with.r#as) {
                self.replace_by_variable(with.r#as.span(), &mut values);
            }
        }
        if !values.is_empty() {
            let lines: String = values.iter().map(|line| format!("{line}; ")).collect();
            let alone = self.is_alone(query, statement);
            let (open, close) = if alone { ("{ ", " }") } else { ("", "") };
            self.edits.push(Replacement::insert(statement.span.start as usize, format!("{open}{lines}")));
            self.edits.push(Replacement::insert(statement.span.end as usize, close.to_owned()));
        }
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { span: _, key, value, collection } => {
                key.iter().chain([value, collection]).for_each(|expression| self.expression(expression));
            }
            Literal::Expr { span: _, expr } => {
                self.expression(expr);
                if let Expr::Call { span, fcn, params, .. } = expr.as_ref() {
                    self.unify_with_result(span, fcn, params);
                }
            }
            Literal::NotExpr { span: _, expr } => {
                self.expression(expr);
                let mut before = Vec::new();
                self.hoist_operands(expr, &mut before);
                self.compute_before(query, statement, &before);
            }
            Literal::Every { span: _, key, value, domain, query } => {
                self.expression(domain);
                self.query(query);
                for variable in key.iter().chain([value]) {
                    self.rename_below_not(query, variable.text());
                }
            }
        }
    }

    /// What lies within an expression, from the inside out.
    fn expression(&mut self, expression: &Expr) {
        if let Expr::Call { fcn, .. } = expression {
            self.rename(fcn);
        }
        let (expressions, query) = children(expression);
        expressions.into_iter().for_each(|expression| self.expression(expression));
        query.into_iter().for_each(|query| self.query(query));
        if let Expr::UnaryExpr { span, expr, .. } = expression
            && !matches!(expr.as_ref(), Expr::Number { .. })
        {
            let text = format!("(0 - {})", self.take(expr.span()));
            let _ = self.take(span);
            self.replace(span, text);
        }
    }

    /// Names a function of ours in place of one of theirs.
    fn rename(&mut self, function: &Expr) {
        let name: String = function.span().text().split_whitespace().collect();
        // Where a test of the policy's author puts another function in its place, theirs has to be named.
        let replaced = || self.text.contains(&format!("with {name} as "));
        if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| *theirs == name)
            && !replaced()
        {
            self.replace(function.span(), (*ours).to_owned());
        }
    }

    /// Finds what OPA computes before it negates.
    fn hoist_operands(&mut self, negated: &Expr, before: &mut Vec<String>) {
        match negated {
            Expr::Call { params, .. } => params.iter().for_each(|operand| self.hoist(operand, before)),
            Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } | Expr::AssignExpr { op: AssignOp::Eq, lhs, rhs, .. } => {
                [lhs, rhs].into_iter().for_each(|operand| self.hoist_calls(operand, before));
            }
            Expr::BoolExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } | Expr::BinExpr { lhs, rhs, .. } => {
                [lhs, rhs].into_iter().for_each(|operand| self.hoist(operand, before));
            }
            Expr::Membership { key, value, collection, .. } => {
                key.iter().chain([value, collection]).for_each(|operand| self.hoist(operand, before));
            }
            Expr::RefDot { .. } | Expr::RefBrack { .. } => self.hoist_calls(negated, before),
            _ => {}
        }
    }

    /// Hoists an operand unless it is defined whatever happens.
    fn hoist(&mut self, operand: &Expr, before: &mut Vec<String>) {
        match operand {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::ArrayCompr { .. } | Expr::SetCompr { .. } | Expr::ObjectCompr { .. } => {}
            Expr::Var { span, .. } if !self.names.contains(span.text()) => {}
            _ => self.replace_by_variable(operand.span(), before),
        }
    }

    /// Hoists the calls in an operand, and what its references are indexed by, but not those references.
    fn hoist_calls(&mut self, operand: &Expr, before: &mut Vec<String>) {
        match operand {
            Expr::Call { .. } | Expr::ArithExpr { .. } | Expr::BinExpr { .. } => {
                self.replace_by_variable(operand.span(), before);
            }
            Expr::ArrayCompr { .. } | Expr::SetCompr { .. } | Expr::ObjectCompr { .. } => {}
            Expr::Array { .. } | Expr::Set { .. } | Expr::Object { .. } if !is_constant(operand) => {
                self.replace_by_variable(operand.span(), before);
            }
            // A reference that is an index is computed on its own.
            Expr::RefBrack { refr, index, .. } => {
                self.hoist_calls(refr, before);
                self.hoist(index, before);
            }
            _ => children(operand).0.into_iter().for_each(|child| self.hoist_calls(child, before)),
        }
    }

    fn replace_by_variable(&mut self, span: &Span, before: &mut Vec<String>) {
        let variable = self.variable();
        before.push(format!("{variable} := {}", self.take(span)));
        self.replace(span, variable);
    }

    /// Puts statements before one, in braces where it stands alone after `if`.
    fn compute_before(&mut self, query: &Query, statement: &LiteralStmt, before: &[String]) {
        if before.is_empty() {
            return;
        }
        let with: String = statement.with_mods.iter().map(|with| format!(" {}", self.take(&with.span))).collect();
        let lines: String = before.iter().map(|line| format!("{line}{with}; ")).collect();
        let alone = self.is_alone(query, statement);
        let (open, close) = if alone { ("{ ", " }") } else { ("", "") };
        self.edits.push(Replacement::insert(statement.span.start as usize, format!("{open}{lines}")));
        if alone {
            self.edits.push(Replacement::insert(statement.span.end as usize, close.to_owned()));
        }
    }

    /// Moves a head's key or value into the bodies: in the head, regorus iterates over nothing.
    fn compute_in_bodies(&mut self, result: &Expr, bodies: &[RuleBody], rule: &Span) {
        let variable = self.variable();
        let line = format!("{variable} := {}", self.take(result.span()));
        self.replace(result.span(), variable);
        if bodies.is_empty() {
            let keyword = if self.needs_if { " if" } else { "" };
            // What is declared in a body cannot be told from a name outside where there was none.
            let end = result.span().end.max(rule.end) as usize;
            self.edits.push(Replacement::insert(end, format!("{keyword} {{ {line} }}")));
        }
        // What stands behind an `else` has a value of its own.
        for body in bodies.iter().filter(|body| !body.is_else || body.assign.is_none()) {
            let (Some(first), Some(last)) = (body.query.stmts.first(), body.query.stmts.last()) else { continue };
            let alone = body.query.span.start == first.span.start && self.follows_if(&body.query);
            let (open, close) = if alone { ("{ ", " }") } else { ("", "") };
            self.edits.push(Replacement::insert(first.span.start as usize, open.to_owned()));
            self.edits.push(Replacement::insert(last.span.end as usize, format!("; {line}{close}")));
        }
    }

    /// Gives the variables of a rule that are called as a rule of the module another name.
    fn rename_what_hides(&mut self, rule: &Rule) {
        let Rule::Spec { bodies, .. } = rule else { return };
        let declared = bodies.iter().flat_map(|body| declared(&body.query)).map(Span::text);
        let hiding: BTreeSet<&str> = declared.filter(|name| self.names.contains(*name)).collect();
        for name in hiding {
            let variable = self.variable();
            let mut places = Vec::new();
            each_expression(rule, &mut |expression, _| {
                if let Some(span) = root(expression).filter(|span| span.text() == name) {
                    places.push(span.clone());
                }
            });
            let statements = bodies.iter().flat_map(|body| &body.query.stmts);
            places.extend(statements.flat_map(|statement| match &statement.literal {
                Literal::SomeVars { vars, .. } => vars.iter().filter(|span| span.text() == name).cloned().collect(),
                _ => Vec::new(),
            }));
            places.sort_by_key(|span| span.start);
            places.dedup_by_key(|span| span.start);
            for place in places {
                self.replace(&place, variable.clone());
            }
        }
    }

    /// Whether a statement stands behind `if` without braces.
    fn is_alone(&self, query: &Query, statement: &LiteralStmt) -> bool {
        query.stmts.len() == 1 && query.span.start == statement.span.start && self.follows_if(query)
    }

    /// `f(x, out)` as `out = f(x)`.
    fn unify_with_result(&mut self, call: &Span, function: &Expr, arguments: &[Ref<Expr>]) {
        let name: String = function.span().text().split_whitespace().collect();
        let takes = check::arity(&name).filter(|_| name != "walk" && !self.names.contains(&name));
        let Some((last, inputs)) = arguments.split_last().filter(|(_, inputs)| takes == Some(inputs.len())) else {
            return;
        };
        let inputs: Vec<String> = inputs.iter().map(|input| self.take_whole(input)).collect();
        let (out, function) = (self.take_whole(last), self.take(function.span()));
        self.replace(call, format!("{out} = {function}({})", inputs.join(", ")));
    }

    fn follows_if(&self, query: &Query) -> bool {
        self.text.get(..query.span.start as usize).is_some_and(|before| before.trim_end().ends_with("if"))
    }

    /// Gives an `every` variable another name where it is an index below `not`.
    fn rename_below_not(&mut self, query: &Query, name: &str) {
        let mut places = Vec::new();
        for statement in &query.stmts {
            if let Literal::NotExpr { expr, .. } = &statement.literal {
                indices(expr, name, &mut places);
            }
        }
        let Some(first) = query.stmts.first().filter(|_| !places.is_empty()) else { return };
        let variable = self.variable();
        for place in places {
            // What was hoisted is not below the negation any more.
            let taken =
                self.edits.iter().any(|edit| edit.start <= place.start as usize && place.end as usize <= edit.end);
            if !taken {
                self.replace(&place, variable.clone());
            }
        }
        self.edits.push(Replacement::insert(first.span.start as usize, format!("{variable} := {name}; ")));
    }

    fn variable(&mut self) -> String {
        self.variables += 1;
        format!("{VARIABLE}{}", self.variables)
    }

    fn replace(&mut self, span: &Span, text: String) {
        self.edits.push(Replacement { start: span.start as usize, end: span.end as usize, text });
    }

    /// The text of an expression; that of a string has its quotes, which its span has not.
    fn take_whole(&mut self, expression: &Expr) -> String {
        let span = expression.span();
        let quotes = usize::from(matches!(expression, Expr::String { .. } | Expr::RawString { .. }));
        self.take_between(span.start as usize - quotes, span.end as usize + quotes)
    }

    /// The text of a span with the replacements within it made, which are then done with.
    fn take(&mut self, span: &Span) -> String {
        self.take_between(span.start as usize, span.end as usize)
    }

    fn take_between(&mut self, start: usize, end: usize) -> String {
        let (mut within, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.edits).into_iter().partition(|edit| start <= edit.start && edit.end <= end);
        self.edits = others;
        within.iter_mut().for_each(|edit| (edit.start, edit.end) = (edit.start - start, edit.end - start));
        apply(self.text.get(start..end).unwrap_or_default(), within)
    }
}

/// Whether an expression is the same whatever happens.
fn is_constant(expression: &Expr) -> bool {
    match expression {
        Expr::Var { .. } | Expr::Call { .. } => false,
        _ => {
            let (expressions, query) = children(expression);
            query.is_none() && expressions.into_iter().all(is_constant)
        }
    }
}

/// Whether a variable is an index somewhere in it, so that it may stand for several values.
fn iterates(expression: &Expr) -> bool {
    let by_variable = match expression {
        Expr::RefBrack { index, .. } => matches!(index.as_ref(), Expr::Var { .. }),
        _ => false,
    };
    by_variable || children(expression).0.into_iter().any(iterates)
}

/// Where a variable is an index.
fn indices(expression: &Expr, name: &str, places: &mut Vec<Span>) {
    if let Expr::RefBrack { index, .. } = expression
        && let Expr::Var { span, .. } = index.as_ref()
        && span.text() == name
    {
        places.push(span.clone());
    }
    for child in children(expression).0 {
        indices(child, name, places);
    }
}
