//! From tokens to a tree: operators by precedence, names by what they stand for.

use std::rc::Rc;

use super::ExpressionError;
use super::functions;
use super::lexer::{self, Kind, Token};
use super::syntax::{BINARY, DATES, LOOPS, NEGATED, Node, Operator, UNARY, Unary};
use super::value::Value;

/// How many nodes an expression may have.
const NODES: usize = 4096;
/// How deep expressions may stand in each other.
const DEPTH: usize = 100;

type Parsed = Result<Rc<Node>, ExpressionError>;

/// Reads an expression over `variables`.
///
/// # Errors
/// As [`super::Expression::parse`].
pub(super) fn parse(source: &str, variables: &[&str]) -> Parsed {
    let tokens = lexer::tokens(source)?;
    let names = variables.iter().map(|name| (*name).to_owned()).collect();
    let mut parser = Parser { source, tokens, at: 0, names, nodes: 0, depth: 0, predicates: 0 };
    let root = parser.sequence()?;
    match parser.kind() {
        Kind::End => Ok(root),
        _ => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    names: Vec<String>,
    nodes: usize,
    depth: usize,
    /// How many predicates the current place is in.
    predicates: usize,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        /// What is behind the last one.
        const END: &Token = &Token { kind: Kind::End, at: 0, end: 0 };
        self.tokens.get(self.at).or(self.tokens.last()).unwrap_or(END)
    }

    fn kind(&self) -> &Kind {
        &self.token().kind
    }

    fn sign(&self) -> &'static str {
        match self.kind() {
            Kind::Sign(sign) => sign,
            _ => "",
        }
    }

    fn is(&self, sign: &str) -> bool {
        self.sign() == sign
    }

    /// Goes on, if the current token is this.
    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExpressionError> {
        let at = self.token().at;
        self.take(sign).then_some(()).ok_or_else(|| ExpressionError::at(at, format!("{sign:?} is missing")))
    }

    fn written(&self) -> &str {
        let token = self.token();
        self.source.get(token.at..token.end).unwrap_or_default()
    }

    fn unexpected(&self) -> ExpressionError {
        let at = self.token().at;
        match self.kind() {
            Kind::End => ExpressionError::at(at, "it ends too early"),
            _ => ExpressionError::at(at, format!("{:?} cannot stand here", self.written())),
        }
    }

    fn node(&mut self, node: Node) -> Parsed {
        self.nodes += 1;
        let fits = self.nodes <= NODES;
        fits.then(|| Rc::new(node)).ok_or_else(|| ExpressionError::new(format!("it has more than {NODES} parts")))
    }

    fn name(&mut self) -> Result<String, ExpressionError> {
        match self.kind() {
            Kind::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn sequence(&mut self) -> Parsed {
        let mut parts = vec![self.expression(0)?];
        while self.take(";") && *self.kind() != Kind::End {
            parts.push(self.expression(0)?);
        }
        match parts.len() {
            1 => parts.pop().ok_or_else(|| self.unexpected()),
            _ => self.node(Node::Sequence(parts)),
        }
    }

    /// Everything that binds at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(ExpressionError::new(format!("it is nested more than {DEPTH} levels deep")));
        }
        let parsed = match self.sign() {
            "let" if least == 0 => self.declaration(),
            "if" if least == 0 => self.branches(),
            _ => self.operation(least),
        };
        self.depth -= 1;
        parsed
    }

    fn declaration(&mut self) -> Parsed {
        self.expect("let")?;
        let at = self.token().at;
        let name = self.name()?;
        if self.names.contains(&name) || functions::find(&name).is_some() {
            return Err(ExpressionError::at(at, format!("there is a {name} already")));
        }
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        self.names.push(name);
        let rest = self.sequence()?;
        self.names.pop();
        self.node(Node::Let(value, rest))
    }

    fn branches(&mut self) -> Parsed {
        self.expect("if")?;
        let condition = self.expression(0)?;
        self.expect("{")?;
        let so = self.sequence()?;
        self.expect("}")?;
        self.expect("else")?;
        self.expect("{")?;
        let otherwise = self.sequence()?;
        self.expect("}")?;
        self.node(Node::If(condition, so, otherwise))
    }

    fn operation(&mut self, least: u8) -> Parsed {
        let mut left = self.primary()?;
        let mut before = None;
        loop {
            let begin = self.at;
            let negated = self.take("not");
            let (sign, at) = (self.sign(), self.token().at);
            if negated && !NEGATED.contains(&sign) {
                return Err(self.unexpected());
            }
            let found = BINARY.iter().find(|(known, _, binds)| *known == sign && *binds >= least);
            let Some(&(_, operator, binds)) = found else {
                self.at = begin;
                break;
            };
            self.at += 1;
            if sign == "|" {
                let at = self.token().at;
                let name = self.name()?;
                left = self.call(&name, at, Some(left))?;
                before = None;
                continue;
            }
            if before == Some(Operator::Else) && operator != Operator::Else {
                return Err(ExpressionError::at(at, format!("?? and {sign} need parentheses around one of them")));
            }
            left = match operator {
                Operator::Less | Operator::Above | Operator::AtMost | Operator::AtLeast => {
                    self.comparison(left, operator, binds)?
                }
                // From the right: what follows may be another power.
                Operator::Power => {
                    let right = self.expression(binds)?;
                    self.node(Node::Binary(operator, left, right))?
                }
                _ => {
                    let right = self.expression(binds + 1)?;
                    self.binary(operator, left, right)?
                }
            };
            if negated {
                left = self.node(Node::Unary(Unary::Not, left))?;
            }
            before = Some(operator);
        }
        match least {
            0 => self.conditional(left),
            _ => Ok(left),
        }
    }

    fn binary(&mut self, operator: Operator, left: Rc<Node>, right: Rc<Node>) -> Parsed {
        match (operator, &*right) {
            (Operator::Matches, Node::Literal(Value::Text(pattern))) => {
                let pattern = functions::pattern(pattern)?;
                self.node(Node::Matches(left, pattern))
            }
            _ => self.node(Node::Binary(operator, left, right)),
        }
    }

    /// `a < b <= c` is `a < b and b <= c`.
    fn comparison(&mut self, left: Rc<Node>, operator: Operator, binds: u8) -> Parsed {
        let mut middle = self.expression(binds + 1)?;
        let mut all = self.node(Node::Binary(operator, left, Rc::clone(&middle)))?;
        while let Some((_, operator, _)) =
            BINARY.iter().find(|(sign, ..)| *sign == self.sign() && matches!(*sign, "<" | ">" | "<=" | ">="))
        {
            self.at += 1;
            let right = self.expression(binds + 1)?;
            let next = self.node(Node::Binary(*operator, middle, Rc::clone(&right)))?;
            all = self.node(Node::Binary(Operator::And, all, next))?;
            middle = right;
        }
        Ok(all)
    }

    fn conditional(&mut self, mut condition: Rc<Node>) -> Parsed {
        while self.take("?") {
            let so = match self.is(":") {
                true => Rc::clone(&condition),
                false => self.expression(0)?,
            };
            self.expect(":")?;
            let otherwise = self.expression(0)?;
            condition = self.node(Node::If(condition, so, otherwise))?;
        }
        Ok(condition)
    }

    fn primary(&mut self) -> Parsed {
        let sign = self.sign();
        if let Some((_, operator, binds)) = UNARY.iter().find(|(known, ..)| *known == sign) {
            self.at += 1;
            let of = self.expression(*binds)?;
            return self.node(Node::Unary(*operator, of));
        }
        match sign {
            "(" => {
                self.at += 1;
                let inner = self.sequence()?;
                self.expect(")")?;
                self.postfix(inner)
            }
            "#" | "." if self.predicates > 0 => {
                // `.Name` is the element's.
                let node = if sign == "#" { self.pointer()? } else { Node::Element };
                let node = self.node(node)?;
                self.postfix(node)
            }
            _ => self.secondary(),
        }
    }

    /// `#`, and a name without a space between.
    fn pointer(&mut self) -> Result<Node, ExpressionError> {
        let end = self.token().end;
        self.at += 1;
        let adjacent = self.token().at == end;
        let node = match self.kind() {
            Kind::Name(name) if adjacent => match name.as_str() {
                "acc" => Node::Accumulator,
                "index" => Node::Index,
                _ => {
                    return Err(ExpressionError::at(
                        end,
                        format!("#{name} is not known; there are #, #acc and #index"),
                    ));
                }
            },
            _ => return Ok(Node::Element),
        };
        self.at += 1;
        Ok(node)
    }

    fn secondary(&mut self) -> Parsed {
        let at = self.token().at;
        let node = match self.kind().clone() {
            Kind::Integer(number) => return self.literal(Value::Int(number)),
            Kind::Float(number) => return self.literal(Value::Float(number)),
            Kind::Text(text) => self.literal(Value::text(&text))?,
            Kind::Name(name) => match name.as_str() {
                "true" => return self.literal(Value::Bool(true)),
                "false" => return self.literal(Value::Bool(false)),
                "nil" => return self.literal(Value::Nil),
                _ => {
                    self.at += 1;
                    match self.is("(") {
                        true => self.call(&name, at, None)?,
                        false => self.variable(&name, at)?,
                    }
                }
            },
            Kind::Sign("[") => {
                self.at += 1;
                let elements = self.listed("]")?;
                self.node(Node::List(elements))?
            }
            Kind::Sign("{") => self.map()?,
            _ => return Err(self.unexpected()),
        };
        self.postfix(node)
    }

    fn literal(&mut self, value: Value) -> Parsed {
        self.at += 1;
        self.node(Node::Literal(value))
    }

    fn variable(&mut self, name: &str, at: usize) -> Parsed {
        if name == "$env" {
            return self.node(Node::Variables);
        }
        match self.names.iter().rposition(|known| known == name) {
            Some(place) => self.node(Node::Variable(place)),
            None => Err(ExpressionError::at(at, format!("there is no {name}; there are: {}", self.names.join(", ")))),
        }
    }

    /// Expressions with commas between, up to a closing sign; a comma before it means nothing.
    fn listed(&mut self, close: &str) -> Result<Vec<Rc<Node>>, ExpressionError> {
        let mut listed = Vec::new();
        while !self.take(close) {
            if !listed.is_empty() {
                self.expect(",")?;
                if self.take(close) {
                    break;
                }
            }
            listed.push(self.expression(0)?);
        }
        Ok(listed)
    }

    fn map(&mut self) -> Parsed {
        self.expect("{")?;
        let mut pairs = Vec::new();
        while !self.take("}") {
            if !pairs.is_empty() {
                self.expect(",")?;
                if self.take("}") {
                    break;
                }
            }
            let key = match self.kind().clone() {
                Kind::Text(text) => self.literal(Value::text(&text))?,
                Kind::Name(_) | Kind::Integer(_) | Kind::Float(_) => {
                    let text = Value::text(self.written());
                    self.literal(text)?
                }
                Kind::Sign("(") => self.expression(0)?,
                _ => return Err(self.unexpected()),
            };
            self.expect(":")?;
            pairs.push((key, self.expression(0)?));
        }
        self.node(Node::Map(pairs))
    }

    /// A call; `first` is what a pipe brings.
    fn call(&mut self, name: &str, at: usize, first: Option<Rc<Node>>) -> Parsed {
        self.expect("(")?;
        if let Some(&(_, kind, optional, more)) = LOOPS.iter().find(|(known, ..)| *known == name) {
            let over = match first {
                Some(first) => first,
                None => {
                    let over = self.expression(0)?;
                    if !self.is(")") {
                        self.expect(",")?;
                    }
                    over
                }
            };
            let predicate = match optional && self.is(")") {
                true => None,
                false => Some(self.predicate()?),
            };
            let mut behind = None;
            if self.take(",") && !self.is(")") && more {
                behind = Some(self.expression(0)?);
                self.take(",");
            }
            self.expect(")")?;
            return self.node(Node::Loop { kind, over, predicate, more: behind });
        }
        let Some(function) = functions::find(name) else {
            let why = match DATES.contains(&name) {
                true => format!("{name}() is not supported: there are no dates"),
                false => format!("there is no function {name}"),
            };
            return Err(ExpressionError::at(at, why));
        };
        let mut arguments: Vec<_> = first.into_iter().collect();
        arguments.extend(self.listed(")")?);
        if arguments.len() < function.least || arguments.len() > function.most {
            let why = format!("{name} does not take {} arguments", arguments.len());
            return Err(ExpressionError::at(at, why));
        }
        self.node(Node::Call(function, arguments))
    }

    fn predicate(&mut self) -> Parsed {
        self.predicates += 1;
        let braces = self.take("{");
        let inner = if braces { self.sequence()? } else { self.expression(0)? };
        if braces {
            self.expect("}")?;
        }
        self.predicates -= 1;
        Ok(inner)
    }

    /// Members and slices of what has been read.
    fn postfix(&mut self, mut node: Rc<Node>) -> Parsed {
        loop {
            let optional = self.is("?.");
            if optional || self.is(".") {
                self.at += 1;
                if !(optional && self.is("[")) {
                    node = self.field(node, optional)?;
                    continue;
                }
            }
            if !self.take("[") {
                return Ok(node);
            }
            node = self.index(node, optional)?;
        }
    }

    fn field(&mut self, node: Rc<Node>, optional: bool) -> Parsed {
        let name = match self.kind() {
            Kind::Name(name) => name.clone(),
            // Words that are operators can be names as well.
            Kind::Sign(sign) if sign.starts_with(char::is_alphabetic) => (*sign).to_owned(),
            _ => return Err(self.unexpected()),
        };
        let key = self.literal(Value::text(&name))?;
        if self.is("(") {
            let why = format!("the method {name} is not supported: there are functions only");
            return Err(ExpressionError::at(self.token().at, why));
        }
        let (of, chained) = match &*node {
            Node::Chain(inner) => (Rc::clone(inner), true),
            _ => (node, false),
        };
        let member = self.node(Node::Member { of, key, optional })?;
        match chained || optional {
            true => self.node(Node::Chain(member)),
            false => Ok(member),
        }
    }

    fn index(&mut self, of: Rc<Node>, optional: bool) -> Parsed {
        let from = match self.is(":") {
            true => None,
            false => Some(self.expression(0)?),
        };
        if self.take(":") {
            let to = match self.is("]") {
                true => None,
                false => Some(self.expression(0)?),
            };
            self.expect("]")?;
            return self.node(Node::Slice { of, from, to });
        }
        self.expect("]")?;
        let Some(key) = from else { return Err(self.unexpected()) };
        let member = self.node(Node::Member { of, key, optional })?;
        match optional {
            true => self.node(Node::Chain(member)),
            false => Ok(member),
        }
    }
}
