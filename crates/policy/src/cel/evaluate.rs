//! Running what was compiled, with a count of what it costs.
//!
//! It is one file: every form of expression is run against the same count.

use super::node::{Call, Constant, Fold, FoldKind, Global, Index, Mapped, Node, Select};
use super::value::{Fields, Key, List, Text, Value};
use super::{Program, functions};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What one expression may cost (Kubernetes, `PerCallLimit`).
const COST: u64 = 1_000_000;
/// How many elements of lists functions may go over, in one expression.
const COPIED: u64 = 10_000_000;
/// The cost of a list that is made.
const LIST_COST: u64 = 10;
/// The cost of a map that is made.
const MAP_COST: u64 = 30;

/// Why an expression comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As the API server says it.
    Error(String),
    /// It costs too much, and is stopped; nothing around it can catch that.
    Cost,
    /// Nobody here can say.
    Unknown(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(text) | Self::Unknown(text) => f.write_str(text),
            Self::Cost => f.write_str("operation cancelled: actual cost limit exceeded"),
        }
    }
}

impl Failure {
    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    pub(super) fn overload() -> Self {
        Self::error("no such overload")
    }
}

pub(super) type Outcome<'v> = Result<Value<'v>, Failure>;

/// What is known from outside.
#[derive(Debug, Clone)]
pub(crate) struct Globals<'v> {
    pub(crate) object: Value<'v>,
    pub(crate) old_object: Value<'v>,
    pub(crate) request: Value<'v>,
    /// `None` where there is one that is not known.
    pub(crate) namespace_object: Option<Value<'v>>,
    pub(crate) params: Value<'v>,
}

/// The variables of a policy, which are evaluated when they are first asked for.
pub(crate) type Variables<'v> = &'v [(String, Result<Program, super::CompileError>)];

/// The evaluation of one policy for one request: the variables' values live as long.
#[derive(Debug)]
pub(crate) struct Run<'v> {
    globals: Globals<'v>,
    variables: Variables<'v>,
    values: RefCell<Vec<Option<Outcome<'v>>>>,
    spent: Cell<u64>,
}

impl<'v> Run<'v> {
    pub(crate) fn new(globals: Globals<'v>, variables: Variables<'v>) -> Self {
        Self { globals, variables, values: RefCell::new(vec![None; variables.len()]), spent: Cell::new(0) }
    }

    /// What all has cost until now.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// What an expression comes to.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn evaluate(&self, program: &'v Program) -> Result<Value<'v>, Failure> {
        let mut evaluation = Evaluation { run: self, locals: Vec::new(), cost: 0, copied: 0 };
        let outcome = evaluation.node(&program.node);
        self.spent.set(self.spent.get().saturating_add(evaluation.cost));
        outcome
    }

    fn variable(&self, place: usize) -> Outcome<'v> {
        if let Some(Some(known)) = self.values.borrow().get(place) {
            return known.clone();
        }
        let Some((name, program)) = self.variables.get(place) else {
            return Err(Failure::error("no such variable"));
        };
        let fails = |why: &dyn std::fmt::Display| format!("composited variable {name:?} fails to evaluate: {why}");
        let outcome = match program {
            Err(super::CompileError::TooComplex(why)) => Err(Failure::Unknown((*why).to_owned())),
            Err(error) => Err(Failure::Error(format!("composited variable {name:?} fails to compile: {error}"))),
            Ok(program) => self.evaluate(program).map_err(|failure| match failure {
                Failure::Unknown(why) => Failure::Unknown(why),
                failure => Failure::Error(fails(&failure)),
            }),
        };
        if let Some(value) = self.values.borrow_mut().get_mut(place) {
            *value = Some(outcome.clone());
        }
        outcome
    }
}

struct Evaluation<'r, 'v> {
    run: &'r Run<'v>,
    locals: Vec<Value<'v>>,
    cost: u64,
    /// Elements of lists that functions were given and gave.
    copied: u64,
}

