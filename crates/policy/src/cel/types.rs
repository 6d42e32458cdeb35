//! The types of expressions, and which fit which: inference as in the language's own checker, with type parameters that are bound
//! as they are met.

use std::fmt;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Known at run time only.
    Dyn,
    /// Of what has an error already, so that there is no second one.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    Optional(Box<Self>),
    /// The type of a type.
    Meta(Box<Self>),
    /// With fields, such as `kubernetes.AdmissionRequest`.
    Object(&'static Object),
    /// With functions only, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// The variables of a policy, in their order.
    Variables(usize),
    /// To be found out.
    Parameter(usize),
}

/// A type with fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Field)],
}

/// What a field of an object holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field {
    Dyn,
    Bool,
    Int,
    String,
    Timestamp,
    Strings,
    StringMap,
    DynMap,
    Object(&'static Object),
    Objects(&'static Object),
}

impl Field {
    pub(super) fn to_type(&self) -> Type {
        let list = |of| Type::List(Box::new(of));
        match self {
            Self::Dyn => Type::Dyn,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::String => Type::String,
            Self::Timestamp => Type::Timestamp,
            Self::Strings => list(Type::String),
            Self::StringMap => Type::Map(Box::new(Type::String), Box::new(Type::String)),
            Self::DynMap => Type::Map(Box::new(Type::String), Box::new(list(Type::String))),
            Self::Object(object) => Type::Object(object),
            Self::Objects(object) => list(Type::Object(object)),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Parameter(_) => f.write_str("dyn"),
            Self::Error => f.write_str("!error!"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Meta(of) => write!(f, "type({of})"),
            Self::Object(object) => f.write_str(object.name),
            Self::Opaque(name) => f.write_str(name),
            Self::Variables(_) => f.write_str("kubernetes.variables"),
        }
    }
}

impl Type {
    pub(super) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    fn is_nullable(&self) -> bool {
        matches!(
            self,
            Self::Null | Self::Object(_) | Self::Opaque(_) | Self::Optional(_) | Self::Duration | Self::Timestamp
        )
    }
}

/// What type parameters stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings {
    of: Vec<Option<Type>>,
}

impl Bindings {
    /// A new parameter.
    pub(super) fn parameter(&mut self) -> Type {
        self.of.push(None);
        Type::Parameter(self.of.len() - 1)
    }

    fn get(&self, parameter: usize) -> Option<&Type> {
        self.of.get(parameter).and_then(Option::as_ref)
    }

    /// The type with every parameter that is bound replaced.
    pub(super) fn resolve(&self, of: &Type) -> Type {
        let boxed = |of: &Type| Box::new(self.resolve(of));
        match of {
            Type::Parameter(parameter) => self.get(*parameter).map_or_else(|| of.clone(), |bound| self.resolve(bound)),
            Type::List(of) => Type::List(boxed(of)),
            Type::Map(key, value) => Type::Map(boxed(key), boxed(value)),
            Type::Optional(of) => Type::Optional(boxed(of)),
            Type::Meta(of) => Type::Meta(boxed(of)),
            other => other.clone(),
        }
    }

    /// Whether the ones go where the others are wanted; what that binds stays bound only if all do.
    pub(super) fn assign_all(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        let before = self.clone();
        let fits =
            given.len() == wanted.len() && given.iter().zip(wanted).all(|(given, wanted)| self.fits(given, wanted));
        if !fits {
            *self = before;
        }
        fits
    }

    /// The same of one.
    pub(super) fn assign(&mut self, given: &Type, wanted: &Type) -> bool {
        self.assign_all(std::slice::from_ref(given), std::slice::from_ref(wanted))
    }

    fn fits(&mut self, given: &Type, wanted: &Type) -> bool {
        if let Type::Parameter(parameter) = wanted {
            match self.bind(given, *parameter) {
                Bound::Fits => return true,
                Bound::Conflicts => return false,
                Bound::Circular => {}
            }
        }
        if let Type::Parameter(parameter) = given {
            return matches!(self.bind(wanted, *parameter), Bound::Fits);
        }
        match (given, wanted) {
            (given, wanted) if given.is_dyn() || wanted.is_dyn() => true,
            (Type::Null, other) | (other, Type::Null) => other.is_nullable(),
            (Type::List(a), Type::List(b))
            | (Type::Optional(a), Type::Optional(b))
            | (Type::Meta(a), Type::Meta(b)) => self.fits(a, b),
            (Type::Map(a, x), Type::Map(b, y)) => self.fits(a, b) && self.fits(x, y),
            (a, b) => a == b,
        }
    }

    fn bind(&mut self, of: &Type, parameter: usize) -> Bound {
        if *of == Type::Parameter(parameter) {
            return Bound::Fits;
        }
        let Some(bound) = self.get(parameter).cloned() else {
            if self.mentions(of, parameter) {
                return Bound::Circular;
            }
            if let Some(binding) = self.of.get_mut(parameter) {
                *binding = Some(of.clone());
            }
            return Bound::Fits;
        };
        if *of == bound {
            return Bound::Fits;
        }
        if !self.fits(of, &bound) {
            return Bound::Conflicts;
        }
        let general = if is_more_general(of, &bound) { of.clone() } else { bound };
        if !self.mentions(&general, parameter)
            && let Some(binding) = self.of.get_mut(parameter)
        {
            *binding = Some(general);
        }
        Bound::Fits
    }

    fn mentions(&self, of: &Type, parameter: usize) -> bool {
        match of {
            Type::Parameter(other) if *other == parameter => true,
            Type::Parameter(other) => self.get(*other).is_some_and(|bound| self.mentions(bound, parameter)),
            Type::List(of) | Type::Optional(of) | Type::Meta(of) => self.mentions(of, parameter),
            Type::Map(key, value) => self.mentions(key, parameter) || self.mentions(value, parameter),
            _ => false,
        }
    }
}

enum Bound {
    Fits,
    Conflicts,
    Circular,
}

/// Of two types that fit each other, whether the first is no less general.
pub(super) fn is_more_general(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Dyn | Type::Error | Type::Parameter(_), _) => true,
        (_, Type::Dyn | Type::Error | Type::Parameter(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) | (Type::Meta(a), Type::Meta(b)) => {
            is_more_general(a, b)
        }
        (Type::Map(a, x), Type::Map(b, y)) => is_more_general(a, b) && is_more_general(x, y),
        (a, b) => a == b,
    }
}
