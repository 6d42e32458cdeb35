//! From a tree to a value.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::syntax::{Loop, Node, Operator, Unary};
use super::value::{Key, Map, Value};
use super::{BYTES, ExpressionError, STEPS, functions};

/// Why there is no value: an error, or an optional member that is not there, up to the end of its chain.
enum Stop {
    Error(ExpressionError),
    Absent,
}

impl From<ExpressionError> for Stop {
    fn from(error: ExpressionError) -> Self {
        Self::Error(error)
    }
}

type Evaluated = Result<Value, Stop>;

/// What may still be done.
#[derive(Debug)]
pub(super) struct Budget {
    steps: usize,
    bytes: usize,
}

impl Budget {
    /// Time for so many nodes or elements.
    pub(super) fn steps(&mut self, steps: usize) -> Result<(), ExpressionError> {
        self.steps = self.steps.checked_sub(steps).ok_or_else(|| ExpressionError::new("it takes too many steps"))?;
        Ok(())
    }

    /// Time to look through a text of so many bytes.
    pub(super) fn scan(&mut self, bytes: usize) -> Result<(), ExpressionError> {
        /// What is looked through in the time that a node takes.
        const A_STEP: usize = 16;
        self.steps(bytes / A_STEP)
    }

    /// Time to look for a pattern in a text of so many bytes.
    pub(super) fn search(&mut self, bytes: usize) -> Result<(), ExpressionError> {
        self.steps(bytes / 2)
    }

    /// Room for a text of so many bytes.
    pub(super) fn bytes(&mut self, bytes: usize) -> Result<(), ExpressionError> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| ExpressionError::new("it needs too much memory"))?;
        Ok(())
    }

    /// Room for a list of so many elements.
    pub(super) fn elements(&mut self, count: usize) -> Result<(), ExpressionError> {
        self.bytes(count.saturating_mul(size_of::<Value>()))
    }
}

/// Evaluates an expression.
///
/// # Errors
/// As [`super::Expression::evaluate`].
pub(super) fn run(root: &Rc<Node>, variables: &[(&str, Value)]) -> Result<Value, ExpressionError> {
    let mut machine = Machine {
        given: variables,
        variables: variables.iter().map(|(_, value)| value.clone()).collect(),
        scopes: Vec::new(),
        budget: Budget { steps: STEPS, bytes: BYTES },
    };
    match machine.value(root) {
        Ok(value) => Ok(value),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Absent) => Ok(Value::Nil),
    }
}

/// What `#`, `#index` and `#acc` are.
struct Scope {
    element: Value,
    index: usize,
    accumulator: Value,
}

struct Machine<'a> {
    given: &'a [(&'a str, Value)],
    variables: Vec<Value>,
    scopes: Vec<Scope>,
    budget: Budget,
}