impl<'v> Evaluation<'_, 'v> {
    fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > COST { Err(Failure::Cost) } else { Ok(()) }
    }

    fn node(&mut self, node: &'v Node) -> Outcome<'v> {
        match node {
            Node::Constant(constant) => Ok(constant.to_value()),
            Node::Local(place) => {
                self.charge(1)?;
                self.locals.get(*place).cloned().ok_or_else(|| Failure::error("no such attribute"))
            }
            Node::Global(global) => {
                self.charge(1)?;
                self.global(*global)
            }
            Node::Variable(place) => {
                self.charge(2)?;
                self.run.variable(*place)
            }
            Node::Select(select) => self.select(select),
            Node::Index(index) => self.index(index),
            Node::Call(call) => self.call(call),
            Node::And(terms) => self.terms(terms, false),
            Node::Or(terms) => self.terms(terms, true),
            Node::Conditional(three) => {
                let [condition, yes, no] = &**three;
                match self.node(condition)? {
                    Value::Bool(true) => self.node(yes),
                    Value::Bool(false) => self.node(no),
                    _ => Err(Failure::overload()),
                }
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
            Node::Mapped(mapped) => self.mapped(mapped),
        }
    }

    fn global(&self, global: Global) -> Outcome<'v> {
        let globals = &self.run.globals;
        Ok(match global {
            Global::Object => globals.object.clone(),
            Global::OldObject => globals.old_object.clone(),
            Global::Request => globals.request.clone(),
            Global::NamespaceObject => match &globals.namespace_object {
                Some(namespace) => namespace.clone(),
                None => return Err(Failure::Unknown("the request's namespace is not known".to_owned())),
            },
            Global::Params => globals.params.clone(),
            Global::Authorizer => Value::Authorizer,
            Global::Variables => Value::Variables,
        })
    }

    /// `&&` and `||`: what decides is looked for in all terms; failing that, the first that fails.
    fn terms(&mut self, terms: &'v [Node], decides: bool) -> Outcome<'v> {
        let mut failure: Option<Failure> = None;
        for term in terms {
            let found = match self.node(term) {
                Ok(Value::Bool(found)) if found == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => continue,
                Ok(_) => Failure::overload(),
                Err(Failure::Cost) => return Err(Failure::Cost),
                Err(found) => found,
            };
            failure = Some(first_of(failure, found));
        }
        failure.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn select(&mut self, select: &'v Select) -> Outcome<'v> {
        let operand = self.node(&select.operand)?;
        if !select.is_test {
            self.charge(1)?;
        }
        let (inner, is_optional) = match &operand {
            Value::Optional(None) if select.is_test => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (&**inner, true),
            other => (other, select.is_optional),
        };
        let found = match inner {
            Value::Map(fields) => fields.field(&select.field),
            Value::List(_) => {
                return Err(Failure::error("unsupported index type 'string' in list"));
            }
            Value::Authorizer => return Err(unknown_authorizer()),
            _ => None,
        };
        match found {
            found if select.is_test => Ok(Value::Bool(found.is_some())),
            Some(found) if is_optional => Ok(Value::some(found)),
            None if is_optional => Ok(Value::Optional(None)),
            Some(found) => Ok(found),
            None => Err(Failure::error(format!("no such key: {}", select.field))),
        }
    }

    fn index(&mut self, index: &'v Index) -> Outcome<'v> {
        let operand = self.node(&index.operand)?;
        let key = self.node(&index.index)?;
        self.charge(1)?;
        match &operand {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => at(inner, &key, true),
            other => at(other, &key, index.is_optional),
        }
    }

    fn call(&mut self, call: &'v Call) -> Outcome<'v> {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.node(argument)?);
        }
        if arguments.iter().any(|argument| matches!(argument, Value::Authorizer)) {
            return Err(unknown_authorizer());
        }
        // What costs by the size of what it is given pays before it is run.
        self.charge(functions::cost(&call.name, &arguments))?;
        let result =
            (call.function)(functions::Arguments { name: &call.name, values: &arguments, regex: call.regex.as_ref() })?;
        // The API server joins lists without copying them, so that they cost nothing there.
        let elements = arguments.iter().chain([&result]).map(|value| match value {
            Value::List(list) => list.len() as u64,
            _ => 0,
        });
        self.copied = self.copied.saturating_add(elements.sum());
        if self.copied > COPIED {
            return Err(Failure::Cost);
        }
        Ok(result)
    }

    fn list(&mut self, items: &'v [(Node, bool)]) -> Outcome<'v> {
        let mut values = Vec::with_capacity(items.len());
        for (item, is_optional) in items {
            match (self.node(item)?, is_optional) {
                (value, false) => values.push(value),
                (Value::Optional(value), true) => values.extend(value.map(|value| (*value).clone())),
                (_, true) => return Err(Failure::overload()),
            }
        }
        self.charge(LIST_COST)?;
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'v [(Node, Node, bool)]) -> Outcome<'v> {
        let mut fields = BTreeMap::new();
        for (key, value, is_optional) in entries {
            let key = self.node(key)?;
            let value = match (self.node(value)?, is_optional) {
                (value, false) => value,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (Value::Optional(None), true) => continue,
                (_, true) => return Err(Failure::overload()),
            };
            // The last of several is kept.
            fields.insert(key_of(&key)?, value);
        }
        self.charge(MAP_COST)?;
        Ok(Value::Map(Fields::Values(Rc::new(fields))))
    }

    fn mapped(&mut self, mapped: &'v Mapped) -> Outcome<'v> {
        let Value::Optional(optional) = self.node(&mapped.optional)? else { return Err(Failure::overload()) };
        let Some(inner) = optional else { return Ok(Value::Optional(None)) };
        let found = self.with_locals(mapped.place, [Some((*inner).clone()), None], |this| this.node(&mapped.body))?;
        Ok(if mapped.is_flat { found } else { Value::some(found) })
    }

    /// Runs something with the variables of a macro in their places.
    fn with_locals<T>(&mut self, place: usize, values: [Option<Value<'v>>; 2], run: impl FnOnce(&mut Self) -> T) -> T {
        self.locals.truncate(place);
        self.locals.extend(values.into_iter().flatten());
        let result = run(self);
        self.locals.truncate(place);
        result
    }

    fn fold(&mut self, fold: &'v Fold) -> Outcome<'v> {
        let range = self.node(&fold.range)?;
        let elements = match &range {
            Value::List(list) => Elements::List(list),
            Value::Map(fields) => Elements::Map(fields.keys(), fields),
            Value::Authorizer => return Err(unknown_authorizer()),
            other => {
                let of = other.type_name();
                let of = of.get(..1).map_or_else(String::new, |first| first.to_uppercase() + of.get(1..).unwrap_or(""));
                return Err(Failure::error(format!("got 'types.{of}', expected iterable type")));
            }
        };
        // What the macro's expansion costs an element, beside its body.
        let step = match fold.kind {
            FoldKind::All => 3,
            FoldKind::Exists => 4,
            FoldKind::ExistsOne => 1,
            FoldKind::Filter | FoldKind::Map | FoldKind::SortBy => LIST_COST + 2,
            FoldKind::TransformMap | FoldKind::TransformMapEntry => 2,
        };
        let mut folded =
            Folded { kind: fold.kind, failure: None, values: Vec::new(), fields: BTreeMap::new(), count: 0 };
        for n in 0..elements.len() {
            self.charge(step)?;
            let Some((first, second)) = elements.get(n, fold.is_paired) else { break };
            let kept = (fold.kind != FoldKind::Map).then(|| first.clone());
            let outcome = self.with_locals(fold.place, [Some(first), second], |this| {
                match fold.filter.as_ref().map(|filter| this.node(filter)).transpose()? {
                    None | Some(Value::Bool(true)) => this.node(&fold.body).map(Some),
                    Some(Value::Bool(false)) => Ok(None),
                    Some(_) => Err(Failure::overload()),
                }
            });
            if let Err(Failure::Cost) = outcome {
                return Err(Failure::Cost);
            }
            if folded.take(outcome, kept.unwrap_or(Value::Null)) {
                break;
            }
        }
        self.charge(1)?;
        folded.result()
    }
}

/// What a macro goes over.
enum Elements<'e, 'v> {
    List(&'e List<'v>),
    Map(Vec<Key<'v>>, &'e Fields<'v>),
}

impl<'v> Elements<'_, 'v> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(keys, _) => keys.len(),
        }
    }

    /// The macro's variables: of a list the element, or its place and it; of a map the key, or it and the value.
    fn get(&self, n: usize, is_paired: bool) -> Option<(Value<'v>, Option<Value<'v>>)> {
        match (self, is_paired) {
            (Self::List(list), false) => Some((list.get(n)?, None)),
            (Self::List(list), true) => Some((Value::Int(i64::try_from(n).ok()?), Some(list.get(n)?))),
            (Self::Map(keys, _), false) => Some((keys.get(n)?.to_value(), None)),
            (Self::Map(keys, fields), true) => {
                let key = keys.get(n)?;
                Some((key.to_value(), Some(fields.get(key)?)))
            }
        }
    }
}

/// What a macro has come to.
struct Folded<'v> {
    kind: FoldKind,
    failure: Option<Failure>,
    values: Vec<Value<'v>>,
    fields: BTreeMap<Key<'v>, Value<'v>>,
    count: usize,
}

impl<'v> Folded<'v> {
    /// Takes what an element came to (`None` where the filter leaves it out), and the first variable; whether that decides.
    fn take(&mut self, outcome: Result<Option<Value<'v>>, Failure>, first: Value<'v>) -> bool {
        let decides = self.kind == FoldKind::Exists;
        match (self.kind, outcome) {
            (FoldKind::All | FoldKind::Exists, Ok(Some(Value::Bool(found)))) => {
                if found == decides {
                    self.failure = None;
                    self.count = 1;
                    return true;
                }
            }
            (FoldKind::ExistsOne, Ok(Some(Value::Bool(found)))) => self.count += usize::from(found),
            (FoldKind::Filter, Ok(Some(Value::Bool(true)))) => self.values.push(first),
            (_, Ok(None)) | (FoldKind::Filter, Ok(Some(Value::Bool(false)))) => {}
            (FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne | FoldKind::Filter, Ok(_)) => {
                self.fail(Failure::overload());
            }
            (FoldKind::Map, Ok(Some(value))) => self.values.push(value),
            // The keys beside what is sorted by them.
            (FoldKind::SortBy, Ok(Some(key))) => self.values.extend([key, first]),
            (FoldKind::TransformMap, Ok(Some(value))) => {
                if let Err(failure) = insert(&mut self.fields, &first, value) {
                    self.fail(failure);
                }
            }
            (FoldKind::TransformMapEntry, Ok(Some(Value::Map(entry)))) => {
                for key in entry.keys() {
                    let value = entry.get(&key).unwrap_or(Value::Null);
                    if let Err(failure) = insert(&mut self.fields, &key.to_value(), value) {
                        self.fail(failure);
                    }
                }
            }
            (FoldKind::TransformMapEntry, Ok(Some(_))) => self.fail(Failure::overload()),
            (_, Err(failure)) => self.fail(failure),
        }
        false
    }

    /// Of several failures the macros that keep what they have made report the first, the others the last.
    fn fail(&mut self, failure: Failure) {
        let first = !matches!(self.kind, FoldKind::Filter | FoldKind::ExistsOne);
        self.failure = Some(match self.failure.take() {
            Some(before) if first => first_of(Some(before), failure),
            _ => failure,
        });
    }

    fn result(self) -> Outcome<'v> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        Ok(match self.kind {
            FoldKind::All => Value::Bool(self.count == 0),
            FoldKind::Exists => Value::Bool(self.count == 1),
            FoldKind::ExistsOne => Value::Bool(self.count == 1),
            FoldKind::Filter | FoldKind::Map => Value::list(self.values),
            FoldKind::SortBy => functions::sorted_by(&self.values)?,
            FoldKind::TransformMap | FoldKind::TransformMapEntry => Value::Map(Fields::Values(Rc::new(self.fields))),
        })
    }
}

/// The failure that is reported: what nobody knows goes before what fails.
fn first_of(before: Option<Failure>, now: Failure) -> Failure {
    match before {
        Some(Failure::Error(_)) if matches!(now, Failure::Unknown(_)) => now,
        Some(before) => before,
        None => now,
    }
}

fn unknown_authorizer() -> Failure {
    Failure::Unknown("authorizer: only the API server can say who may do what".to_owned())
}

fn insert<'v>(fields: &mut BTreeMap<Key<'v>, Value<'v>>, key: &Value<'v>, value: Value<'v>) -> Result<(), Failure> {
    let key = key_of(key)?;
    match fields.insert(key.clone(), value) {
        None => Ok(()),
        Some(_) => {
            Err(Failure::error(format!("insert failed: key {} already exists", functions::plain(&key.to_value()))))
        }
    }
}

fn key_of<'v>(key: &Value<'v>) -> Result<Key<'v>, Failure> {
    let found = Key::of(key).filter(|_| !matches!(key, Value::Double(_)));
    found.ok_or_else(|| Failure::error(format!("unsupported key type: {}", key.type_name())))
}

