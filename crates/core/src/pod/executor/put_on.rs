//! Making the pod that the same controller would have made for another executor.
//!
//! A controller of 3.1 to 3.3 builds one pod and lets the executor change little of it, so what one executor put on is taken
//! off and the other's share put on. Three things are not in a pod: what pns put its own security context in place of, the
//! kubelet's and docker's settings ([`ExecutorSettings`]), and who gave a container's command where neither the template
//! nor its `podSpecPatch` names the container. The first and the last are told as [`Unknown`].

use super::super::draft::Draft;
use super::super::edit_value::{append, each_container, list_mut, members_mut};
use super::super::template::{TemplateSource, locate};
use super::super::view::{NotAPod, Pod, Variable};
use super::older::as_3_3;
use super::unwrap::unwrap;
use super::{Executor, ExecutorSettings, Origin, Role, docker, emissary, kubelet, pns, recognise};
use crate::edit::Edits;
use emissary_contract::{container, label, variable};
use serde_json::{Map, Value, json};

/// A pod for another executor.
#[derive(Debug, Clone, PartialEq)]
pub struct PutOn {
    /// The pod.
    pub pod: Value,
    /// What in it may be otherwise, because the pod that it was made from does not say.
    pub unknown: Vec<Unknown>,
}

/// A field that the old pod does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The container's name.
    pub container: String,
    /// The field of the container.
    pub field: &'static str,
    /// Why it is not known.
    pub why: &'static str,
}

