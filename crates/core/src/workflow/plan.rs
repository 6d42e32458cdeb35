use super::containers::{Defaults, Placed, Slot, slots, templates};
use super::options::{Kind, WorkflowOptions};
use super::patch::may_touch;
use super::view::{Spec, Template};
use crate::edit::{Edits, Path};
use crate::image::{ImageProcess, effective};
use crate::lookup::{Answers, Choice, Indexes, LookUp, pulls_always};
use crate::object::{Affinity, null_as_default};
use crate::outcome::{Findings, Outcome, Provenance, Skip, Source, Warning};
use crate::pod::{Options, Pin, Placement, Selected, to_write};
use serde::Deserialize;
use serde_json::{Value, json};

/// Everything that is decided before the registries have answered.
#[derive(Debug)]
pub struct Plan {
    filled: Vec<Filled>,
    pending: Vec<(Subject, LookUp)>,
    warnings: Vec<Warning>,
    pin: Pin,
}

#[derive(Debug)]
struct Filled {
    order: usize,
    edits: Edits,
    provenance: Provenance,
}

/// A container without a command, as far as its edits need it.
#[derive(Debug)]
struct Subject {
    order: usize,
    path: Path,
    template: String,
    container: String,
    image: String,
    has_image_field: bool,
    args: Vec<String>,
    has_script: bool,
    has_command_field: bool,
    has_args_field: bool,
}

/// Why an object is not what its kind says: not JSON, or a field of another type than Argo gives it.
#[derive(Debug, thiserror::Error)]
#[error("not a {kind}: {source}")]
pub struct NotAWorkflow {
    kind: &'static str,
    source: serde_json::Error,
}

/// Decides what needs no registry, for an object of a workflow kind that was created, or whose spec changed.
///
/// # Errors
/// [`NotAWorkflow`] where the text cannot be read.
pub fn plan(
    text: &str,
    kind: Kind,
    options: &Options,
    workflow: &WorkflowOptions,
    indexes: &Indexes<'_>,
) -> Result<Result<Plan, Skip>, NotAWorkflow> {
    if !workflow.kinds.contains(&kind) {
        return Ok(Err(Skip::KindNotListed));
    }
    draft(text, kind, kind, options, workflow, indexes).map(Ok)
}

/// The images that a run of a stored object would have to be looked up for, each once, whatever kinds are filled: containers
/// without a command, whose image the operator's index does not know, and that name one without parameters.
///
/// # Errors
/// [`NotAWorkflow`] where the text cannot be read.
pub fn look_ups_ahead(
    text: &str,
    kind: Kind,
    options: &Options,
    workflow: &WorkflowOptions,
    indexes: &Indexes<'_>,
) -> Result<Vec<LookUp>, NotAWorkflow> {
    // Its run is a Workflow, for which tags count too.
    let plan = draft(text, kind, Kind::Workflow, options, workflow, indexes)?;
    Ok(plan.look_ups().into_iter().cloned().collect())
}

/// Goes through the object's containers. `kind` is where its templates stand, `filled_as` what may be filled in.
fn draft(
    text: &str,
    kind: Kind,
    filled_as: Kind,
    options: &Options,
    workflow: &WorkflowOptions,
    indexes: &Indexes<'_>,
) -> Result<Plan, NotAWorkflow> {
    let unreadable = |source| NotAWorkflow { kind: kind.name(), source };
    let spec = spec_of(text, kind).map_err(unreadable)?;
    let controllers: Option<Template<'_>> =
        workflow.controller.template_defaults.as_deref().and_then(|defaults| serde_json::from_str(defaults).ok());
    let defaults = Defaults { own: spec.template_defaults.as_ref(), controllers: controllers.as_ref() };
    let spec_patch = spec.pod_spec_patch.as_deref().or(workflow.controller.pod_spec_patch.as_deref());

    let mut plan = Plan { filled: Vec::new(), pending: Vec::new(), warnings: Vec::new(), pin: options.pin };
    let mut order = 0;
    for placed in templates(
        &kind.spec().iter().fold(Path::default(), |path, member| path.member(member)).member("templates"),
        &spec.templates,
    ) {
        let Placed { path, name, template } = placed;
        let layers = || std::iter::once(template).chain(defaults.both());
        let patches: Vec<&str> =
            spec_patch.into_iter().chain(layers().filter_map(|layer| layer.pod_spec_patch.as_deref())).collect();
        let selector = layers().find_map(|layer| layer.node_selector.as_ref()).or(spec.node_selector.as_ref());
        let affinity = Affinity::read(layers().find_map(|layer| layer.affinity).or(spec.affinity));
        let Selected { os, architecture } = Selected::of(selector, &affinity);
        let placement = Placement::of(os.filter(is_known), architecture.filter(is_known), options);
        for sidecar in defaults.sidecars_of(template) {
            let why = "only templateDefaults has it, where nothing is filled".to_owned();
            let (template, container) = (name.clone(), sidecar.to_owned());
            plan.warnings.push(Warning::NotFilled { template, container, why });
        }
        for slot in slots(&path, template, defaults) {
            if slot.has_command() {
                continue;
            }
            order += 1;
            let around = Around {
                template: &name,
                patches: &patches,
                kind: filled_as,
                workflow,
                options,
                placement: &placement,
                indexes,
            };
            plan.consider(order, &slot, &around);
        }
    }
    Ok(plan)
}

