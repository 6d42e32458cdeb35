//! What a container runs: the words on the command line, those of a file, and the platform's.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use emissary_contract::{MAX_VARIABLE, PlatformCommands, variable};
use rustix::fs::{Access, AtFlags, CWD};

use crate::environment::Environment;
use crate::failure::{Doing as _, Failure};
use crate::inputs;
use crate::shared::Shared;

/// A program and its arguments, its own name first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<OsString>);

impl Words {
    /// Puts the words together.
    ///
    /// # Errors
    /// Where a source of words cannot be read, or there is no word at all.
    pub(crate) fn gather(words: &[OsString], environment: &Environment, shared: &Shared) -> Result<Self, Failure> {
        let mut all = match &environment.platform_commands {
            Some(text) => of_platform(text)?,
            None => Vec::new(),
        };
        all.extend_from_slice(words);
        if let Some(file) = &environment.arguments {
            let file = shared.place(&file.to_string_lossy());
            all.extend(inputs::further_arguments(&file)?.into_iter().map(OsString::from));
            offload(&mut all, shared)?;
        }
        if all.is_empty() {
            return Err(Failure::own(
                "no command: the container has no command and no arguments, and its image runs nothing by itself",
            ));
        }
        Ok(Self(all))
    }

    /// The program's name as it was given.
    pub(crate) fn program(&self) -> &OsStr {
        self.0.first().map(OsString::as_os_str).unwrap_or_default()
    }

    /// The program's file, looked for as a shell does.
    ///
    /// # Errors
    /// Where there is none that may be run.
    pub(crate) fn find(&self, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
        let program = self.program();
        if program.as_bytes().contains(&b'/') {
            return match runnable(Path::new(program)) {
                Ok(()) => Ok(PathBuf::from(program)),
                Err(reason) => Err(Failure::own(format!("cannot run {}: {reason}", program.display()))),
            };
        }
        let mut reason = "not found in PATH";
        if !program.is_empty() {
            for folder in path.unwrap_or_default().as_bytes().split(|byte| *byte == b':') {
                // An empty part is the working directory.
                let folder = if folder.is_empty() { b"." } else { folder };
                let file = Path::new(OsStr::from_bytes(folder)).join(program);
                match runnable(&file) {
                    Ok(()) => return Ok(file),
                    // What is there and may not be run says more than that it is not elsewhere.
                    Err(other) if other != MISSING => reason = other,
                    Err(_) => {}
                }
            }
        }
        let reason = if path.is_none() { "PATH is not set" } else { reason };
        Err(Failure::own(format!("cannot run {:?}: {reason}", program)))
    }
}

const MISSING: &str = "no such file";

fn runnable(file: &Path) -> Result<(), &'static str> {
    match fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Err("permission denied"),
        Err(_) => return Err(MISSING),
        Ok(found) if found.is_dir() => return Err("it is a directory"),
        Ok(_) => {}
    }
    rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).map_err(|_| "it may not be executed")
}

fn of_platform(text: &str) -> Result<Vec<OsString>, Failure> {
    let commands = PlatformCommands::parse(text).doing(|| format!("cannot read {}", variable::PLATFORM_COMMANDS))?;
    let words = commands.choose(std::env::consts::ARCH).ok_or_else(|| {
        let known: Vec<&str> = commands.0.keys().map(String::as_str).collect();
        let (here, known) = (std::env::consts::ARCH, known.join(", "));
        Failure::own(format!("the image has no command for this node's platform ({here}), but for: {known}"))
    })?;
    Ok(words.iter().map(OsString::from).collect())
}

/// Replaces what is too long for one argument by `@` and a file that holds it, which the program has to understand.
fn offload(words: &mut [OsString], shared: &Shared) -> Result<(), Failure> {
    // Argo counts from the first word behind the program's.
    for (place, word) in words.iter_mut().skip(1).enumerate() {
        if word.len() < MAX_VARIABLE {
            continue;
        }
        let name = format!("/tmp/argo_arg_{place}.txt");
        let file = shared.place(&name);
        fs::write(&file, word.as_bytes()).doing(|| {
            format!("argument {place} is too long for a command line, and {} cannot be written", file.display())
        })?;
        *word = OsString::from("@");
        word.push(file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &str, path: Option<&str>) -> Result<PathBuf, String> {
        Words(vec![OsString::from(program)]).find(path.map(OsStr::new)).map_err(|failure| failure.text)
    }

    #[test]
    fn a_program_is_looked_for_as_a_shell_does() {
        let cases: [(&str, Option<&str>, Result<&str, &str>); 9] = [
            ("sh", Some("/nowhere:/bin"), Ok("/bin/sh")),
            ("/bin/sh", None, Ok("/bin/sh")),
            ("sh", None, Err("cannot run \"sh\": PATH is not set")),
            ("sh", Some("/nowhere"), Err("cannot run \"sh\": not found in PATH")),
            ("", Some("/bin"), Err("cannot run \"\": not found in PATH")),
            ("/no/such", None, Err("cannot run /no/such: no such file")),
            ("/etc/passwd", None, Err("cannot run /etc/passwd: it may not be executed")),
            ("/etc", None, Err("cannot run /etc: it is a directory")),
            ("passwd", Some("/etc"), Err("cannot run \"passwd\": it may not be executed")),
        ];
        for (program, path, expected) in cases {
            assert_eq!(found(program, path), expected.map(PathBuf::from).map_err(str::to_owned), "{program} {path:?}");
        }
    }

    #[test]
    fn another_platforms_command_is_named() {
        let text = of_platform(r#"{"linux/s390x":["x"],"windows/amd64":["y"]}"#).unwrap_err().text;
        assert!(text.contains("linux/s390x, windows/amd64"), "{text}");
        assert!(of_platform("[]").is_err());
    }
}
