//! `argoexec resource ACTION`: an object of the API made, changed, read or removed, and waited for.
//!
//! Argo's runs kubectl for this. Ours is four REST calls: what kubectl alone has (its flags, client-side apply) is refused by
//! name. `apply` is the server's own.

mod condition;
mod lookup;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::report::{Answer, Call, Client, Report, Word};
use crate::retry::Backoff;
use crate::shared::read_text;

use condition::Condition;

/// The longest manifest, bytes: twice what an object of the API can be.
const LONGEST: u64 = 4 << 20;

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    Create,
    Apply,
    Replace,
    Patch,
    Delete,
}

/// Actions by the names that templates have for them.
const ACTIONS: [(&str, Action); 6] = [
    ("get", Action::Get),
    ("create", Action::Create),
    ("apply", Action::Apply),
    ("replace", Action::Replace),
    ("patch", Action::Patch),
    ("delete", Action::Delete),
];

/// How a patch is merged, as templates and as the API call it; the first where nothing is said.
const MERGES: [(&str, &str); 3] = [
    ("strategic", "application/strategic-merge-patch+json"),
    ("merge", "application/merge-patch+json"),
    ("json", "application/json-patch+json"),
];

/// Does it, waits, and reports the output parameters.
///
/// # Errors
/// The first thing that could not be done; that nothing more will come is reported all the same.
pub(crate) async fn run(pod: &Pod, action: &str) -> Result<(), Failure> {
    let report = Report::of(pod)?;
    report.begin().await?;
    let mut word = Word::default();
    let done = perform(pod, action, &mut word.outputs).await;
    done.and(report.finish(&word).await)
}

async fn perform(pod: &Pod, action: &str, outputs: &mut Map<String, Value>) -> Result<(), Failure> {
    let known = ACTIONS.iter().find(|(name, _)| *name == action);
    let Some((_, action)) = known else {
        return Err(Failure::own(format!(
            "resource.action {action:?} is not known; known: {}",
            ACTIONS.map(|(name, _)| name).join(", ")
        )));
    };
    let resource = pod.value.get("resource").unwrap_or(&Value::Null);
    if resource.get("flags").and_then(Value::as_array).is_some_and(|flags| !flags.is_empty()) {
        return Err(Failure::own(
            "resource.flags are kubectl's, which this executor does not have: name the object in the manifest",
        ));
    }
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    let success = Condition::parse(text("successCondition")).doing(|| "resource.successCondition".to_owned())?;
    let failure = Condition::parse(text("failureCondition")).doing(|| "resource.failureCondition".to_owned())?;
    let manifest = manifest(pod, resource)?;
    let client = Client::new(pod)?;
    let place = Place::find(&client, &manifest).await?;
    let merge = MERGES.iter().find(|(name, _)| *name == text("mergeStrategy")).unwrap_or(&MERGES[0]).1;
    let object = act(pod, &client, *action, &place, &manifest, merge).await?;
    if *action == Action::Delete {
        return Ok(());
    }
    let object = wait(pod, &client, &place, object, &success, &failure).await?;
    let parameters = parameters(pod, &object)?;
    if !parameters.is_empty() {
        outputs.insert("parameters".to_owned(), parameters.into());
    }
    Ok(())
}

/// The manifest, of the template or of the input artifact that it names.
fn manifest(pod: &Pod, resource: &Value) -> Result<Value, Failure> {
    let named = resource.pointer("/manifestFrom/artifact/name").and_then(Value::as_str);
    let text = match named {
        Some(name) => {
            let artifacts = &pod.template.fields().inputs.artifacts;
            let artifact = artifacts.iter().find(|artifact| artifact.name == name);
            let path = artifact
                .map(|artifact| artifact.path.as_str())
                .ok_or_else(|| Failure::own(format!("resource.manifestFrom: there is no input artifact {name}")))?;
            read_text(&pod.shared.place(path), LONGEST).doing(|| format!("cannot read the manifest from {path}"))?
        }
        None => resource.get("manifest").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    // What is no one object, such as several, is told apart by what it lacks.
    serde_saphyr::from_str(&text).doing(|| "resource.manifest is not one YAML document".to_owned())
}

/// Where objects of a kind are.
struct Place {
    /// The path of all of them, in the namespace.
    collection: String,
    name: String,
}

impl Place {
    /// Asks the API server where objects of the manifest's kind are.
    async fn find(client: &Client<'_>, manifest: &Value) -> Result<Self, Failure> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        if version.is_empty() || kind.is_empty() {
            return Err(Failure::own("resource.manifest has no apiVersion or no kind"));
        }
        let parts = [version, text("/metadata/namespace"), text("/metadata/name")];
        if parts.iter().any(|part| part.contains("..") || part.contains(['?', '#', '%', ' '])) {
            return Err(Failure::own("resource.manifest: apiVersion, namespace or name is none"));
        }
        let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        let found = again(client, Call::Get, &base, None).await.doing(|| format!("{kind} in {version}"))?;
        let resources = found.get("resources").and_then(Value::as_array);
        let named = |resource: &&Value| {
            let name = resource.get("name").and_then(Value::as_str).unwrap_or_default();
            resource.get("kind").and_then(Value::as_str) == Some(kind) && !name.contains('/')
        };
        let Some(resource) = resources.into_iter().flatten().find(named) else {
            return Err(Failure::own(format!("the API server has no kind {kind} in {version}")));
        };
        let plural = resource.get("name").and_then(Value::as_str).unwrap_or_default();
        let namespaced = resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default();
        let collection = match (namespaced, text("/metadata/namespace")) {
            (false, _) => format!("{base}/{plural}"),
            (true, "") => format!("{base}/namespaces/{}/{plural}", client.namespace()),
            (true, namespace) => format!("{base}/namespaces/{namespace}/{plural}"),
        };
        Ok(Self { collection, name: text("/metadata/name").to_owned() })
    }

    fn object(&self, name: &str) -> Result<String, Failure> {
        match name {
            "" => Err(Failure::own("resource.manifest has no metadata.name")),
            name => Ok(format!("{}/{name}", self.collection)),
        }
    }
}

