//! ConfigMaps for the settings: which of them are watched, by what the settings say now, and the Events on those that are
//! wrong.
//!
//! | ConfigMap | where | is |
//! |---|---|---|
//! | `image-index` | the webhook's namespace | the operator's index |
//! | `image-index-defaults` | the same | the shipped entries |
//! | any with the label `emissary-webhook.io/image-index: "true"` | the same | more of the operator's |
//! | what `controllers` names | there | the configuration of a workflow controller |
//! | `image-index` | where `imageIndex.namespaces` grants it | the namespace's own |
//!
//! Each is a watch of its own, so that a role may grant one without the others. Where one is forbidden, what it would bring is
//! missing and everything else works.

mod sink;

use super::events::{Event, Recorder, Regarding, Severity};
use super::watch::{self, Dependencies, Handle, Resource, Target};
use crate::settings::{Cluster, Controller, ObjectName, ObjectProblem, OwnIndexes, Report, Role, Settings, Watch};
use emissary_core::names;
use futures_util::future::join_all;
use sink::{Fed, MapSink};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// The operator's index, and a namespace's own.
const INDEX: &str = "image-index";
/// The shipped entries.
const DEFAULTS: &str = "image-index-defaults";

const CONFIG_MAPS: Resource = Resource::core("configmaps");

/// What is watched, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) role: Role,
    /// `None` is the whole cluster.
    namespace: Option<String>,
    /// `None` where the label says which.
    name: Option<String>,
    /// By which of the objects in the whole cluster some are taken: what is newly granted has to be listed again.
    grants: Option<OwnIndexes>,
}

/// The ConfigMaps that the settings go by, watched.
pub struct ConfigMaps {
    settings: Watch,
    /// The webhook's own namespace.
    own: String,
    /// The only namespaces whose own indexes are looked at; empty for all.
    namespaces: Vec<String>,
    recorder: Recorder,
    dependencies: Dependencies,
    running: HashMap<Wanted, Running>,
    /// What was last said of each ConfigMap.
    said: Said,
}

type Said = BTreeMap<(Role, ObjectName), Vec<String>>;

struct Running {
    handle: Handle,
    fed: Fed,
}

impl ConfigMaps {
    /// Starts the watches that the settings ask for now, and a task that keeps to what they ask for later.
    ///
    /// Events are written on ConfigMaps that are not in effect as they are.
    pub fn start(settings: Watch, recorder: Recorder, dependencies: Dependencies) -> Initial {
        let snapshot = settings.snapshot();
        let Cluster { namespace, namespaces, .. } = &snapshot.settings.cluster;
        let own = namespace.as_ref().map_or_else(|| dependencies.client.default_namespace(), |name| name.as_str());
        let (own, namespaces) = (own.to_owned(), namespaces.iter().map(ToString::to_string).collect());
        let (tracker, cancel) = (dependencies.tracker.clone(), dependencies.cancel.clone());
        let (running, said) = (HashMap::new(), Said::new());
        let mut maps = Self { settings: settings.clone(), own, namespaces, recorder, dependencies, running, said };
        maps.adjust(&snapshot.settings);
        let handles = maps.running.values().map(|running| running.handle.clone()).collect();
        tracker.spawn(async move { cancel.run_until_cancelled(maps.follow()).await });
        Initial { handles, settings }
    }

    async fn follow(mut self) {
        let (mut generations, mut reports) = (self.settings.generation(), self.settings.report());
        loop {
            tokio::select! {
                changed = generations.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = self.settings.snapshot();
                    self.adjust(&snapshot.settings);
                }
                changed = reports.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let report = reports.borrow_and_update().clone();
                    self.say(&report);
                }
            }
        }
    }

    /// Ends the watches that the settings do not ask for any more, and starts those that they ask for now.
    fn adjust(&mut self, settings: &Settings) {
        let wanted = wanted(settings, &self.own, &self.namespaces);
        let ended: Vec<(Wanted, Running)> = self.running.extract_if(|one, _| !wanted.contains(one)).collect();
        for (one, Running { handle, fed }) in &ended {
            handle.stop();
            if !wanted.iter().any(|other| other.succeeds(one)) {
                fed.close();
            }
        }
        for one in wanted {
            if !self.running.contains_key(&one) {
                let predecessor = ended.iter().find(|(other, _)| one.succeeds(other));
                // What the one before has fed stays until the first list says otherwise.
                let fed = match predecessor {
                    Some((_, Running { fed, .. })) => fed.succeed(),
                    None => Fed::new(one.role, self.settings.feed().clone()),
                };
                let sink = MapSink::new(fed.clone(), one.except(&self.own));
                let handle = watch::start(one.target(), Box::new(sink), &self.dependencies);
                self.running.insert(one, Running { handle, fed });
            }
        }
    }

    /// Writes what is new.
    fn say(&mut self, report: &Report) {
        let now = by_object(report);
        for (key, problems) in &now {
            if self.said.get(key) != Some(problems) {
                self.record(key, Severity::Warning, "NotInEffect", problems.join("; "));
            }
        }
        for key in self.said.keys().filter(|key| !now.contains_key(key)) {
            self.record(key, Severity::Normal, "InEffect", "all of it is in effect".to_owned());
        }
        self.said = now;
    }

    fn record(&self, (role, object): &(Role, ObjectName), severity: Severity, reason: &'static str, note: String) {
        let of_role = self.running.iter().filter(|(wanted, _)| wanted.role == *role);
        // What is gone has no uid, and needs no Event.
        let Some(uid) = of_role.filter_map(|(_, running)| running.fed.uid(object)).next() else { return };
        let regarding = Regarding {
            api_version: "v1",
            kind: "ConfigMap",
            namespace: Some(object.namespace.clone()),
            name: object.name.clone(),
            uid: Some(uid),
        };
        self.recorder.record(Event { regarding, severity, reason, action: "Load", note });
    }
}

