use super::Rules;
use emissary_core::workflow::{self, NotAWorkflow};
use emissary_registry::{Keyring, Question, Wanted};
use std::sync::Arc;

/// A stored object of a workflow kind, whose runs will need images.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// What it is.
    pub kind: workflow::Kind,
    /// The object, as JSON text.
    pub object: &'a str,
    /// Its namespace; none for those of the cluster.
    pub namespace: &'a str,
    /// The credentials of its own namespace; none for those of the cluster.
    pub keyring: &'a Arc<Keyring>,
}

/// What to look up before a run of it needs it, as such a run would ask. For [`Prefetch`](emissary_registry::Prefetch).
///
/// # Errors
/// [`NotAWorkflow`] where the object is not what its kind says.
pub fn wanted_ahead(stored: &Stored<'_>, rules: Rules<'_>) -> Result<Vec<Wanted>, NotAWorkflow> {
    let Stored { kind, object, namespace, keyring } = *stored;
    let Rules { pod, workflow, indexes } = rules;
    let look_ups = workflow::look_ups_ahead(object, kind, pod, workflow, &indexes)?;
    let namespace: Arc<str> = namespace.into();
    let wanted = look_ups.into_iter().map(|look_up| {
        let question = Question::new(look_up.reference)
            .with_platforms(look_up.platforms)
            .with_keyring((**keyring).clone())
            .with_namespace(Arc::clone(&namespace));
        Wanted { question, stated: look_up.stated }
    });
    Ok(wanted.collect())
}
