//! `cargo xtask image`: the container image, by buildah, from this tree.
//!
//! The same commit, toolchain and packages give the same digest: the program is built without paths of the machine in it,
//! every file gets the commit's time, and nothing is asked of the network but the authorities' package, once.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail};

use crate::progress::Progress;
use crate::{components, debian, sbom};

/// Mozilla's certificate authorities, as Debian ships them.
const AUTHORITIES: debian::Package =
    debian::Package { name: "ca-certificates", version: "20250419~deb12u2", libraries: &[] };

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// Standard output is the archive's path and nothing else.
    print_path: bool,
    /// Cargo's profile.
    profile: &'a str,
}

impl<'a> Wanted<'a> {
    /// From the task's words.
    ///
    /// # Errors
    /// A word that says nothing here.
    pub(crate) fn parse(words: &[&'a str]) -> anyhow::Result<Self> {
        let mut wanted = Self { print_path: false, profile: "dist" };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--print-path" => wanted.print_path = true,
                "--profile" => wanted.profile = words.next().context("--profile needs a name, such as release")?,
                other => bail!("image knows no {other:?}"),
            }
        }
        Ok(wanted)
    }
}

/// Builds it.
///
/// # Errors
/// Where one of the programs that it takes is missing or fails.
pub(crate) fn run(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let Wanted { print_path, profile } = wanted;
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize()?;
    let buildah = components::one("buildah")?;
    let progress = Progress::of("image");
    let folder = root.join("target/image");
    let context = folder.join("context");
    if context.exists() {
        fs::remove_dir_all(&context).with_context(|| format!("cannot remove {}", context.display()))?;
    }

    progress.step(&format!("building the program, profile {profile}"));
    let program = program(&root, profile)?;
    put(&context, "emissary-webhook", &fs::read(&program)?, 0o755)?;
    let authorities = AUTHORITIES.files(&components::cache_folder()?, &progress)?;
    put(&context, "etc/ssl/certs/ca-certificates.crt", bundle(&authorities)?.as_bytes(), 0o644)?;
    put(&context, "usr/share/doc/emissary-webhook/sbom.cdx.json", sbom::document(&root)?.as_bytes(), 0o644)?;

    progress.step("building the image");
    let version = env!("CARGO_PKG_VERSION");
    let revision = revision(&root)?;
    let time = match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds,
        Err(_) => git(&root, &["log", "-1", "--format=%ct"])?,
    };
    let policy = folder.join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
    let buildah = |words: &[OsString]| {
        let mut command = Command::new(&buildah);
        // What a machine's own configuration says shall not be in the image, nor the image in the machine's storage.
        let storage: [OsString; 2] = [folder.join("storage").into(), folder.join("run").into()];
        let [data, run] = storage;
        command.args(["--storage-driver", "vfs", "--registries-conf", "/dev/null", "--root"]).arg(data);
        command.arg("--runroot").arg(run).args(words).env("BUILDAH_ISOLATION", "chroot");
        output(&mut command)
    };
    let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    let mut build = words(&["build", "--quiet", "--format", "oci", "--identity-label=false", "--timestamp", &time]);
    build.extend(words(&[
        "--build-arg",
        &format!("VERSION={version}"),
        "--build-arg",
        &format!("REVISION={revision}"),
    ]));
    build.extend(["--signature-policy".into(), policy.clone().into_os_string(), "--file".into()]);
    build.extend([root.join("Containerfile").into_os_string(), context.into_os_string()]);
    let image = buildah(&build)?;
    let image = image.lines().last().context("buildah names no image")?.to_owned();

    let archive = folder.join("emissary-webhook.tar");
    let digest = folder.join("digest");
    if archive.exists() {
        fs::remove_file(&archive)?;
    }
    let mut push = words(&["push", "--quiet", "--signature-policy"]);
    push.extend([
        policy.into_os_string(),
        "--digestfile".into(),
        digest.clone().into_os_string(),
        image.clone().into(),
    ]);
    push.push(format!("oci-archive:{}:emissary-webhook:{version}", archive.display()).into());
    buildah(&push)?;
    // The archive is all that is wanted.
    buildah(&words(&["rmi", "--force", &image]))?;
    let digest = fs::read_to_string(&digest).context("buildah wrote no digest")?;
    progress.end(&format!("{} in {}", digest.trim(), archive.display()));
    match print_path {
        true => println!("{}", archive.display()),
        false => println!("emissary-webhook:{version} {} {}", digest.trim(), archive.display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The program, linked without a shared library, since there is none in the image, and without paths of this machine.
fn program(root: &Path, profile: &str) -> anyhow::Result<PathBuf> {
    let home = |variable: &str, fallback: &str| {
        let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(fallback));
        env::var_os(variable).map(PathBuf::from).or(home).with_context(|| format!("neither {variable} nor HOME is set"))
    };
    let cargo_home = home("CARGO_HOME", ".cargo")?;
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=/src", root.display()),
    ];
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--quiet", "--package", "emissary-webhook", "--profile", profile]);
    // Named although it is the machine's own: without it the flags would be for macros too, which are shared libraries.
    build.args(["--target", sbom::TARGET]).current_dir(root);
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
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

/// A file of the image, the folders above it as every user may read them.
fn put(context: &Path, name: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let root = context.join("root");
    let file = root.join(name);
    let folder = file.parent().context("a file without a folder")?;
    fs::create_dir_all(folder)?;
    for above in folder.ancestors().take_while(|above| above.starts_with(&root)) {
        fs::set_permissions(above, fs::Permissions::from_mode(0o755))?;
    }
    fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    Ok(())
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
        assert_eq!(wanted(&[]), Some(Wanted { print_path: false, profile: "dist" }));
        assert_eq!(
            wanted(&["--profile", "release", "--print-path"]),
            Some(Wanted { print_path: true, profile: "release" })
        );
        assert_eq!(wanted(&["--profile"]), None);
        assert_eq!(wanted(&["--push"]), None);
    }
}
