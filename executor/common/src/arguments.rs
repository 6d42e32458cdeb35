//! The command line, as controllers of Argo 3.1 to 4.1 write it.
//!
//! Flags come and go between versions and few of them mean anything here, so every flag parses. Which have a value is known by
//! two tables; one that is in neither has one if a word follows that is no flag. After `--` nothing is a flag.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Flags without a value, in any version of Argo.
const SWITCHES: [&str; 7] =
    ["--insecure-skip-tls-verify", "--disable-compression", "--help", "-h", "--version", "--short", "--verbose"];

/// Flags with a value, in any version of Argo or its API client, and our own.
const VALUED: [&str; 29] = [
    "--root",
    "--signal",
    "--loglevel",
    "--log-format",
    "--gloglevel",
    "--pod-annotations",
    "--container-runtime-executor",
    "--plugin-name",
    "--kubeconfig",
    "--as",
    "--as-group",
    "--as-uid",
    "--as-user-extra",
    "--certificate-authority",
    "--client-certificate",
    "--client-key",
    "--cluster",
    "--context",
    "--namespace",
    "-n",
    "--password",
    "--proxy-url",
    "--request-timeout",
    "--server",
    "-s",
    "--tls-server-name",
    "--token",
    "--user",
    "--username",
];

/// A command line, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The first word that is not a flag.
    pub verb: String,
    /// Below which the contract's files are.
    pub root: Option<String>,
    /// Whether to say on standard error what is being done.
    pub verbose: bool,
    /// The signal of `kill --signal N PID`.
    pub signal: Option<String>,
    /// Everything behind the verb that is not a flag.
    pub words: Vec<OsString>,
}

impl Arguments {
    /// Takes apart what follows the program's name.
    pub fn parse(line: impl IntoIterator<Item = OsString>) -> Self {
        let mut parsed = Self::default();
        let mut line = line.into_iter().peekable();
        while let Some(word) = line.next() {
            let text = word.to_str().unwrap_or_default();
            if text == "--" {
                parsed.words.extend(line);
                break;
            }
            if text.len() > 1 && text.starts_with('-') {
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None if SWITCHES.contains(&text) => (text, None),
                    None => {
                        let known = VALUED.contains(&text);
                        let value = line.next_if(|next| next != "--" && (known || !next.as_bytes().starts_with(b"-")));
                        (text, value.and_then(|value| value.into_string().ok()))
                    }
                };
                parsed.flag(name, value);
            } else if parsed.verb.is_empty() {
                text.clone_into(&mut parsed.verb);
            } else {
                parsed.words.push(word);
                // The user's command has flags of its own.
                if parsed.verb == emissary_contract::verb::EMISSARY {
                    parsed.words.extend(line);
                    break;
                }
            }
        }
        parsed
    }

    fn flag(&mut self, name: &str, value: Option<String>) {
        match name {
            "--root" => self.root = value,
            "--signal" => self.signal = value,
            "--loglevel" => self.verbose = matches!(value.as_deref(), Some("debug" | "trace")),
            "--help" | "-h" if self.verb.is_empty() => "help".clone_into(&mut self.verb),
            "--version" if self.verb.is_empty() => "version".clone_into(&mut self.verb),
            _ => {}
        }
    }

    /// The word at a place, as text.
    pub fn word(&self, place: usize) -> Option<&str> {
        self.words.get(place).map(OsString::as_os_str).and_then(OsStr::to_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Arguments {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn lines_of_every_version_are_read() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("emissary -- sh -c x", "emissary", &["sh", "-c", "x"]),
            ("emissary --loglevel info --log-format text -- true", "emissary", &["true"]),
            ("emissary --loglevel info --log-format text --gloglevel 0 -- a -- b", "emissary", &["a", "--", "b"]),
            ("emissary --", "emissary", &[]),
            ("emissary sh -c x", "emissary", &["sh", "-c", "x"]),
            ("emissary --a-new-switch -- x", "emissary", &["x"]),
            ("emissary --a-new-switch --loglevel info -- x", "emissary", &["x"]),
            ("wait --a-new-switch -nargo --gloglevel -1", "wait", &[]),
            ("artifact-plugin-init --plugin-name x --loglevel info", "artifact-plugin-init", &[]),
            ("resource create --loglevel info", "resource", &["create"]),
            ("version --short", "version", &[]),
            ("emissary --never-heard-of=1 --nor-of 2 -- x", "emissary", &["x"]),
            ("--loglevel debug emissary -- x", "emissary", &["x"]),
            ("init --loglevel info --pod-annotations /argo/podmetadata/annotations", "init", &[]),
            ("wait --loglevel info --log-format text --kubeconfig=/kube/config", "wait", &[]),
            ("kill 15 1", "kill", &["15", "1"]),
            ("kill --signal 9 1", "kill", &["1"]),
            ("--insecure-skip-tls-verify kill 15 1", "kill", &["15", "1"]),
            ("--help", "help", &[]),
            ("", "", &[]),
        ];
        for (line, verb, words) in cases {
            let parsed = parse(line);
            assert_eq!((parsed.verb.as_str(), parsed.words.len()), (*verb, words.len()), "{line}");
            assert!(parsed.words.iter().zip(*words).all(|(found, expected)| found == expected), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn a_flag_stands_anywhere_before_the_command() {
        for flag in VALUED.map(|flag| format!("{flag} value")).into_iter().chain(SWITCHES.map(str::to_owned)) {
            let spelled = [flag.clone(), flag.replace(' ', "=")];
            for flag in &spelled {
                for verb in ["init", "wait", "supervisor", "emissary", "agent"] {
                    let behind = parse(&format!("{verb} {flag} -- sh {flag}"));
                    assert_eq!((behind.verb.as_str(), &behind.words[0]), (verb, &OsString::from("sh")), "{flag}");
                    assert!(behind.words.len() >= 2, "{flag}: what is the command's is left to it");
                    let before = parse(&format!("{flag} {verb}"));
                    let asks = ["--help", "-h", "--version"].contains(&flag.as_str());
                    assert!(before.verb == verb || asks, "{flag} {verb}: {before:?}");
                }
            }
        }
    }

    #[test]
    fn few_flags_mean_anything() {
        let parsed = parse("emissary --loglevel=debug --root /x -- y --root /z");
        assert!(parsed.verbose);
        assert_eq!(parsed.root.as_deref(), Some("/x"));
        assert!(!parse("emissary --loglevel info -- x").verbose);
        assert_eq!(parse("kill --signal 9 1").signal.as_deref(), Some("9"));
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in proptest::collection::vec("[-a-z= ]{0,8}", 0..8)) {
            Arguments::parse(line.into_iter().map(OsString::from));
        }
    }
}
