//! A program out of a Debian package, without rights: apt works on folders of our own and dpkg only unpacks.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

use crate::progress::Progress;
use crate::shell;

/// A Debian package that holds a program as `/usr/bin/PROGRAM`.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name in the archive.
    pub(crate) name: &'static str,
    /// The version that the tests were written against; an archive that has another one gives that, with a word about it.
    pub(crate) version: &'static str,
    /// Shared libraries that a bare machine may lack, and the package of each. Only those that the loader misses are got.
    pub(crate) libraries: &'static [(&'static str, &'static str)],
}

impl Package {
    /// The program's absolute path, unpacked under `cache` unless it is there already.
    ///
    /// # Errors
    /// Where apt or dpkg is missing or fails, or a library is missing that no package of the row holds.
    pub(crate) fn provision(&self, program: &str, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
        let folder = self.once(cache, progress, |partial, folder| {
            let needs_libraries = self.unpack(program, cache, partial, progress)?;
            place(program, partial, folder, needs_libraries)
        })?;
        Ok(folder.join("bin").join(program))
    }

    /// A folder with the package's files as they would be below `/`, unpacked under `cache` unless it is there already.
    ///
    /// # Errors
    /// Where apt or dpkg is missing or fails.
    pub(crate) fn files(&self, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
        let folder = self.once(cache, progress, |partial, _| self.download(cache, partial, progress).map(drop))?;
        Ok(folder.join("root"))
    }

    /// The package's folder under `cache`, filled in a first one, which then gets its name, unless it is there already.
    fn once(
        &self,
        cache: &Path,
        progress: &Progress,
        fill: impl FnOnce(&Path, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let components = cache.join("components");
        let folder = components.join(format!("{}-{}", self.name, self.version));
        if folder.is_dir() {
            return Ok(folder);
        }
        create(&components)?;
        let _alone = lock(&cache.join("lock"), progress)?;
        // Whoever had the lock before may have been after the same.
        if folder.is_dir() {
            return Ok(folder);
        }
        let partial = components.join(format!(".{}.partial", self.name));
        remove(&partial)?;
        fill(&partial, &folder)?;
        // In one step, so that a folder of this name is complete.
        fs::rename(&partial, &folder).with_context(|| format!("cannot move what was got to {}", folder.display()))?;
        Ok(folder)
    }

    /// Fills `partial/root` with the package alone.
    fn download<'a>(&self, cache: &Path, partial: &'a Path, progress: &'a Progress) -> anyhow::Result<Apt<'a>> {
        let root = partial.join("root");
        create(&root)?;
        let mut apt = Apt::new(cache, partial, progress)?;
        if apt.download(&format!("{}={}", self.name, self.version)).is_err() {
            apt.download(self.name)?;
            progress.note(&format!("the archive has no {}; taking the version it has", self.version));
        }
        progress.step("unpacking");
        unpack_all(partial, &root)?;
        Ok(apt)
    }

    /// Fills `partial/root`; true if the program needs libraries from there.
    fn unpack(&self, program: &str, cache: &Path, partial: &Path, progress: &Progress) -> anyhow::Result<bool> {
        let mut apt = self.download(cache, partial, progress)?;
        let root = partial.join("root");
        let file = root.join("usr/bin").join(program);
        let mut got: Vec<&str> = Vec::new();
        loop {
            let missing = missing_libraries(&file, &root)?;
            if missing.is_empty() {
                return Ok(!got.is_empty());
            }
            for library in missing {
                let Some((_, package)) = self.libraries.iter().find(|(name, _)| *name == library) else {
                    bail!("{program} needs the library {library}");
                };
                if got.contains(package) {
                    bail!("{program} needs the library {library}, and the package {package} has none of that name");
                }
                apt.download(package)?;
                got.push(package);
            }
            unpack_all(partial, &root)?;
        }
    }
}

/// Unpacks several packages into one folder, in the tree that they have on a machine, unless it is there already. They are
/// expected to need no library that a bare machine lacks.
///
/// # Errors
/// Where apt or dpkg is missing or fails.
pub(crate) fn unpack_tree(packages: &[&str], name: &str, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let components = cache.join("components");
    let folder = components.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    create(&components)?;
    let _alone = lock(&cache.join("lock"), progress)?;
    // Whoever had the lock before may have been after the same.
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = components.join(format!(".{name}.partial"));
    remove(&partial)?;
    let root = partial.join("root");
    create(&root)?;
    let mut apt = Apt::new(cache, &partial, progress)?;
    for package in packages {
        apt.download(package)?;
    }
    progress.step("unpacking");
    unpack_all(&partial, &root)?;
    fs::rename(&root, &folder).with_context(|| format!("cannot move the programs to {}", folder.display()))?;
    remove(&partial)?;
    Ok(folder)
}

/// Puts `bin/PROGRAM` into `partial`, which will be renamed `folder`.
fn place(program: &str, partial: &Path, folder: &Path, needs_libraries: bool) -> anyhow::Result<()> {
    let file = partial.join("bin").join(program);
    create(&partial.join("bin"))?;
    let root = partial.join("root");
    if !needs_libraries {
        fs::rename(root.join("usr/bin").join(program), &file)
            .with_context(|| format!("cannot move the program to {}", file.display()))?;
        return remove(&root);
    }
    // The loader is told in a script, so that a path is all that a test has to know; `exec` keeps the process one.
    let root = folder.join("root");
    let folders = std::env::join_paths(library_folders(&root)).context("the cache folder's name has a colon in it")?;
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH={}\nexport LD_LIBRARY_PATH\nexec {} \"$@\"\n",
        shell::word(Path::new(&folders))?,
        shell::word(&root.join("usr/bin").join(program))?
    );
    fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    run(Command::new("chmod").arg("755").arg(&file)).map(drop)
}

