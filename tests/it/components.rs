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

/// A program that a test needs; a row of the table in `xtask/src/components.rs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    program: &'static str,
    variable: &'static str,
}

pub(crate) const DOCKER_REGISTRY: Component =
    Component { program: "docker-registry", variable: "EMISSARY_TEST_DOCKER_REGISTRY" };
pub(crate) const BUILDAH: Component = Component { program: "buildah", variable: "EMISSARY_TEST_BUILDAH" };
pub(crate) const UMOCI: Component = Component { program: "umoci", variable: "EMISSARY_TEST_UMOCI" };
pub(crate) const HELM: Component = Component { program: "helm", variable: "EMISSARY_TEST_HELM" };
pub(crate) const KUBECTL: Component = Component { program: "kubectl", variable: "EMISSARY_TEST_KUBECTL" };
/// A folder: etcd, kube-apiserver, kubectl, and what else there is.
pub(crate) const KUBERNETES: Component = Component { program: "kubernetes", variable: "EMISSARY_TEST_KUBERNETES" };
/// A folder: the sources of Argo, for the definitions of its kinds.
pub(crate) const ARGO_WORKFLOWS: Component =
    Component { program: "argo-workflows", variable: "EMISSARY_TEST_ARGO_WORKFLOWS" };
pub(crate) const SKOPEO: Component = Component { program: "skopeo", variable: "EMISSARY_TEST_SKOPEO" };

/// Where the programs are; nothing, and a line about it, where one is missing. A test that gets nothing returns.
///
/// Panics under `EMISSARY_TEST_COMPONENTS=required`, so that a run that promises the components cannot pass without.
pub(crate) fn need<const N: usize>(components: [Component; N]) -> Option<[PathBuf; N]> {
    let found = find(components, |variable| env::var_os(variable));
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let line = match &found {
        Ok(_) => format!("ran: {test} (with {})\n", components.map(|component| component.program).join(", ")),
        Err(missing) => format!("not run: {test} (needs {}: cargo xtask test)\n", missing.program),
    };
    // Past the test harness, which keeps what a passing test prints.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(report) = env::var_os("EMISSARY_TEST_COMPONENTS_REPORT") {
        OpenOptions::new().append(true).open(report).unwrap().write_all(line.as_bytes()).unwrap();
    }
    if let Err(missing) = &found
        && env::var_os("EMISSARY_TEST_COMPONENTS").is_some_and(|wanted| wanted == "required")
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
