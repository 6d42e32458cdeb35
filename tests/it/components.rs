//! Tests against real programs that this repository does not build, and the gate in front of them.
//!
//! `cargo xtask test` gets the programs and says in variables where they are; a plain `cargo test` has none and says so.

mod archives;
mod built_images;
mod docker_registry;
mod layout;
mod registry;
mod registry_access;
mod token_server;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::{env, thread};

/// A program that a test needs; a row of a table in `xtask/src/components.rs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    program: &'static str,
    variable: &'static str,
    run: &'static Run,
}

/// A run that gets components.
#[derive(Debug)]
pub(crate) struct Run {
    command: &'static str,
    /// Under `required` it has promised them.
    promise: &'static str,
}

static PLAIN: Run = Run { command: "cargo xtask test", promise: "EMISSARY_TEST_COMPONENTS" };
static WITH_A_NODE: Run = Run { command: "cargo xtask test --node", promise: "EMISSARY_TEST_NODE_COMPONENTS" };

static WITH_ARGO: Run = Run { command: "cargo xtask test --argo", promise: "EMISSARY_TEST_ARGO_COMPONENTS" };

impl Component {
    const fn plain(program: &'static str, variable: &'static str) -> Self {
        Self { program, variable, run: &PLAIN }
    }

    const fn of_a_node(program: &'static str, variable: &'static str) -> Self {
        Self { program, variable, run: &WITH_A_NODE }
    }

    const fn of_argo(program: &'static str, variable: &'static str) -> Self {
        Self { program, variable, run: &WITH_ARGO }
    }
}

pub(crate) const DOCKER_REGISTRY: Component = Component::plain("docker-registry", "EMISSARY_TEST_DOCKER_REGISTRY");
pub(crate) const BUILDAH: Component = Component::plain("buildah", "EMISSARY_TEST_BUILDAH");
pub(crate) const UMOCI: Component = Component::plain("umoci", "EMISSARY_TEST_UMOCI");
pub(crate) const HELM: Component = Component::plain("helm", "EMISSARY_TEST_HELM");
pub(crate) const KUBECTL: Component = Component::plain("kubectl", "EMISSARY_TEST_KUBECTL");
/// A folder: etcd, kube-apiserver, kubectl, and what else there is.
pub(crate) const KUBERNETES: Component = Component::plain("kubernetes", "EMISSARY_TEST_KUBERNETES");
/// A folder: the sources of Argo, for the definitions of its kinds.
pub(crate) const ARGO_WORKFLOWS: Component = Component::plain("argo-workflows", "EMISSARY_TEST_ARGO_WORKFLOWS");
pub(crate) const SKOPEO: Component = Component::plain("skopeo", "EMISSARY_TEST_SKOPEO");

pub(crate) const VERSITYGW: Component = Component::plain("versitygw", "EMISSARY_TEST_VERSITYGW");
/// A folder: those of [`KUBERNETES`], the kubelet and kube-proxy.
pub(crate) const NODE: Component = Component::of_a_node("kubernetes-node", "EMISSARY_TEST_NODE");
/// A folder: containerd, runc and others, as they would be below `/`.
pub(crate) const NODE_TOOLS: Component = Component::of_a_node("node-tools", "EMISSARY_TEST_NODE_TOOLS");
pub(crate) const COREDNS: Component = Component::of_a_node("coredns", "EMISSARY_TEST_COREDNS");
/// An archive: the executor's image, as it is shipped.
pub(crate) const EXECUTOR_IMAGE: Component = Component::of_a_node("executor-image", "EMISSARY_TEST_EXECUTOR_IMAGE");
/// An archive: the webhook's own image.
pub(crate) const WEBHOOK_IMAGE: Component = Component::of_a_node("webhook-image", "EMISSARY_TEST_WEBHOOK_IMAGE");

pub(crate) const ARGO_CONTROLLER: Component = Component::of_argo("argo-controller", "EMISSARY_TEST_ARGO_CONTROLLER");
/// Argo's own executor, of the same version.
pub(crate) const ARGO_EXECUTOR: Component = Component::of_argo("argo-executor", "EMISSARY_TEST_ARGO_EXECUTOR");
/// A controller that still knows docker.
pub(crate) const ARGO_CONTROLLER_OLD: Component =
    Component::of_argo("argo-controller-3.3", "EMISSARY_TEST_ARGO_CONTROLLER_OLD");

/// Where the programs are; nothing, and a line about it, where one is missing. A test that gets nothing returns.
///
/// Panics under `EMISSARY_TEST_COMPONENTS=required`, or what promises those of a node, so that a run that promises components
/// cannot pass without.
pub(crate) fn need<const N: usize>(components: [Component; N]) -> Option<[PathBuf; N]> {
    let found = find(components, |variable| env::var_os(variable));
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let line = match &found {
        Ok(_) => format!("ran: {test} (with {})\n", components.map(|component| component.program).join(", ")),
        Err(missing) => format!("not run: {test} (needs {}: {})\n", missing.program, missing.run.command),
    };
    // Past the test harness, which keeps what a passing test prints.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(report) = env::var_os("EMISSARY_TEST_COMPONENTS_REPORT") {
        OpenOptions::new().append(true).open(report).unwrap().write_all(line.as_bytes()).unwrap();
    }
    if let Err(missing) = &found
        && env::var_os(missing.run.promise).is_some_and(|wanted| wanted == "required")
    {
        panic!("{} is not set", missing.variable);
    }
    found.ok()
}

fn find<const N: usize>(
    components: [Component; N],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<[PathBuf; N], Component> {
    let mut places = Vec::with_capacity(N);
    for component in components {
        match variable(component.variable).filter(|place| !place.is_empty()) {
            Some(place) => places.push(PathBuf::from(place)),
            None => return Err(component),
        }
    }
    Ok(places.try_into().expect("one place a component"))
}

#[test]
fn one_missing_component_is_named() {
    let only_skopeo = |variable: &str| (variable == SKOPEO.variable).then(|| "/bin/skopeo".into());
    assert_eq!(find([SKOPEO], only_skopeo).unwrap(), [PathBuf::from("/bin/skopeo")]);
    assert_eq!(find([SKOPEO, DOCKER_REGISTRY], only_skopeo).unwrap_err().program, "docker-registry");
}
