//! `cargo xtask executor`: the programs of the executor's image, as they are shipped.
//!
//! They are built by a cargo call of their own. In one with the webhook, the features of dependencies that both have would be
//! united, and the small program would carry what only the large one needs. Each is linked statically, since the executor's
//! copy runs in images that have no libraries, or others; and without paths of this machine, so that the same sources and
//! toolchain give the same bytes wherever they are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};

use crate::cargo::{cargo, without_paths};

/// The programs, and the packages that they are. Of these argoexec is the one that others are asked for by.
const PROGRAMS: [&str; 2] = ["argoexec", "argoexec-tasks"];
/// The profile that they are built with.
const PROFILE: &str = "executor";

/// A platform of the image.
#[derive(Debug)]
pub(crate) struct Platform {
    /// As OCI names its architecture.
    pub(crate) name: &'static str,
    /// As the compiler names it.
    architecture: &'static str,
}

const PLATFORMS: [Platform; 2] =
    [Platform { name: "amd64", architecture: "x86_64" }, Platform { name: "arm64", architecture: "aarch64" }];

/// C libraries to link, the first that the toolchain has: musl's programs are half the size, glibc is there always.
const LIBRARIES: [&str; 2] = ["musl", "gnu"];

/// Builds for the platform that is named, by default this machine's. Prints each program's size and path, or, with
/// `path_only`, argoexec's path.
///
/// # Errors
/// Where the platform is not known or cargo fails.
pub(crate) fn run(platform: Option<&str>, path_only: bool) -> anyhow::Result<ExitCode> {
    let platform = Platform::named(platform)?;
    for program in PROGRAMS {
        let file = platform.build(program)?;
        if path_only {
            println!("{}", file.display());
            break;
        }
        let size = file.metadata().with_context(|| format!("cannot look at {}", file.display()))?.len();
        println!("{program} {} {size} bytes {}", platform.name, file.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl Platform {
    /// The one that is named, by default this machine's.
    ///
    /// # Errors
    /// Where the executor is not built for it.
    pub(crate) fn named(name: Option<&str>) -> anyhow::Result<&'static Self> {
        let here = env::consts::ARCH;
        let chosen = PLATFORMS.iter().find(|known| match name {
            Some(name) => known.name == name,
            None => known.architecture == here,
        });
        chosen.with_context(|| {
            let known = PLATFORMS.each_ref().map(|known| known.name).join(", ");
            format!("the executor is not built for {}; known: {known}", name.unwrap_or(here))
        })
    }

    /// Builds every program; their names and files.
    ///
    /// # Errors
    /// Where one cannot be built.
    pub(crate) fn programs(&self) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
        PROGRAMS.into_iter().map(|program| Ok((program, self.build(program)?))).collect()
    }

    fn build(&self, package: &str) -> anyhow::Result<PathBuf> {
        let (architecture, name) = (self.architecture, self.name);
        let Some(target) = self.target()? else {
            bail!(
                "the toolchain has no standard library for {name}: rustup target add {architecture}-unknown-linux-musl"
            );
        };
        let mut cargo = cargo();
        cargo.args(["build", "--locked", "--package", package, "--profile", PROFILE, "--target", &target]);
        cargo.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
        // With a target named these are not for build scripts and macros. Nothing is loaded at an address of its own choice:
        // relocations would make pages private to each process that are shared otherwise.
        let flags = without_paths(&["-Ctarget-feature=+crt-static", "-Crelocation-model=static"])?;
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
        let variable = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
        let linker = format!("{architecture}-linux-gnu-gcc");
        if architecture != env::consts::ARCH && env::var_os(&variable).is_none() {
            cargo.env(variable, &linker);
        }
        // What is C in it is for no library of C, so that any compiler for the machine will do.
        let underscored = target.replace('-', "_");
        let variable = format!("CC_{underscored}");
        if env::var_os(&variable).is_none() {
            cargo.env(variable, if architecture == env::consts::ARCH { "cc" } else { &linker });
        }
        let output = cargo.output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!(
                "cannot build {package} for {name}; for another machine's platform the linker {linker} has to be there"
            );
        }
        let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
        executable(&messages).with_context(|| format!("cargo built no program {package}"))
    }

    /// The first target of this platform that the toolchain has a standard library for.
    fn target(&self) -> anyhow::Result<Option<String>> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).args(["--print", "sysroot"]).output().context("cannot start rustc")?;
        let sysroot = String::from_utf8(output.stdout).context("the toolchain's folder is not UTF-8")?;
        let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
        let targets = LIBRARIES.map(|library| format!("{}-unknown-linux-{library}", self.architecture));
        Ok(targets.into_iter().find(|target| libraries.join(target).join("lib").is_dir()))
    }
}

/// The program that cargo's messages name last.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, behind) = messages.rsplit_once("\"executable\":\"")?;
    behind.split_once('"').map(|(path, _)| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_last_executable() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"executable\":\"/t/argoexec\",\"fresh\":true}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n"
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/argoexec")));
        assert_eq!(executable("{\"executable\":null}"), None);
    }
}
