use super::draft::Place;
use super::options::Pin;
use crate::edit::Edits;
use crate::image::{Digest, ImageProcess, Platform, effective};
use crate::outcome::{Problem, Provenance, Source};
use emissary_contract::variable;
use serde_json::{Map, Value, json};

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
    /// The length of `env`, where the field is there; read only where the executor chooses by platform.
    pub(super) variables: Option<usize>,
}

impl Subject {
    pub(super) fn fill(
        self,
        process: &ImageProcess,
        source: Source,
        wanted: Pin,
    ) -> Result<(usize, Edits, Option<Provenance>), Problem> {
        let Self { index, name, image, pull_policy: _, prefix, has_command_field, args, has_args_field, variables: _ } =
            self;
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

/// A container's edits, and what is said of them.
pub(super) type Filled = (usize, Edits, Option<Provenance>);

impl Subject {
    /// The same for an image that runs something else on each platform: the wrapper alone is the command, and a variable holds
    /// what comes after it.
    pub(super) fn fill_by_platform(
        self,
        processes: Vec<(Platform, ImageProcess, Source)>,
        wanted: Pin,
    ) -> Result<(Vec<Filled>, Value), Problem> {
        let Self { index, name, image, pull_policy: _, prefix, has_command_field, args, .. } = self;
        let mut edits = Edits::default();
        edits.set(&Place::Regular(index).path().member("command"), has_command_field, json!(prefix));
        // A digest of an index is one for all platforms.
        let pinned = processes.first().and_then(|(.., source)| to_write(wanted, &image, source));
        pinned.iter().for_each(|digest| edits.extend(pin(index, &image, digest)));
        let mut filled = vec![(index, edits, None)];
        let mut commands = Map::new();
        for (platform, process, source) in processes {
            let Some(words) = effective(&process, !args.is_empty()) else {
                return Err(Problem::NothingToRun { container: name, image });
            };
            let mut command = words.command;
            command.extend(words.args.into_iter().flatten());
            commands.insert(platform.to_string(), json!(command));
            command.extend(args.iter().cloned());
            let container = format!("{name} on {platform}");
            let provenance = Provenance { container, image: image.clone(), source, command, pinned: pinned.clone() };
            filled.push((index, Edits::default(), Some(provenance)));
        }
        let value = Value::Object(commands).to_string();
        Ok((filled, json!({"name": variable::PLATFORM_COMMANDS, "value": value})))
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