/// `container[key]`.
fn at<'v>(container: &Value<'v>, key: &Value<'v>, is_optional: bool) -> Outcome<'v> {
    let found = match container {
        Value::List(list) => {
            let place = match key {
                Value::Int(place) => Some(*place),
                Value::Uint(place) => i64::try_from(*place).ok(),
                Value::Double(place) => super::value::integral(*place),
                _ => None,
            };
            if let (None, Value::Double(place)) = (place, key) {
                return Err(Failure::error(format!("unsupported index value {place} in list")));
            }
            let Some(place) = place else {
                return Err(Failure::error(format!("unsupported index type '{}' in list", key.type_name())));
            };
            let found = usize::try_from(place).ok().and_then(|place| list.get(place));
            if found.is_none() && !is_optional {
                return Err(Failure::error(format!("index out of bounds: {place}")));
            }
            found
        }
        Value::Map(fields) => Key::of(key).and_then(|key| fields.get(&key)),
        Value::Authorizer => return Err(unknown_authorizer()),
        _ => None,
    };
    match found {
        Some(found) if is_optional => Ok(Value::some(found)),
        None if is_optional => Ok(Value::Optional(None)),
        Some(found) => Ok(found),
        None => Err(Failure::error(format!("no such key: {}", functions::plain(key)))),
    }
}

impl Constant {
    pub(super) fn to_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(number) => Value::Int(*number),
            Self::Uint(number) => Value::Uint(*number),
            Self::Double(number) => Value::Double(*number),
            Self::String(text) => Value::String(Text::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
            Self::Type(name) => Value::Type(Text::Borrowed(name)),
        }
    }
}