fn by_object(report: &Report) -> Said {
    let mut all = Said::new();
    for ObjectProblem { role, object, problem } in &report.objects {
        all.entry((*role, object.clone())).or_default().push(problem.to_string());
    }
    all
}

/// What was there when the watches were started.
#[derive(Debug)]
pub struct Initial {
    handles: Vec<Handle>,
    settings: Watch,
}

impl Initial {
    /// Returns when it is in effect, or it is clear that it cannot be had before somebody mends something; and after `bound`
    /// in any case. Returns whether it is.
    pub async fn in_effect(self, bound: Duration) -> bool {
        let Self { mut handles, settings } = self;
        let settled = async {
            join_all(handles.iter_mut().map(Handle::settled)).await;
            settings.feed().composed().await;
        };
        tokio::time::timeout(bound, settled).await.is_ok()
    }
}

impl Wanted {
    pub(super) fn target(&self) -> Target {
        let Self { role, namespace, name, grants: _ } = self;
        Target {
            name: match role {
                Role::Index => "image-index",
                Role::Labelled => "labelled-image-indexes",
                Role::Defaults => "image-index-defaults",
                Role::Controller => "controller-configuration",
                Role::Namespace => "namespaces-image-indexes",
            },
            resource: CONFIG_MAPS,
            namespace: namespace.clone(),
            labels: name.is_none().then(|| format!("{}=true", names::IMAGE_INDEX)),
            fields: name.as_ref().map(|name| format!("metadata.name={name}")),
            metadata_only: false,
        }
    }

    /// Whether this is the same as another but for what is granted.
    fn succeeds(&self, other: &Self) -> bool {
        let Self { role, namespace, name, grants: _ } = self;
        (role, namespace, name) == (&other.role, &other.namespace, &other.name)
    }

    /// Those among what is watched that are something else.
    pub(super) fn except(&self, own: &str) -> Vec<ObjectName> {
        let object = |name: &str| ObjectName { namespace: own.to_owned(), name: name.to_owned() };
        match self.role {
            Role::Labelled => vec![object(INDEX), object(DEFAULTS)],
            Role::Namespace => vec![object(INDEX)],
            Role::Index | Role::Defaults | Role::Controller => Vec::new(),
        }
    }
}

/// What the settings ask for. `own` is the webhook's namespace, `namespaces` are the only ones with an index of their own; empty
/// for all.
pub(super) fn wanted(settings: &Settings, own: &str, namespaces: &[String]) -> HashSet<Wanted> {
    let named = |role, namespace: &str, name: &str| Wanted {
        role,
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        grants: None,
    };
    let mut all = HashSet::from([
        named(Role::Index, own, INDEX),
        named(Role::Defaults, own, DEFAULTS),
        Wanted { role: Role::Labelled, namespace: Some(own.to_owned()), name: None, grants: None },
    ]);
    let of_controller =
        |controller: &Controller| named(Role::Controller, &controller.namespace, &controller.config_map);
    all.extend(settings.controllers.iter().map(of_controller));

    let grants = &settings.image_index.namespaces;
    let patterns = || grants.overriding.iter().chain(&grants.add);
    let is_granted = |namespace: &str| namespace != own && patterns().any(|pattern| pattern.matches(namespace));
    if !namespaces.is_empty() {
        let granted = namespaces.iter().filter(|namespace| is_granted(namespace));
        all.extend(granted.map(|namespace| named(Role::Namespace, namespace, INDEX)));
    } else if patterns().any(|pattern| pattern.as_str().contains('*')) {
        // One watch over the cluster: namespaces come and go. The API server selects by name, so nothing else is read.
        let (name, grants) = (Some(INDEX.to_owned()), Some(grants.clone()));
        all.insert(Wanted { role: Role::Namespace, namespace: None, name, grants });
    } else {
        let granted = patterns().map(|pattern| pattern.as_str()).filter(|namespace| *namespace != own);
        all.extend(granted.map(|namespace| named(Role::Namespace, namespace, INDEX)));
    }
    all
}

#[cfg(test)]
mod tests;
