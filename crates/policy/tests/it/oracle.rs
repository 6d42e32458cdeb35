//! The recorded verdicts in `tests/oracles`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;

pub(crate) fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../tests/oracles", name].iter().collect()
}

/// The objects of a file, one a line; there are some, or this panics.
pub(crate) fn lines(name: &str) -> Vec<Value> {
    let file = File::open(path(name)).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let objects: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(!objects.is_empty());
    objects
}

/// The cases of an engine.
pub(crate) fn cases(engine: &str) -> Vec<Value> {
    lines(&format!("{engine}/cases.jsonl.gz"))
}
