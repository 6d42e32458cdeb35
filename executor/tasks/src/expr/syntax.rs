//! What an expression can be made of: operators, functions with predicates, and the parts of a tree.

use std::rc::Rc;

use regex_lite::Regex;

use super::functions::Function;
use super::value::Value;

/// What two values are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    Above,
    AtMost,
    AtLeast,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Else,
}

/// Operators by their signs, and how tightly they bind; those of power bind from the right.
pub(super) const BINARY: [(&str, Operator, u8); 25] = [
    ("or", Operator::Or, 10),
    ("||", Operator::Or, 10),
    ("and", Operator::And, 15),
    ("&&", Operator::And, 15),
    ("==", Operator::Equal, 20),
    ("!=", Operator::Unequal, 20),
    ("<", Operator::Less, 20),
    (">", Operator::Above, 20),
    ("<=", Operator::AtMost, 20),
    (">=", Operator::AtLeast, 20),
    ("in", Operator::In, 20),
    ("matches", Operator::Matches, 20),
    ("contains", Operator::Contains, 20),
    ("startsWith", Operator::StartsWith, 20),
    ("endsWith", Operator::EndsWith, 20),
    ("..", Operator::Range, 25),
    ("+", Operator::Add, 30),
    ("-", Operator::Subtract, 30),
    ("*", Operator::Multiply, 60),
    ("/", Operator::Divide, 60),
    ("%", Operator::Modulo, 60),
    ("**", Operator::Power, 100),
    ("^", Operator::Power, 100),
    ("??", Operator::Else, 200),
    // Binds least: what is left of it is the first argument of the call on its right.
    ("|", Operator::Or, 0),
];

/// What one value is turned into another by, and how tightly that binds.
pub(super) const UNARY: [(&str, Unary, u8); 4] =
    [("not", Unary::Not, 50), ("!", Unary::Not, 50), ("-", Unary::Minus, 90), ("+", Unary::Plus, 90)];

/// Operators that `not` may stand before.
pub(super) const NEGATED: [&str; 5] = ["contains", "matches", "startsWith", "endsWith", "in"];

/// Names that the language knows and that are not supported.
pub(super) const DATES: [&str; 4] = ["now", "date", "duration", "timezone"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Minus,
    Plus,
}

/// What a predicate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loop {
    All,
    None,
    Any,
    One,
    Filter,
    Map,
    Count,
    Sum,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    GroupBy,
    SortBy,
    Reduce,
}

/// Functions with a predicate: whether it may be left out, and whether one more argument may follow.
pub(super) const LOOPS: [(&str, Loop, bool, bool); 15] = [
    ("all", Loop::All, false, false),
    ("none", Loop::None, false, false),
    ("any", Loop::Any, false, false),
    ("one", Loop::One, false, false),
    ("filter", Loop::Filter, false, false),
    ("map", Loop::Map, false, false),
    ("count", Loop::Count, true, false),
    ("sum", Loop::Sum, true, false),
    ("find", Loop::Find, false, false),
    ("findIndex", Loop::FindIndex, false, false),
    ("findLast", Loop::FindLast, false, false),
    ("findLastIndex", Loop::FindLastIndex, false, false),
    ("groupBy", Loop::GroupBy, false, false),
    ("sortBy", Loop::SortBy, false, true),
    ("reduce", Loop::Reduce, false, true),
];

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    /// A variable, by its place: those that are given first, then those that `let` declares.
    Variable(usize),
    /// All variables that are given, as a map.
    Variables,
    Element,
    Index,
    Accumulator,
    Unary(Unary, Rc<Node>),
    Binary(Operator, Rc<Node>, Rc<Node>),
    /// A pattern that is known beforehand.
    Matches(Rc<Node>, Regex),
    If(Rc<Node>, Rc<Node>, Rc<Node>),
    Let(Rc<Node>, Rc<Node>),
    Sequence(Vec<Rc<Node>>),
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
    Member {
        of: Rc<Node>,
        key: Rc<Node>,
        optional: bool,
    },
    Slice {
        of: Rc<Node>,
        from: Option<Rc<Node>>,
        to: Option<Rc<Node>>,
    },
    /// What an optional member that is not there makes nil.
    Chain(Rc<Node>),
    Call(&'static Function, Vec<Rc<Node>>),
    Loop {
        kind: Loop,
        over: Rc<Node>,
        predicate: Option<Rc<Node>>,
        more: Option<Rc<Node>>,
    },
}
