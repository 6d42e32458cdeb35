//! Cases in which a workflow kind becomes pods.

use emissary_core::image::{ImageIndex, Reference};
use emissary_core::pod::Executor;
use emissary_core::workflow::{Controller, Given, Kind, Version, render};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseController {
    version: String,
    executor: String,
    #[serde(default)]
    configuration: Value,
}

impl CaseController {
    fn read(&self) -> Result<Controller, String> {
        let Self { version, executor, configuration } = self;
        let version = match version.as_str() {
            "3.1" => Version::V31,
            "3.3" => Version::V33,
            "3.5" => Version::V35,
            "3.7" => Version::V37,
            "4.1" => Version::V41,
            other => return Err(format!("version {other} is not known")),
        };
        let known = [Executor::Docker, Executor::Kubelet, Executor::K8sApi, Executor::Pns, Executor::Emissary];
        let executor = known.into_iter().find(|known| known.name() == executor);
        let executor = executor.ok_or_else(|| format!("executor {} is not known", self.executor))?;
        Ok(Controller::new(version, executor).configured(configuration))
    }

    /// What each pod shows.
    pub(crate) fn render(
        &self,
        object: &Value,
        index: &ImageIndex,
        shown: impl Fn(&Value) -> Value,
    ) -> Result<Value, String> {
        let kind = object["kind"].as_str().and_then(Kind::of_name).ok_or("the input is of no workflow kind")?;
        let process = |image: &str| index.find(&Reference::parse(image).ok()?)?.entry.process.clone();
        let yaml = |text: &str| serde_saphyr::from_str(text).ok();
        let pods = render(object, kind, &self.read()?, &Given { process: &process, yaml: &yaml });
        let pods = pods.iter().map(|one| {
            let mut said = json!({"name": one.name, "pod": shown(&one.pod)});
            if !one.notes.is_empty() {
                said["notes"] = one.notes.iter().map(|note| json!(note.to_string())).collect();
            }
            said
        });
        Ok(pods.collect())
    }
}
