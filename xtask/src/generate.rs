//! Files that are made of other files. They are kept in the repository, because people install from it without a toolchain.
//!
//! What they have to be is computed by [`files`], purely but for reading the sources; a test of the whole program computes
//! it too and compares, so that neither a change of a source nor an edit by hand goes unnoticed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::Context as _;

/// The shipped image index, and where it is copied to.
const INDEX: &str = "image-index.yaml";
const INDEX_COPIES: [&str; 2] = ["webhook/base/image-index.yaml", "charts/emissary-webhook/files/image-index.yaml"];

const VALUES: &str = "charts/emissary-webhook/values.yaml";
const CHART_README: &str = "charts/emissary-webhook/README.md";

const CHART_HEAD: &str = "\
# emissary-webhook

An admission webhook that makes workflow pods runnable by Argo's emissary executor. What it does, and whether you need it, is in
the [README of the project](../../README.md); how to install, turn off and remove it in [docs/install.md](../../docs/install.md).

```sh
helm install emissary-webhook charts/emissary-webhook --namespace emissary-webhook --create-namespace \\
  --set image.repository=REGISTRY/emissary-webhook
```

Helm 3 and 4. Nothing is random when it is rendered, and no `caBundle` is, so `helm template`, Argo CD and Flux see no drift.
Objects have fixed names: one release a cluster.

## Values

This table is made from the comments of [values.yaml](values.yaml) (`cargo xtask generate`).

| value | default | |
| --- | --- | --- |
";

/// `cargo xtask generate`: writes every file that is not as it has to be, and names it.
///
/// # Errors
/// Where a source cannot be read or a file cannot be written.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run it by cargo xtask generate")?;
    let root = Path::new(&manifest).parent().context("xtask is in no repository")?;
    for (path, text) in files(root)? {
        let file = root.join(&path);
        if fs::read_to_string(&file).is_ok_and(|there| there == text) {
            continue;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Every file that is made of others, from the repository's root, and what it has to be.
///
/// # Errors
/// Where a source cannot be read, or a value of the chart has no comment.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
    let index = read(INDEX)?;
    let mut files: Vec<(PathBuf, String)> = INDEX_COPIES.iter().map(|copy| (copy.into(), index.clone())).collect();
    let mut readme = CHART_HEAD.to_owned();
    for Value { name, default, description } in values(&read(VALUES)?)? {
        readme.push_str(&format!("| `{name}` | `{default}` | {} |\n", description.replace('|', "\\|")));
    }
    files.push((CHART_README.into(), readme));
    Ok(files)
}

/// A value of the chart, as its line and the comment above it say.
#[derive(Debug, PartialEq)]
pub(crate) struct Value {
    /// `image.repository`.
    pub(crate) name: String,
    /// As it is written.
    pub(crate) default: String,
    pub(crate) description: String,
}

/// The values of a `values.yaml` that keeps to this form: two spaces a level, every value on its key's line, a comment above each.
///
/// # Errors
/// Where a value has no comment, or a line is of another form.
pub(crate) fn values(text: &str) -> anyhow::Result<Vec<Value>> {
    let (mut values, mut sections, mut comment) = (Vec::new(), Vec::<&str>::new(), String::new());
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(words) = trimmed.strip_prefix("# ") {
            comment.push_str(if comment.is_empty() { "" } else { " " });
            comment.push_str(words);
            continue;
        }
        if trimmed.is_empty() {
            continue;
        }
        let (key, default) = trimmed
            .split_once(':')
            .with_context(|| format!("values.yaml:{}: neither a key nor a comment", number + 1))?;
        sections.truncate((line.len() - trimmed.len()) / 2);
        let default = default.trim();
        if default.is_empty() {
            comment.clear();
            sections.push(key);
        } else {
            anyhow::ensure!(!comment.is_empty(), "values.yaml:{}: {key} has no comment", number + 1);
            let name = sections.iter().copied().chain([key]).collect::<Vec<_>>().join(".");
            values.push(Value { name, default: default.to_owned(), description: std::mem::take(&mut comment) });
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_path_its_default_and_the_comment_above() {
        let text = "# One.\na: 1\n\nb:\n  # Two,\n  # and more.\n  c: {d: x}\n  # Three.\n  e: \"\"\n# Four.\nf: []\n";
        let value = |name: &str, default: &str, description: &str| Value {
            name: name.to_owned(),
            default: default.to_owned(),
            description: description.to_owned(),
        };
        assert_eq!(
            values(text).unwrap(),
            [
                value("a", "1", "One."),
                value("b.c", "{d: x}", "Two, and more."),
                value("b.e", "\"\"", "Three."),
                value("f", "[]", "Four."),
            ]
        );
        assert!(values("a: 1\n").unwrap_err().to_string().contains("values.yaml:1: a has no comment"));
        assert!(values("- a\n").is_err());
    }
}
