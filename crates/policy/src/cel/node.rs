//! An expression that was checked: names are places, functions are found.

use super::functions::Function;

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Constant),
    /// A variable of a macro, counted from the outermost.
    Local(usize),
    Global(Global),
    /// A variable of the policy.
    Variable(usize),
    Select(Box<Select>),
    Index(Box<Index>),
    Call(Box<Call>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Conditional(Box<[Self; 3]>),
    /// Elements, and whether each is left out where it is an optional of nothing.
    List(Vec<(Self, bool)>),
    Map(Vec<(Self, Self, bool)>),
    Fold(Box<Fold>),
    /// `optMap` and `optFlatMap`: the optional, the place of its value, what becomes of it.
    Mapped(Box<Mapped>),
}

/// A literal.
#[derive(Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Type(String),
}

/// What is known from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    Object,
    OldObject,
    Request,
    NamespaceObject,
    Params,
    Authorizer,
    Variables,
}

/// `operand.field`, `operand.?field`, `has(operand.field)`.
#[derive(Debug)]
pub(super) struct Select {
    pub(super) operand: Node,
    pub(super) field: String,
    pub(super) is_test: bool,
    pub(super) is_optional: bool,
}

/// `operand[index]`, `operand[?index]`.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) operand: Node,
    pub(super) index: Node,
    pub(super) is_optional: bool,
}

/// A function and its arguments, the one before the dot first.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) function: Function,
    pub(super) arguments: Vec<Node>,
    /// A regular expression that stands in the text, compiled.
    pub(super) regex: Option<regex::Regex>,
}

/// A macro over a list or a map.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) range: Node,
    /// Where the first of its variables is; a second follows.
    pub(super) place: usize,
    /// Whether it has two variables.
    pub(super) is_paired: bool,
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}

/// What a macro makes of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    SortBy,
    TransformMap,
    TransformMapEntry,
}

/// See [`Node::Mapped`].
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) optional: Node,
    pub(super) place: usize,
    pub(super) body: Node,
    /// Whether the body is an optional already.
    pub(super) is_flat: bool,
}
