//! Stored templates, whose images are looked up before a pod needs them.
//!
//! Of an object its name is kept and nothing else; what it names goes to [`Prefetch`], with the credentials of its own
//! namespace. So what other settings or credentials make of it is found by listing everything once more, which is done when
//! the settings have changed, or when credentials have and there are images that could not be found; not more often than once
//! a minute.

use super::facts::{Known, within};
use super::objects;
use super::watch::{self, Dependencies, Handle, Object, Sink, Target, Unreadable};
use crate::mutation::{Kind, ObjectLabels, Rules, Stored, Subject, Surroundings as _, wanted_ahead};
use crate::settings::{self, Mode};
use emissary_contract::label;
use emissary_core::{names, workflow};
use emissary_registry::Prefetch;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long changes are gathered before everything is listed again.
const GATHER: Duration = Duration::from_secs(2);
/// And how long it then rests.
const REST: Duration = Duration::from_secs(60);

/// Where stored templates go, and what they are read by.
#[derive(Clone)]
pub struct Ahead {
    /// Whose index, aliases and platforms count.
    pub settings: settings::Watch,
    /// Whose credentials.
    pub known: Arc<Known>,
    /// Who looks images up.
    pub prefetch: Prefetch,
}

/// The watches of stored templates.
pub struct Templates {
    ahead: Ahead,
    handles: Vec<Handle>,
}

impl Templates {
    /// Starts them. What is there is read by the credentials that are known by now.
    pub fn follow(ahead: Ahead, dependencies: &Dependencies) -> Self {
        let snapshot = ahead.settings.snapshot();
        let cluster = &snapshot.settings.cluster;
        let noted = |kind| Box::new(Noted { kind, names: HashSet::new(), ahead: ahead.clone() });
        let start = |(kind, target)| watch::start(target, noted(kind), dependencies);
        let handles = stored(cluster).into_iter().map(start).collect();
        Self { ahead, handles }
    }

    /// Returns once all that is stored has been named, or it is clear that some will not be before somebody mends something.
    pub async fn settled(&mut self) {
        for handle in &mut self.handles {
            handle.settled().await;
        }
    }

    /// Has them read anew when settings or credentials have changed.
    pub async fn keep_up(self) {
        let Self { ahead: Ahead { settings, known, prefetch }, handles } = self;
        let mut generation = settings.generation();
        let mut credentials = Box::pin(known.credentials_changed());
        loop {
            let are_settings = tokio::select! {
                changed = generation.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                () = &mut credentials => false,
            };
            tokio::time::sleep(GATHER).await;
            // Whatever comes from here on counts once more.
            let are_settings = are_settings || generation.has_changed().unwrap_or(false);
            generation.mark_unchanged();
            credentials.set(known.credentials_changed());
            if are_settings || prefetch.counts().given_up > 0 {
                handles.iter().for_each(Handle::list_again);
            }
            tokio::time::sleep(REST).await;
        }
    }
}

/// What is watched of them. Those of the cluster are not an installation's that serves some namespaces only.
pub(super) fn stored(cluster: &settings::Cluster) -> Vec<(workflow::Kind, Target)> {
    let kinds = objects::TEMPLATES.into_iter();
    let kinds = kinds.filter(|(_, is_namespaced, _)| *is_namespaced || cluster.namespaces.is_empty());
    kinds
        .flat_map(|(kind, _, target)| {
            within(cluster).into_iter().map(move |namespace| (kind, Target { namespace, ..target.clone() }))
        })
        .collect()
}

/// The names of the objects of a kind.
struct Noted {
    kind: workflow::Kind,
    names: HashSet<(String, String)>,
    ahead: Ahead,
}

impl Noted {
    fn key(&self, namespace: &str, name: &str) -> String {
        format!("{} {namespace}/{name}", self.kind.name())
    }
}

impl Sink for Noted {
    fn set(&mut self, object: &Object<'_>) -> Result<(), Unreadable> {
        let Ahead { settings, known, prefetch } = &self.ahead;
        let (kind, text) = (self.kind, object.text());
        let subject = Subject {
            kind: Kind::Workflow(kind),
            operation: "CREATE",
            sub_resource: None,
            name: Some(object.name),
            namespace: Some(object.namespace).filter(|namespace| !namespace.is_empty()),
            object: text,
            old_object: None,
        };
        let (snapshot, facts) = (settings.snapshot(), known.facts(&subject));
        let mode = facts.namespace_label(names::MODE).and_then(Mode::of_name).unwrap_or(snapshot.settings.mode);
        let decisions = snapshot.decisions(object.namespace, || ObjectLabels::Unread(text).get(label::INSTANCE_ID));
        let rules = Rules { pod: decisions.pod, workflow: decisions.workflow, indexes: decisions.indexes };
        let stored = Stored { kind, object: text, namespace: object.namespace, keyring: &facts.keyring };
        let wanted = match mode {
            // No pod of it will be looked at.
            Mode::Off => Ok(Vec::new()),
            Mode::Enforce | Mode::DryRun => wanted_ahead(&stored, rules),
        };
        let Ok(wanted) = wanted else {
            self.remove(object.namespace, object.name);
            return Err(Unreadable("its templates are not of the expected form".to_owned()));
        };
        prefetch.want(&self.key(object.namespace, object.name), wanted);
        self.names.insert((object.namespace.to_owned(), object.name.to_owned()));
        Ok(())
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        self.names.remove(&(namespace.to_owned(), name.to_owned()));
        self.ahead.prefetch.forget(&self.key(namespace, name));
    }

    fn keep(&mut self, listed: &dyn Fn(&str, &str) -> bool) {
        let gone: Vec<_> = self.names.extract_if(|(namespace, name)| !listed(namespace, name)).collect();
        for (namespace, name) in gone {
            self.remove(&namespace, &name);
        }
    }

    /// They are not ours to look at any more.
    fn forbidden(&mut self) {
        self.keep(&|_, _| false);
    }

    fn count(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests;
