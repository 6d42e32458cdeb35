//! The static check: what the API server would refuse to compile is refused, in its words; and what is left is ready to be run.
//!
//! It is one file: every form of expression is checked with the same types, names and errors at hand.

use super::evaluate::Failure;
use super::functions;
use super::node::{Call, Constant, Fold, FoldKind, Global, Index, Mapped, Node, Select};
use super::signatures;
use super::types::{Bindings, Type, is_more_general};
use super::value::Value;
use super::{CompileError, Environment, literals, objects};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, SourceInfo};
use regex::Regex;
use std::collections::BTreeMap;

/// The deepest tree that is run; expressions of policies have some ten levels.
const DEPTH: usize = 160;
/// Functions that are run beforehand where their argument is known.
const CONVERSIONS: [&str; 9] = ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "uint"];

/// Checks a tree; the type of the whole, and what to run.
pub(super) fn check(
    text: &str,
    tree: &IdedExpr,
    source: &SourceInfo,
    environment: &Environment,
) -> Result<(Type, Node), CompileError> {
    let mut checker = Checker {
        source,
        environment,
        bindings: Bindings::default(),
        locals: Vec::new(),
        errors: Vec::new(),
        issues: Vec::new(),
        instantiation: None,
        formats: 0,
        depth: 0,
        is_too_deep: false,
    };
    let (found, node) = checker.expression(tree);
    if checker.is_too_deep {
        return Err(CompileError::TooComplex("it is nested too deeply"));
    }
    // Literals are looked at once all types are right.
    let found_wrong = if checker.errors.is_empty() { checker.issues } else { checker.errors };
    if found_wrong.is_empty() {
        return match checker.instantiation {
            Some(why) => Err(CompileError::Instantiation(why)),
            None => Ok((checker.bindings.resolve(&found), node)),
        };
    }
    let mut errors: Vec<_> =
        found_wrong.into_iter().map(|(offset, message)| (position(text, offset), message)).collect();
    errors.sort();
    errors.dedup();
    let errors = errors.iter().map(|(position, message)| located(text, *position, message));
    Err(CompileError::Refused(errors.collect::<Vec<_>>().join("\n")))
}

/// Line and column, from 1, in characters, of a byte.
fn position(text: &str, offset: usize) -> (isize, isize) {
    let (mut line, mut column) = (1, 1);
    for c in text.char_indices().take_while(|(at, _)| *at < offset).map(|(_, c)| c) {
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    (line, column)
}

/// A message with its place, as the API server writes it.
pub(super) fn located(text: &str, (line, column): (isize, isize), message: &str) -> String {
    let head = format!("ERROR: <input>:{line}:{column}: {message}");
    let shown = usize::try_from(line - 1).ok().and_then(|line| text.split('\n').nth(line));
    let Some(shown) = shown else { return head };
    // What is longer than a byte is taken to be wide.
    let before = shown.chars().take(usize::try_from(column - 1).unwrap_or(0));
    let dots: String = before.map(|c| if c.is_ascii() { '.' } else { '．' }).collect();
    let at = usize::try_from(column - 1).ok().and_then(|at| shown.chars().nth(at));
    let mark = if at.is_none_or(|c| c.is_ascii()) { '^' } else { '＾' };
    format!("{head}\n | {}\n | {dots}{mark}", shown.replace('\t', " "))
}

struct Checker<'c> {
    source: &'c SourceInfo,
    environment: &'c Environment,
    bindings: Bindings,
    /// The variables of the macros around.
    locals: Vec<(String, Type)>,
    errors: Vec<(usize, String)>,
    /// What is wrong with literals.
    issues: Vec<(usize, String)>,
    /// What fails whenever it is run.
    instantiation: Option<String>,
    /// How many calls of `format` are around: within, elements may have several types.
    formats: usize,
    depth: usize,
    is_too_deep: bool,
}

type Checked = (Type, Node);

const NOTHING: Checked = (Type::Error, Node::Constant(Constant::Null));

