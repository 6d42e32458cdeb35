//! What stands in a case file, and what the rewriting makes of it.

use crate::rendering::CaseController;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use emissary_core::image::{Aliases, Digest, ImageIndex, ImageProcess, IndexEntry, Platform, Reference};
use emissary_core::lookup::{Answers, Found, Indexes, LookUp, Miss};
use emissary_core::outcome::{Outcome, Provenance, Source};
use emissary_core::pod::{
    self, Context, Executor, ExecutorChoice, ExecutorOptions, Executors, Layout, LimitRangeItem, Limits, NamePatterns,
    Options, Overrides, Pin, Pod, Profile,
};
use emissary_core::workflow::{self, ControllerDefaults, Kind, WorkflowOptions};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(default)]
    options: CaseOptions,
    #[serde(default)]
    context: CaseContext,
    #[serde(default)]
    workflows: CaseWorkflows,
    /// The operator's image index.
    #[serde(default)]
    index: BTreeMap<String, CaseEntry>,
    /// The entries that are shipped.
    #[serde(default)]
    shipped: BTreeMap<String, CaseEntry>,
    /// What the registries have. An image that is asked for and is not here fails the case.
    #[serde(default)]
    registry: BTreeMap<String, CaseImage>,
    /// Renders the pods of a workflow kind instead of rewriting it.
    render: Option<CaseController>,
    input: Value,
    /// JSON pointers into the object after rewriting, in which a list's element may go by its name. Without any, the
    /// whole patch is the expectation.
    #[serde(default)]
    show: Vec<String>,
    #[serde(default)]
    pub(crate) expect: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseOptions {
    profile: Option<String>,
    layout: Option<String>,
    #[serde(default)]
    executor: CaseExecutor,
    #[serde(default)]
    harden_argo_containers: bool,
    #[serde(default)]
    init_after_proxies: bool,
    #[serde(default)]
    injected_sidecars: Vec<String>,
    #[serde(default)]
    wrap: Vec<String>,
    platforms: Option<Vec<Platform>>,
    /// The annotations that count: `mode`, `executor`, `platform`, `wrap`.
    #[serde(default)]
    allow: BTreeSet<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    pin: Option<String>,
    stamp: Option<String>,
    #[serde(default)]
    executors: CaseExecutors,
}

