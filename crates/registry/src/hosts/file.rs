//! The text of one `hosts.toml`.

use super::{Capabilities, Described, Host, Site, Tls, tls::read_pem};
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use std::{fmt, ops::Range, path::Path, sync::Arc, time::Duration};
use toml::Spanned;

/// Line and column, and what is wrong there.
type Fault = (Option<(usize, usize)>, String);

/// What is wrong at a range of bytes.
type Misuse = (Range<usize>, String);

const LONGEST_DIAL: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    server: Option<Spanned<String>>,
    #[serde(default)]
    host: InOrder,
    // The keys of a host, which here are the server's; serde cannot flatten and refuse unknown keys at once.
    capabilities: Option<Vec<Spanned<String>>>,
    ca: Option<Spanned<OneOrMore<String>>>,
    client: Option<Spanned<RawClient>>,
    skip_verify: Option<bool>,
    header: Option<Headers>,
    override_path: Option<bool>,
    dial_timeout: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    capabilities: Option<Vec<Spanned<String>>>,
    ca: Option<Spanned<OneOrMore<String>>>,
    client: Option<Spanned<RawClient>>,
    skip_verify: Option<bool>,
    header: Option<Headers>,
    override_path: Option<bool>,
    dial_timeout: Option<Spanned<String>>,
}

type Headers = std::collections::BTreeMap<String, Spanned<OneOrMore<String>>>;

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

/// A file with certificate and key, or a list of such files and of pairs of files.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawClient {
    One(String),
    More(Vec<OneOrMore<String>>),
}

/// Hosts as they stand in the file, because they are tried in that order.
#[derive(Default)]
struct InOrder(Vec<(Spanned<String>, RawHost)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables such as [host.\"https://mirror.example\"]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
                let mut hosts = Vec::new();
                while let Some(host) = map.next_entry()? {
                    hosts.push(host);
                }
                Ok(InOrder(hosts))
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

/// Reads a file of `folder`, and the certificates that it names.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Described, Fault> {
    let at = |(span, fault): Misuse| (Some(position(text, span.start)), fault);
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        (error.span().map(|span| position(text, span.start)), error.message().lines().collect::<Vec<_>>().join(", "))
    })?;
    let RawFile { server, host, capabilities, ca, client, skip_verify, header, override_path, dial_timeout } = raw;
    let of_server = RawHost { capabilities, ca, client, skip_verify, header, override_path, dial_timeout };
    let mut mirrors = Vec::with_capacity(host.0.len());
    for (url, raw) in host.0 {
        mirrors.push(raw.build(Some(url), folder).map_err(at)?);
    }
    Ok(Described { mirrors, server: of_server.build(server, folder).map_err(at)? })
}

impl RawHost {
    fn build(self, url: Option<Spanned<String>>, folder: &Path) -> Result<Host, Misuse> {
        let Self { capabilities, ca, client, skip_verify, header, override_path, dial_timeout } = self;
        let base = url.map(|url| base(&url, override_path == Some(true))).transpose()?;
        let capabilities = capabilities_of(capabilities.unwrap_or_default())?;
        let mut roots = Vec::new();
        if let Some(ca) = ca {
            let span = ca.span();
            for path in ca.into_inner().list() {
                let fault = |fault| (span.clone(), format!("ca {path:?}: {fault}"));
                let (certificates, _) = read_pem(&folder.join(&path)).map_err(fault)?;
                if certificates.is_empty() {
                    return Err(fault("it has no PEM certificate".to_owned()));
                }
                roots.extend(certificates);
            }
        }
        let client = client.map(|client| client_of(client, folder)).transpose()?;
        let connect_timeout = dial_timeout.map(dial_timeout_of).transpose()?;
        let tls = Tls::new(roots, client, skip_verify == Some(true), connect_timeout);
        Ok(Host { base, capabilities, site: Arc::new(Site { tls, headers: headers_of(header.unwrap_or_default())? }) })
    }
}

