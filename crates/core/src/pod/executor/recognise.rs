use super::super::view::{Container, Pod, Variable};
use super::Executor;
use crate::outcome::Problem;
use emissary_contract::{annotation, container, path, variable, verb};

/// Who made the pod, which decides the layout that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Origin {
    /// Nobody of Argo: there is neither an executor's container nor a wrapped command.
    Bare,
    /// Argo 3.1: the template is an annotation, and only emissary pods have the shared volume.
    V31,
    /// Argo 3.2 and 3.3: the template is a variable, the executor is named by another.
    V33,
    /// Argo 3.4 and later: only emissary.
    V34,
}

/// The pod as an executor sees it.
#[derive(Debug)]
pub(in crate::pod) struct Shape<'p, 'a> {
    pub(in crate::pod) origin: Origin,
    /// The executor it was built for; `Emissary` for a bare pod too, which was built for none.
    pub(in crate::pod) executor: Executor,
    /// Argo's containers: regular ones first, then init.
    pub(in crate::pod) own: Vec<Own<'p, 'a>>,
    /// Made by a controller older than 3.1.
    pub(in crate::pod) too_old: bool,
}

/// A container that runs Argo's own executor, and its environment.
#[derive(Debug)]
pub(in crate::pod) struct Own<'p, 'a> {
    pub(in crate::pod) role: Role,
    /// Its position in `containers`, or in `initContainers` for [`Role::Init`].
    pub(in crate::pod) index: usize,
    pub(in crate::pod) container: &'p Container<'a>,
    /// `None` where the field is absent.
    pub(in crate::pod) environment: Option<Vec<Variable<'a>>>,
}

impl<'a> Own<'_, 'a> {
    pub(in crate::pod) fn variables(&self) -> &[Variable<'a>] {
        self.environment.as_deref().unwrap_or_default()
    }

    fn variable(&self, name: &str) -> Option<&Variable<'a>> {
        self.variables().iter().rev().find(|variable| variable.name == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Role {
    Init,
    Wait,
    Supervisor,
    /// The `main` of a resource or data template, which is the executor itself.
    Task,
}

impl<'p, 'a> Shape<'p, 'a> {
    pub(in crate::pod) fn role(&self, role: Role) -> Option<&Own<'p, 'a>> {
        self.own.iter().find(|own| own.role == role)
    }

    /// The container whose settings an injected one takes over.
    pub(in crate::pod) fn pattern(&self) -> Option<&Own<'p, 'a>> {
        [Role::Wait, Role::Supervisor, Role::Init, Role::Task].into_iter().find_map(|role| self.role(role))
    }

    /// Whether the executor comes from an image volume: Argo 4.1's init-less layout, in which not every pod has a
    /// supervisor.
    pub(in crate::pod) fn is_supervised(&self, pod: &Pod<'_>) -> bool {
        let from_image = |c: &Container<'_>| c.command().first().is_some_and(|word| word == path::EXECUTOR_IN_IMAGE);
        self.role(Role::Supervisor).is_some() || pod.spec.containers.iter().any(from_image)
    }

    /// Whether a regular container is one of Argo's that is never wrapped.
    pub(in crate::pod) fn is_own(&self, index: usize) -> bool {
        self.own.iter().any(|own| own.index == index && matches!(own.role, Role::Wait | Role::Supervisor))
    }
}

/// Looks for the executor's containers and what they say.
pub(in crate::pod) fn recognise<'p, 'a>(pod: &'p Pod<'a>) -> Result<Shape<'p, 'a>, Problem> {
    let mut own = Vec::with_capacity(2);
    for (index, container) in pod.spec.containers.iter().enumerate() {
        let role = match (container.name.as_str(), container.argoexec_verb()) {
            (container::WAIT, Some(verb::WAIT)) => Role::Wait,
            (container::SUPERVISOR, Some(container::SUPERVISOR)) => Role::Supervisor,
            (container::MAIN, Some("resource" | "data")) => Role::Task,
            _ => continue,
        };
        own.push(own_container(role, index, container)?);
    }
    for (index, container) in pod.spec.init_containers().iter().enumerate() {
        if container.name == container::INIT && container.argoexec_verb() == Some(verb::INIT) {
            own.push(own_container(Role::Init, index, container)?);
        }
    }
    let wrapped = pod.spec.containers.iter().any(Container::is_wrapped);
    let by_variable = own.iter().find_map(|own| own.variable(variable::EXECUTOR));
    let executor = match by_variable {
        Some(variable) => Executor::of_variable(variable.value.as_deref()).unwrap_or(Executor::K8sApi),
        None => Executor::Emissary,
    };
    let has_template_variable = own.iter().any(|own| own.variable(variable::TEMPLATE).is_some());
    let origin = if own.is_empty() && !wrapped {
        Origin::Bare
    } else if !has_template_variable && pod.metadata.annotation(annotation::TEMPLATE).is_some() {
        Origin::V31
    } else if by_variable.is_some()
        || !own.iter().any(|own| own.container.command().iter().any(|w| w == "--log-format"))
    {
        Origin::V33
    } else {
        Origin::V34
    };
    let too_old = own.iter().any(|own| {
        own.container.image.as_deref().and_then(minor_version).is_some_and(|version| version < (3, 1))
            || (origin == Origin::V31 && own.variable(variable::CONTAINER_NAME).is_none())
    });
    Ok(Shape { origin, executor, own, too_old })
}

fn own_container<'p, 'a>(role: Role, index: usize, container: &'p Container<'a>) -> Result<Own<'p, 'a>, Problem> {
    let environment = container.environment().map_err(|error| Problem::Field {
        container: container.name.to_string(),
        field: "env",
        why: error.to_string(),
    })?;
    Ok(Own { role, index, container, environment })
}

/// `(3, 3)` of `quay.io/argoproj/argoexec:v3.3.10`; `None` for a tag of another form or another image.
fn minor_version(image: &str) -> Option<(u32, u32)> {
    let image = image.split('@').next()?;
    let (name, tag) = image.rsplit_once(':')?;
    if name.rsplit('/').next() != Some(emissary_contract::PROGRAM) {
        return None;
    }
    let mut numbers = tag.strip_prefix('v')?.split(['.', '-']).map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::minor_version;

    #[test]
    fn versions_are_read_from_argos_own_tags_only() {
        for (image, expected) in [
            ("quay.io/argoproj/argoexec:v3.3.10", Some((3, 3))),
            ("argoproj/argoexec:v2.12.11", Some((2, 12))),
            ("argoexec:v4.1.2-nonroot", Some((4, 1))),
            ("corp:5000/argoexec:v3.0.1@sha256:00", Some((3, 0))),
            ("corp:5000/argoexec", None),
            ("corp/argoexec:latest", None),
            ("corp/tool:v1.0.0", None),
        ] {
            assert_eq!(minor_version(image), expected, "{image}");
        }
    }
}