impl Checker<'_> {
    fn refuse(&mut self, id: u64, message: String) -> Checked {
        let offset = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.errors.push((offset, message));
        NOTHING
    }

    /// Something wrong with a literal.
    fn doubt(&mut self, id: u64, message: String) {
        let offset = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.issues.push((offset, message));
    }

    fn undeclared(&mut self, id: u64, name: &str) -> Checked {
        self.refuse(id, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn no_overload(&mut self, id: u64, name: &str, arguments: &[Type], is_member: bool) -> Checked {
        let types: Vec<String> = arguments.iter().map(|of| self.bindings.resolve(of).to_string()).collect();
        let applied = match types.split_first() {
            Some((target, rest)) if is_member => format!("{target}.({})", rest.join(", ")),
            _ => format!("({})", types.join(", ")),
        };
        self.refuse(id, format!("found no matching overload for '{name}' applied to '{applied}'"))
    }

    fn expression(&mut self, tree: &IdedExpr) -> Checked {
        // What is deeper than anybody writes is not looked at: nothing of it is run.
        if self.depth >= DEPTH {
            self.is_too_deep = true;
            return NOTHING;
        }
        self.depth += 1;
        let checked = match &tree.expr {
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => self.name(tree.id, name),
            Expr::Select(select) => self.selection(tree.id, select),
            Expr::Call(call) => self.call(tree.id, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(of) => self.undeclared(tree.id, &of.type_name),
            Expr::Comprehension(_) | Expr::Unspecified => self.refuse(tree.id, "unexpected expression".to_owned()),
        };
        self.depth -= 1;
        checked
    }

    fn name(&mut self, id: u64, name: &str) -> Checked {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some((place, (_, of))) = self.locals.iter().enumerate().rev().find(|(_, (local, _))| local == name) {
            return (of.clone(), Node::Local(place));
        }
        let environment = self.environment;
        let global = match name {
            "object" => Some((Type::Dyn, Global::Object)),
            "oldObject" => Some((Type::Dyn, Global::OldObject)),
            "request" => Some((Type::Object(&objects::REQUEST), Global::Request)),
            "namespaceObject" => Some((Type::Object(&objects::NAMESPACE), Global::NamespaceObject)),
            "params" if environment.has_params => Some((Type::Dyn, Global::Params)),
            "authorizer" if environment.has_authorizer => Some((Type::Opaque(super::AUTHORIZER), Global::Authorizer)),
            "variables" if environment.has_variables => {
                Some((Type::Variables(environment.variables.len()), Global::Variables))
            }
            _ => None,
        };
        if let Some((of, global)) = global {
            return (of, Node::Global(global));
        }
        match type_of_name(name) {
            Some(of) => (Type::Meta(Box::new(of)), Node::Constant(Constant::Type(name.to_owned()))),
            None => self.undeclared(id, name),
        }
    }

    fn selection(&mut self, id: u64, select: &SelectExpr) -> Checked {
        if let Some(checked) = self.qualified(select) {
            return checked;
        }
        let operand = self.expression(&select.operand);
        let (of, node) = self.field(id, operand, &select.field, false);
        (of, node)
    }

    /// Names with dots that mean something by themselves.
    fn qualified(&mut self, select: &SelectExpr) -> Option<Checked> {
        let Expr::Ident(first) = &select.operand.expr else {
            // The only longer ones.
            let of = match (qualified_name(&select.operand.expr)?.as_str(), select.field.as_str()) {
                ("google.protobuf", "Duration") => Type::Duration,
                ("google.protobuf", "Timestamp") => Type::Timestamp,
                _ => return None,
            };
            let name = format!("google.protobuf.{}", select.field);
            return Some((Type::Meta(Box::new(of)), Node::Constant(Constant::Type(name))));
        };
        if self.locals.iter().any(|(local, _)| local == first) {
            return None;
        }
        match (first.as_str(), select.field.as_str()) {
            ("authorizer", "requestResource") if self.environment.has_authorizer => {
                Some((Type::Opaque(super::RESOURCE_CHECK), Node::Global(Global::Authorizer)))
            }
            _ => None,
        }
    }

    fn field(&mut self, id: u64, (of, operand): Checked, field: &str, is_test: bool) -> Checked {
        let of = self.bindings.resolve(&of);
        let (inner, was_optional) = match of {
            Type::Optional(inner) => (*inner, true),
            other => (other, false),
        };
        let found = match &inner {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => match object.fields.iter().find(|(name, _)| *name == field) {
                Some((_, of)) => of.to_type(),
                None => return self.refuse(id, format!("undefined field '{field}'")),
            },
            Type::Variables(known) => {
                let known = self.environment.variables.iter().take(*known).position(|(name, _)| name == field);
                return match known.and_then(|place| Some((place, self.environment.variables.get(place)?))) {
                    // A variable is always there.
                    Some((_, _)) if is_test => (Type::Bool, Node::Constant(Constant::Bool(true))),
                    Some((place, (_, of))) => (of.clone(), Node::Variable(place)),
                    None => self.refuse(id, format!("undefined field '{field}'")),
                };
            }
            Type::Parameter(_) => {
                self.bindings.assign(&Type::Dyn, &inner);
                Type::Dyn
            }
            other if other.is_dyn() => Type::Dyn,
            other => {
                let message = format!("type '{other}' does not support field selection");
                return self.refuse(id, message);
            }
        };
        let found = match (is_test, was_optional) {
            (true, _) => Type::Bool,
            (false, true) => optional(found),
            (false, false) => found,
        };
        (found, Node::Select(Box::new(Select { operand, field: field.to_owned(), is_test, is_optional: false })))
    }

    fn list(&mut self, list: &ListExpr) -> Checked {
        let mut elements = Vec::with_capacity(list.elements.len());
        let mut nodes = Vec::with_capacity(list.elements.len());
        for (n, item) in list.elements.iter().enumerate() {
            let (of, node) = self.expression(item);
            let is_optional = list.optional_indices.contains(&n);
            elements.push((item.id, self.unwrapped(item.id, of, is_optional)));
            nodes.push((node, is_optional));
        }
        (Type::List(Box::new(self.joined(&elements))), Node::List(nodes))
    }

    fn map(&mut self, map: &MapExpr) -> Checked {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let mut nodes = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            let (key, key_node) = self.expression(&entry.key);
            keys.push((entry.key.id, key));
            let (value, value_node) = self.expression(&entry.value);
            values.push((entry.value.id, self.unwrapped(entry.value.id, value, entry.optional)));
            nodes.push((key_node, value_node, entry.optional));
        }
        (Type::Map(Box::new(self.joined(&keys)), Box::new(self.joined(&values))), Node::Map(nodes))
    }

    /// Of an element that is left out where it is an optional of nothing: the type of what it holds.
    fn unwrapped(&mut self, id: u64, of: Type, is_optional: bool) -> Type {
        if !is_optional {
            return of;
        }
        match self.bindings.resolve(&of) {
            Type::Optional(inner) => *inner,
            other if other.is_dyn() => Type::Dyn,
            other => self.refuse(id, format!("expected type 'optional_type({other})' but found '{other}'")).0,
        }
    }

    /// What the elements of a literal have in common. They are to have one type, but for what is formatted.
    fn joined(&mut self, elements: &[(u64, Type)]) -> Type {
        let mut elements_left = elements.iter();
        let Some((_, first)) = elements_left.next() else { return self.bindings.parameter() };
        let mut common = first.clone();
        for (_, of) in elements_left {
            common = match self.bindings.assign(&common, of) {
                true if is_more_general(&common, of) => common,
                true => of.clone(),
                false => Type::Dyn,
            };
        }
        if self.formats == 0 {
            let wanted = self.bindings.resolve(first).to_string();
            let found = elements.iter().map(|(id, of)| (*id, self.bindings.resolve(of).to_string()));
            let wrong = found.into_iter().find(|(_, found)| *found != wanted);
            if let Some((id, found)) = wrong {
                self.doubt(id, format!("expected type '{wanted}' but found '{found}'"));
            }
        }
        common
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Checked {
        if let Some(checked) = self.macro_call(id, call) {
            return checked;
        }
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("_?._", None, [operand, field]) => return self.optional_selection(id, operand, field),
            ("_&&_" | "_||_", None, _) => {
                let mut terms = Vec::new();
                self.terms(name, call, &mut terms);
                return (Type::Bool, if name == "_&&_" { Node::And(terms) } else { Node::Or(terms) });
            }
            _ => {}
        }
        let is_format = name == "format" && call.target.is_some();
        self.formats += usize::from(is_format);
        let arguments: Vec<Checked> = call.args.iter().map(|argument| self.expression(argument)).collect();
        self.formats -= usize::from(is_format);
        if let (true, Some(format), [list]) = (is_format, call.target.as_deref(), call.args.as_slice()) {
            self.formatted(id, format, list);
        }
        let Some(target) = call.target.as_deref() else {
            return self.resolved(id, name, arguments, false, &call.args);
        };
        // `ip.isCanonical` is a name, and no function of a value.
        if let Some(prefix) = qualified_name(&target.expr) {
            let full = format!("{prefix}.{name}");
            if signatures::overloads(&full).is_some() {
                return self.resolved(id, &full, arguments, false, &call.args);
            }
        }
        let mut all = vec![self.expression(target)];
        all.extend(arguments);
        self.resolved(id, name, all, true, &call.args)
    }

    /// `a && b && c` as one list, however deep the tree of it is.
    fn terms(&mut self, name: &str, call: &CallExpr, terms: &mut Vec<Node>) {
        for argument in &call.args {
            match &argument.expr {
                Expr::Call(inner) if inner.func_name == name && inner.target.is_none() => {
                    self.terms(name, inner, terms);
                }
                _ => {
                    let (of, node) = self.expression(argument);
                    if of != Type::Error && !self.bindings.assign(&of, &Type::Bool) {
                        let found = self.bindings.resolve(&of);
                        self.refuse(argument.id, format!("expected type 'bool' but found '{found}'"));
                    }
                    terms.push(node);
                }
            }
        }
    }

    /// Finds what is called. More than one overload that fits gives what they have in common.
    fn resolved(
        &mut self,
        id: u64,
        name: &str,
        arguments: Vec<Checked>,
        is_member: bool,
        written: &[IdedExpr],
    ) -> Checked {
        let Some(overloads) = signatures::overloads(name) else { return self.undeclared(id, name) };
        let (types, nodes): (Vec<Type>, Vec<Node>) = arguments.into_iter().unzip();
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|overload| overload.is_member == is_member) {
            let (wanted, gives) = overload.instance(&mut self.bindings);
            if self.bindings.assign_all(&types, &wanted) {
                let gives = self.bindings.resolve(&gives);
                result = Some(match result {
                    None => gives,
                    Some(before) if before.is_dyn() || before == gives => before,
                    Some(_) => Type::Dyn,
                });
            }
        }
        let Some(result) = result else {
            return match types.contains(&Type::Error) {
                true => NOTHING,
                false => self.no_overload(id, name, &types, is_member),
            };
        };
        if let Some(argument) = written.last()
            && let Some(why) = literals::unreadable(name, argument)
        {
            self.doubt(argument.id, why);
        }
        let node = node(name, nodes);
        self.fold_conversion(&node);
        (result, node)
    }

    /// A conversion of what is known beforehand is made beforehand.
    fn fold_conversion(&mut self, node: &Node) {
        if let Some(Err(failure)) = known(node) {
            self.instantiation.get_or_insert(failure.to_string());
        }
    }

    fn formatted(&mut self, id: u64, format: &IdedExpr, list: &IdedExpr) {
        let Expr::List(items) = &list.expr else { return };
        // Their types are found again: what is formatted is short.
        let mut types = BTreeMap::new();
        let errors = (self.errors.len(), self.issues.len());
        self.formats += 1;
        self.types_of(&items.elements, &mut types);
        self.formats -= 1;
        self.errors.truncate(errors.0);
        self.issues.truncate(errors.1);
        let of = |id: u64| types.get(&id).cloned().unwrap_or(Type::Dyn);
        if let Some((id, why)) = literals::misformatted(id, format, list, of) {
            self.doubt(id, why);
        }
    }

    fn types_of(&mut self, items: &[IdedExpr], types: &mut BTreeMap<u64, Type>) {
        for item in items {
            match &item.expr {
                Expr::List(list) => {
                    types.insert(item.id, Type::List(Box::new(Type::Dyn)));
                    self.types_of(&list.elements, types);
                }
                Expr::Map(_) => _ = types.insert(item.id, Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn))),
                _ => {
                    let (of, _) = self.expression(item);
                    types.insert(item.id, self.bindings.resolve(&of));
                }
            }
        }
    }

    fn optional_selection(&mut self, id: u64, operand: &IdedExpr, field: &IdedExpr) -> Checked {
        let Expr::Literal(LiteralValue::String(field)) = &field.expr else {
            return self.refuse(id, "unsupported optional field selection".to_owned());
        };
        let operand = self.expression(operand);
        match self.field(id, operand, field.inner(), false) {
            (of, Node::Select(mut select)) => {
                select.is_optional = true;
                let of = if matches!(of, Type::Optional(_)) { of } else { optional(of) };
                (of, Node::Select(select))
            }
            // A variable of the policy.
            (of, node) if of != Type::Error => {
                let function = functions::find("optional.of");
                (
                    optional(of),
                    function.map_or(Node::Constant(Constant::Null), |function| {
                        Node::Call(Box::new(Call {
                            name: "optional.of".to_owned(),
                            function,
                            arguments: vec![node],
                            regex: None,
                        }))
                    }),
                )
            }
            wrong => wrong,
        }
    }

    /// What is spelt as a call and is none.
    fn macro_call(&mut self, id: u64, call: &CallExpr) -> Option<Checked> {
        let Some(target) = call.target.as_deref() else {
            return match (call.func_name.as_str(), call.args.as_slice()) {
                ("has", [argument]) => Some(match &argument.expr {
                    Expr::Select(select) => {
                        let operand = self.expression(&select.operand);
                        self.field(id, operand, &select.field, true)
                    }
                    _ => self.refuse(argument.id, "invalid argument to has() macro".to_owned()),
                }),
                _ => None,
            };
        };
        let (name, args) = (call.func_name.as_str(), call.args.as_slice());
        if let ("optMap" | "optFlatMap", [variable, body]) = (name, args) {
            return Some(self.mapped(target, variable, body, name == "optFlatMap"));
        }
        let (kind, variables, filter, body) = match (name, args) {
            ("all", [v, body]) => (FoldKind::All, vec![v], None, body),
            ("all", [k, v, body]) => (FoldKind::All, vec![k, v], None, body),
            ("exists", [v, body]) => (FoldKind::Exists, vec![v], None, body),
            ("exists", [k, v, body]) => (FoldKind::Exists, vec![k, v], None, body),
            ("exists_one" | "existsOne", [v, body]) => (FoldKind::ExistsOne, vec![v], None, body),
            ("exists_one" | "existsOne", [k, v, body]) => (FoldKind::ExistsOne, vec![k, v], None, body),
            ("filter", [v, body]) => (FoldKind::Filter, vec![v], None, body),
            ("map", [v, body]) => (FoldKind::Map, vec![v], None, body),
            ("map", [v, filter, body]) => (FoldKind::Map, vec![v], Some(filter), body),
            ("sortBy", [v, body]) => (FoldKind::SortBy, vec![v], None, body),
            ("transformList", [k, v, body]) => (FoldKind::Map, vec![k, v], None, body),
            ("transformList", [k, v, filter, body]) => (FoldKind::Map, vec![k, v], Some(filter), body),
            ("transformMap", [k, v, body]) => (FoldKind::TransformMap, vec![k, v], None, body),
            ("transformMap", [k, v, filter, body]) => (FoldKind::TransformMap, vec![k, v], Some(filter), body),
            ("transformMapEntry", [k, v, body]) => (FoldKind::TransformMapEntry, vec![k, v], None, body),
            ("transformMapEntry", [k, v, filter, body]) => {
                (FoldKind::TransformMapEntry, vec![k, v], Some(filter), body)
            }
            _ => return None,
        };
        let written = Written { id, name, target, variables, filter, body };
        Some(self.fold(kind, &written))
    }

    fn mapped(&mut self, target: &IdedExpr, variable: &IdedExpr, body: &IdedExpr, is_flat: bool) -> Checked {
        let (of, optional_node) = self.expression(target);
        let inner = match self.bindings.resolve(&of) {
            Type::Optional(inner) => *inner,
            other if other.is_dyn() => Type::Dyn,
            other => return self.refuse(target.id, format!("expected type 'optional_type(dyn)' but found '{other}'")),
        };
        let Expr::Ident(variable_name) = &variable.expr else {
            return self.refuse(variable.id, "argument is not an identifier".to_owned());
        };
        self.locals.push((variable_name.clone(), inner));
        let place = self.locals.len() - 1;
        let (of, body) = self.expression(body);
        self.locals.pop();
        let of = if is_flat { of } else { optional(of) };
        (of, Node::Mapped(Box::new(Mapped { optional: optional_node, place, body, is_flat })))
    }

    fn fold(&mut self, kind: FoldKind, written: &Written<'_>) -> Checked {
        let (range_type, range) = self.expression(written.target);
        let range_type = self.bindings.resolve(&range_type);
        let is_paired = written.variables.len() == 2;
        let (first, second) = match &range_type {
            Type::List(of) if is_paired => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Parameter(_) => {
                self.bindings.assign(&Type::Dyn, &range_type);
                (Type::Dyn, Type::Dyn)
            }
            other if other.is_dyn() => (Type::Dyn, Type::Dyn),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return self.refuse(written.target.id, message);
            }
        };
        let place = self.locals.len();
        for (variable, of) in written.variables.iter().zip([&first, &second]) {
            let Expr::Ident(name) = &variable.expr else {
                self.locals.truncate(place);
                let why = if written.name == "map" {
                    "argument is not an identifier"
                } else {
                    "argument must be a simple name"
                };
                return self.refuse(variable.id, why.to_owned());
            };
            self.locals.push((name.clone(), of.clone()));
        }
        let filter = written.filter.map(|filter| {
            let (of, node) = self.expression(filter);
            self.expect_bool(written.id, "_?_:_", of);
            node
        });
        let (body_type, body) = self.expression(written.body);
        self.locals.truncate(place);
        let list = |of: Type| Type::List(Box::new(of));
        let found = match kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => {
                let operator = match kind {
                    FoldKind::All => "_&&_",
                    FoldKind::Exists => "_||_",
                    _ => "_?_:_",
                };
                self.expect_bool(written.id, operator, body_type);
                Type::Bool
            }
            FoldKind::Filter => {
                self.expect_bool(written.id, "_?_:_", body_type);
                list(first)
            }
            FoldKind::Map => list(body_type),
            FoldKind::SortBy => {
                let key = self.bindings.resolve(&body_type);
                if !is_comparable(&key) {
                    return self.no_overload(written.id, "@sortByAssociatedKeys", &[range_type, list(key)], true);
                }
                list(first)
            }
            FoldKind::TransformMap => {
                let key = if matches!(range_type, Type::List(_)) { Type::Int } else { first };
                Type::Map(Box::new(key), Box::new(body_type))
            }
            FoldKind::TransformMapEntry => match self.bindings.resolve(&body_type) {
                map @ Type::Map(..) => map,
                other if other.is_dyn() => Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn)),
                other => return self.no_overload(written.id, written.name, &[range_type, other], true),
            },
        };
        (found, Node::Fold(Box::new(Fold { kind, range, place, is_paired, filter, body })))
    }

    fn expect_bool(&mut self, id: u64, operator: &str, of: Type) {
        if of == Type::Error || self.bindings.assign(&of, &Type::Bool) {
            return;
        }
        let types = match operator {
            "_?_:_" => vec![of, Type::Dyn, Type::Dyn],
            _ => vec![Type::Bool, of],
        };
        self.no_overload(id, operator, &types, false);
    }
}

