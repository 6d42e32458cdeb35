//! The pod that this program is in: its variables, its files, its template.

use std::io::ErrorKind;

use emissary_contract::{OFFLOADED, Template, path, variable};
use serde_json::Value;

use crate::beneath;
use crate::environment::Environment;
use crate::failure::{Doing as _, Failure};
use crate::shared::{Shared, read_text};

/// The longest template, bytes. An object of the API is at most 1.5 MiB.
const LONGEST: u64 = 4 << 20;

/// What every verb begins with.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) environment: Environment,
    pub(crate) shared: Shared,
    pub(crate) template: Template,
    /// Every field of the template.
    pub(crate) value: Value,
    verbose: bool,
}

impl Pod {
    /// With the template of the environment, as for `init`, which writes it for the others.
    ///
    /// # Errors
    /// Where there is none, or it is none.
    pub(crate) fn of_variable(environment: Environment, shared: Shared, verbose: bool) -> Result<Self, Failure> {
        let text = match environment.template.as_deref() {
            Some(OFFLOADED) => {
                let file = shared.place(path::CONFIG).join(variable::TEMPLATE);
                read_text(&file, LONGEST).doing(|| format!("cannot read the template from {}", file.display()))?
            }
            Some(text) => text.to_owned(),
            None => return Err(Failure::own(format!("{} is not set: there is no template", variable::TEMPLATE))),
        };
        Self::new(text, variable::TEMPLATE, environment, shared, verbose)
    }

    /// With the template that `init` or the supervisor wrote, else that of the environment.
    ///
    /// # Errors
    /// Where there is none, or it is none.
    pub(crate) fn of_file(environment: Environment, shared: Shared, verbose: bool) -> Result<Self, Failure> {
        // The user's processes can write there as well.
        let opened = beneath::open(&shared.place(path::SHARED), "template", beneath::Links::Refused);
        match opened.and_then(|file| beneath::text(file, LONGEST)) {
            Ok(text) => Self::new(text, path::TEMPLATE, environment, shared, verbose),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::of_variable(environment, shared, verbose),
            Err(error) => Err(error).doing(|| format!("cannot read {}", path::TEMPLATE)),
        }
    }

    /// Without a template: a workflow's agent has tasks instead.
    ///
    /// # Errors
    /// None: it is as the others are.
    pub(crate) fn of_agent(environment: Environment, shared: Shared, verbose: bool) -> Result<Self, Failure> {
        Self::new("{}".to_owned(), "nothing", environment, shared, verbose)
    }

    fn new(text: String, from: &str, environment: Environment, shared: Shared, verbose: bool) -> Result<Self, Failure> {
        let template = Template::parse(text).doing(|| format!("{from} is no template"))?;
        Ok(Self { value: template.value(), environment, shared, template, verbose })
    }

    /// The name of the container that this is.
    pub(crate) fn container(&self) -> &str {
        self.environment.container.as_deref().unwrap_or(emissary_contract::container::WAIT)
    }

    /// Says what is being done, where that is asked for.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        use std::io::Write as _;
        if self.verbose {
            // Nobody can be told that standard error is gone.
            let _ = writeln!(std::io::stderr(), "argoexec: {}", what());
        }
    }
}
