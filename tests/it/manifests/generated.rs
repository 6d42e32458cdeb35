//! Files that are made of others are as `cargo xtask generate` would write them.

#[expect(dead_code, reason = "the task's own entry")]
#[path = "../../../xtask/src/generate.rs"]
mod generate;

pub(super) use generate::values;

use super::{read, root};

#[test]
fn generated_files_are_as_they_would_be_generated() {
    let files = generate::files(root()).unwrap();
    assert_eq!(files.len(), 3);
    for (path, text) in files {
        let there = read(path.to_str().unwrap());
        // The files are long; that they differ is all there is to say.
        assert!(there == text, "{} is not as it is generated: cargo xtask generate", path.display());
    }
}