/// A macro as it stands there.
struct Written<'w> {
    id: u64,
    name: &'w str,
    target: &'w IdedExpr,
    variables: Vec<&'w IdedExpr>,
    filter: Option<&'w IdedExpr>,
    body: &'w IdedExpr,
}

/// What a conversion of what is known beforehand comes to, and conversions of that.
fn known(node: &Node) -> Option<Result<Value<'_>, Failure>> {
    match node {
        Node::Constant(constant) => Some(Ok(constant.to_value())),
        Node::Call(call) if CONVERSIONS.contains(&call.name.as_str()) => match known(call.arguments.first()?)? {
            Ok(argument) => {
                let arguments = functions::Arguments { name: &call.name, values: &[argument], regex: None };
                Some((call.function)(arguments))
            }
            failure => Some(failure),
        },
        Node::List(items) => {
            let items: Option<Result<Vec<_>, _>> = items.iter().map(|(item, _)| known(item)).collect();
            Some(items?.map(Value::list))
        }
        _ => None,
    }
}

fn is_comparable(of: &Type) -> bool {
    !matches!(
        of,
        Type::Null
            | Type::List(_)
            | Type::Map(..)
            | Type::Optional(_)
            | Type::Meta(_)
            | Type::Object(_)
            | Type::Opaque(_)
            | Type::Variables(_)
    )
}

