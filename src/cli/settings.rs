use super::output::WARNING;
use crate::manifest::Problem;
use crate::settings::{self, Override, Snapshot, Sources};
use clap::Args;
use std::path::PathBuf;

/// Variables that stand for flags about the program itself.
const OWN_VARIABLES: [&str; 2] = ["EMISSARY_WEBHOOK_LOG", "EMISSARY_WEBHOOK_LOG_FORMAT"];

/// Where settings come from on the command line.
#[derive(Debug, Args)]
pub(super) struct SettingsArguments {
    /// A settings file; a later one goes before an earlier. Repeatable.
    #[arg(long, value_name = "FILE")]
    settings: Vec<PathBuf>,
    /// One setting by its path, such as rewrite.profile=openshift. Repeatable.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl SettingsArguments {
    /// The sources, with the environment and what further flags say: each flag, the setting that it stands for, its value.
    pub(super) fn sources(
        &self,
        more: impl IntoIterator<Item = (&'static str, &'static str, Option<String>)>,
    ) -> anyhow::Result<Sources> {
        let mut overrides = Vec::new();
        for text in &self.set {
            overrides.push(Override::parse(text)?);
        }
        for (flag, path, value) in more {
            let Some(value) = value else { continue };
            overrides.push(Override { path: path.to_owned(), value, source: flag.into() });
        }
        // Those that stand for a flag of their own are no settings.
        let is_setting = |(name, _): &(String, String)| !OWN_VARIABLES.contains(&name.as_str());
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(is_setting)
            .collect();
        Ok(Sources { files: self.settings.clone(), text: None, variables, overrides })
    }
}

/// All problems of an input, a line each.
pub(super) fn report(problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n       "))
}

/// Reads every source once, and says what is odd about them.
pub(super) fn load(sources: &Sources) -> anyhow::Result<Snapshot> {
    let (snapshot, said) = settings::load(sources).map_err(|problems| report(&problems))?;
    for problem in said.problems {
        anstream::eprintln!("{WARNING} {problem}");
    }
    Ok(snapshot)
}

/// A flag that may be repeated as the list that a settings file would have; nothing where it was not given.
pub(super) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> Option<String> {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    (!values.is_empty()).then(|| serde_json::json!(values).to_string())
}