/// Which pods are left to another executor, the two choices as the controller's configuration has them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseExecutors {
    #[serde(default)]
    others: Vec<String>,
    #[serde(default)]
    container_runtime_executors: Value,
    container_runtime_executor: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseExecutor {
    image: Option<String>,
    windows_image: Option<String>,
    image_pull_policy: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Value>,
    resources: Option<Value>,
    security_context: Option<Value>,
    log_level: Option<String>,
    log_format: Option<String>,
    #[serde(default)]
    platform_commands: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseContext {
    name: Option<String>,
    #[serde(default)]
    namespace_restricted: bool,
    /// Items of the namespace's LimitRanges.
    #[serde(default)]
    limits: Vec<LimitRangeItem>,
    /// Platforms of the cluster's nodes.
    #[serde(default)]
    node_platforms: Vec<Platform>,
    /// Labels of the owning Workflow, where they are known.
    workflow_labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseWorkflows {
    kinds: Option<Vec<String>>,
    pod_spec_patch: Option<String>,
    template_defaults: Option<Value>,
    main_container: Option<Value>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseProcess {
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    cmd: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEntry {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    #[serde(default)]
    platforms: BTreeMap<Platform, CaseProcess>,
}

/// `entrypoint` and `cmd` directly: a single manifest for `linux/amd64`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseImage {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    #[serde(default)]
    platforms: BTreeMap<Platform, CaseProcess>,
    /// Why there is no answer.
    fails: Option<String>,
    #[serde(default)]
    transient: bool,
    /// Seconds since the registry was asked.
    #[serde(default)]
    age: u64,
    /// Whether it does not answer now.
    #[serde(default)]
    stale: bool,
}

impl From<&CaseProcess> for ImageProcess {
    fn from(process: &CaseProcess) -> Self {
        let CaseProcess { entrypoint, cmd } = process.clone();
        Self { entrypoint, cmd, user: None }
    }
}

fn process_of(entrypoint: Option<&Vec<String>>, cmd: Option<&Vec<String>>) -> Option<ImageProcess> {
    let words = |words: Option<&Vec<String>>| words.cloned().unwrap_or_default();
    (entrypoint.is_some() || cmd.is_some()).then(|| ImageProcess {
        entrypoint: words(entrypoint),
        cmd: words(cmd),
        user: None,
    })
}

/// One pass over the object.
struct Pass {
    outcome: Outcome,
    /// The look-ups that it needed.
    asked: Vec<String>,
}

impl Case {
    /// What comes out, as it is written into the file; or what can never be right, whatever the file says.
    pub(crate) fn run(&self) -> Result<Value, String> {
        let input = expand(&self.input);
        if let Some(controller) = &self.render {
            return controller.render(&input, &index(&self.index)?, |pod| self.shown(pod));
        }
        let Pass { outcome, asked } = self.pass(&input, self.options.stamp.as_deref())?;
        let mut said = Map::new();
        said.insert("outcome".to_owned(), json!(outcome.word()));
        if !asked.is_empty() {
            said.insert("asked".to_owned(), json!(asked));
        }
        match &outcome {
            Outcome::Skip(skip) => {
                said.insert("skip".to_owned(), json!(skip.word()));
            }
            Outcome::Denial(denial) => {
                let problems: Vec<String> = denial.problems.iter().map(ToString::to_string).collect();
                said.insert("transient".to_owned(), json!(denial.is_transient()));
                said.insert("problems".to_owned(), json!(problems));
            }
            Outcome::Unchanged(_) => {}
            Outcome::Rewrite(edits, _) => {
                let mut after = input.clone();
                edits.apply(&mut after).map_err(|error| format!("the patch does not apply: {error}"))?;
                let wire = serde_json::to_value(edits).map_err(|error| error.to_string())?;
                let read: json_patch::Patch = serde_json::from_value(wire.clone()).map_err(|e| e.to_string())?;
                let mut from_wire = input.clone();
                json_patch::patch(&mut from_wire, &read).map_err(|error| error.to_string())?;
                if from_wire != after {
                    return Err("the patch as it is sent has another effect than the edits".to_owned());
                }
                if self.show.is_empty() {
                    said.insert("patch".to_owned(), wire);
                } else {
                    said.insert("operations".to_owned(), json!(edits.operations().len()));
                    said.insert("after".to_owned(), self.shown(&after));
                }
                self.again(&after)?;
            }
        }
        if let Some(findings) = outcome.findings() {
            if !findings.provenance.is_empty() {
                let commands: Vec<Value> = findings.provenance.iter().map(provenance).collect();
                said.insert("commands".to_owned(), json!(commands));
            }
            if !findings.warnings.is_empty() {
                let warnings: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
                said.insert("warnings".to_owned(), json!(warnings));
            }
        }
        Ok(Value::Object(said))
    }

    /// A second pass over our own output changes nothing, also by a version before or after this one.
    fn again(&self, after: &Value) -> Result<(), String> {
        for stamp in [self.options.stamp.as_deref(), Some("v0.0.1 of-before"), Some("v99.0.0 of-after")] {
            match self.pass(after, stamp)? {
                Pass { outcome: Outcome::Rewrite(edits, _), .. } => {
                    let edits = serde_json::to_string_pretty(&edits).map_err(|error| error.to_string())?;
                    return Err(format!("a second pass (stamp {stamp:?}) changes the object again: {edits}"));
                }
                Pass { outcome: Outcome::Unchanged(_), .. } => {}
                Pass { outcome, .. } => return Err(format!("a second pass ends otherwise: {outcome:?}")),
            }
        }
        Ok(())
    }

    fn pass(&self, object: &Value, stamp: Option<&str>) -> Result<Pass, String> {
        let text = object.to_string();
        let (operator, shipped) = (index(&self.index)?, index(&self.shipped)?);
        let indexes = Indexes::new(&operator, &shipped);
        let options = self.options.read(stamp)?;
        match object["kind"].as_str().ok_or("the input has no kind")? {
            "Pod" => {
                let pod = Pod::parse(&text).map_err(|error| error.to_string())?;
                let limits = (!self.context.limits.is_empty()).then(|| Limits::of(&self.context.limits));
                let labels: Option<Vec<(String, String)>> =
                    self.context.workflow_labels.clone().map(|labels| labels.into_iter().collect());
                let context = Context {
                    name: self.context.name.as_deref(),
                    namespace_restricted: self.context.namespace_restricted,
                    limits: limits.as_ref(),
                    node_platforms: &self.context.node_platforms,
                    workflow_labels: labels.as_deref(),
                };
                Ok(match pod::plan(&pod, &context, &options, &indexes) {
                    Err(skip) => Pass { outcome: Outcome::Skip(skip), asked: Vec::new() },
                    Ok(plan) => {
                        let look_ups = plan.look_ups();
                        let (answers, asked) = self.answer(&look_ups)?;
                        Pass { outcome: plan.apply(&answers, &indexes), asked }
                    }
                })
            }
            kind => {
                let kind = Kind::of_name(kind).ok_or_else(|| format!("kind {kind} is not known"))?;
                let workflows = self.workflows.read()?;
                let plan = workflow::plan(&text, kind, &options, &workflows, &indexes).map_err(|e| e.to_string())?;
                Ok(match plan {
                    Err(skip) => Pass { outcome: Outcome::Skip(skip), asked: Vec::new() },
                    Ok(plan) => {
                        let (answers, asked) = self.answer(&plan.look_ups())?;
                        Pass { outcome: plan.apply(&answers, &indexes), asked }
                    }
                })
            }
        }
    }

    fn answer(&self, look_ups: &[&LookUp]) -> Result<(Answers, Vec<String>), String> {
        let (mut answers, mut asked) = (Answers::new(), Vec::new());
        for look_up in look_ups {
            let name = look_up.reference.to_string();
            let platforms = look_up.platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            asked.push(format!("{name} {platforms}{}", if look_up.stated { ", stated" } else { "" }));
            let image = self
                .registry
                .iter()
                .find(|(key, _)| Reference::parse(key).is_ok_and(|key| key == look_up.reference))
                .ok_or_else(|| format!("{name} is asked for, and the case's registry does not have it"))?;
            let answer = image.1.answer(look_up)?;
            if answers.insert((*look_up).clone(), answer).is_some() {
                return Err(format!("{name} is asked for twice"));
            }
        }
        Ok((answers, asked))
    }

    fn shown(&self, after: &Value) -> Value {
        let shown = self.show.iter().map(|pointer| (pointer.clone(), at(after, pointer).cloned().unwrap_or_default()));
        Value::Object(shown.collect())
    }
}

/// Follows a JSON pointer in which a list's element may go by its name.
fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    pointer.split('/').skip(1).try_fold(value, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Array(elements) => elements
                .iter()
                .find(|element| element["name"] == step.as_str())
                .or_else(|| elements.get(step.parse::<usize>().ok()?)),
            other => other.get(&step),
        }
    })
}