/// What decides on a container beside itself.
#[derive(Clone, Copy)]
struct Around<'a> {
    template: &'a str,
    /// Every `podSpecPatch` that applies to the template.
    patches: &'a [&'a str],
    kind: Kind,
    workflow: &'a WorkflowOptions,
    options: &'a Options,
    placement: &'a Placement,
    indexes: &'a Indexes<'a>,
}

/// Whether a value holds no parameter, whose own value is known only later.
fn is_known(value: &&str) -> bool {
    !value.contains("{{")
}

fn spec_of(text: &str, kind: Kind) -> Result<Spec<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Plain<'a> {
        #[serde(borrow, default, deserialize_with = "null_as_default")]
        spec: Spec<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct CronSpec<'a> {
        #[serde(borrow, default, deserialize_with = "null_as_default")]
        workflow_spec: Spec<'a>,
    }
    #[derive(Deserialize)]
    struct Cron<'a> {
        #[serde(borrow, default, deserialize_with = "null_as_default")]
        spec: CronSpec<'a>,
    }
    Ok(match kind {
        Kind::CronWorkflow => serde_json::from_str::<Cron<'_>>(text)?.spec.workflow_spec,
        _ => serde_json::from_str::<Plain<'_>>(text)?.spec,
    })
}

impl Plan {
    /// The images that must be asked for, each once.
    pub fn look_ups(&self) -> Vec<&LookUp> {
        let mut distinct: Vec<&LookUp> = Vec::with_capacity(self.pending.len());
        for (_, look_up) in &self.pending {
            if !distinct.contains(&look_up) {
                distinct.push(look_up);
            }
        }
        distinct
    }

    fn consider(&mut self, order: usize, slot: &Slot<'_, '_>, around: &Around<'_>) {
        let Around { template, patches, kind, workflow, options, placement, indexes } = *around;
        let Some(image) = slot.image() else {
            // Without an image Argo's own validation speaks.
            return;
        };
        let subject = Subject {
            order,
            path: slot.path.clone(),
            template: template.to_owned(),
            container: slot.name.to_owned(),
            image: image.to_owned(),
            has_image_field: slot.has_image_field(),
            args: slot.args().iter().map(ToString::to_string).collect(),
            has_script: slot.has_script(),
            has_command_field: slot.has_command_field(),
            has_args_field: slot.has_args_field(),
        };
        let decides =
            |field| workflow.controller.main_container.as_ref().is_some_and(|main: &Value| main.get(field).is_some());
        if image.contains("{{") {
            return self.leave(&subject, format!("its image {image} has parameters"));
        }
        if patches.iter().any(|patch| may_touch(patch, slot.name)) {
            return self.leave(&subject, "podSpecPatch may change its image or command".to_owned());
        }
        if slot.is_main && (decides("command") || decides("args") || decides("image")) {
            return self.leave(&subject, "the controller's mainContainer sets its image, command or args".to_owned());
        }
        if slot.is_configured() {
            return self.leave(&subject, "the controller's workflowDefaults set its image or command".to_owned());
        }
        let reference = match options.reference(image) {
            Ok(reference) => reference,
            Err(error) => return self.leave(&subject, format!("its image name {image:?} is not valid: {error}")),
        };
        match indexes.known(&reference, &placement.platforms) {
            Some(choice) => self.settle(subject, choice),
            None if kind.is_long_lived() && reference.digest().is_none() => {
                let why = format!("a {} is filled from the image index and for digests only", kind.name());
                self.leave(&subject, why);
            }
            None => {
                let always = pulls_always(slot.pull_policy(), &reference);
                let platforms = placement.platforms.clone();
                self.pending.push((subject, LookUp { reference, platforms, stated: placement.stated, always }));
            }
        }
    }

