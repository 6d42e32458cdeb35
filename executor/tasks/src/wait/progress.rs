//! How far the user's process says that it is.

use std::io::{Read as _, Seek as _, SeekFrom};

use emissary_contract::path;

use crate::beneath::{self, Links};
use crate::pod::Pod;

/// The end of the file that is looked at, bytes.
const TAIL: u64 = 4096;

/// The last line that is `N/M`, with N not above M and M above 0.
pub(super) fn read(pod: &Pod) -> Option<String> {
    pod.environment.progress_tick?;
    let name = path::PROGRESS.strip_prefix(path::SHARED)?;
    let mut file = beneath::open(&pod.shared.place(path::SHARED), name, Links::Refused).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    last(&String::from_utf8_lossy(&bytes))
}

fn last(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let (done, all) = line.split_once('/')?;
    let (done, all): (u64, u64) = (done.parse().ok()?, all.parse().ok()?);
    (done <= all && all > 0).then(|| format!("{done}/{all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let cases = [
            ("1/2\n", Some("1/2")),
            ("1/2\n2/2\n\n", Some("2/2")),
            ("0/100", Some("0/100")),
            ("3/2", None),
            ("0/0", None),
            ("-1/2", None),
            ("half", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(last(text).as_deref(), expected, "{text:?}");
        }
    }
}
