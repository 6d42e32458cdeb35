use super::view::{Pod, Variable};
use crate::object::{Metadata, Text, null_as_default};
use emissary_contract::{OFFLOADED, annotation, variable};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What the controller says the pod runs, as far as the rewriting asks: the names of the containers that are the user's.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Template<'a> {
    #[serde(borrow, default)]
    container_set: Option<ContainerSet<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    sidecars: Vec<Named<'a>>,
    #[serde(default)]
    resource: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
struct ContainerSet<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    containers: Vec<Named<'a>>,
}

#[derive(Debug, Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

impl Template<'_> {
    /// Whether a regular container of this name is the user's: `main` or a container set's member, or a sidecar.
    pub(super) fn names(&self, container: &str) -> bool {
        let main = match &self.container_set {
            Some(set) => set.containers.iter().any(|member| member.name == container),
            None => container == emissary_contract::container::MAIN,
        };
        main || self.sidecars.iter().any(|sidecar| sidecar.name == container)
    }

    /// Whether it creates a Kubernetes object: then init writes the manifest below `/tmp`.
    pub(super) fn is_resource(&self) -> bool {
        self.resource.is_some()
    }
}

/// Where the template was found.
#[derive(Debug)]
pub(super) enum TemplateSource<'t> {
    /// Nowhere: the pod is bare.
    Absent,
    /// In a ConfigMap, because it was too long. It is carried along, never read.
    Offloaded,
    /// In a variable (3.2 and later) or in the pod's annotation (3.1).
    Found(&'t str),
}

/// Looks where Argo puts it: the variable first, then 3.1's annotation.
pub(super) fn locate<'t>(metadata: &'t Metadata<'_>, environments: &'t [&[Variable<'_>]]) -> TemplateSource<'t> {
    let by_variable = environments
        .iter()
        .flat_map(|environment| environment.iter())
        .find(|variable| variable.name == variable::TEMPLATE)
        .and_then(|variable| variable.value.as_deref());
    match by_variable.or_else(|| metadata.annotation(annotation::TEMPLATE)) {
        None => TemplateSource::Absent,
        Some(OFFLOADED) => TemplateSource::Offloaded,
        Some(text) => TemplateSource::Found(text),
    }
}

/// The name of the template that a pod runs, where the pod carries its template. For people, so a template that cannot be
/// read has no name.
pub fn template_name(pod: &Pod<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Titled<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }
    let containers = pod.spec.init_containers().iter().chain(&pod.spec.containers);
    let environments: Vec<_> = containers.filter_map(|container| container.environment().ok().flatten()).collect();
    let environments: Vec<&[Variable<'_>]> = environments.iter().map(Vec::as_slice).collect();
    let TemplateSource::Found(text) = locate(&pod.metadata, &environments) else { return None };
    serde_json::from_str::<Titled<'_>>(text).ok().map(|template| template.name.as_str().to_owned())
}
