use super::draft::Place;
use super::options::Pin;
use crate::edit::Edits;
use crate::image::{Digest, ImageProcess, effective};
use crate::outcome::{Problem, Provenance, Source};
use serde_json::json;

/// A container without a command, as far as its command's edits need it.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) pull_policy: Option<String>,
    pub(super) prefix: Vec<String>,
    pub(super) has_command_field: bool,
    pub(super) args: Vec<String>,
    pub(super) has_args_field: bool,
}

impl Subject {
    pub(super) fn fill(
        self,
        process: &ImageProcess,
        source: Source,
        wanted: Pin,
    ) -> Result<(usize, Edits, Option<Provenance>), Problem> {
        let Self { index, name, image, pull_policy: _, prefix, has_command_field, args, has_args_field } = self;
        let Some(words) = effective(process, !args.is_empty()) else {
            return Err(Problem::NothingToRun { container: name, image });
        };
        let path = Place::Regular(index).path();
        let mut edits = Edits::default();
        let mut command = prefix;
        command.extend(words.command.iter().cloned());
        edits.set(&path.member("command"), has_command_field, json!(command));
        let mut shown = words.command;
        match words.args {
            Some(cmd) => {
                edits.set(&path.member("args"), has_args_field, json!(cmd));
                shown.extend(cmd);
            }
            None => shown.extend(args),
        }
        let pinned = to_write(wanted, &image, &source);
        pinned.iter().for_each(|digest| edits.extend(pin(index, &image, digest)));
        Ok((index, edits, Some(Provenance { container: name, image, source, command: shown, pinned })))
    }
}

/// Writes a digest behind the image's name.
pub(super) fn pin(index: usize, image: &str, digest: &Digest) -> Edits {
    let mut edits = Edits::default();
    edits.replace(&Place::Regular(index).path().member("image"), json!(format!("{image}@{digest}")));
    edits
}

/// The digest that goes behind an image's name: that of what the name stood for when its registry was asked, so that a
/// node still chooses its platform from an index.
pub(crate) fn to_write(pin: Pin, image: &str, source: &Source) -> Option<Digest> {
    match source {
        Source::Registry { digest, .. } if pin != Pin::Never && !image.contains('@') => Some(digest.clone()),
        _ => None,
    }
}
