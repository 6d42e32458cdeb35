//! The cases of `tests/cases`: an object, options and images in; what comes out, or why it is denied.
//!
//! `UPDATE_CASES=1` writes what comes out into the files, and leaves every other line of them as it is.
#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy.toml excuses test functions, not what they call")]

mod case;
mod rendering;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};

use case::Case;
use serde_json::Value;
use similar::TextDiff;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")
}

/// All files below a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    let of = |path: PathBuf| match path.is_dir() {
        true => files(&path),
        false if path.extension().is_some_and(|extension| extension == "yaml") => vec![path],
        false => Vec::new(),
    };
    entries.into_iter().flat_map(of).collect()
}

#[test]
fn every_case_comes_out_as_its_file_says() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let (folder, mut count, mut updated, mut failures) = (folder(), 0, 0, Vec::new());
    for file in files(&folder) {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let cases: Vec<Case> =
            match serde_saphyr::from_str_with_options(&text, serde_saphyr::options! { strict_booleans: true }) {
                Ok(cases) => cases,
                Err(error) => {
                    failures.push(format!("{name}: {error}"));
                    continue;
                }
            };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // From the end, so that the places of the earlier cases stay.
        for (position, case) in cases.iter().enumerate().rev() {
            count += 1;
            match case.run() {
                Err(why) => failures.push(format!("{name}: {}: {why}", case.name)),
                Ok(said) if update => {
                    updated += usize::from(said != case.expect);
                    replace(&mut lines, position, &said);
                }
                Ok(said) if said == case.expect => {}
                Ok(said) => failures.push(format!("{name}: {}:\n{}", case.name, difference(&case.expect, &said))),
            }
        }
        let new = lines.join("\n") + "\n";
        if update && new != text {
            fs::write(&file, new).unwrap();
        }
    }
    println!("{count} cases, {updated} updated");
    assert!(count > 0, "no case below {}", folder.display());
    assert!(failures.is_empty(), "{} of {count} cases:\n\n{}", failures.len(), failures.join("\n\n"));
}

fn difference(expected: &Value, said: &Value) -> String {
    let text = |value| yaml::block(value, 0).join("\n") + "\n";
    TextDiff::from_lines(text(expected), text(said))
        .unified_diff()
        .header("the file", "what came out")
        .context_radius(2)
        .to_string()
}

/// Writes an expectation into a file's lines, in the place of the one that the case has, or behind the case.
fn replace(lines: &mut Vec<String>, position: usize, said: &Value) {
    let starts: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("- ")).collect();
    let start = starts[position];
    let limit = starts.get(position + 1).copied().unwrap_or(lines.len());
    // What stands at the margin before the next case is about that one.
    let end = (start + 1..limit).rev().find(|at| lines[*at].starts_with(' ')).map_or(start + 1, |last| last + 1);
    let expect = (start + 1..end).find(|at| lines[*at].starts_with("  expect:")).unwrap_or(end);
    let new = std::iter::once("  expect:".to_owned()).chain(yaml::block(said, 4));
    lines.splice(expect..end, new);
}
