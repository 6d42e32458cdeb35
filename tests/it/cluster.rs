//! The webhook with a real API server in front of it.
//!
//! One control plane serves all tests: the first that needs it starts it, and it ends with the test binary, however that ends.
//! A test has a namespace of its own, and registers its webhook for that namespace only.
//!
//! ```ignore
//! let Some(cluster) = cluster() else { return };
//! let namespace = cluster.namespace("what-this-test-is-about").await;
//! let webhook = serve(SETTINGS).file("index.yaml", INDEX).start().await;
//! namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
//! let pod = namespace.create("pods", &json!({…})).await.unwrap();
//! ```

mod certificates;
mod creation;
mod doctor;
mod executors;
mod facts;
mod harness;
mod limits;
mod neighbours;
mod outage;
mod prefetch;
mod registration;
mod review;
mod rolling;
mod sources;
mod tenants;
mod workflows;

pub(crate) use harness::{Cluster, Namespace, Refusal, cluster, cluster_with_argo};
pub(crate) use registration::{PODS, WORKFLOWS, by_service, by_url, entry};
