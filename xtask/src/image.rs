//! `cargo xtask image`: the container images, by buildah, from this tree: the webhook's, or the executor's.
//!
//! So that the same commit, toolchain and packages give the same digest, programs are built without paths of the machine in them,
//! every file gets the commit's time, and nothing is asked of the network but the authorities' package, once.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail};

use crate::cargo::{cargo, root, without_paths};
use crate::executor::Platform;
use crate::progress::Progress;
use crate::{components, debian, sbom};

/// Mozilla's certificate authorities, as Debian ships them.
const AUTHORITIES: debian::Package =
    debian::Package { name: "ca-certificates", version: "20250419~deb12u2", libraries: &[] };

/// The certificates, in the images.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// Standard output is the archive's path and nothing else.
    print_path: bool,
    which: Which<'a>,
}

/// Which image.
#[derive(Debug, PartialEq, Eq)]
enum Which<'a> {
    /// The webhook's, its program in this profile of cargo's.
    Webhook(&'a str),
    /// The executor's, for a platform, by default this machine's.
    Executor(Option<&'a str>),
}

impl<'a> Wanted<'a> {
    /// From the task's words.
    ///
    /// # Errors
    /// A word that says nothing here.
    pub(crate) fn parse(words: &[&'a str]) -> anyhow::Result<Self> {
        let mut wanted = Self { print_path: false, which: Which::Webhook("dist") };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match (*word, &mut wanted.which) {
                ("--print-path", _) => wanted.print_path = true,
                ("executor", _) => wanted.which = Which::Executor(None),
                ("--profile", Which::Webhook(profile)) => {
                    *profile = words.next().context("--profile needs a name, such as release")?;
                }
                ("--platform", Which::Executor(platform)) => {
                    *platform = Some(words.next().context("--platform needs a name, such as arm64")?);
                }
                (other, _) => bail!("image knows no {other:?}"),
            }
        }
        Ok(wanted)
    }
}

/// The image, as it was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// Its archive.
    pub(crate) archive: PathBuf,
    /// `NAME:VERSION`, as the manifests call it.
    pub(crate) name: String,
    digest: String,
    /// Of all that is in it, bytes.
    size: u64,
}