/// Two notations of which an input may make use anywhere: `{repeat: x, times: 9}` is that text, and `{json: …}` is the
/// text of that value.
fn expand(value: &Value) -> Value {
    match value {
        Value::Object(fields) => match (fields.len(), fields.get("json"), fields.get("repeat"), fields.get("times")) {
            (1, Some(inner), ..) => Value::String(expand(inner).to_string()),
            (2, _, Some(Value::String(text)), Some(times)) => {
                Value::String(text.repeat(times.as_u64().unwrap_or_default().try_into().unwrap()))
            }
            _ => Value::Object(fields.iter().map(|(key, value)| (key.clone(), expand(value))).collect()),
        },
        Value::Array(elements) => elements.iter().map(expand).collect(),
        other => other.clone(),
    }
}

fn provenance(provenance: &Provenance) -> Value {
    let Provenance { container, image, source, command, pinned } = provenance;
    let source = match source {
        Source::Registry { platform, .. } => format!("registry, {platform}"),
        other => other.to_string(),
    };
    let mut said = json!({"container": container, "image": image, "from": source, "runs": command});
    if let Some(digest) = pinned {
        said["pinned"] = json!(digest);
    }
    said
}

fn index(entries: &BTreeMap<String, CaseEntry>) -> Result<ImageIndex, String> {
    let mut index = ImageIndex::default();
    for (key, CaseEntry { entrypoint, cmd, platforms }) in entries {
        let entry = IndexEntry {
            process: process_of(entrypoint.as_ref(), cmd.as_ref()),
            platforms: platforms.iter().map(|(platform, process)| (platform.clone(), process.into())).collect(),
        };
        index.insert(key, entry).map_err(|problem| problem.to_string())?;
    }
    Ok(index)
}

impl CaseImage {
    /// Answers as a registry's client does.
    fn answer(&self, look_up: &LookUp) -> Result<Result<Found, Miss>, String> {
        let Self { entrypoint, cmd, platforms, fails, transient, age, stale } = self;
        let found = |digest, processes| Found { digest, processes, age: Duration::from_secs(*age), stale: *stale };
        if let Some(why) = fails {
            return Ok(Err(Miss { why: why.clone(), transient: *transient }));
        }
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).map_err(|error| error.to_string())?;
        let mut has: Vec<(Platform, ImageProcess)> =
            platforms.iter().map(|(platform, process)| (platform.clone(), process.into())).collect();
        if let Some(process) = process_of(entrypoint.as_ref(), cmd.as_ref()) {
            has.push((Platform::new("linux", "amd64", None), process));
        }
        if has.is_empty() {
            // An image without ENTRYPOINT and CMD.
            has.push((look_up.platforms[0].clone(), ImageProcess::default()));
        }
        let wanted: Vec<_> =
            has.iter().filter(|(p, _)| look_up.platforms.iter().any(|wanted| p.matches(wanted))).cloned().collect();
        Ok(match (wanted.is_empty(), look_up.stated) {
            (false, _) => Ok(found(digest, wanted)),
            (true, false) => Ok(found(digest, has)),
            (true, true) => Err(Miss { why: "it has none of the platforms asked for".to_owned(), transient: false }),
        })
    }
}

