use super::super::values::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Ninety days: renewed every two months, which leaves one to notice that it was not.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// See [`Server::certificates`](super::Server::certificates).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certificates {
    /// Read from files, and again when they change.
    #[default]
    Files,
    /// Made, shared between replicas in a Secret, and rotated.
    SelfManaged,
}

/// See [`Server::self_managed`](super::Server::self_managed).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SelfManaged {
    /// The Service that the API server calls; its DNS names are the certificate's.
    #[schemars(extend("x-reload" = "restart"))]
    pub service: String,
    /// The namespace of Service, Secret and Lease. Unset: the one that the webhook runs in.
    #[schemars(extend("x-reload" = "restart"))]
    pub namespace: Option<String>,
    /// The Secret that holds the certificate. It is made where it is missing; one of somebody else is left alone.
    #[schemars(extend("x-reload" = "restart"))]
    pub secret: String,
    /// The Lease whose holder writes.
    #[schemars(extend("x-reload" = "restart"))]
    pub lease: String,
    /// The MutatingWebhookConfigurations whose entries are kept trusting the certificate.
    #[schemars(extend("x-reload" = "restart"))]
    pub registrations: Vec<String>,
    /// DNS names and IP addresses besides the Service's, as for a registration by URL.
    #[schemars(extend("x-reload" = "restart"))]
    pub extra_names: Vec<String>,
    /// How long a certificate lives. It is replaced after two thirds of that.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "10s", "x-maximum" = "87600h"))]
    pub life: Period,
}

impl Default for SelfManaged {
    fn default() -> Self {
        let name = "emissary-webhook";
        Self {
            service: name.to_owned(),
            namespace: None,
            secret: "emissary-webhook-certificate".to_owned(),
            lease: name.to_owned(),
            registrations: vec![name.to_owned()],
            extra_names: Vec::new(),
            life: Period(LIFE),
        }
    }
}
