use super::digest::shortened;
use std::fmt;

/// Operating system, architecture and variant in Go's names (OCI image index, `platform`), as node labels spell them too.
///
/// Parsed and [`new`](Self::new) ones are normalised, so that equal platforms compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// `GOOS`: `linux`, `windows`.
    pub os: String,
    /// `GOARCH`: `amd64`, `arm64`.
    pub architecture: String,
    /// CPU variant: `v7` of `linux/arm/v7`. `None` where the architecture's usual one is meant.
    pub variant: Option<String>,
}

/// Why a text is no [`Platform`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no platform: {fault}; a platform is os/architecture or os/architecture/variant, such as linux/amd64"
)]
pub struct PlatformError {
    text: String,
    fault: &'static str,
}

impl Platform {
    /// Normalises the parts by the rules of containerd's `platforms` package: lower case, one name for each architecture,
    /// the variant left out where it is the usual one (`arm64/v8`, `amd64/v1`) and filled in where it is not (`arm` is `arm/v7`).
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase() {
            os if os == "macos" => "darwin".to_owned(),
            os => os,
        };
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", other) => ("amd64", other),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
            ("aarch64", other) => ("arm64", other),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            (other, variant) => (other, variant),
        };
        Self { os, architecture: architecture.to_owned(), variant: (!variant.is_empty()).then(|| variant.to_owned()) }
    }

    /// Parses and normalises `os/architecture[/variant]`.
    ///
    /// # Errors
    /// Fewer than two or more than three parts, an empty part, or characters other than letters, digits, `_`, `.` and `-`.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let fault = |fault| PlatformError { text: shortened(text), fault };
        let mut parts = text.split('/');
        let (Some(os), Some(architecture), variant, None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fault("it does not have two or three parts"));
        };
        for part in [Some(os), Some(architecture), variant].into_iter().flatten() {
            if part.is_empty() {
                return Err(fault("a part is empty"));
            }
            if !part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
                return Err(fault("it has characters other than letters, digits, _, . and -"));
            }
        }
        Ok(Self::new(os, architecture, variant))
    }

    /// Whether an image of this platform may run where `wanted` is asked for; a `wanted` without variant accepts any.
    pub fn matches(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_as_containerd_does() {
        let table = [
            ("linux/amd64", "linux/amd64"),
            ("Linux/X86_64", "linux/amd64"),
            ("linux/x86-64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/x86_64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/aarch64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
            ("windows/amd64", "windows/amd64"),
            ("linux/riscv64", "linux/riscv64"),
        ];
        for (text, expected) in table {
            let platform = Platform::parse(text).unwrap();
            assert_eq!(platform.to_string(), expected, "{text}");
            assert_eq!(Platform::parse(expected).unwrap(), platform, "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_two_or_three_parts() {
        for text in ["", "linux", "/", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux/amd64/", "linux/ä"] {
            let error = Platform::parse(text).unwrap_err().to_string();
            assert!(error.contains("linux/amd64"), "{text}: {error}");
        }
    }

    #[test]
    fn a_wanted_platform_without_variant_accepts_any() {
        let table = [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64/v3", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v3", false),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v6", "linux/arm/v6", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("windows/amd64", "linux/amd64", false),
            ("linux/arm64", "linux/amd64", false),
        ];
        for (offered, wanted, expected) in table {
            let (offered, wanted) = (Platform::parse(offered).unwrap(), Platform::parse(wanted).unwrap());
            assert_eq!(offered.matches(&wanted), expected, "{offered} for {wanted}");
        }
    }

    #[test]
    fn is_a_string_in_json() {
        let platform: Platform = serde_json::from_str(r#""linux\/x86_64""#).unwrap();
        assert_eq!(serde_json::to_string(&platform).unwrap(), r#""linux/amd64""#);
        assert!(serde_json::from_str::<Platform>(r#""linux""#).is_err());
    }
}
