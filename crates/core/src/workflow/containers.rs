use super::view::{Container, Template};
use crate::edit::Path;
use crate::object::Text;
use emissary_contract::container::MAIN;

/// A container of a template, with what it inherits.
#[derive(Debug)]
pub(super) struct Slot<'t, 'a> {
    pub(super) path: Path,
    /// The name that it has in the pod.
    pub(super) name: &'t str,
    /// Whether `mainContainer` of the controller's configuration is merged below it.
    pub(super) is_main: bool,
    own: &'t Container<'a>,
    /// From the Workflow's `templateDefaults`.
    inherited: Option<&'t Container<'a>>,
    /// From the controller's `workflowDefaults`, over which all else is merged.
    configured: Option<&'t Container<'a>>,
}

impl<'t, 'a> Slot<'t, 'a> {
    /// What it is merged from, the first going before the others.
    fn layers(&self) -> impl Iterator<Item = &'t Container<'a>> {
        [Some(self.own), self.inherited, self.configured].into_iter().flatten()
    }

    pub(super) fn image(&self) -> Option<&'t str> {
        self.layers().find_map(Container::image)
    }

    pub(super) fn pull_policy(&self) -> Option<&'t str> {
        self.layers().find_map(|layer| layer.image_pull_policy.as_deref())
    }

    /// Whether the object itself gives it a command.
    pub(super) fn has_command(&self) -> bool {
        self.own.has_command() || self.inherited.is_some_and(Container::has_command)
    }

    /// Whether its image or command comes from the controller's configuration, which may be another by the time it runs.
    pub(super) fn is_configured(&self) -> bool {
        let has_image = [Some(self.own), self.inherited].into_iter().flatten().any(|layer| layer.image().is_some());
        self.configured.is_some_and(|defaults| defaults.has_command() || (!has_image && defaults.image().is_some()))
    }

    pub(super) fn args(&self) -> &'t [Text<'a>] {
        self.layers().map(Container::args).find(|args| !args.is_empty()).unwrap_or_default()
    }

    /// Whether the controller puts a script's path behind the args, so that the image's `CMD` never counts.
    pub(super) fn has_script(&self) -> bool {
        self.layers().any(Container::has_source)
    }

    pub(super) fn has_image_field(&self) -> bool {
        self.own.image.is_some()
    }

    pub(super) fn has_command_field(&self) -> bool {
        self.own.command.is_some()
    }

    pub(super) fn has_args_field(&self) -> bool {
        self.own.args.is_some()
    }
}

/// What a template inherits from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults<'t, 'a> {
    /// The Workflow's own `templateDefaults`.
    pub(super) own: Option<&'t Template<'a>>,
    /// Those of the controller's `workflowDefaults`.
    pub(super) controllers: Option<&'t Template<'a>>,
}

impl<'t, 'a> Defaults<'t, 'a> {
    /// Both, the first going before the second.
    pub(super) fn both(self) -> impl Iterator<Item = &'t Template<'a>> {
        [self.own, self.controllers].into_iter().flatten()
    }

    /// The sidecars without a command that a template gets from the Workflow's `templateDefaults` alone.
    pub(super) fn sidecars_of(self, template: &'t Template<'a>) -> impl Iterator<Item = &'t str> {
        let runs = template.container.is_some() || template.script.is_some() || template.container_set.is_some();
        let sidecars = self.own.filter(|_| runs).map(|defaults| defaults.sidecars.as_slice()).unwrap_or_default();
        let is_new = |sidecar: &&Container<'_>| template.sidecars.iter().all(|own| own.name != *sidecar.name);
        sidecars.iter().filter(|sidecar| !sidecar.has_command()).filter(is_new).map(|sidecar| sidecar.name.as_str())
    }
}

/// The containers of a template whose command Argo would look up. Init containers are not among them, nor is what only
/// `templateDefaults` has: that is merged into templates with other images too.
pub(super) fn slots<'t, 'a>(path: &Path, template: &'t Template<'a>, defaults: Defaults<'t, 'a>) -> Vec<Slot<'t, 'a>> {
    let Defaults { own: inherited, controllers: configured } = defaults;
    let mut slots = Vec::with_capacity(1 + template.sidecars.len());
    type Member<'t, 'a> = fn(&'t Template<'a>) -> Option<&'t Container<'a>>;
    let single: [(&str, Member<'t, 'a>); 2] =
        [("container", |template| template.container.as_ref()), ("script", |template| template.script.as_ref())];
    for (member, of) in single {
        if let Some(own) = of(template) {
            let (inherited, configured) = (inherited.and_then(of), configured.and_then(of));
            slots.push(Slot { path: path.member(member), name: MAIN, is_main: true, own, inherited, configured });
        }
    }
    type Members<'t, 'a> = fn(&'t Template<'a>) -> &'t [Container<'a>];
    let lists: [(Path, bool, Members<'t, 'a>); 2] = [
        (path.member("containerSet").member("containers"), true, |template| {
            template.container_set.as_ref().map(|set| set.containers.as_slice()).unwrap_or_default()
        }),
        (path.member("sidecars"), false, |template| &template.sidecars),
    ];
    for (path, is_main, of) in lists {
        // Lists of containers are merged by name (strategic merge, merge key `name`).
        let named = |defaults: Option<&'t Template<'a>>, name: &str| {
            defaults.and_then(|defaults| of(defaults).iter().find(|other| other.name == *name))
        };
        slots.extend(of(template).iter().enumerate().map(|(index, own)| Slot {
            path: path.index(index),
            name: own.name.as_str(),
            is_main,
            own,
            inherited: named(inherited, &own.name),
            configured: named(configured, &own.name),
        }));
    }
    slots
}

/// A template and where it stands.
pub(super) struct Placed<'t, 'a> {
    pub(super) path: Path,
    /// Its name; for an inline template that of its step, below its parent's.
    pub(super) name: String,
    pub(super) template: &'t Template<'a>,
}

/// All templates of a spec, the inline ones of steps and tasks included.
pub(super) fn templates<'t, 'a>(path: &Path, templates: &'t [Template<'a>]) -> Vec<Placed<'t, 'a>> {
    let mut all = Vec::with_capacity(templates.len());
    for (index, template) in templates.iter().enumerate() {
        let path = path.index(index);
        let steps = template.steps.iter().enumerate().flat_map(|(outer, group)| {
            let path = path.member("steps").index(outer);
            group.iter().enumerate().map(move |(inner, step)| (path.index(inner), step))
        });
        let tasks = template.dag.iter().flat_map(|dag| {
            let path = path.member("dag").member("tasks");
            dag.tasks.iter().enumerate().map(move |(index, task)| (path.index(index), task))
        });
        // Argo allows no steps inside an inline template, so one level is all there is.
        let inline: Vec<Placed<'t, 'a>> = steps
            .chain(tasks)
            .filter_map(|(path, step)| {
                let template = step.inline.as_deref()?;
                Some(Placed { path: path.member("inline"), name: step.name.to_string(), template })
            })
            .map(|placed| Placed { name: format!("{}.{}", template.name, placed.name), ..placed })
            .collect();
        all.push(Placed { path, name: template.name.to_string(), template });
        all.extend(inline);
    }
    all
}