    fn leave(&mut self, subject: &Subject, why: String) {
        let Subject { template, container, .. } = subject;
        self.warnings.push(Warning::NotFilled { template: template.clone(), container: container.clone(), why });
    }

    fn settle(&mut self, subject: Subject, choice: Choice) {
        match choice {
            Choice::Process(process, source) => match subject.fill(&process, source, self.pin) {
                Ok(filled) => self.filled.push(filled),
                Err(why) => self.leave(&subject, why.to_owned()),
            },
            Choice::Differ(processes) => {
                let platforms: Vec<_> = processes.iter().map(|(platform, ..)| platform).collect();
                let platforms = platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                self.leave(&subject, format!("image {} runs different commands on {platforms}", subject.image));
            }
            Choice::Unknown(miss) => {
                self.leave(&subject, format!("image {} could not be looked up: {}", subject.image, miss.why));
            }
        }
    }

    /// Takes the answers and makes the outcome; never a denial.
    pub fn apply(mut self, answers: &Answers, indexes: &Indexes<'_>) -> Outcome {
        for (subject, look_up) in std::mem::take(&mut self.pending) {
            let choice = indexes.judge(&look_up, answers);
            self.settle(subject, choice);
        }
        let Self { mut filled, pending: _, warnings, pin: _ } = self;
        filled.sort_by_key(|filled| filled.order);
        let (mut edits, mut provenance) = (Edits::default(), Vec::with_capacity(filled.len()));
        for Filled { order: _, edits: one, provenance: origin } in filled {
            edits.extend(one);
            provenance.push(origin);
        }
        let findings = Findings::new(provenance, warnings);
        if edits.is_empty() { Outcome::Unchanged(findings) } else { Outcome::Rewrite(edits, findings) }
    }
}

impl Subject {
    fn fill(&self, process: &ImageProcess, source: Source, pin: Pin) -> Result<Filled, &'static str> {
        let has_args = self.has_script || !self.args.is_empty();
        let words = effective(process, has_args).ok_or("its image has neither ENTRYPOINT nor CMD")?;
        if words.command.iter().chain(words.args.iter().flatten()).any(|word| word.contains("{{")) {
            return Err("the image's own words contain {{, which Argo would evaluate");
        }
        if words.command.is_empty() && has_args {
            return Err("its image has no ENTRYPOINT; its args are the command");
        }
        let mut edits = Edits::default();
        let mut shown = words.command.clone();
        if !words.command.is_empty() {
            edits.set(&self.path.member("command"), self.has_command_field, json!(words.command));
        }
        match words.args {
            // Without an entrypoint the image's CMD is the command: written as one, so that Argo need not look it up.
            Some(cmd) if words.command.is_empty() => {
                edits.set(&self.path.member("command"), self.has_command_field, json!(cmd));
                shown.extend(cmd);
            }
            Some(cmd) => {
                edits.set(&self.path.member("args"), self.has_args_field, json!(cmd));
                shown.extend(cmd);
            }
            None => shown.extend(self.args.iter().cloned()),
        }
        let pinned = to_write(pin, &self.image, &source);
        if let Some(digest) = &pinned {
            let image = json!(format!("{}@{digest}", self.image));
            edits.set(&self.path.member("image"), self.has_image_field, image);
        }
        let provenance = Provenance {
            container: format!("{}/{}", self.template, self.container),
            image: self.image.clone(),
            source,
            command: shown,
            pinned,
        };
        Ok(Filled { order: self.order, edits, provenance })
    }
}
