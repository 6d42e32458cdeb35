//! What an executor reads before it starts anything: the template, further arguments, the supervisor's word, artifacts.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use emissary_contract::template::{Fields, normal};
use emissary_contract::{OFFLOADED, Template, path, variable};

use crate::environment::Environment;
use crate::failure::{Doing as _, Failure};
use crate::shared::{Shared, read_text};
use crate::wake::{Event, Wake};

/// The longest template or list of arguments, bytes. An object of the API is at most 1.5 MiB.
const LONGEST: u64 = 4 << 20;
/// How old the supervisor's word may be before it counts as dead (Argo 4.1; it renews it every five seconds).
const STALE: Duration = Duration::from_secs(30);

/// The template, as init or the supervisor left it, else from the environment.
///
/// # Errors
/// Where there is none, or it is none.
pub(crate) fn template(environment: &Environment, shared: &Shared) -> Result<Template, Failure> {
    let file = shared.place(path::TEMPLATE);
    match read_text(&file, LONGEST) {
        Ok(text) => Template::parse(text).doing(|| format!("{} is no template", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            template_of_variable(environment, shared)?.ok_or_else(|| {
                let file = file.display();
                Failure::own(format!("no template: neither {file} is there nor {} set", variable::TEMPLATE))
            })
        }
        Err(error) => Err(error).doing(|| format!("cannot read {}", file.display())),
    }
}

/// The template that the environment holds or points to.
///
/// # Errors
/// Where it is none, or not where the environment says.
pub(crate) fn template_of_variable(environment: &Environment, shared: &Shared) -> Result<Option<Template>, Failure> {
    let Some(text) = &environment.template else { return Ok(None) };
    let text = if text == OFFLOADED {
        let file = shared.place(path::CONFIG).join(variable::TEMPLATE);
        read_text(&file, LONGEST).doing(|| format!("cannot read the template from {}", file.display()))?
    } else {
        text.clone()
    };
    Template::parse(text).map(Some).doing(|| format!("{} is no template", variable::TEMPLATE))
}

/// The arguments of a file that the controller made because they were too long.
///
/// # Errors
/// Where the file is not there or not a JSON array of strings.
pub(crate) fn further_arguments(file: &Path) -> Result<Vec<String>, Failure> {
    let text = read_text(file, LONGEST).doing(|| format!("cannot read the arguments from {}", file.display()))?;
    emissary_contract::further_arguments(&text).doing(|| format!("{} is not a list of arguments", file.display()))
}

/// Waits until the supervisor has loaded what the process needs.
///
/// # Errors
/// Where it has failed, is not to be seen, or a signal comes that would end the process.
pub(crate) fn wait_for_ready(shared: &Shared, wake: &mut Wake) -> Result<(), Failure> {
    let file = shared.place(path::STATUS);
    wake.watch(&shared.place(path::SHARED));
    let begun = Instant::now();
    loop {
        let text = read_text(&file, LONGEST).unwrap_or_default();
        let (state, cause) = text.split_once('\n').unwrap_or((&text, ""));
        match state.trim() {
            "READY" => return Ok(()),
            "FAILED" => return Err(Failure::before_main(format!("the supervisor failed: {}", cause.trim()))),
            _ => {}
        }
        let age = fs::metadata(&file).and_then(|file| file.modified()).map(|modified| {
            // A clock that was set back makes it no older than now.
            SystemTime::now().duration_since(modified).unwrap_or_default()
        });
        let left = STALE.saturating_sub(age.unwrap_or_else(|_| begun.elapsed()));
        if left.is_zero() {
            return Err(Failure::before_main(format!(
                "no word of the supervisor in {} for {} s: look at the container supervisor",
                file.display(),
                STALE.as_secs()
            )));
        }
        match wake.next(Some(Instant::now() + left)).doing(|| "cannot wait for the supervisor".to_owned())? {
            Event::Signal(signal) if ends(signal) => return Err(Failure::signalled(signal)),
            _ => {}
        }
    }
}

/// Signals that end whoever only waits.
pub(crate) fn ends(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT | libc::SIGKILL)
}

/// Puts a link to each input artifact where the template wants it: init-less layout.
///
/// # Errors
/// Where a link cannot be made.
pub(crate) fn link_artifacts(fields: &Fields, shared: &Shared) -> Result<(), Failure> {
    let loaded = shared.place(path::INPUT_ARTIFACTS);
    for artifact in &fields.inputs.artifacts {
        let source = loaded.join(&artifact.name);
        // What is under a mount of the user's, the supervisor has put there itself.
        if artifact.path.is_empty() || fields.mount_over(&artifact.path).is_some() || !source.exists() {
            continue;
        }
        let target = Path::new(&artifact.path);
        link(&source, target).map_err(|error| {
            Failure::before_main(format!(
                "cannot link input artifact {} to {}: {error}; the path needs a volume of its own where the container's root is \
                 read-only",
                artifact.name, artifact.path
            ))
        })?;
    }
    Ok(())
}

/// A link in place of whatever the image has there.
fn link(source: &Path, target: &Path) -> io::Result<()> {
    let text = target.to_str().unwrap_or_default();
    if normal(text).is_empty() {
        return Err(io::Error::other("it would replace the root"));
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    symlink(source, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_file_of_arguments_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            let _ = further_arguments(file.path());
        }
    }

    #[test]
    fn a_file_of_arguments_is_a_list() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"["a","\u0000","b c"]"#).unwrap();
        assert_eq!(further_arguments(file.path()).unwrap(), ["a", "\0", "b c"]);
        for wrong in ["", "{}", "[1]", "[\"a\"", "null"] {
            fs::write(file.path(), wrong).unwrap();
            assert!(further_arguments(file.path()).is_err(), "{wrong}");
        }
    }
}