impl Machine<'_> {
    /// The value of a node. Operators and members that stand in a row are done in a loop, since a row has no limit of depth.
    fn value(&mut self, node: &Rc<Node>) -> Evaluated {
        let mut row = Vec::new();
        let mut first = node;
        while let Node::Binary(_, of, _) | Node::Member { of, .. } = &**first {
            row.push(first);
            first = of;
        }
        let mut value = self.alone(first)?;
        for node in row.into_iter().rev() {
            self.budget.steps(1)?;
            value = match &**node {
                Node::Binary(operator, _, right) => self.binary(*operator, value, right)?,
                Node::Member { key, optional, .. } => {
                    if *optional && value.is_nil() {
                        return Err(Stop::Absent);
                    }
                    let key = self.value(key)?;
                    member(&value, &key)?
                }
                _ => value,
            };
        }
        Ok(value)
    }

    fn alone(&mut self, node: &Rc<Node>) -> Evaluated {
        self.budget.steps(1)?;
        let value = match &**node {
            Node::Literal(value) => value.clone(),
            // What is given may be larger than what is made of it.
            Node::Variable(place) => return Ok(self.variables.get(*place).cloned().unwrap_or_default()),
            Node::Variables => Map::of(self.given.iter().map(|(name, value)| (*name, value.clone()))),
            Node::Element => self.scopes.last().map(|scope| scope.element.clone()).unwrap_or_default(),
            Node::Accumulator => self.scopes.last().map(|scope| scope.accumulator.clone()).unwrap_or_default(),
            Node::Index => Value::Int(self.scopes.last().map(|scope| count(scope.index)).unwrap_or_default()),
            Node::Unary(operator, of) => unary(*operator, &self.value(of)?)?,
            Node::Matches(of, pattern) => match self.value(of)? {
                Value::Text(text) => {
                    self.budget.search(text.len())?;
                    Value::Bool(pattern.is_match(&text))
                }
                nil if nil.is_nil() => Value::Bool(false),
                other => return Err(unfit("matches", &[&other]).into()),
            },
            Node::If(condition, so, otherwise) => match self.value(condition)? {
                Value::Bool(true) => self.value(so)?,
                Value::Bool(false) => self.value(otherwise)?,
                other => return Err(unfit("a condition", &[&other]).into()),
            },
            Node::Let(value, rest) => {
                let value = self.value(value)?;
                self.variables.push(value);
                let rest = self.value(rest);
                self.variables.pop();
                rest?
            }
            Node::Sequence(parts) => {
                let mut last = Value::Nil;
                for part in parts {
                    last = self.value(part)?;
                }
                last
            }
            Node::List(elements) => {
                self.budget.elements(elements.len())?;
                let elements: Vec<_> = elements.iter().map(|element| self.value(element)).collect::<Result<_, _>>()?;
                Value::list_of(elements)
            }
            Node::Map(pairs) => {
                self.budget.elements(2 * pairs.len())?;
                let mut map = BTreeMap::new();
                for (key, value) in pairs {
                    let Value::Text(key) = self.value(key)? else {
                        return Err(ExpressionError::new("a key of a map has to be a string").into());
                    };
                    let value = self.value(value)?;
                    map.insert(Key::Text(key), value);
                }
                Map::of_entries(map, false)
            }
            Node::Slice { of, from, to } => self.slice(of, from.as_ref(), to.as_ref())?,
            Node::Chain(inner) => match self.value(inner) {
                Err(Stop::Absent) => Value::Nil,
                other => other?,
            },
            Node::Call(function, arguments) => {
                let arguments: Vec<_> =
                    arguments.iter().map(|argument| self.value(argument)).collect::<Result<_, _>>()?;
                (function.call)(&mut self.budget, &arguments)
                    .map_err(|error| ExpressionError::new(format!("{}: {error}", function.name)))?
            }
            Node::Loop { kind, over, predicate, more } => {
                self.repeat(*kind, over, predicate.as_ref(), more.as_ref())?
            }
            // In a row, which is where they are done.
            Node::Binary(..) | Node::Member { .. } => self.value(node)?,
        };
        Ok(value.bounded()?)
    }

    fn binary(&mut self, operator: Operator, left: Value, right: &Rc<Node>) -> Evaluated {
        match (operator, &left) {
            (Operator::And, Value::Bool(false)) | (Operator::Or, Value::Bool(true)) => return Ok(left),
            (Operator::Else, left) if !left.is_nil() => return Ok(left.clone()),
            (Operator::Else, _) => return self.value(right),
            _ => {}
        }
        let right = self.value(right)?;
        Ok(functions::binary(&mut self.budget, operator, &left, &right)?)
    }

    fn slice(&mut self, of: &Rc<Node>, from: Option<&Rc<Node>>, to: Option<&Rc<Node>>) -> Evaluated {
        let of = self.value(of)?;
        let length = match &of {
            Value::Text(text) => text.len(),
            other => other.list().ok_or_else(|| unfit("a slice", &[other]))?.len(),
        };
        let mut place = |node: Option<&Rc<Node>>, default: usize| -> Result<usize, Stop> {
            let Some(node) = node else { return Ok(default) };
            let place =
                functions::integer(&self.value(node)?).ok_or_else(|| ExpressionError::new("a slice needs ints"))?;
            Ok(from_end(place, length).clamp(0, count(length)).try_into().unwrap_or_default())
        };
        let (from, to) = (place(from, 0)?, place(to, length)?);
        let from = from.min(to);
        match &of {
            Value::Text(text) => {
                self.budget.bytes(to - from)?;
                let cut = text
                    .get(from..to)
                    .ok_or_else(|| ExpressionError::new("a slice begins or ends within a character"))?;
                Ok(Value::text(cut))
            }
            list => {
                self.budget.elements(to - from)?;
                let cut = list.list().and_then(|list| list.get(from..to)).unwrap_or_default();
                Ok(Value::list_of(cut.iter().cloned()))
            }
        }
    }

    /// What a predicate says of one element.
    fn say(&mut self, predicate: Option<&Rc<Node>>, element: &Value, index: usize, accumulator: Value) -> Evaluated {
        let Some(predicate) = predicate else { return Ok(element.clone()) };
        self.scopes.push(Scope { element: element.clone(), index, accumulator });
        let said = self.value(predicate);
        self.scopes.pop();
        said
    }

    fn holds(&mut self, predicate: Option<&Rc<Node>>, element: &Value, index: usize) -> Result<bool, Stop> {
        match self.say(predicate, element, index, Value::Nil)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(unfit("a predicate's result", &[&other]).into()),
        }
    }

    fn repeat(
        &mut self,
        kind: Loop,
        over: &Rc<Node>,
        predicate: Option<&Rc<Node>>,
        more: Option<&Rc<Node>>,
    ) -> Evaluated {
        let over = self.value(over)?;
        let list = over.list().ok_or_else(|| unfit("a function with a predicate", &[&over]))?;
        let mut places = list.iter().enumerate();
        match kind {
            Loop::Reduce => return self.reduce(list, predicate, more),
            Loop::Sum => {
                let mut sum = Value::Int(0);
                for (index, element) in places {
                    let said = self.say(predicate, element, index, Value::Nil)?;
                    sum = functions::binary(&mut self.budget, Operator::Add, &said, &sum)?;
                }
                return Ok(sum);
            }
            Loop::Map | Loop::SortBy | Loop::GroupBy => {
                self.budget.elements(list.len())?;
                let mut said = Vec::with_capacity(list.len());
                for (index, element) in places {
                    said.push(self.say(predicate, element, index, Value::Nil)?);
                }
                return match (kind, more) {
                    (Loop::Map, _) => Ok(Value::list_of(said)),
                    (Loop::GroupBy, _) => group(list, &said),
                    (_, more) => {
                        let order = more.map(|more| self.value(more)).transpose()?;
                        Ok(functions::sorted(list, &said, order.as_ref())?)
                    }
                };
            }
            Loop::FindLast | Loop::FindLastIndex => {
                while let Some((index, element)) = places.next_back() {
                    if self.holds(predicate, element, index)? {
                        return Ok(found(kind == Loop::FindLast, element, index));
                    }
                }
                return Ok(Value::Nil);
            }
            _ => {}
        }
        let mut held = Vec::new();
        let mut hits = 0;
        for (index, element) in places {
            let holds = self.holds(predicate, element, index)?;
            hits += usize::from(holds);
            match (kind, holds) {
                (Loop::All, false) | (Loop::None, true) => return Ok(Value::Bool(false)),
                (Loop::Any, true) => return Ok(Value::Bool(true)),
                (Loop::Find | Loop::FindIndex, true) => return Ok(found(kind == Loop::Find, element, index)),
                (Loop::Filter, true) => {
                    self.budget.elements(1)?;
                    held.push(element.clone());
                }
                _ => {}
            }
        }
        Ok(match kind {
            Loop::All | Loop::None => Value::Bool(true),
            Loop::Any => Value::Bool(false),
            Loop::One => Value::Bool(hits == 1),
            Loop::Count => Value::Int(count(hits)),
            Loop::Filter => Value::list_of(held),
            _ => Value::Nil,
        })
    }

    fn reduce(&mut self, list: &[Value], predicate: Option<&Rc<Node>>, more: Option<&Rc<Node>>) -> Evaluated {
        let (mut accumulator, skipped) = match more {
            Some(more) => (self.value(more)?, 0),
            None => {
                let first = list.first().cloned();
                (first.ok_or_else(|| ExpressionError::new("reduce: an empty list needs a value to begin with"))?, 1)
            }
        };
        for (index, element) in list.iter().enumerate().skip(skipped) {
            accumulator = self.say(predicate, element, index, accumulator)?;
        }
        Ok(accumulator)
    }
}

