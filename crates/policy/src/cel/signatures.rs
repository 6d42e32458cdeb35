//! What can be called, on what, and what it gives: the overloads of the language, of its extensions and of the API server's libraries
//! that Kubernetes 1.36 has switched on. What is not listed is refused, be it known elsewhere.

use super::types::{Bindings, Type};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::LazyLock;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    /// Whether the first argument stands before the dot.
    pub(super) is_member: bool,
    arguments: Vec<Type>,
    result: Type,
    parameters: usize,
}

impl Overload {
    /// The arguments' types and the result's, with parameters of their own.
    pub(super) fn instance(&self, bindings: &mut Bindings) -> (Vec<Type>, Type) {
        let fresh: Vec<Type> = (0..self.parameters).map(|_| bindings.parameter()).collect();
        let of = |wanted: &Type| instantiate(wanted, &fresh);
        (self.arguments.iter().map(of).collect(), of(&self.result))
    }
}

fn instantiate(of: &Type, fresh: &[Type]) -> Type {
    let boxed = |of: &Type| Box::new(instantiate(of, fresh));
    match of {
        Type::Parameter(parameter) => fresh.get(*parameter).cloned().unwrap_or(Type::Dyn),
        Type::List(of) => Type::List(boxed(of)),
        Type::Map(key, value) => Type::Map(boxed(key), boxed(value)),
        Type::Optional(of) => Type::Optional(boxed(of)),
        Type::Meta(of) => Type::Meta(boxed(of)),
        other => other.clone(),
    }
}

/// The overloads of a function.
pub(super) fn overloads(function: &str) -> Option<&'static [Overload]> {
    OVERLOADS.get(function).map(Vec::as_slice)
}

static OVERLOADS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut all: BTreeMap<&'static str, Vec<Overload>> = BTreeMap::new();
    let entries = SIGNATURES.iter().flat_map(|(name, forms)| forms.split(';').map(move |form| (*name, form.trim())));
    for (name, form) in entries {
        all.entry(name).or_default().extend(read(form));
    }
    all
});

/// `T.(A, B) C` is called on a `T`, `(A, B) C` by itself; one capital letter is a type parameter.
fn read(form: &str) -> Option<Overload> {
    let mut reader = Reader { text: form.chars().peekable(), parameters: 0 };
    let mut arguments = Vec::new();
    let is_member = reader.text.peek() != Some(&'(');
    if is_member {
        arguments.push(reader.of_type()?);
        reader.take('.').then_some(())?;
    }
    reader.take('(').then_some(())?;
    while !reader.take(')') {
        arguments.push(reader.of_type()?);
        _ = reader.take(',');
    }
    let result = reader.of_type()?;
    Some(Overload { is_member, arguments, result, parameters: reader.parameters })
}

struct Reader<'t> {
    text: Peekable<Chars<'t>>,
    parameters: usize,
}

impl Reader<'_> {
    fn take(&mut self, wanted: char) -> bool {
        while self.text.next_if_eq(&' ').is_some() {}
        self.text.next_if_eq(&wanted).is_some()
    }

    fn of_type(&mut self) -> Option<Type> {
        while self.text.next_if_eq(&' ').is_some() {}
        let mut name = String::new();
        while let Some(c) = self.text.next_if(char::is_ascii_alphanumeric) {
            name.push(c);
        }
        let mut inner = Vec::new();
        if matches!(name.as_str(), "list" | "map" | "optional" | "type") && self.take('(') {
            while !self.take(')') {
                inner.push(Box::new(self.of_type()?));
                _ = self.take(',');
            }
        }
        let mut inner = inner.into_iter();
        let mut next = || inner.next();
        Some(match name.as_str() {
            "dyn" => Type::Dyn,
            "null" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "duration" => Type::Duration,
            "timestamp" => Type::Timestamp,
            "list" => Type::List(next()?),
            "map" => Type::Map(next()?, next()?),
            "optional" => Type::Optional(next()?),
            "type" => Type::Meta(next()?),
            "quantity" => Type::Opaque(super::QUANTITY),
            "ip" => Type::Opaque(super::IP),
            "cidr" => Type::Opaque(super::CIDR),
            "url" => Type::Opaque(super::URL),
            "semver" => Type::Opaque(super::SEMVER),
            "format" => Type::Opaque(super::FORMAT),
            "authorizer" => Type::Opaque(super::AUTHORIZER),
            "path" => Type::Opaque("kubernetes.authorization.PathCheck"),
            "group" => Type::Opaque("kubernetes.authorization.GroupCheck"),
            "resource" => Type::Opaque(super::RESOURCE_CHECK),
            "access" => Type::Opaque("kubernetes.authorization.Decision"),
            parameter => {
                let letter = parameter.bytes().next().filter(u8::is_ascii_uppercase)?;
                let parameter = usize::from(letter - b'A');
                self.parameters = self.parameters.max(parameter + 1);
                Type::Parameter(parameter)
            }
        })
    }
}

