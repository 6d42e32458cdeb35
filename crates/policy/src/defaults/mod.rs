//! What the API server makes of a pod before any policy sees it.
//!
//! It reads the pod into its own types and fills in what is left out; CEL expressions and webhooks then see what those types are written
//! as. So fields that the API does not have are gone, as are empty values of optional ones; quantities have one spelling; a volume
//! without a source is an empty directory, and so on. This is Kubernetes 1.36 with its default feature gates.

mod app_armor;
mod fill;
mod normal;
pub(crate) mod quantity;
mod types;

use serde_json::Value;

/// A pod as the API server has it once it is read and its defaults are filled in, which admission plugins have not touched.
///
/// What is not of the API's type is left as it is: the API server refuses such a pod, and so do the engines.
pub fn pod(pod: &Value) -> Value {
    let mut pod = normal::normal(pod, &types::POD);
    fill::fill(&mut pod);
    pod
}

/// Brings a pod that is created up to what validating admission sees: Pod Security, ValidatingAdmissionPolicies, and validating webhooks.
/// It comes after all that mutates the pod.
///
/// Since Kubernetes 1.30 that is one step: AppArmor profiles in annotations are copied to the containers' fields. (The generation
/// and the status that are set at the same time are left alone: no policy about pods asks for them.)
pub fn complete(pod: &mut Value) {
    app_armor::copy_to_fields(pod);
}