async fn act(
    pod: &Pod,
    client: &Client<'_>,
    action: Action,
    place: &Place,
    manifest: &Value,
    merge: &'static str,
) -> Result<Value, Failure> {
    let (call, path, body) = match action {
        Action::Create => (Call::Create, place.collection.clone(), Some(manifest)),
        Action::Get => (Call::Get, place.object(&place.name)?, None),
        Action::Replace => (Call::Replace, place.object(&place.name)?, Some(manifest)),
        Action::Delete => (Call::Delete, place.object(&place.name)?, None),
        Action::Patch => (Call::Patch(merge), place.object(&place.name)?, Some(manifest)),
        Action::Apply => {
            let path = format!("{}?fieldManager=argoexec&force=true", place.object(&place.name)?);
            (Call::Patch("application/apply-patch+yaml"), path, Some(manifest))
        }
    };
    pod.say(|| format!("{call:?} {path}"));
    match again(client, call, &path, body).await {
        // What is to be gone is gone.
        Err(Answer::Missing(_)) if action == Action::Delete => Ok(Value::Null),
        other => other.doing(|| format!("resource.action {action:?}")),
    }
}

/// Asks until there is an answer that lasts.
async fn again(client: &Client<'_>, call: Call, path: &str, body: Option<&Value>) -> Result<Value, Answer> {
    let backoff = Backoff::endless();
    let mut tried = 0;
    loop {
        tried += 1;
        match client.call(call, path, body).await {
            Answer::Done(object) => return Ok(object),
            Answer::Later(_) => backoff.wait(tried).await,
            other => return Err(other),
        };
    }
}

/// Looks at the object until one of the conditions holds. Looking again and again is all that a step's rights allow: to watch
/// it takes another right than to get it.
async fn wait(
    pod: &Pod,
    client: &Client<'_>,
    place: &Place,
    mut object: Value,
    success: &Condition,
    failure: &Condition,
) -> Result<Value, Failure> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if success.is_empty() && failure.is_empty() {
        return Ok(object);
    }
    let path = place.object(&name)?;
    loop {
        if let Some(failed) = failure.any(&object) {
            return Err(Failure::own(format!("failure condition '{failed}' evaluated true")));
        }
        if success.all(&object) {
            return Ok(object);
        }
        tokio::time::sleep(pod.environment.resource_tick.max(Duration::from_millis(10))).await;
        object = again(client, Call::Get, &path, None).await.doing(|| format!("{name} cannot be waited for"))?;
    }
}

/// The template's output parameters, with values out of the object.
fn parameters(pod: &Pod, object: &Value) -> Result<Vec<Value>, Failure> {
    let declared = pod.value.pointer("/outputs/parameters").and_then(Value::as_array);
    let mut parameters = Vec::new();
    for parameter in declared.into_iter().flatten() {
        let from = |name: &str| parameter.pointer(&format!("/valueFrom/{name}")).and_then(Value::as_str);
        let found = match (from("jsonPath"), from("jqFilter")) {
            (Some(path), _) => lookup::json_path(object, path),
            (_, Some(filter)) => lookup::jq(object, filter),
            _ => continue,
        };
        let value = match (found, parameter.pointer("/valueFrom/default")) {
            (Ok(value), _) => value,
            (Err(_), Some(default)) => lookup::text(default),
            (Err(why), None) => {
                let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
                return Err(Failure::own(format!("cannot save output parameter {name}: {why}")));
            }
        };
        let mut parameter = parameter.clone();
        if let Some(fields) = parameter.as_object_mut() {
            fields.insert("value".to_owned(), json!(value));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}
