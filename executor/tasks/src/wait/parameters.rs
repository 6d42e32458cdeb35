//! Output parameters and the result: short texts.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};

use emissary_contract::template::normal;
use emissary_contract::{container, file, path};
use serde_json::{Value, json};

use super::unreadable;
use crate::beneath::{self, Links};
use crate::pod::Pod;

/// What is kept of a result, bytes from its end.
const LONGEST_RESULT: u64 = 256 << 10;
/// The longest parameter, bytes. All of a result is one object of the API, of which 1.5 MiB is the limit.
const LONGEST_PARAMETER: u64 = 1 << 20;

/// Kinds of template whose output can be a result.
const KINDS: [&str; 5] = ["container", "script", "data", "http", "plugin"];

/// What the process wrote to its standard output, where the step's result is wanted.
pub(super) fn result(pod: &Pod, errors: &mut Vec<String>) -> Option<String> {
    let fields = pod.template.fields();
    let has_result = KINDS.iter().any(|kind| pod.value.get(*kind).is_some_and(Value::is_object))
        || fields.container_set.is_some() && fields.main_containers().any(|name| name == container::MAIN);
    if !pod.environment.result || !has_result {
        return None;
    }
    let root = pod.shared.place(path::CONTAINERS);
    let opened = beneath::open(&root, &format!("{}/{}", container::MAIN, file::STDOUT), Links::Refused);
    match opened.and_then(tail) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            pod.say(|| "there is no standard output".to_owned());
            None
        }
        Err(error) => {
            errors.push(format!("cannot read the standard output of {}: {error}", container::MAIN));
            None
        }
    }
}

/// A file's last part, without the newline at its end.
fn tail(mut file: File) -> io::Result<String> {
    let length = file.metadata()?.len();
    // One more, since the newline does not count.
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_RESULT + 1)))?;
    let mut bytes = Vec::new();
    file.take(LONGEST_RESULT + 1).read_to_end(&mut bytes)?;
    let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let begin = end.len().saturating_sub(usize::try_from(LONGEST_RESULT).unwrap_or(usize::MAX));
    Ok(String::from_utf8_lossy(end.get(begin..).unwrap_or_default()).into_owned())
}

/// Every output parameter that is a file, as it is reported: with its value.
pub(super) fn collect(pod: &Pod, errors: &mut Vec<String>) -> Vec<Value> {
    let parameters = pod.value.pointer("/outputs/parameters").and_then(Value::as_array);
    let mut collected = Vec::new();
    for parameter in parameters.into_iter().flatten() {
        let Some(path) = parameter.pointer("/valueFrom/path").and_then(Value::as_str).filter(|path| !path.is_empty())
        else {
            continue;
        };
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let read = open(pod, path).and_then(|file| beneath::text(file, LONGEST_PARAMETER));
        let value = match (read, parameter.pointer("/valueFrom/default")) {
            (Ok(text), _) => text.strip_suffix('\n').unwrap_or(&text).to_owned(),
            (Err(error), Some(default)) if error.kind() == ErrorKind::NotFound => {
                default.as_str().map_or_else(|| default.to_string(), str::to_owned)
            }
            (Err(error), _) => {
                errors.push(format!("cannot save output parameter {name} from {}", unreadable(pod, path, &error)));
                continue;
            }
        };
        let mut parameter = parameter.clone();
        if let Some(fields) = parameter.as_object_mut() {
            fields.insert("value".to_owned(), json!(value));
        }
        collected.push(parameter);
    }
    collected
}

/// What a container has at a path: from the volume that is there, else as its executor has copied it.
fn open(pod: &Pod, path: &str) -> io::Result<File> {
    match mirrored(pod, path) {
        Some(Err(error)) if error.kind() == ErrorKind::NotFound && pod.template.fields().mount_over(path).is_none() => {
        }
        Some(opened) => return opened,
        None => {}
    }
    beneath::open(&pod.shared.place(path::OUTPUT_PARAMETERS), path, Links::Refused)
}

/// What is at a path of the main container that is in a volume; nothing where it is in the container's own layer. An input
/// artifact is in a volume as well, but for the init-less layout, where the executor has copied what came of it.
pub(super) fn mirrored(pod: &Pod, path: &str) -> Option<io::Result<File>> {
    let fields = pod.template.fields();
    let whole = normal(path);
    let under_input = || {
        fields.inputs.artifacts.iter().map(|artifact| normal(&artifact.path)).any(|input| {
            !input.is_empty() && whole.strip_prefix(&input).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let in_volume = fields.mount_over(path).is_some() || !pod.environment.initless && under_input();
    in_volume.then(|| beneath::open(&pod.shared.place(path::MIRROR), path, Links::OfTheRoot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_result_is_the_end_without_one_newline() {
        let long = "x".repeat(300 << 10);
        let kept = "x".repeat(256 << 10);
        let cases = [
            ("", ""),
            ("x", "x"),
            ("x\n\n", "x\n"),
            ("\n", ""),
            (long.as_str(), kept.as_str()),
            (&format!("{long}\n"), &kept),
        ];
        for (text, expected) in cases {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert!(tail(file).unwrap() == expected, "{} bytes", text.len());
        }
    }
}