impl CaseOptions {
    fn read(&self, stamp: Option<&str>) -> Result<Options, String> {
        let default = Options::default();
        let patterns = |names: &[String]| NamePatterns::new(names).map_err(|error| error.to_string());
        let unknown = self.allow.iter().find(|name| !["mode", "executor", "platform", "wrap"].contains(&name.as_str()));
        if let Some(unknown) = unknown {
            return Err(format!("allow: {unknown} is not known"));
        }
        let CaseExecutor {
            image,
            windows_image,
            image_pull_policy,
            args,
            env,
            resources,
            security_context,
            log_level,
            log_format,
            platform_commands,
        } = &self.executor;
        let or = |own: &Option<String>, default: String| own.clone().unwrap_or(default);
        Ok(Options {
            profile: match self.profile.as_deref() {
                None | Some("pss-restricted") => Profile::PssRestricted,
                Some("psp-legacy") => Profile::PspLegacy,
                Some("openshift") => Profile::Openshift,
                Some("none") => Profile::None,
                Some(other) => return Err(format!("profile {other} is not known")),
            },
            layout: match self.layout.as_deref() {
                None | Some("init") => Layout::Init,
                Some("supervisor") => Layout::Supervisor,
                Some(other) => return Err(format!("layout {other} is not known")),
            },
            executor: ExecutorOptions {
                image: or(image, default.executor.image),
                windows_image: or(windows_image, default.executor.windows_image),
                image_pull_policy: image_pull_policy.clone(),
                args: args.clone(),
                env: env.clone(),
                resources: resources.clone(),
                security_context: security_context.clone(),
                log_level: or(log_level, default.executor.log_level),
                log_format: or(log_format, default.executor.log_format),
                platform_commands: *platform_commands,
            },
            aliases: Aliases::new(&self.aliases).map_err(|error| error.to_string())?,
            harden_argo_containers: self.harden_argo_containers,
            init_after_proxies: self.init_after_proxies,
            injected_sidecars: patterns(&self.injected_sidecars)?,
            wrap: patterns(&self.wrap)?,
            platforms_assumed: self.platforms.is_none(),
            platforms: self.platforms.clone().unwrap_or(default.platforms),
            overrides: Overrides {
                mode: self.allow.contains("mode"),
                executor: self.allow.contains("executor"),
                platform: self.allow.contains("platform"),
                wrap: self.allow.contains("wrap"),
            },
            pin: match self.pin.as_deref() {
                None | Some("never") => Pin::Never,
                Some("looked-up") => Pin::LookedUp,
                Some("always") => Pin::Always,
                Some(other) => return Err(format!("pin {other} is not known")),
            },
            executors: self.executors.read()?,
            stamp: stamp.unwrap_or_default().to_owned(),
        })
    }
}

impl CaseExecutors {
    fn read(&self) -> Result<Executors, String> {
        let Self { others, container_runtime_executors, container_runtime_executor } = self;
        let of_name = |name: &String| Executor::ALL.into_iter().find(|executor| executor.name() == name);
        let others = others.iter().map(|name| of_name(name).ok_or_else(|| format!("executor {name} is not known")));
        let (choice, _) = ExecutorChoice::read(container_runtime_executors, container_runtime_executor.as_deref());
        Ok(Executors { others: others.collect::<Result<_, _>>()?, choice })
    }
}

impl CaseWorkflows {
    fn read(&self) -> Result<WorkflowOptions, String> {
        let Self { kinds, pod_spec_patch, template_defaults, main_container } = self;
        let kinds = match kinds {
            None => WorkflowOptions::default().kinds,
            Some(names) => names
                .iter()
                .map(|name| Kind::of_name(name).ok_or_else(|| format!("kind {name} is not known")))
                .collect::<Result<_, _>>()?,
        };
        let controller = ControllerDefaults {
            pod_spec_patch: pod_spec_patch.clone(),
            template_defaults: template_defaults.as_ref().map(ToString::to_string),
            main_container: main_container.clone(),
        };
        Ok(WorkflowOptions { kinds, controller })
    }
}