/// Builds it, and says where it is.
///
/// # Errors
/// Where one of the programs that it takes is missing or fails.
pub(crate) fn run(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let progress = Progress::of("image");
    let built = match wanted.which {
        Which::Webhook(profile) => build(profile, &progress),
        Which::Executor(platform) => executor(Platform::named(platform)?, &progress),
    };
    let Built { archive, name, digest, size } = built?;
    progress.end(&format!("{digest} in {}", archive.display()));
    match wanted.print_path {
        true => println!("{}", archive.display()),
        false => println!("{name} {digest} {size} bytes {}", archive.display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the webhook's, the program in this profile of cargo's.
///
/// # Errors
/// Where one of the programs that it takes is missing or fails.
pub(crate) fn build(profile: &str, progress: &Progress) -> anyhow::Result<Built> {
    let root = root()?;
    progress.step(&format!("building the program, profile {profile}"));
    let program = program(&root, profile)?;
    let mut recipe = Recipe::begin("emissary-webhook", root.join("Containerfile"), progress)?;
    recipe.put("emissary-webhook", &fs::read(&program)?, 0o755)?;
    recipe.put("usr/share/doc/emissary-webhook/sbom.cdx.json", sbom::document(&root)?.as_bytes(), 0o644)?;
    let revision = revision(&root)?;
    recipe.pack(&[("VERSION", env!("CARGO_PKG_VERSION")), ("REVISION", &revision)], None, progress)
}

/// Builds the executor's.
///
/// # Errors
/// As [`build`].
pub(crate) fn executor(platform: &Platform, progress: &Progress) -> anyhow::Result<Built> {
    progress.step(&format!("building the programs for {}", platform.name));
    let programs = platform.programs()?;
    let mut recipe = Recipe::begin("argoexec", root()?.join("executor/Containerfile"), progress)?;
    for (name, program) in programs {
        recipe.put(&format!("bin/{name}"), &fs::read(&program)?, 0o555)?;
    }
    // Where init stages things when no volume is mounted there.
    recipe.folder("tmp", 0o1777)?;
    recipe.pack(&[], Some(platform.name), progress)
}

/// An image's files, as they are collected.
struct Recipe {
    name: &'static str,
    containerfile: PathBuf,
    /// Where all of it is done. Nobody else does anything there in the meantime.
    folder: PathBuf,
    _alone: File,
    size: u64,
}

impl Recipe {
    /// With what is in every image: the authorities.
    fn begin(name: &'static str, containerfile: PathBuf, progress: &Progress) -> anyhow::Result<Self> {
        let folder = root()?.join("target/image");
        fs::create_dir_all(&folder)?;
        let alone = debian::lock(&folder.join("lock"), progress)?;
        let context = folder.join("context");
        if context.exists() {
            fs::remove_dir_all(&context).with_context(|| format!("cannot remove {}", context.display()))?;
        }
        let mut recipe = Self { name, containerfile, folder, _alone: alone, size: 0 };
        let authorities = AUTHORITIES.files(&components::cache_folder()?, progress)?;
        recipe.put(BUNDLE, bundle(&authorities)?.as_bytes(), 0o644)?;
        Ok(recipe)
    }

    /// A file of the image.
    fn put(&mut self, name: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
        let (above, _) = name.rsplit_once('/').unwrap_or_default();
        self.folder(above, 0o755)?;
        let file = self.root().join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        self.size += content.len() as u64;
        Ok(())
    }

    /// A folder of the image, those above it as every user may read them.
    fn folder(&self, name: &str, mode: u32) -> anyhow::Result<()> {
        let root = self.root();
        let folder = root.join(name);
        fs::create_dir_all(&folder)?;
        for above in folder.ancestors().take_while(|above| above.starts_with(&root)) {
            fs::set_permissions(above, fs::Permissions::from_mode(0o755))?;
        }
        Ok(fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?)
    }

    fn root(&self) -> PathBuf {
        self.folder.join("context/root")
    }

    /// Builds it.
    fn pack(self, arguments: &[(&str, &str)], platform: Option<&str>, progress: &Progress) -> anyhow::Result<Built> {
        progress.step("building the image");
        let buildah = components::one("buildah")?;
        let Self { name, containerfile, folder, _alone, size } = self;
        let time = match env::var("SOURCE_DATE_EPOCH") {
            Ok(seconds) => seconds,
            Err(_) => git(&root()?, &["log", "-1", "--format=%ct"])?,
        };
        let policy = folder.join("policy.json");
        fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
        let buildah = |words: &[OsString]| {
            let mut command = Command::new(&buildah);
            // What a machine's own configuration says shall not be in the image, nor the image in the machine's storage.
            command.args(["--storage-driver", "vfs", "--registries-conf", "/dev/null"]);
            command.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(folder.join("run"));
            command.args(words).env("BUILDAH_ISOLATION", "chroot");
            output(&mut command)
        };
        let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
        let mut build = words(&["build", "--quiet", "--format", "oci", "--identity-label=false", "--timestamp", &time]);
        for (name, value) in arguments {
            build.extend(words(&["--build-arg", &format!("{name}={value}")]));
        }
        if let Some(platform) = platform {
            build.extend(words(&["--platform", &format!("linux/{platform}")]));
        }
        build.extend(["--signature-policy".into(), policy.clone().into_os_string(), "--file".into()]);
        build.extend([containerfile.into_os_string(), folder.join("context").into_os_string()]);
        let image = buildah(&build)?;
        let image = image.lines().last().context("buildah names no image")?.to_owned();

        // One of several platforms says which.
        let which = platform.map(|platform| format!("-{platform}")).unwrap_or_default();
        let archive = folder.join(format!("{name}{which}.tar"));
        let digest = folder.join(format!("{name}{which}.digest"));
        if archive.exists() {
            fs::remove_file(&archive)?;
        }
        let name = format!("{name}:{}", env!("CARGO_PKG_VERSION"));
        let mut push = words(&["push", "--quiet", "--signature-policy"]);
        push.extend([policy.into_os_string(), "--digestfile".into(), digest.clone().into_os_string()]);
        push.extend([image.clone().into(), format!("oci-archive:{}:{name}", archive.display()).into()]);
        buildah(&push)?;
        // The archive is all that is wanted.
        buildah(&words(&["rmi", "--force", &image]))?;
        let digest = fs::read_to_string(&digest).context("buildah wrote no digest")?.trim().to_owned();
        Ok(Built { archive, name, digest, size })
    }
}

/// The program, linked without a shared library, since there is none in the image, and without paths of this machine.
fn program(root: &Path, profile: &str) -> anyhow::Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "--quiet", "--package", "emissary-webhook", "--profile", profile]);
    // Named although it is the machine's own: without it the flags would be for macros too, which are shared libraries.
    build.args(["--target", sbom::TARGET]).current_dir(root);
    build.env("CARGO_ENCODED_RUSTFLAGS", without_paths(&["-Ctarget-feature=+crt-static"])?);
    let status = build.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo build failed");
    }
    let folder = if profile == "dev" { "debug" } else { profile };
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(sbom::TARGET).join(folder).join("emissary-webhook"))
}

/// All authorities of the package in one file, by name.
fn bundle(files: &Path) -> anyhow::Result<String> {
    let folder = files.join("usr/share/ca-certificates/mozilla");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut certificates: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    certificates.sort();
    let mut bundle = String::new();
    for certificate in certificates.iter().filter(|file| file.extension().is_some_and(|end| end == "crt")) {
        writeln!(bundle, "{}", fs::read_to_string(certificate)?.trim_end())?;
    }
    if !bundle.contains("BEGIN CERTIFICATE") {
        bail!("{} holds no certificates", folder.display());
    }
    Ok(bundle)
}

/// The commit, and whether there is more than it.
fn revision(root: &Path) -> anyhow::Result<String> {
    let commit = git(root, &["rev-parse", "HEAD"])?;
    let changed = git(root, &["status", "--porcelain", "--untracked-files=no"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(root: &Path, words: &[&str]) -> anyhow::Result<String> {
    output(Command::new("git").arg("-C").arg(root).args(words))
}

/// What a program wrote, less the last line's end.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be run here"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_words_are_read() {
        let wanted = |words: &[&'static str]| Wanted::parse(words).ok();
        let said = |print_path, which| Some(Wanted { print_path, which });
        assert_eq!(wanted(&[]), said(false, Which::Webhook("dist")));
        assert_eq!(wanted(&["--profile", "release", "--print-path"]), said(true, Which::Webhook("release")));
        assert_eq!(wanted(&["executor"]), said(false, Which::Executor(None)));
        assert_eq!(wanted(&["executor", "--platform", "arm64"]), said(false, Which::Executor(Some("arm64"))));
        assert_eq!(wanted(&["executor", "--profile", "dev"]), None);
        assert_eq!(wanted(&["--platform", "arm64"]), None);
        assert_eq!(wanted(&["--profile"]), None);
        assert_eq!(wanted(&["--push"]), None);
    }
}
