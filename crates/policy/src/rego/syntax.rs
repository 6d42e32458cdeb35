//! What is found in a module's syntax tree, whoever looks.

use regorus::unstable::{Expr, Query, Ref, Rule, RuleBody, RuleHead, Span};

/// A reference as far as it is known from the text: `data.lib["a-b"][x].c` is `data`, `lib`, `a-b`, and goes on.
#[derive(Debug)]
pub(super) struct Path<'e> {
    /// The variable that it begins with.
    pub(super) root: &'e Span,
    /// The constant steps behind it.
    pub(super) steps: Vec<&'e str>,
    /// Whether these are all.
    pub(super) is_whole: bool,
}

impl<'e> Path<'e> {
    /// `None` where it begins with something else than a variable.
    pub(super) fn of(expression: &'e Expr) -> Option<Self> {
        match expression {
            Expr::Var { span, .. } => Some(Self { root: span, steps: Vec::new(), is_whole: true }),
            Expr::RefDot { refr, field, .. } => Some(Self::of(refr)?.with(Some(field.0.text()))),
            Expr::RefBrack { refr, index, .. } => {
                let step = match index.as_ref() {
                    Expr::String { value, .. } | Expr::RawString { value, .. } => {
                        value.as_string().ok().map(|text| text.as_ref())
                    }
                    _ => None,
                };
                Some(Self::of(refr)?.with(step))
            }
            _ => None,
        }
    }

    fn with(mut self, step: Option<&'e str>) -> Self {
        match step {
            Some(step) if self.is_whole => self.steps.push(step),
            _ => self.is_whole = false,
        }
        self
    }
}

/// The variable that a reference begins with.
pub(super) fn root(expression: &Expr) -> Option<&Span> {
    match expression {
        Expr::Var { span, .. } => Some(span),
        Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => root(refr),
        _ => None,
    }
}

/// The expressions and the query right below an expression; of a call not the function's name.
pub(super) fn children(expression: &Expr) -> (Vec<&Expr>, Option<&Query>) {
    fn all(items: &[Ref<Expr>]) -> Vec<&Expr> {
        items.iter().map(AsRef::as_ref).collect()
    }
    match expression {
        Expr::Array { items, .. } | Expr::Set { items, .. } => (all(items), None),
        Expr::Object { fields, .. } => {
            (fields.iter().flat_map(|(_, key, value)| [key.as_ref(), value.as_ref()]).collect(), None)
        }
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            (vec![term.as_ref()], Some(query.as_ref()))
        }
        Expr::ObjectCompr { key, value, query, .. } => (vec![key.as_ref(), value.as_ref()], Some(query.as_ref())),
        Expr::Call { params, .. } => (all(params), None),
        Expr::UnaryExpr { expr, .. } => (vec![expr.as_ref()], None),
        Expr::RefDot { refr, .. } => (vec![refr.as_ref()], None),
        Expr::RefBrack { refr, index, .. } => (vec![refr.as_ref(), index.as_ref()], None),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => (vec![lhs.as_ref(), rhs.as_ref()], None),
        Expr::Membership { key, value, collection, .. } => {
            (key.iter().chain([value, collection]).map(AsRef::as_ref).collect(), None)
        }
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => (Vec::new(), None),
    }
}

/// A rule taken apart; that of a default has no bodies.
#[derive(Debug)]
pub(super) struct Parts<'r> {
    /// The name, or the reference, in the head.
    pub(super) name: &'r Expr,
    /// Of a function.
    pub(super) arguments: Option<&'r [Ref<Expr>]>,
    /// What the head gives: a key, a value; of an `else` its value stands with the body.
    pub(super) results: Vec<&'r Expr>,
    pub(super) bodies: &'r [RuleBody],
}

impl<'r> Parts<'r> {
    pub(super) fn of(rule: &'r Rule) -> Self {
        let no_bodies = &[];
        match rule {
            Rule::Default { refr, value, .. } => {
                Self { name: refr, arguments: None, results: vec![value.as_ref()], bodies: no_bodies }
            }
            Rule::Spec { head, bodies, .. } => {
                let (name, arguments, result) = match head {
                    RuleHead::Compr { refr, assign, .. } => (refr, None, assign.as_ref().map(|assign| &assign.value)),
                    RuleHead::Set { refr, key, .. } => (refr, None, key.as_ref()),
                    RuleHead::Func { refr, args, assign, .. } => {
                        (refr, Some(args.as_slice()), assign.as_ref().map(|assign| &assign.value))
                    }
                };
                Self { name, arguments, results: result.into_iter().map(AsRef::as_ref).collect(), bodies }
            }
        }
    }
}
