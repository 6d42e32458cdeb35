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
    inherited: Option<&'t Container<'a>>,
}

impl<'t, 'a> Slot<'t, 'a> {
    pub(super) fn image(&self) -> Option<&'t str> {
        self.own.image().or_else(|| self.inherited.and_then(Container::image))
    }

    pub(super) fn has_command(&self) -> bool {
        self.own.has_command() || self.inherited.is_some_and(Container::has_command)
    }

    pub(super) fn args(&self) -> &'t [Text<'a>] {
        match (self.own.args(), self.inherited) {
            ([], Some(inherited)) => inherited.args(),
            (own, _) => own,
        }
    }

    /// Whether the controller puts a script's path behind the args, so that the image's `CMD` never counts.
    pub(super) fn has_script(&self) -> bool {
        self.own.has_source() || self.inherited.is_some_and(Container::has_source)
    }

    pub(super) fn has_command_field(&self) -> bool {
        self.own.command.is_some()
    }

    pub(super) fn has_args_field(&self) -> bool {
        self.own.args.is_some()
    }
}

/// The containers of a template whose command Argo would look up. Init containers are not among them, nor is what only
/// `templateDefaults` has: that is merged into templates with other images too.
pub(super) fn slots<'t, 'a>(
    path: &Path,
    template: &'t Template<'a>,
    defaults: Option<&'t Template<'a>>,
) -> Vec<Slot<'t, 'a>> {
    let mut slots = Vec::with_capacity(1 + template.sidecars.len());
    let single = [
        ("container", &template.container, defaults.and_then(|d| d.container.as_ref())),
        ("script", &template.script, defaults.and_then(|d| d.script.as_ref())),
    ];
    for (member, own, inherited) in single {
        if let Some(own) = own {
            slots.push(Slot { path: path.member(member), name: MAIN, is_main: true, own, inherited });
        }
    }
    if let Some(set) = &template.container_set {
        let inherited = defaults.and_then(|d| d.container_set.as_ref()).map(|set| set.containers.as_slice());
        let path = path.member("containerSet").member("containers");
        slots.extend(named(&path, &set.containers, inherited.unwrap_or_default(), true));
    }
    let inherited = defaults.map(|d| d.sidecars.as_slice()).unwrap_or_default();
    slots.extend(named(&path.member("sidecars"), &template.sidecars, inherited, false));
    slots
}

/// Lists of containers are merged by name (strategic merge, merge key `name`).
fn named<'t, 'a>(
    path: &Path,
    own: &'t [Container<'a>],
    inherited: &'t [Container<'a>],
    is_main: bool,
) -> impl Iterator<Item = Slot<'t, 'a>> {
    own.iter().enumerate().map(move |(index, own)| Slot {
        path: path.index(index),
        name: own.name.as_str(),
        is_main,
        own,
        inherited: inherited.iter().find(|inherited| inherited.name == own.name),
    })
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