impl<T> OneOrMore<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// As containerd has it: `https` unless said otherwise, `/v2` after the path unless that is the whole of it.
fn base(url: &Spanned<String>, override_path: bool) -> Result<Url, Misuse> {
    let text = url.get_ref();
    // It is not repeated, because it may hold a password.
    let fault = || (url.span(), "this is no URL of a registry; write https://HOST[:PORT], or http://".to_owned());
    let whole = if text.contains("://") { text.clone() } else { format!("https://{text}") };
    let mut url = Url::parse(&whole).map_err(|_| fault())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain || url.fragment().is_some() {
        return Err(fault());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let path = if override_path || path.ends_with("/v2") { path } else { format!("{path}/v2") };
    url.set_path(&format!("{path}/"));
    Ok(url)
}

fn capabilities_of(list: Vec<Spanned<String>>) -> Result<Capabilities, Misuse> {
    let all = Capabilities { pull: true, resolve: true };
    if list.is_empty() {
        return Ok(all);
    }
    let mut found = Capabilities { pull: false, resolve: false };
    for capability in list {
        match capability.get_ref().to_ascii_lowercase().as_str() {
            "pull" => found.pull = true,
            "resolve" => found.resolve = true,
            "push" | "referrers" => {}
            other => {
                return Err((capability.span(), format!("{other:?} is no capability; write pull, resolve or push")));
            }
        }
    }
    Ok(found)
}

type ClientCertificate = (Vec<rustls::pki_types::CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>);

/// `"both.pem"`, `["both.pem"]` or `[["certificate.pem", "key.pem"]]`.
fn client_of(client: Spanned<RawClient>, folder: &Path) -> Result<ClientCertificate, Misuse> {
    let span = client.span();
    let fault = |fault: &str| (span.clone(), format!("client: {fault}"));
    let pairs = match client.into_inner() {
        RawClient::One(both) => vec![OneOrMore::One(both)],
        RawClient::More(pairs) => pairs,
    };
    let [pair] = <[_; 1]>::try_from(pairs).map_err(|_| fault("one certificate is sent; name one file or one pair"))?;
    let paths = pair.list();
    let (certificate, key) = match paths.as_slice() {
        [both] => (both, both),
        [certificate, key] if key.is_empty() => (certificate, certificate),
        [certificate, key] => (certificate, key),
        _ => return Err(fault("a pair is [\"CERTIFICATE\", \"KEY\"]")),
    };
    let read = |path: &String| read_pem(&folder.join(path)).map_err(|error| fault(&format!("{path:?}: {error}")));
    let certificates = read(certificate)?.0;
    let key = read(key)?.1.ok_or_else(|| fault(&format!("{key:?} has no PEM private key")))?;
    if certificates.is_empty() {
        return Err(fault(&format!("{certificate:?} has no PEM certificate")));
    }
    super::tls::check(&certificates, &key).map_err(|error| fault(&error))?;
    Ok((certificates, key))
}

fn headers_of(raw: Headers) -> Result<HeaderMap, Misuse> {
    let mut headers = HeaderMap::new();
    for (name, values) in raw {
        let span = values.span();
        let fault = |fault| (span.clone(), format!("header {name:?}: {fault}"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault("it is no name of a header"))?;
        for value in values.into_inner().list() {
            let mut value = HeaderValue::from_str(&value).map_err(|_| fault("its value cannot be sent"))?;
            value.set_sensitive(true);
            headers.append(parsed.clone(), value);
        }
    }
    Ok(headers)
}

/// Go's form of a duration, as far as a time to connect needs it: `500ms`, `3s`, `1m`.
fn dial_timeout_of(text: Spanned<String>) -> Result<Duration, Misuse> {
    let fault = || (text.span(), format!("{:?} is no time; write such as 500ms or 3s, at most 1m", text.get_ref()));
    let split = text.get_ref().find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
    let (number, unit) = text.get_ref().split_at(split);
    let number: f64 = number.parse().map_err(|_| fault())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(fault()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| fault())?;
    if duration.is_zero() || duration > LONGEST_DIAL {
        return Err(fault());
    }
    Ok(duration)
}

/// Line and column, in characters, both counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}
