//! URLs as Go reads the target of a request: absolute, or an absolute path.

use super::Arguments;
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::{Fields, Key, Text, Value};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A URL in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let fails = |why: &str| Err(format!("URL parse error during conversion from string: parse {text:?}: {why}"));
        if text.is_empty() {
            return fails("empty url");
        }
        if text.bytes().any(|c| c < b' ' || c == 0x7f) {
            return fails("net/url: invalid control character in URL");
        }
        if text == "*" {
            return Ok(Self {
                scheme: String::new(),
                host: String::new(),
                path: text.to_owned(),
                query: String::new(),
            });
        }
        let (scheme, rest) = match text.split_once(':') {
            Some(("", _)) => return fails("missing protocol scheme"),
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            Some((before, _)) if !before.contains('/') && before.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                // Something before the colon that is neither a scheme nor a path.
                (String::new(), text)
            }
            _ => (String::new(), text),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            // Opaque, such as `mailto:x`.
            return match scheme.is_empty() {
                true => fails("invalid URI for request"),
                false => Ok(Self { scheme, host: String::new(), path: String::new(), query: query.to_owned() }),
            };
        }
        let (authority, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty() && !rest.starts_with("///"))
        {
            Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
            None => ("", rest.strip_prefix("//").filter(|_| !scheme.is_empty()).unwrap_or(rest)),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
        if let Some(c) = host.chars().find(|c| *c == ' ' || "<>\"\\^`{|}".contains(*c)) {
            return fails(&format!("invalid character {:?} in host name", c.to_string()));
        }
        if host.starts_with('[') && !host.contains(']') {
            return fails("missing ']' in host");
        }
        if !host.starts_with('[') && host.matches(':').count() > 1 {
            return fails("invalid port after host");
        }
        if let Some(port) = port_with_colon(host)
            && !port.bytes().skip(1).all(|c| c.is_ascii_digit())
        {
            return fails(&format!("invalid port {port:?} after host"));
        }
        if let Some(wrong) = wrong_escape(path).or_else(|| wrong_escape(host)) {
            return fails(&format!("invalid URL escape {wrong:?}"));
        }
        Ok(Self { scheme, host: host.to_owned(), path: path.to_owned(), query: query.to_owned() })
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'))
}

/// `:8443` of a host; within brackets there is none.
fn port_with_colon(host: &str) -> Option<&str> {
    let after = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = host.get(after..)?.rfind(':')?;
    host.get(after + colon..)
}

fn wrong_escape(text: &str) -> Option<&str> {
    let is_right = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let (at, _) = text.match_indices('%').find(|(at, _)| !is_right(*at))?;
    text.get(at..).map(|rest| rest.get(..3).unwrap_or(rest))
}

/// `url` and `isURL`.
pub(super) fn parse<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text)] = arguments.values else { return Err(arguments.none()) };
    match (arguments.name, Url::parse(text)) {
        ("isURL", found) => Ok(Value::Bool(found.is_ok())),
        (_, Ok(url)) => Ok(Value::Url(Rc::new(url))),
        (_, Err(why)) => Err(Failure::Error(why)),
    }
}

/// `getScheme` and its like.
pub(super) fn part<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::Url(url)] = arguments.values else { return Err(arguments.none()) };
    let port = port_with_colon(&url.host).unwrap_or_default();
    let text = match arguments.name {
        "getScheme" => url.scheme.clone(),
        "getHost" => url.host.clone(),
        "getHostname" => {
            let name = url.host.strip_suffix(port).unwrap_or(&url.host);
            name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).to_owned()
        }
        "getPort" => port.strip_prefix(':').unwrap_or_default().to_owned(),
        "getEscapedPath" => escaped(&url.path),
        _ => return Ok(query(&url.query)),
    };
    Ok(Value::text(text))
}

/// What a path may not hold as it is, is escaped.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            byte if b"-_.~!$&'()*+,;=:@[]/%".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn query<'v>(query: &str) -> Value<'v> {
    let mut all: BTreeMap<Key<'v>, Vec<Value<'v>>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            all.entry(Key::String(Text::Shared(key.into()))).or_default().push(Value::text(value));
        }
    }
    let fields = all.into_iter().map(|(key, values)| (key, Value::list(values))).collect();
    Value::Map(Fields::Values(Rc::new(fields)))
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                out.push(u8::try_from(value).ok()?);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}