fn found(element_wanted: bool, element: &Value, index: usize) -> Value {
    if element_wanted { element.clone() } else { Value::Int(count(index)) }
}

fn group(list: &[Value], keys: &[Value]) -> Evaluated {
    let mut groups = BTreeMap::<Key, Vec<Value>>::new();
    for (element, key) in list.iter().zip(keys) {
        let key = Key::of(key).ok_or_else(|| unfit("a key of groupBy", &[key]))?;
        groups.entry(key).or_default().push(element.clone());
    }
    let entries = groups.into_iter().map(|(key, group)| (key, Value::list_of(group))).collect();
    Ok(Map::of_entries(entries, true))
}

/// A place in a list, or a value of a map.
fn member(of: &Value, key: &Value) -> Result<Value, ExpressionError> {
    match of {
        Value::Map(map) => Ok(map.get(key)),
        Value::Text(text) => {
            at(key, text.len(), |place| text.as_bytes().get(place).map(|byte| Value::Int(i64::from(*byte))))
        }
        Value::List(_) | Value::NoList => {
            let list = of.list().unwrap_or_default();
            at(key, list.len(), |place| list.get(place).cloned())
        }
        other => {
            Err(ExpressionError::new(format!("a value of type {} has no {}", other.kind(), super::text::plain(key))))
        }
    }
}

