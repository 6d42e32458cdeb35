//! Functions that are called: whether there are such, with so many arguments, of such types.

use super::functions::{self, ANY, Types};
use super::names::Names;
use super::scope::{Scope, each_expression};
use super::{Host, Parsed, Problem};
use regorus::unstable::{ArithOp, Expr};

/// How many arguments a function takes; `None` for one that takes as many as it is given, and for one that is not known.
pub(super) fn arity(function: &Expr, names: &Names<'_>, module: usize) -> Option<usize> {
    match names.meaning(module, function, &Scope::default()).and_then(|path| names.arity(&path)) {
        Some(arity) => Some(arity),
        None => functions::find(&name(function)).map(|function| function.arguments.len()),
    }
}

/// As it is written, less blanks.
fn name(function: &Expr) -> String {
    function.span().text().split_whitespace().collect()
}

fn each_call(modules: &[Parsed<'_>], visit: &mut dyn FnMut(usize, &Expr, &Expr, usize)) {
    for (module, Parsed { syntax, .. }) in modules.iter().enumerate() {
        for rule in &syntax.policy {
            each_expression(rule, &mut |expression, _| {
                if let Expr::Call { fcn, params, .. } = expression {
                    visit(module, expression, fcn, params.len());
                }
            });
        }
    }
}

pub(super) fn undefined(modules: &[Parsed<'_>], names: &Names<'_>, host: Host) -> Vec<Problem> {
    let mut problems = Vec::new();
    each_call(modules, &mut |module, call, function, given| {
        let name = name(function);
        let path = names.meaning(module, function, &Scope::default());
        let own = path.as_deref().and_then(|path| names.arity(path));
        let is_taken = |arity: usize| given == arity || given == arity + 1;
        let what = match (own, functions::find(&name)) {
            (Some(arity), _) if is_taken(arity) => return,
            (None, Some(_)) if path.as_deref().is_some_and(|path| names.has(path)) => {
                arities(&path.unwrap_or(name), 0, given)
            }
            // It prints whatever it is given; and what OPA itself uses is no policy's.
            (None, _) if name == "print" || name.starts_with("internal.") => return,
            (None, Some(_)) if host == Host::Gatekeeper && name == "http.send" => format!("undefined function {name}"),
            (None, Some(function)) if is_taken(function.arguments.len()) => return,
            (None, None) if host == Host::Gatekeeper && name == "external_data" => return,
            (Some(arity), _) => arities(&path.unwrap_or(name), arity, given),
            (None, Some(_)) => format!("{name}: arity mismatch"),
            (None, None) => format!("undefined function {}", path.unwrap_or(name)),
        };
        problems.push(Problem::at(call.span(), "type_error", &what));
    });
    problems
}

fn arities(name: &str, arity: usize, given: usize) -> String {
    let plural = if given == 1 { "" } else { "s" };
    format!("function {name} has arity {arity}, got {given} argument{plural}")
}

/// Functions that are not called where they stand, and those that modules of OPA 1.0 must not call any more.
pub(super) fn misused(modules: &[Parsed<'_>], names: &Names<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (module, Parsed { syntax, is_v0 }) in modules.iter().enumerate() {
        let is_strict = !is_v0 || syntax.rego_v1;
        for rule in &syntax.policy {
            each_expression(rule, &mut |expression, scope| {
                let what = match expression {
                    Expr::Call { fcn, .. } => {
                        let is_old = is_strict && DEPRECATED.contains(&name(fcn).as_str());
                        let is_theirs = builtin(fcn, names, module).is_some();
                        (is_old && is_theirs)
                            .then(|| format!("deprecated built-in function calls in expression: {}", name(fcn)))
                    }
                    _ => names
                        .meaning(module, expression, scope)
                        .filter(|path| names.arity(path).is_some())
                        .map(|path| format!("function {path} used as reference, not called")),
                };
                problems.extend(what.map(|what| Problem::at(expression.span(), "type_error", &what)));
            });
        }
    }
    problems
}

/// What OPA 1.0 takes from older modules alone.
const DEPRECATED: [&str; 11] = [
    "all",
    "any",
    "cast_array",
    "cast_boolean",
    "cast_null",
    "cast_object",
    "cast_set",
    "cast_string",
    "net.cidr_overlap",
    "re_match",
    "set_diff",
];

pub(super) fn mistyped(modules: &[Parsed<'_>], names: &Names<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (module, Parsed { syntax, .. }) in modules.iter().enumerate() {
        for rule in &syntax.policy {
            each_expression(rule, &mut |expression, _| {
                let operator = match expression {
                    Expr::Call { fcn, params, .. } => match builtin(fcn, names, module) {
                        Some(function) => {
                            let mut pairs = params.iter().zip(&function.arguments);
                            let fits = pairs.all(|(given, wanted)| types(given, names, module) & wanted != 0);
                            (!fits).then_some(function.name)
                        }
                        None => None,
                    },
                    Expr::ArithExpr { op, lhs, rhs, .. } => {
                        let (name, wanted) = match op {
                            ArithOp::Add => ("plus", functions::NUMBER),
                            ArithOp::Sub => ("minus", functions::NUMBER | functions::SET),
                            ArithOp::Mul => ("mul", functions::NUMBER),
                            ArithOp::Div => ("div", functions::NUMBER),
                            ArithOp::Mod => ("rem", functions::NUMBER),
                        };
                        let fits = |operand| types(operand, names, module) & wanted != 0;
                        (!fits(lhs) || !fits(rhs)).then_some(name)
                    }
                    _ => None,
                };
                let problem =
                    |name| Problem::at(expression.span(), "type_error", &format!("{name}: invalid argument(s)"));
                problems.extend(operator.map(problem));
            });
        }
    }
    problems
}

/// A function of OPA's that no rule of the modules hides.
fn builtin(function: &Expr, names: &Names<'_>, module: usize) -> Option<functions::Function> {
    match names.meaning(module, function, &Scope::default()) {
        Some(path) if names.arity(&path).is_some() => None,
        _ => functions::find(&name(function)),
    }
}

/// Of which types a value may be, as far as its expression alone says it.
fn types(expression: &Expr, names: &Names<'_>, module: usize) -> Types {
    match expression {
        Expr::String { .. } | Expr::RawString { .. } => functions::STRING,
        Expr::Number { .. } => functions::NUMBER,
        Expr::Bool { .. } | Expr::BoolExpr { .. } | Expr::Membership { .. } => functions::BOOLEAN,
        Expr::Null { .. } => functions::NULL,
        Expr::Array { .. } | Expr::ArrayCompr { .. } => functions::ARRAY,
        Expr::Set { .. } | Expr::SetCompr { .. } | Expr::BinExpr { .. } => functions::SET,
        Expr::Object { .. } | Expr::ObjectCompr { .. } => functions::OBJECT,
        Expr::ArithExpr { op: ArithOp::Sub, .. } => functions::NUMBER | functions::SET,
        Expr::ArithExpr { .. } | Expr::UnaryExpr { .. } => functions::NUMBER,
        Expr::Call { fcn, params, .. } => match builtin(fcn, names, module) {
            // With one more it returns into the last, and is true.
            Some(function) if params.len() == function.arguments.len() => function.result,
            _ => ANY,
        },
        Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } | Expr::AssignExpr { .. } => ANY,
    }
}