/// apt with its lists and its archives in a folder of ours, so that it needs neither root nor anybody's lock.
struct Apt<'a> {
    options: Vec<String>,
    /// Where packages go.
    folder: &'a Path,
    progress: &'a Progress,
    /// What apt said about sources that it could not read, once the lists are as new as they can be.
    updated: Option<String>,
}

impl<'a> Apt<'a> {
    fn new(cache: &Path, folder: &'a Path, progress: &'a Progress) -> anyhow::Result<Self> {
        let state = cache.join("apt");
        create(&state.join("lists/partial"))?;
        create(&state.join("archives/partial"))?;
        let state = state.display();
        let options = [
            format!("Dir::State::lists={state}/lists"),
            format!("Dir::Cache={state}"),
            "Debug::NoLocking=true".to_owned(),
            // Run by root, apt would otherwise give its own user a folder that this user cannot read.
            "APT::Sandbox::User=".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        Ok(Self { options, folder, progress, updated: None })
    }

    /// Gets a package's file, its hash checked against the signed lists, which are renewed if they do not lead to it.
    fn download(&mut self, package: &str) -> anyhow::Result<()> {
        self.progress.step(&format!("downloading {package}"));
        let download = |apt: &Self| {
            let mut command = Command::new("apt-get");
            run(command.args(&apt.options).args(["-q", "download", package]).current_dir(apt.folder)).map(drop)
        };
        let mut result = download(self);
        if result.is_err() && self.updated.is_none() {
            self.progress.step("reading the package lists");
            let said = output(Command::new("apt-get").args(&self.options).args(["-q", "update"]))?.stderr;
            self.updated = Some(String::from_utf8_lossy(&said).lines().take(3).collect::<Vec<_>>().join("; "));
            self.progress.step(&format!("downloading {package}"));
            result = download(self);
        }
        // apt calls an update that reached no source a success, and then knows no package.
        match &self.updated {
            Some(complaints) if !complaints.is_empty() => result.with_context(|| complaints.clone()),
            _ => result,
        }
    }
}

/// Unpacks the packages in `folder` into `root` and removes them.
fn unpack_all(folder: &Path, root: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let file = entry?.path();
        if file.extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg").arg("--extract").arg(&file).arg(root))?;
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// The shared libraries that the loader finds neither on this machine nor in `root`.
fn missing_libraries(program: &Path, root: &Path) -> anyhow::Result<Vec<String>> {
    let folders = std::env::join_paths(library_folders(root)).context("the cache folder's name has a colon in it")?;
    let listing = run(Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", folders))?;
    Ok(not_found(&listing))
}

/// The names in `ldd`'s output that it has no file for.
fn not_found(listing: &str) -> Vec<String> {
    listing.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).map(str::to_owned).collect()
}

/// The folders under `root` where Debian keeps libraries: the plain ones and those of an architecture.
fn library_folders(root: &Path) -> Vec<PathBuf> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["usr/lib", "lib"].into_iter().flat_map(|lib| [root.join(lib).join(&triplet), root.join(lib)]).collect()
}

/// What a command wrote, or what it complained about.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let name = command.get_program().to_string_lossy();
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn output(command: &mut Command) -> anyhow::Result<Output> {
    // In another language `ldd` says "not found" otherwise.
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command.output().with_context(|| format!("{} cannot be run here", command.get_program().to_string_lossy()))
}

/// Waits until nobody else fills the cache; the lock ends with the file.
pub(crate) fn lock(file: &Path, progress: &Progress) -> anyhow::Result<File> {
    let lock = File::create(file).with_context(|| format!("cannot make {}", file.display()))?;
    if lock.try_lock().is_err() {
        progress.step("waiting for another run to end");
        lock.lock().with_context(|| format!("cannot lock {}", file.display()))?;
    }
    Ok(lock)
}

pub(crate) fn create(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_names_what_it_misses() {
        let listing =
            "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibgpgme.so.11 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x0)\n";
        assert_eq!(not_found(listing), ["libgpgme.so.11"]);
    }
}