fn optional(of: Type) -> Type {
    Type::Optional(Box::new(of))
}

fn qualified_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified_name(&select.operand.expr)?, select.field))
        }
        _ => None,
    }
}

fn type_of_name(name: &str) -> Option<Type> {
    let of_dyn = || Box::new(Type::Dyn);
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "dyn" => Type::Dyn,
        "int" => Type::Int,
        "list" => Type::List(of_dyn()),
        "map" => Type::Map(of_dyn(), of_dyn()),
        "null_type" => Type::Null,
        "optional_type" => optional(Type::Dyn),
        "string" => Type::String,
        "type" => Type::Meta(of_dyn()),
        "uint" => Type::Uint,
        _ => return None,
    })
}

fn constant(literal: &LiteralValue) -> Checked {
    match literal {
        LiteralValue::Null => (Type::Null, Node::Constant(Constant::Null)),
        LiteralValue::Boolean(of) => (Type::Bool, Node::Constant(Constant::Bool(*of.inner()))),
        LiteralValue::Int(of) => (Type::Int, Node::Constant(Constant::Int(*of.inner()))),
        LiteralValue::UInt(of) => (Type::Uint, Node::Constant(Constant::Uint(*of.inner()))),
        LiteralValue::Double(of) => (Type::Double, Node::Constant(Constant::Double(*of.inner()))),
        LiteralValue::String(of) => (Type::String, Node::Constant(Constant::String(of.inner().to_owned()))),
        LiteralValue::Bytes(of) => (Type::Bytes, Node::Constant(Constant::Bytes(of.inner().to_vec()))),
    }
}

fn node(name: &str, mut arguments: Vec<Node>) -> Node {
    if name == "_?_:_"
        && let Ok(three) = <[Node; 3]>::try_from(std::mem::take(&mut arguments))
    {
        return Node::Conditional(Box::new(three));
    }
    if matches!(name, "_[_]" | "_[?_]") {
        let is_optional = name == "_[?_]";
        if let (Some(index), Some(operand)) = (arguments.pop(), arguments.pop()) {
            return Node::Index(Box::new(Index { operand, index, is_optional }));
        }
        return Node::Constant(Constant::Null);
    }
    let regex = match (name, arguments.last()) {
        ("matches", Some(Node::Constant(Constant::String(text)))) => Regex::new(text).ok(),
        _ => None,
    };
    match functions::find(name) {
        Some(function) => Node::Call(Box::new(Call { name: name.to_owned(), function, arguments, regex })),
        None => Node::Constant(Constant::Null),
    }
}