const COMPARABLE: &str = "(bool, bool) bool; (int, int) bool; (int, double) bool; (int, uint) bool; (uint, uint) bool; (uint, double) bool;
    (uint, int) bool; (double, double) bool; (double, int) bool; (double, uint) bool; (string, string) bool; (bytes, bytes) bool;
    (timestamp, timestamp) bool; (duration, duration) bool";
const TIME_PART: &str = "timestamp.() int; timestamp.(string) int";
const TIME_OR_DURATION_PART: &str = "timestamp.() int; timestamp.(string) int; duration.() int";
const EXTREME: &str =
    "list(int).() int; list(uint).() uint; list(double).() double; list(bool).() bool; list(string).() string;
    list(bytes).() bytes; list(duration).() duration; list(timestamp).() timestamp";
const POSITION: &str = "string.(string) int; string.(string, int) int; list(A).(A) int";
const SETS: &str = "(list(A), list(A)) bool";
const NETWORK_FLAG: &str = "ip.() bool";
const FORMAT: &str = "() format";

const SIGNATURES: [(&str, &str); 150] = [
    ("_==_", "(A, A) bool"),
    ("_!=_", "(A, A) bool"),
    ("_<_", COMPARABLE),
    ("_<=_", COMPARABLE),
    ("_>_", COMPARABLE),
    ("_>=_", COMPARABLE),
    ("!_", "(bool) bool"),
    ("-_", "(int) int; (double) double"),
    (
        "_+_",
        "(bytes, bytes) bytes; (double, double) double; (duration, duration) duration; (duration, timestamp) timestamp;
         (timestamp, duration) timestamp; (int, int) int; (list(A), list(A)) list(A); (string, string) string; (uint, uint) uint",
    ),
    (
        "_-_",
        "(double, double) double; (duration, duration) duration; (int, int) int; (timestamp, duration) timestamp;
         (timestamp, timestamp) duration; (uint, uint) uint",
    ),
    ("_*_", "(double, double) double; (int, int) int; (uint, uint) uint"),
    ("_/_", "(double, double) double; (int, int) int; (uint, uint) uint"),
    ("_%_", "(int, int) int; (uint, uint) uint"),
    ("_?_:_", "(bool, A, A) A"),
    ("_&&_", "(bool, bool) bool"),
    ("_||_", "(bool, bool) bool"),
    ("@in", "(A, list(A)) bool; (A, map(A, B)) bool"),
    ("_[_]", "(list(A), int) A; (map(A, B), A) B; (optional(list(A)), int) optional(A); (optional(map(A, B)), A) optional(B)"),
    ("_[?_]", "(list(A), int) optional(A); (map(A, B), A) optional(B); (optional(list(A)), int) optional(A); (optional(map(A, B)), A) optional(B)"),
    ("size", "(bytes) int; bytes.() int; (list(A)) int; list(A).() int; (map(A, B)) int; map(A, B).() int; (string) int; string.() int"),
    ("type", "(A) type(A)"),
    ("bool", "(bool) bool; (string) bool"),
    ("bytes", "(bytes) bytes; (string) bytes"),
    ("double", "(double) double; (int) double; (string) double; (uint) double"),
    ("duration", "(duration) duration; (int) duration; (string) duration"),
    ("dyn", "(A) dyn"),
    ("int", "(int) int; (double) int; (duration) int; (string) int; (timestamp) int; (uint) int"),
    (
        "string",
        "(string) string; (bool) string; (bytes) string; (double) string; (duration) string; (int) string; (timestamp) string; (uint) string;
         (ip) string; (cidr) string",
    ),
    ("timestamp", "(timestamp) timestamp; (int) timestamp; (string) timestamp"),
    ("uint", "(uint) uint; (double) uint; (int) uint; (string) uint"),
    ("contains", "string.(string) bool"),
    ("endsWith", "string.(string) bool"),
    ("startsWith", "string.(string) bool"),
    ("matches", "(string, string) bool; string.(string) bool"),
    ("getDate", TIME_PART),
    ("getDayOfMonth", TIME_PART),
    ("getDayOfWeek", TIME_PART),
    ("getDayOfYear", TIME_PART),
    ("getFullYear", TIME_PART),
    ("getMonth", TIME_PART),
    ("getHours", TIME_OR_DURATION_PART),
    ("getMinutes", TIME_OR_DURATION_PART),
    ("getSeconds", TIME_OR_DURATION_PART),
    ("getMilliseconds", TIME_OR_DURATION_PART),
    ("optional.of", "(A) optional(A)"),
    ("optional.ofNonZeroValue", "(A) optional(A)"),
    ("optional.none", "() optional(A)"),
    ("optional.unwrap", "(list(optional(A))) list(A)"),
    ("unwrapOpt", "list(optional(A)).() list(A)"),
    ("value", "optional(A).() A"),
    ("hasValue", "optional(A).() bool"),
    ("or", "optional(A).(optional(A)) optional(A)"),
    ("orValue", "optional(A).(A) A"),
    ("first", "list(A).() optional(A)"),
    ("last", "list(A).() optional(A)"),
    ("charAt", "string.(int) string"),
    ("indexOf", POSITION),
    ("lastIndexOf", POSITION),
    ("join", "list(string).() string; list(string).(string) string"),
    ("lowerAscii", "string.() string"),
    ("upperAscii", "string.() string"),
    ("replace", "string.(string, string) string; string.(string, string, int) string"),
    ("split", "string.(string) list(string); string.(string, int) list(string)"),
    ("substring", "string.(int) string; string.(int, int) string"),
    ("trim", "string.() string"),
    ("format", "string.(list(dyn)) string"),
    ("strings.quote", "(string) string"),
    ("find", "string.(string) string"),
    ("findAll", "string.(string) list(string); string.(string, int) list(string)"),
    (
        "isSorted",
        "list(int).() bool; list(uint).() bool; list(double).() bool; list(bool).() bool; list(string).() bool; list(bytes).() bool;
         list(duration).() bool; list(timestamp).() bool",
    ),
    ("sum", "list(int).() int; list(uint).() uint; list(double).() double; list(duration).() duration"),
    ("min", EXTREME),
    ("max", EXTREME),
    ("slice", "list(A).(int, int) list(A)"),
    ("flatten", "list(list(A)).() list(A); list(dyn).(int) list(dyn)"),
    (
        "sort",
        "list(int).() list(int); list(uint).() list(uint); list(double).() list(double); list(bool).() list(bool);
         list(duration).() list(duration); list(timestamp).() list(timestamp); list(string).() list(string); list(bytes).() list(bytes)",
    ),
    ("lists.range", "(int) list(int)"),
    ("reverse", "list(A).() list(A)"),
    ("distinct", "list(A).() list(A)"),
    ("sets.contains", SETS),
    ("sets.equivalent", SETS),
    ("sets.intersects", SETS),
    ("url", "(string) url"),
    ("isURL", "(string) bool"),
    ("getScheme", "url.() string"),
    ("getHost", "url.() string"),
    ("getHostname", "url.() string"),
    ("getPort", "url.() string"),
    ("getEscapedPath", "url.() string"),
    ("getQuery", "url.() map(string, list(string))"),
    ("quantity", "(string) quantity"),
    ("isQuantity", "(string) bool"),
    ("isInteger", "quantity.() bool"),
    ("asInteger", "quantity.() int"),
    ("asApproximateFloat", "quantity.() double"),
    ("sign", "(quantity) int"),
    ("add", "quantity.(quantity) quantity; quantity.(int) quantity"),
    ("sub", "quantity.(quantity) quantity; quantity.(int) quantity"),
    ("isGreaterThan", "quantity.(quantity) bool; semver.(semver) bool"),
    ("isLessThan", "quantity.(quantity) bool; semver.(semver) bool"),
    ("compareTo", "quantity.(quantity) int; semver.(semver) int"),
    ("ip", "(string) ip; cidr.() ip"),
    ("isIP", "(string) bool"),
    ("ip.isCanonical", "(string) bool"),
    ("family", "ip.() int"),
    ("isUnspecified", NETWORK_FLAG),
    ("isLoopback", NETWORK_FLAG),
    ("isLinkLocalMulticast", NETWORK_FLAG),
    ("isLinkLocalUnicast", NETWORK_FLAG),
    ("isGlobalUnicast", NETWORK_FLAG),
    ("cidr", "(string) cidr"),
    ("isCIDR", "(string) bool"),
    ("containsIP", "cidr.(string) bool; cidr.(ip) bool"),
    ("containsCIDR", "cidr.(string) bool; cidr.(cidr) bool"),
    ("masked", "cidr.() cidr"),
    ("prefixLength", "cidr.() int"),
    ("semver", "(string) semver; (string, bool) semver"),
    ("isSemver", "(string) bool; (string, bool) bool"),
    ("major", "semver.() int"),
    ("minor", "semver.() int"),
    ("patch", "semver.() int"),
    ("format.named", "(string) optional(format)"),
    ("format.dns1123Label", FORMAT),
    ("format.dns1123Subdomain", FORMAT),
    ("format.dns1035Label", FORMAT),
    ("format.qualifiedName", FORMAT),
    ("format.dns1123LabelPrefix", FORMAT),
    ("format.dns1123SubdomainPrefix", FORMAT),
    ("format.dns1035LabelPrefix", FORMAT),
    ("format.labelValue", FORMAT),
    ("format.uri", FORMAT),
    ("format.uuid", FORMAT),
    ("format.byte", FORMAT),
    ("format.date", FORMAT),
    ("format.datetime", FORMAT),
    ("validate", "format.(string) optional(list(string))"),
    ("path", "authorizer.(string) path"),
    ("group", "authorizer.(string) group"),
    ("serviceAccount", "authorizer.(string, string) authorizer"),
    ("resource", "group.(string) resource"),
    ("subresource", "resource.(string) resource"),
    ("namespace", "resource.(string) resource"),
    ("name", "resource.(string) resource"),
    ("fieldSelector", "resource.(string) resource"),
    ("labelSelector", "resource.(string) resource"),
    ("check", "path.(string) access; resource.(string) access"),
    ("allowed", "access.() bool"),
    ("reason", "access.() string"),
    ("errored", "access.() bool"),
    ("error", "access.() string"),
];

#[cfg(test)]
mod tests {
    use super::{SIGNATURES, read};

    #[test]
    fn every_signature_is_read() {
        for form in SIGNATURES.iter().flat_map(|(_, forms)| forms.split(';')) {
            assert!(read(form.trim()).is_some(), "{form}");
        }
    }
}