fn at(key: &Value, length: usize, get: impl Fn(usize) -> Option<Value>) -> Result<Value, ExpressionError> {
    let place = functions::integer(key).ok_or_else(|| unfit("an index", &[key]))?;
    let found = usize::try_from(from_end(place, length)).ok().and_then(get);
    found.ok_or_else(|| ExpressionError::new(format!("there is nothing at {place}, of {length}")))
}

/// A place, where one below zero is counted from the end.
pub(super) fn from_end(place: i64, length: usize) -> i64 {
    if place < 0 { place.saturating_add(count(length)) } else { place }
}

/// A number of elements or bytes.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// That something does not take what it is given.
pub(super) fn unfit(what: &str, values: &[&Value]) -> ExpressionError {
    let kinds: Vec<_> = values.iter().map(|value| value.kind()).collect();
    ExpressionError::new(format!("{what} does not take a value of type {}", kinds.join(" and one of type ")))
}

fn unary(operator: Unary, of: &Value) -> Result<Value, ExpressionError> {
    match (operator, of) {
        (Unary::Not, Value::Bool(truth)) => Ok(Value::Bool(!truth)),
        (Unary::Minus, Value::Int(number)) => Ok(Value::Int(number.wrapping_neg())),
        (Unary::Minus, Value::Float(number)) => Ok(Value::Float(-number)),
        (Unary::Plus, Value::Int(_) | Value::Float(_)) => Ok(of.clone()),
        (Unary::Not, other) => Err(unfit("not", &[other])),
        (Unary::Minus, other) => Err(unfit("-", &[other])),
        (Unary::Plus, other) => Err(unfit("+", &[other])),
    }
}

/// The order of values of one kind.
pub(super) fn order(one: &Value, other: &Value) -> Result<Ordering, ExpressionError> {
    one.order(other).ok_or_else(|| unfit("a comparison", &[one, other]))
}
