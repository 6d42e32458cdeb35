//! The webhook's own image on a real node, and what becomes of pods there: kubelet, containerd and runc run what the webhook has
//! rewritten, with our executor.
//!
//! One node serves all tests: the first that needs it starts it and installs the webhook in it, and all of it ends with the test
//! binary, however that ends. The node is in a network of its own, so a test runs in a thread that is in it too.
//!
//! ```ignore
//! on_the_node(async |node| {
//!     let namespace = node.namespace("what-this-test-is-about").await;
//!     let ran = node.run(&namespace, &json!({…})).await;
//!     assert_eq!(ran.code("main"), 0);
//! });
//! ```

mod argo;
mod bare;
mod ends;
mod harness;
mod installation;
mod outputs;
mod pods;

pub(crate) use harness::{OnNode, on_the_node};