/// Why there is no pod for another executor.
#[derive(Debug, thiserror::Error)]
pub enum CannotPutOn {
    /// It cannot be read as a pod.
    #[error(transparent)]
    NotAPod(#[from] NotAPod),
    /// Nobody of Argo made it, so what another controller would have made is not in it.
    #[error("the pod was not made by Argo's controller, and its template is not known: render the Workflow instead")]
    Bare,
    /// Argo before 3.1.
    #[error("the pod was made by a controller older than Argo 3.1")]
    TooOld,
    /// From 3.4 on there is emissary only, and the pod does not show what 3.3 would have made: it has an image volume in place
    /// of an init container (4.1), or its template is in a ConfigMap.
    #[error("the controller that made the pod knows no executor but emissary: render the Workflow as Argo 3.3 would")]
    OnlyEmissary,
    /// For emissary the commands of images are needed.
    #[error("emissary wraps the images' commands, which are to be looked up: rewrite the pod instead")]
    NeedsImages,
    /// The template is neither in a variable nor in an annotation, or is not JSON.
    #[error("the pod's template cannot be read")]
    Template,
    /// A field is of another form than the Kubernetes API gives it.
    #[error("{0}")]
    Unreadable(String),
}

/// Makes the pod that the controller of `pod` would have made for `executor`. Where that controller is of 3.4 or later and
/// knows emissary only, it is 3.3's with the same settings.
///
/// # Errors
/// [`CannotPutOn`], by which a caller tells whether rendering or rewriting would do instead.
pub fn put_on(pod: &Value, executor: Executor, settings: &ExecutorSettings) -> Result<PutOn, CannotPutOn> {
    match in_its_layout(pod, executor, settings) {
        Err(CannotPutOn::OnlyEmissary) => {
            let older = as_3_3(pod).ok_or(CannotPutOn::OnlyEmissary)?;
            in_its_layout(&older, executor, settings)
        }
        done => done,
    }
}

fn in_its_layout(pod: &Value, executor: Executor, settings: &ExecutorSettings) -> Result<PutOn, CannotPutOn> {
    let text = pod.to_string();
    let parsed = Pod::parse(&text)?;
    if parsed.metadata().label(label::COMPONENT).is_some() {
        // Agents and artifact collectors are the same under every executor.
        return Ok(PutOn { pod: pod.clone(), unknown: Vec::new() });
    }
    let shape = recognise(&parsed).map_err(|problem| CannotPutOn::Unreadable(problem.to_string()))?;
    match (shape.origin, executor) {
        _ if shape.too_old => return Err(CannotPutOn::TooOld),
        (Origin::Bare, _) => return Err(CannotPutOn::Bare),
        (Origin::V34, Executor::Emissary) => return Ok(PutOn { pod: pod.clone(), unknown: Vec::new() }),
        (Origin::V34, _) => return Err(CannotPutOn::OnlyEmissary),
        (_, same) if same == shape.executor => return Ok(PutOn { pod: pod.clone(), unknown: Vec::new() }),
        (_, Executor::Emissary) => return Err(CannotPutOn::NeedsImages),
        _ => {}
    }
    let environments: Vec<&[Variable<'_>]> = shape.own.iter().map(|own| own.variables()).collect();
    let TemplateSource::Found(template) = locate(parsed.metadata(), &environments) else {
        return Err(CannotPutOn::Template);
    };
    let template: Value = serde_json::from_str(template).map_err(|_| CannotPutOn::Template)?;

    let mut draft = Draft::new(&parsed);
    emissary::take_off(&parsed, &shape, &mut draft);
    if let Some(problem) = draft.problems.first() {
        return Err(CannotPutOn::Unreadable(problem.to_string()));
    }
    let mut made = pod.clone();
    let edits = draft.finish(Edits::default(), None);
    edits.apply(&mut made).map_err(|error| CannotPutOn::Unreadable(error.to_string()))?;

    let mut unknown = Vec::new();
    match shape.executor {
        Executor::Emissary => unwrap(&mut made, &template, shape.origin, &mut unknown),
        Executor::Pns if shape.role(Role::Wait).is_some() && executor != Executor::Pns => {
            give_back_context(&mut made, shape.role(Role::Init).is_some(), &mut unknown);
        }
        _ => {}
    }
    let windows = is_for_windows(&template);
    each_container(&mut made["spec"], |container| name_executor(container, executor, settings));
    match executor {
        Executor::Docker => {
            if let Some(wait) = wait_of(&mut made) {
                append(wait, "volumeMounts", docker::mount(windows));
            }
            if let Some(spec) = members_mut(&mut made["spec"]) {
                append(spec, "volumes", docker::volume(settings.docker_socket.as_deref(), windows));
            }
        }
        Executor::Pns => {
            if let Some(spec) = members_mut(&mut made["spec"]) {
                spec.insert("shareProcessNamespace".to_owned(), json!(true));
            }
            if let Some(wait) = wait_of(&mut made) {
                let context = pns::security_context(&template, settings.pns_privileged);
                wait.insert("securityContext".to_owned(), context);
            }
        }
        Executor::Kubelet | Executor::K8sApi | Executor::Emissary => {}
    }
    Ok(PutOn { pod: made, unknown })
}

/// Whether the template asks for Windows, as the controller reads it: by the node selector alone.
pub(crate) fn is_for_windows(template: &Value) -> bool {
    template["nodeSelector"]["kubernetes.io/os"] == "windows"
}

fn wait_of(pod: &mut Value) -> Option<&mut Map<String, Value>> {
    let wait = list_mut(pod.get_mut("spec")?, "containers").iter_mut().find(|c| c["name"] == container::WAIT);
    wait.and_then(Value::as_object_mut)
}

/// What pns replaced on `wait` still stands on `init`, where there is one: the controller gives both the same.
fn give_back_context(pod: &mut Value, has_init: bool, unknown: &mut Vec<Unknown>) {
    if !has_init {
        unknown.push(Unknown {
            container: container::WAIT.to_owned(),
            field: "securityContext",
            why: "pns put its own in place of the configured one, and the pod has no init container that would show it",
        });
        return;
    }
    let inits = list_mut(&mut pod["spec"], "initContainers");
    let context = inits.iter().find(|init| init["name"] == container::INIT).map(|init| init["securityContext"].clone());
    if let (Some(context), Some(wait)) = (context.filter(|context| !context.is_null()), wait_of(pod)) {
        wait.insert("securityContext".to_owned(), context);
    }
}

/// Writes the executor's name, and what else it tells itself, where the controller had written emissary's.
fn name_executor(container: &mut Map<String, Value>, executor: Executor, settings: &ExecutorSettings) {
    let Some(Value::Array(env)) = container.get_mut("env") else { return };
    let Some(named) = env.iter_mut().find(|v| v["name"] == variable::EXECUTOR).and_then(Value::as_object_mut) else {
        return;
    };
    named.insert("value".to_owned(), json!(executor.name()));
    if executor == Executor::Kubelet {
        env.extend(kubelet::variables(settings));
    }
}
