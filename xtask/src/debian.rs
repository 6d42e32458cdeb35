//! A program out of a Debian package, without rights: apt works on folders of our own and dpkg only unpacks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, process};

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
        let folder = cache.join("components").join(format!("{}-{}", self.name, self.version));
        let kept = folder.join("bin").join(program);
        if kept.is_file() {
            return Ok(kept);
        }
        let partial = folder.with_file_name(format!(".{}-{}", self.name, process::id()));
        // The number may have been another's, who was interrupted.
        remove(&partial)?;
        let unpacked = self.unpack(program, cache, &partial, progress);
        let placed = unpacked.and_then(|needs_libraries| {
            fs::create_dir_all(partial.join("bin"))?;
            place(program, &partial, &folder, needs_libraries)?;
            // In one step, so that a folder of this name is complete; somebody else's at the same time is as good.
            match fs::rename(&partial, &folder) {
                Err(_) if kept.is_file() => Ok(()),
                renamed => renamed.with_context(|| format!("cannot move the program to {}", folder.display())),
            }
        });
        remove(&partial)?;
        placed.map(|()| kept)
    }

    /// Fills `partial/root`; true if the program needs libraries from there.
    fn unpack(&self, program: &str, cache: &Path, partial: &Path, progress: &Progress) -> anyhow::Result<bool> {
        let root = partial.join("root");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let apt = Apt::new(cache)?;
        progress.step("reading the package lists");
        apt.update()?;
        progress.step(&format!("downloading {} {}", self.name, self.version));
        let pinned = format!("{}={}", self.name, self.version);
        if apt.download(&pinned, partial).is_err() {
            apt.download(self.name, partial)?;
            progress.note(&format!("the archive has no {}; taking the version it has", self.version));
        }
        progress.step("unpacking");
        unpack_all(partial, &root)?;

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
                progress.step(&format!("downloading {package}"));
                apt.download(package, partial)?;
                got.push(package);
            }
            unpack_all(partial, &root)?;
        }
    }
}

/// Puts `bin/PROGRAM` into `partial`, which will be renamed `folder`.
fn place(program: &str, partial: &Path, folder: &Path, needs_libraries: bool) -> anyhow::Result<()> {
    let file = partial.join("bin").join(program);
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
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(cache: &Path) -> anyhow::Result<Self> {
        let folder = cache.join("apt");
        for needed in ["lists/partial", "archives/partial"] {
            let needed = folder.join(needed);
            fs::create_dir_all(&needed).with_context(|| format!("cannot make {}", needed.display()))?;
        }
        let folder = folder.display();
        Ok(Self {
            options: [
                format!("Dir::State::lists={folder}/lists"),
                format!("Dir::Cache={folder}"),
                "Debug::NoLocking=true".to_owned(),
                // Run by root, apt would otherwise give its own user a folder that this user cannot read.
                "APT::Sandbox::User=".to_owned(),
            ]
            .into_iter()
            .flat_map(|option| ["-o".to_owned(), option])
            .collect(),
        })
    }

    fn update(&self) -> anyhow::Result<()> {
        run(Command::new("apt-get").args(&self.options).args(["-q", "update"])).map(drop)
    }

    /// Puts a package's file into `folder`, its hash checked against the signed lists.
    fn download(&self, package: &str, folder: &Path) -> anyhow::Result<()> {
        run(Command::new("apt-get").args(&self.options).args(["-q", "download", package]).current_dir(folder)).map(drop)
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
fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    // In another language `ldd` says "not found" otherwise.
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} cannot be run on this machine"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
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
