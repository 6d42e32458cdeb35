//! Files out of a Go module: Go's proxy serves whole repositories by version, and a hash says that it is the one.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::debian::{create, output, remove, run};
use crate::progress::Progress;

/// A version of a module, which Go keeps in its own cache.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) path: &'static str,
    pub(crate) version: &'static str,
    /// As a go.sum has it.
    pub(crate) sum: &'static str,
}

impl Module {
    /// The folder of its files, which are read-only.
    ///
    /// # Errors
    /// There is no Go, it cannot get the module, or what it got is another.
    pub(crate) fn provision(&self, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
        progress.step(&format!("getting {} {}", self.path, self.version));
        let module = format!("{}@{}", self.path, self.version);
        // The cache folder is in no module, whose go.mod would have a say.
        let got = output(Command::new("go").args(["mod", "download", "-json", &module]).current_dir(cache))?;
        let said: Value = serde_json::from_slice(&got.stdout).unwrap_or_default();
        if !got.status.success() {
            let error =
                said["Error"].as_str().map_or_else(|| String::from_utf8_lossy(&got.stderr).into(), str::to_owned);
            bail!("go cannot get it: {}", error.trim());
        }
        if said["Sum"] != self.sum {
            bail!("{module} has the hash {}, and not {}", said["Sum"], self.sum);
        }
        said["Dir"].as_str().map(PathBuf::from).context("go does not say where it is")
    }

    /// A program of the module, built from the very files that the hash is of; `package` is its folder in the module, or
    /// nothing where that is the module's own. `links` are
    /// those that it has in its repository, and their targets.
    ///
    /// # Errors
    /// As [`Module::provision`], and where it cannot be built.
    pub(crate) fn program(
        &self,
        package: &str,
        links: &[(&str, &str)],
        cache: &Path,
        progress: &Progress,
    ) -> anyhow::Result<PathBuf> {
        let path = if package.is_empty() { self.path } else { package };
        let name = path.rsplit('/').next().unwrap_or(path);
        let folder = cache.join("components").join(format!("{name}-{}", self.version));
        let program = folder.join(name);
        if program.is_file() {
            return Ok(program);
        }
        let files = self.provision(cache, progress)?;
        create(&folder)?;
        progress.note(&format!("building {name} {}; the first time this takes minutes", self.version));
        // `go install` takes no module that replaces another; and an archive of the proxy has no links, which are put in again.
        let copy = (!links.is_empty()).then(|| folder.join("source"));
        if let Some(copy) = &copy {
            remove(copy)?;
            run(Command::new("cp").args(["--recursive", "--no-preserve=mode"]).arg(&files).arg(copy))?;
            for (link, target) in links {
                symlink(target, copy.join(link)).with_context(|| format!("cannot link {link}"))?;
            }
        }
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(&program).arg(format!("./{package}"));
        go.current_dir(copy.as_ref().unwrap_or(&files)).env("CGO_ENABLED", "0");
        run(&mut go)?;
        copy.map_or(Ok(()), |copy| remove(&copy))?;
        Ok(program)
    }
}
