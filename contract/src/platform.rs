//! What an image runs where that depends on the platform.
//!
//! Whoever rewrites a pod does not know on which node it will run, and so not which of an image's platforms is taken.
//! Where those run different commands, the pod carries all of them and the executor chooses:
//!
//! ```text
//! EMISSARY_PLATFORM_COMMANDS={"linux/amd64":["/app-x64"],"linux/arm64":["/app-arm","--slow"]}
//! command: [/var/run/argo/argoexec, emissary, --]
//! args: [what the user wrote]
//! ```
//!
//! The chosen list comes before whatever follows `--`, which is then arguments alone. The variable is taken out of the
//! environment that the process sees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A command for each platform, by the platform's name as OCI writes it (`linux/arm64`, `linux/arm/v7`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformCommands(pub BTreeMap<String, Vec<String>>);

impl PlatformCommands {
    /// Reads the variable's value.
    ///
    /// # Errors
    /// Where it is not a JSON object of lists of strings.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The command for a machine of Linux, its architecture named as the Rust compiler names it.
    #[must_use]
    pub fn choose(&self, architecture: &str) -> Option<&[String]> {
        // The plain name, then the variant that every machine of the architecture can run.
        let names: &[&str] = match architecture {
            "x86_64" => &["linux/amd64", "linux/amd64/v1"],
            "aarch64" => &["linux/arm64", "linux/arm64/v8"],
            _ => &[],
        };
        names.iter().find_map(|name| self.0.get(*name)).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_machine_takes_its_own_command() {
        let commands = PlatformCommands::parse(r#"{"linux/amd64":["a","b"],"linux/arm64/v8":["c"]}"#).unwrap();
        let cases: [(&str, Option<&[&str]>); 3] =
            [("x86_64", Some(&["a", "b"])), ("aarch64", Some(&["c"])), ("riscv64", None)];
        for (architecture, expected) in cases {
            let chosen =
                commands.choose(architecture).map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(chosen.as_deref(), expected, "{architecture}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let commands = PlatformCommands(BTreeMap::from([("linux/amd64".to_owned(), vec!["\"x\"".to_owned()])]));
        assert_eq!(PlatformCommands::parse(&serde_json::to_string(&commands).unwrap()).unwrap(), commands);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = PlatformCommands::parse(&text);
        }
    }
}
