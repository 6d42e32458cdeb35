use std::fmt;

/// How strict: the profiles of the Pod Security Standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything is allowed.
    Privileged,
    /// Known ways to gain privileges are not.
    Baseline,
    /// Hardened as the current practice has it.
    Restricted,
}

impl Level {
    const ALL: [Self; 3] = [Self::Privileged, Self::Baseline, Self::Restricted];

    /// As labels and messages have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    /// The level of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rules of which Kubernetes version. One that is newer than what this program knows is judged by the newest it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Of 1.N.
    Minor(u32),
    /// Of the API server that judges.
    Latest,
}

impl Version {
    /// `latest`, or `v1.N` without leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let is_plain = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        minor.parse().ok().filter(|_| is_plain).map(Self::Minor)
    }

    /// The minor version whose rules apply.
    pub(crate) fn minor(self) -> u32 {
        match self {
            Self::Minor(minor) => minor,
            Self::Latest => u32::MAX,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(f, "v1.{minor}"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// A level of a version, written `restricted:v1.30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standard {
    /// How strict.
    pub level: Level,
    /// By whose rules.
    pub version: Version,
}

impl Standard {
    /// What a cluster has where nobody has set anything.
    pub const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::Latest };
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Version};

    #[test]
    fn versions_are_spelled_one_way() {
        let cases = [
            ("latest", Some(Version::Latest)),
            ("v1.0", Some(Version::Minor(0))),
            ("v1.30", Some(Version::Minor(30))),
            ("v1.99", Some(Version::Minor(99))),
            ("", None),
            ("Latest", None),
            ("1.30", None),
            ("v1.", None),
            ("v1.030", None),
            ("v1.00", None),
            ("v1.+3", None),
            ("v1.3.1", None),
            ("v2.0", None),
            ("v1.99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn levels_are_spelled_one_way() {
        for (text, expected) in [("baseline", Some(Level::Baseline)), ("Baseline", None), ("", None)] {
            assert_eq!(Level::parse(text), expected, "{text}");
        }
    }
}
