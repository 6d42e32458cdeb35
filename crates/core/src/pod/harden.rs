use super::context::Context;
use super::draft::{Draft, Place};
use super::executor::{Executor, Role, Shape, pns};
use super::options::Options;
use super::profile::Hardening;
use serde_json::{Map, Value};

/// Hardens what Argo's controller made, where that is wanted.
pub(super) fn harden(
    shape: &Shape<'_, '_>,
    context: &Context<'_>,
    options: &Options,
    hardening: &Hardening<'_, '_>,
    draft: &mut Draft,
) {
    if !options.harden_argo_containers && !context.namespace_restricted {
        return;
    }
    for own in &shape.own {
        let place = match own.role {
            Role::Init => Place::Init(own.index),
            Role::Wait | Role::Supervisor | Role::Task => Place::Regular(own.index),
        };
        let replaced = shape.executor == Executor::Pns && own.role == Role::Wait;
        let present = match own.container.security_context {
            Some(raw) if !replaced => serde_json::from_str::<Map<String, Value>>(raw.get()).ok(),
            Some(raw) => pns::take_off(raw.get()).ok().flatten().and_then(|v| match v {
                Value::Object(fields) => Some(fields),
                _ => None,
            }),
            None => None,
        };
        hardening.edit(&place.path().member("securityContext"), present.as_ref(), &mut draft.edits);
    }
}
