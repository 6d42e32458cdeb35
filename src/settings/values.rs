//! The values that settings are made of: each is checked where it is read, and written back as it was meant.

use emissary_core::image::{Aliases, Reference};
use emissary_policy::pss::{Level, Standard, Version};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// A length of time: a whole number and `ms`, `s`, `m` or `h`, such as `300ms`; several run together, such as `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes: a whole number alone or with `Ki`, `Mi` or `Gi` (1024 and its powers), such as `8Mi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A container image, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName(String);

/// A container's name, or a pattern with `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern(String);

/// A namespace's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceName(String);

/// A secret's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(String);

/// A network in CIDR notation, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

/// A registry's `HOST` or `HOST:PORT`, as it stands in image names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryHost(String);

/// A Pod Security Standard: its level, and behind a colon its version, such as `restricted` or `baseline:v1.30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandardName(pub Standard);

const PERIOD_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("", 1)];

impl FromStr for Period {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a time is a whole number and ms, s, m or h, such as 300ms, 5s or 1m30s";
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (mut rest, mut total) = (text, 0_u64);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?;
            let (number, after) = rest.split_at(digits);
            let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let (_, factor) = PERIOD_UNITS.iter().find(|(name, _)| *name == unit).ok_or(WRONG)?;
            let number: u64 = number.parse().map_err(|_| WRONG)?;
            total = number.checked_mul(*factor).and_then(|part| total.checked_add(part)).ok_or(WRONG)?;
            rest = after;
        }
        if text.is_empty() { Err(WRONG) } else { Ok(Self(Duration::from_millis(total))) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in PERIOD_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a size is a whole number of bytes, or one with Ki, Mi or Gi, such as 8Mi";
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(WRONG)?;
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)).map(Self).ok_or(WRONG)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        let (unit, factor) = SIZE_UNITS.iter().find(fits).unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Reference::parse(text).map(|_| Self(text.to_owned())).map_err(|error| error.to_string())
    }
}

impl FromStr for RegistryHost {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_host = |image: Reference| image.registry() == text;
        let valid = Reference::parse(&format!("{text}/x")).is_ok_and(is_host);
        let wrong =
            "a registry is HOST or HOST:PORT as in an image's name, without http://, such as registry.corp:5000";
        if valid { Ok(Self(text.to_owned())) } else { Err(wrong) }
    }
}

impl FromStr for StandardName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "give privileged, baseline or restricted, and a version behind a colon if it is not the \
                             latest, such as baseline:v1.30";
        let (level, version) = text.split_once(':').unwrap_or((text, "latest"));
        let level = Level::parse(level).ok_or(WRONG)?;
        Ok(Self(Standard { level, version: Version::parse(version).ok_or(WRONG)? }))
    }
}

impl FromStr for NamePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'*');
        let wrong = "a container's name is made of a-z, 0-9 and -; * stands for any run of them, such as vault-*";
        if !text.is_empty() && text.len() <= 63 && text.bytes().all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong)
        }
    }
}

impl FromStr for NamespaceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let right =
            (1..=63).contains(&text.len()) && text.bytes().all(valid) && !text.starts_with('-') && !text.ends_with('-');
        right.then(|| Self(text.to_owned())).ok_or("a namespace's name is made of a-z, 0-9 and -, such as team-a")
    }
}

impl FromStr for SecretName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let right = (1..=253).contains(&text.len()) && text.bytes().all(valid);
        right.then(|| Self(text.to_owned())).ok_or("a secret's name is made of a-z, 0-9, - and ., such as regcred")
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
        let net = text.parse().or_else(|_| host());
        net.map(Self).map_err(|_| "a network is an address and a prefix length, such as 10.0.0.0/8 or fd00::/8")
    }
}

impl ImageName {
    /// The executor of the newest Argo that this webhook knows.
    pub(super) fn argoexec() -> Self {
        Self("quay.io/argoproj/argoexec:v4.1.2".to_owned())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamePattern {
    /// What Istio, Linkerd, Vault, Kuma, Consul, Dapr and GKE's Cloud Storage FUSE driver call the containers they
    /// inject.
    pub(super) fn well_known_sidecars() -> Vec<Self> {
        const NAMES: [&str; 7] = [
            "istio-proxy",
            "linkerd-proxy",
            "vault-agent",
            "kuma-sidecar",
            "consul-dataplane",
            "daprd",
            "gke-gcsfuse-sidecar",
        ];
        NAMES.map(|name| Self(name.to_owned())).to_vec()
    }

    /// As written; `*` is the only character with a meaning.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a container's name fits.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl NamespaceName {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RegistryHost {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Other names of registries, checked when they are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageAliases {
    written: BTreeMap<String, String>,
    aliases: Aliases,
}

impl ImageAliases {
    /// As names of images are turned by them.
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }
}

impl Serialize for ImageAliases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ImageAliases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<String, String>::deserialize(deserializer)?;
        let aliases = Aliases::new(&written).map_err(de::Error::custom)?;
        Ok(Self { written, aliases })
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StandardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Written and read as text, and described as `$what` in the schema.
macro_rules! as_text {
    ($($name:ident: $what:literal),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(|why| E::custom(format_args!("{text:?} is no {}: {why}", $what)))
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "x-is": $what})
            }
        }
    )*};
}

as_text!(
    Period: "time",
    Size: "size",
    ImageName: "image",
    NamePattern: "name or pattern",
    NamespaceName: "namespace",
    Network: "network",
    RegistryHost: "registry",
    SecretName: "secret",
    StandardName: "Pod Security Standard"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_and_write() {
        for (text, millis, written) in [
            ("300ms", 300, "300ms"),
            ("5s", 5_000, "5s"),
            ("90s", 90_000, "1m30s"),
            ("1h1ms", 3_600_001, "1h1ms"),
            ("0", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.0, period.to_string().as_str()), (Duration::from_millis(millis), written));
            assert_eq!(written.parse(), Ok(period));
        }
        for (text, bytes, written) in
            [("8Mi", 8 << 20, "8Mi"), ("1024", 1024, "1Ki"), ("1500", 1500, "1500"), ("0", 0, "0")]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, written));
        }
        for text in ["", "5", "s", "5 s", "-5s", "5S", "1.5s", "99999999999999999999h", "18446744073709551615h", "5s6"]
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["", "Mi", "8MB", "8 Mi", "-1", "99999999999Gi"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_names() {
        let table = [
            ("istio-proxy", "istio-proxy", true),
            ("istio-proxy", "istio-proxy-2", false),
            ("vault-*", "vault-agent", true),
            ("*-proxy", "linkerd-proxy", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "ab", true),
            ("a*a", "a", false),
            ("*", "x", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(pattern.parse::<NamePattern>().unwrap().matches(name), expected, "{pattern} on {name}");
        }
        assert!("Vault".parse::<NamePattern>().is_err());
    }

    #[test]
    fn a_registry_is_a_host_and_a_port() {
        for text in ["registry.corp", "registry:5000", "localhost", "[::1]:5000"] {
            assert!(text.parse::<RegistryHost>().is_ok(), "{text}");
        }
        for text in ["http://registry.corp", "registry.corp/team", "registry", "", "registry:port"] {
            assert!(text.parse::<RegistryHost>().is_err(), "{text}");
        }
    }
}
