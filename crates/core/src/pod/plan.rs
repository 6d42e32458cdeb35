use super::bare;
use super::command::{Subject, pin};
use super::context::Context;
use super::draft::{Draft, Place};
use super::executor::{Origin, emissary, recognise};
use super::harden::harden;
use super::options::{Options, Pin};
use super::placement::{Placement, placement};
use super::profile::Hardening;
use super::select::select;
use super::template::{Template, TemplateSource, locate};
use super::view::{Container, Pod, Variable};
use super::wrap::wrapped_containers;
use crate::edit::Edits;
use crate::image::{ImageProcess, Platform};
use crate::lookup::{Answers, Choice, Found, Indexes, LookUp, pulls_always};
use crate::names;
use crate::outcome::{Denial, Findings, Outcome, Problem, Provenance, Skip, Source, Warning};
use serde_json::json;

/// The size that an object may have after rewriting, in bytes of compact JSON. The API server refuses requests over about
/// 1.5 MiB (etcd's own limit); below that stands what its defaulting adds afterwards.
const MAX_OBJECT: usize = 1 << 20;

/// Everything that is decided before the registries have answered.
#[derive(Debug)]
pub struct Plan {
    draft: Draft,
    /// Commands that are known already: their edits and where they came from, by the container's position.
    commands: Vec<(usize, Edits, Option<Provenance>)>,
    pending: Vec<Pending>,
    /// Containers with a command of their own whose images are looked up for their digests.
    to_pin: Vec<Pinned>,
    pin: Pin,
    platform_commands: bool,
    stamp: Option<(&'static str, String)>,
    size: usize,
}

/// A container whose command is to be looked up.
#[derive(Debug)]
struct Pending {
    subject: Subject,
    look_up: LookUp,
    /// The platforms that decide where those of the nodes do not agree.
    fallback: Option<Vec<Platform>>,
}

/// A container with a command, as far as its image's digest needs it.
#[derive(Debug)]
struct Pinned {
    index: usize,
    name: String,
    image: String,
    look_up: LookUp,
}

/// Decides what needs no registry.
///
/// # Errors
/// A [`Skip`] where the pod is none of ours.
pub fn plan(pod: &Pod<'_>, context: &Context<'_>, options: &Options, indexes: &Indexes<'_>) -> Result<Plan, Skip> {
    let mut draft = Draft::new(pod);
    draft.warnings.extend(select(pod, context, options)?);
    let shape = match recognise(pod) {
        Ok(shape) if shape.too_old => return Err(Skip::ArgoTooOld),
        Ok(shape) => shape,
        Err(problem) => return Ok(Plan::denied(draft, problem)),
    };
    let placement = match placement(pod, context, options) {
        Ok(placement) => placement,
        Err(problem) => return Ok(Plan::denied(draft, problem)),
    };
    let environments: Vec<&[Variable<'_>]> = shape.own.iter().map(|own| own.variables()).collect();
    let template = match locate(pod.metadata(), &environments) {
        TemplateSource::Found(text) => match serde_json::from_str::<Template<'_>>(text) {
            Ok(template) => Some(template),
            Err(error) => {
                draft.warnings.push(Warning::TemplateUnreadable(error.to_string()));
                None
            }
        },
        TemplateSource::Absent | TemplateSource::Offloaded => None,
    };
    let hardening = Hardening {
        profile: options.profile,
        pod: &pod.spec.security_context,
        windows: placement.windows,
        limits: context.limits,
        writes_tmp: template.as_ref().is_some_and(Template::is_resource),
    };

    let wrapped = wrapped_containers(pod, &shape, template.as_ref(), options, &mut draft);
    if shape.origin == Origin::Bare && wrapped.is_empty() {
        // Without a container to run, what was injected would wait for nobody.
    } else if shape.origin == Origin::Bare {
        bare::build(pod, context, options, &hardening, &wrapped, &mut draft);
    } else {
        emissary::convert(pod, &shape, options, &hardening, !wrapped.is_empty(), &mut draft);
        harden(&shape, context, options, &hardening, &mut draft);
    }

    let prefix =
        if shape.origin == Origin::Bare { bare::prefix(options) } else { emissary::prefix(pod, &shape, options) };
    let supervised = shape.is_supervised(pod) || (shape.origin == Origin::Bare && bare::is_supervised(options));
    let mut plan = Plan::of(draft, options.pin, stamp(pod, options), pod.text().len());
    plan.platform_commands = options.executor.platform_commands;
    for index in wrapped {
        let container = &pod.spec.containers[index];
        plan.draft.share(Place::Regular(index), container);
        if supervised {
            plan.draft.mount_executor_image(Place::Regular(index), container);
        }
        plan.command(index, container, prefix.clone(), &placement, options, indexes);
    }
    Ok(plan)
}

/// The annotation that the rewriting leaves behind, where there is none yet: it is never refreshed, or a second pass by
/// another version would be an edit of its own.
fn stamp(pod: &Pod<'_>, options: &Options) -> Option<(&'static str, String)> {
    let wanted = !options.stamp.is_empty() && pod.metadata().annotation(names::REWRITTEN).is_none();
    wanted.then(|| (names::REWRITTEN, options.stamp.clone()))
}

/// The same answer for some platforms alone; `None` where it has none of them.
fn narrowed(look_up: &LookUp, answers: &Answers, own: &[Platform]) -> Option<Answers> {
    let found = answers.get(look_up)?.as_ref().ok()?;
    let same = |a: &Platform, b: &Platform| (&a.os, &a.architecture) == (&b.os, &b.architecture);
    let processes: Vec<_> =
        found.processes.iter().filter(|(platform, _)| own.iter().any(|own| same(own, platform))).cloned().collect();
    (!processes.is_empty()).then(|| Answers::from([(look_up.clone(), Ok(Found { processes, ..found.clone() }))]))
}

impl Plan {
    fn of(draft: Draft, pin: Pin, stamp: Option<(&'static str, String)>, size: usize) -> Self {
        Self {
            draft,
            commands: Vec::new(),
            pending: Vec::new(),
            to_pin: Vec::new(),
            pin,
            platform_commands: false,
            stamp,
            size,
        }
    }

    fn denied(mut draft: Draft, problem: Problem) -> Self {
        draft.problems.push(problem);
        Self::of(draft, Pin::Never, None, 0)
    }

    /// The images that must be asked for, each once.
    pub fn look_ups(&self) -> Vec<&LookUp> {
        let mut distinct: Vec<&LookUp> = Vec::with_capacity(self.pending.len());
        let to_pin = self.to_pin.iter().map(|pinned| &pinned.look_up);
        for look_up in self.pending.iter().map(|pending| &pending.look_up).chain(to_pin) {
            if !distinct.contains(&look_up) {
                distinct.push(look_up);
            }
        }
        distinct
    }

    fn command(
        &mut self,
        index: usize,
        container: &Container<'_>,
        prefix: Vec<String>,
        placement: &Placement,
        options: &Options,
        indexes: &Indexes<'_>,
    ) {
        let subject = Subject {
            index,
            name: container.name.to_string(),
            image: container.image.as_deref().unwrap_or_default().to_owned(),
            pull_policy: container.pull_policy(),
            prefix,
            has_command_field: container.command.is_some(),
            args: container.args().iter().map(ToString::to_string).collect(),
            has_args_field: container.args.is_some(),
            variables: match options.executor.platform_commands {
                true => container.environment().ok().flatten().map(|variables| variables.len()),
                false => None,
            },
        };
        if !container.command().is_empty() {
            let mut words = subject.prefix.clone();
            words.extend(container.command().iter().map(ToString::to_string));
            let mut edits = Edits::default();
            edits.replace(&Place::Regular(index).path().member("command"), json!(words));
            self.commands.push((index, edits, None));
            if self.pin == Pin::Always {
                self.pin_later(subject, placement, options, indexes);
            }
            return;
        }
        let reference = match options.reference(&subject.image) {
            Ok(reference) => reference,
            Err(error) => {
                let Subject { name: container, image, .. } = subject;
                self.draft.problems.push(Problem::ImageName { container, image, why: error.to_string() });
                return;
            }
        };
        // What the nodes could need, an executor that chooses has.
        let guessed = placement.of_nodes && !self.platform_commands;
        let fallback = guessed.then(|| options.platforms.clone());
        let mut known = indexes.known(&reference, &placement.platforms);
        if let (Some(Choice::Differ(_)), Some(own)) = (&known, &fallback) {
            self.warn_of_nodes(&subject, own);
            known = indexes.known(&reference, own);
        }
        match known {
            Some(choice) => self.settle(subject, choice),
            None => {
                let platforms = placement.platforms.clone();
                let always = pulls_always(subject.pull_policy.as_deref(), &reference);
                self.pending.push(Pending {
                    subject,
                    look_up: LookUp { reference, platforms, stated: placement.stated, always },
                    fallback,
                });
            }
        }
    }

    /// Asks for an image's digest alone. A name that is none is for the kubelet to refuse, as without pinning.
    fn pin_later(&mut self, subject: Subject, placement: &Placement, options: &Options, indexes: &Indexes<'_>) {
        let Subject { index, name, image, pull_policy, .. } = subject;
        let Ok(reference) = options.reference(&image) else { return };
        if reference.digest().is_some() || indexes.operator.find(&reference).is_some() {
            return;
        }
        let always = pulls_always(pull_policy.as_deref(), &reference);
        let platforms = placement.platforms.clone();
        let look_up = LookUp { reference, platforms, stated: placement.stated, always };
        self.to_pin.push(Pinned { index, name, image, look_up });
    }

    fn warn_of_nodes(&mut self, subject: &Subject, own: &[Platform]) {
        self.draft.warnings.push(Warning::NodesDiffer {
            container: subject.name.clone(),
            image: subject.image.clone(),
            platforms: own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        });
    }

    fn settle(&mut self, subject: Subject, choice: Choice) {
        match choice {
            Choice::Process(process, source) => match subject.fill(&process, source, self.pin) {
                Ok(command) => self.commands.push(command),
                Err(problem) => self.draft.problems.push(problem),
            },
            Choice::Differ(processes) if self.platform_commands => self.leave_to_the_executor(subject, processes),
            Choice::Differ(processes) => self.draft.problems.push(Problem::PlatformsDiffer {
                container: subject.name,
                image: subject.image,
                platforms: processes.iter().map(|(platform, ..)| platform.to_string()).collect::<Vec<_>>().join(", "),
            }),
            Choice::Unknown(miss) => self.draft.problems.push(Problem::LookUp {
                container: subject.name,
                image: subject.image,
                why: miss.why,
                transient: miss.transient,
            }),
        }
    }

    /// Writes a command for each platform, of which the executor takes its node's.
    fn leave_to_the_executor(&mut self, subject: Subject, processes: Vec<(Platform, ImageProcess, Source)>) {
        let (place, variables) = (Place::Regular(subject.index), subject.variables);
        match subject.fill_by_platform(processes, self.pin) {
            Ok((commands, variable)) => {
                self.draft.env(place, variables).append(variable);
                self.commands.extend(commands);
            }
            Err(problem) => self.draft.problems.push(problem),
        }
    }

    /// Takes the answers and makes the outcome.
    pub fn apply(mut self, answers: &Answers, indexes: &Indexes<'_>) -> Outcome {
        for Pending { subject, look_up, fallback } in std::mem::take(&mut self.pending) {
            let mut choice = indexes.judge(&look_up, answers);
            if let (Choice::Differ(_), Some(own)) = (&choice, &fallback)
                && let Some(narrowed) = narrowed(&look_up, answers, own)
            {
                self.warn_of_nodes(&subject, own);
                choice = indexes.judge(&look_up, &narrowed);
            }
            self.settle(subject, choice);
        }
        for Pinned { index, name, image, look_up } in std::mem::take(&mut self.to_pin) {
            match answers.get(&look_up) {
                Some(Ok(found)) => self.commands.push((index, pin(index, &image, &found.digest), None)),
                // The container says what it runs, so it runs as it would have without us.
                Some(Err(miss)) => {
                    let why = miss.why.clone();
                    self.draft.warnings.push(Warning::NotPinned { container: name, image, why });
                }
                None => {}
            }
        }
        let Self { mut draft, mut commands, pending: _, to_pin: _, pin: _, platform_commands: _, stamp, size } = self;
        let (problems, warnings) = (std::mem::take(&mut draft.problems), std::mem::take(&mut draft.warnings));
        if !problems.is_empty() {
            return Outcome::Denial(Denial { problems });
        }
        commands.sort_by_key(|(index, ..)| *index);
        let (mut edits, mut provenance) = (Edits::default(), Vec::new());
        for (_, command, origin) in commands {
            edits.extend(command);
            provenance.extend(origin);
        }
        let edits = draft.finish(edits, stamp);
        let findings = Findings::new(provenance, warnings);
        if edits.is_empty() {
            return Outcome::Unchanged(findings);
        }
        let bytes = size.saturating_add(edits.growth());
        if bytes > MAX_OBJECT {
            return Outcome::Denial(Denial { problems: vec![Problem::ObjectSize { bytes, limit: MAX_OBJECT }] });
        }
        Outcome::Rewrite(edits, findings)
    }
}
