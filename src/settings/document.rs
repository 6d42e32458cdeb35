//! Settings for people to read: the effective ones, and the reference of every key.

use super::keys::{KEYS, Key, SCHEMA};
use super::snapshot::Snapshot;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _};

/// The effective settings as YAML, each with where its value comes from behind it: `serve --print-settings`.
pub fn print(snapshot: &Snapshot) -> String {
    let settings = serde_json::to_value(&snapshot.settings).unwrap_or_default();
    let (mut text, mut open) = (String::new(), Vec::new());
    for key in KEYS.iter() {
        let (name, sections) = match key.path.split_last() {
            Some((name, sections)) => (name, sections.to_vec()),
            None => continue,
        };
        let shared = open.iter().zip(&sections).take_while(|(before, now)| before == now).count();
        for (depth, section) in sections.iter().enumerate().skip(shared) {
            let _ = writeln!(text, "{}{section}:", "  ".repeat(depth));
        }
        open.clone_from(&sections);
        let value = key.path.iter().try_fold(&settings, |value, key| value.get(key)).unwrap_or(&Value::Null);
        let line = format!("{}{name}: {}", "  ".repeat(sections.len()), inline(value));
        let origin = snapshot.origin(&key.path).map_or_else(|| "default".to_owned(), |place| place.to_string());
        let _ = writeln!(text, "{line:<60} # {origin}");
    }
    text
}

/// One line of YAML: text as it is where that is safe, anything else as JSON, which YAML includes.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let yaml = crate::manifest::to_yaml(&Value::String(text.clone()));
            let line = yaml.trim_end();
            if line.contains('\n') { value.to_string() } else { line.to_owned() }
        }
        _ => value.to_string(),
    }
}

/// JSON Schema (2020-12) of the settings file.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// docs/settings.md: every key with its values, default, range and whether it needs a restart.
pub fn reference() -> String {
    let mut sections: BTreeMap<String, Vec<&Key>> = BTreeMap::new();
    for key in KEYS.iter() {
        let section = key.path.split_last().map(|(_, sections)| sections.join(".")).unwrap_or_default();
        sections.entry(section).or_default().push(key);
    }
    let mut text = String::from(HEAD);
    for (section, keys) in sections {
        if section.is_empty() {
            text.push_str("\n## At the top\n");
        } else {
            let description = SCHEMA
                .pointer(&format!("/properties/{}/description", section.replace('.', "/properties/")))
                .and_then(Value::as_str);
            let _ = write!(text, "\n## `{section}`\n\n{}\n", description.unwrap_or_default().replace('\n', " "));
        }
        text.push_str(TABLE);
        keys.into_iter().for_each(|key| text.push_str(&row(key)));
    }
    text.push_str(TAIL);
    text
}

const HEAD: &str = "\
# Settings

Made from the types in src/settings/options.rs; `UPDATE_DOCS=1 cargo test settings` writes it anew.

One YAML file, every key optional: `emissary-webhook serve --settings FILE`. What is unknown or out of range is refused with file,
line and column. A fresh install is in `dry-run`.

A value comes from, the first that says one: the command line (a flag, or `--set path=value`), a variable, the settings file, the
default. Keys with a single value have a variable: `EMISSARY_WEBHOOK_` and the key's words in capitals, such as
`EMISSARY_WEBHOOK_SERVER_MAX_BODY` for `server.maxBody`. Mappings are merged key by key, lists are replaced.
`serve --print-settings` prints what is in effect and where each value comes from.

The settings file and the image index files are read anew every second. A change of a *live* key takes effect then; a changed
*restart* key is reported and takes effect at the next start. An edit that is not valid is reported, and what was valid before stays.

In a cluster, ConfigMaps add to this: image indexes, and what Argo's workflow controllers are configured with, which ranks between the
settings file and the default. [configmaps.md](configmaps.md) has them.

A *time* is a whole number and `ms`, `s`, `m` or `h` (`1m30s`). A *size* is bytes, or with `Ki`, `Mi` or `Gi`.
";

const TAIL: &str = "
## A controller

One of the list `controllers`, a workflow controller of Argo's:

```yaml
controllers:
- namespace: argo
  configMap: workflow-controller-configmap
  instanceID: blue
  managedNamespaces: [team-*]
```

| key | default | |
|---|---|---|
| `namespace` | has to be given | The namespace that it runs in. |
| `configMap` | `workflow-controller-configmap` | Its ConfigMap there. |
| `instanceID` | what the ConfigMap says | Which Workflows and pods are its own: those with this value in the label `workflows.argoproj.io/controller-instanceid`; with an empty one, those without the label. |
| `managedNamespaces` | `[]` | The namespaces that it looks at, as globs. Empty: all. |

## Image index files

What Argo's controller has in `images` works as it is: a mapping from image to `entrypoint` and `cmd` (before Argo 3.4 `command` and
`args`), both lists of words. It may stand at the top of the file, under a key `images`, or in a ConfigMap manifest.

```yaml
alpine:3.20: {cmd: [/bin/sh]}
registry.example.com/team/*: {entrypoint: [/app]}
example.com/tool:1.2.3:
  entrypoint: [/tool]
  platforms:
    linux/arm64: {entrypoint: [/tool-arm64]}
```

| key | means |
|---|---|
| `sha256:…` | the image with this digest, under any name |
| `name@sha256:…` | the same in this repository only |
| `alpine`, `alpine:3.20` | this name and tag; `alpine` is `docker.io/library/alpine:latest`, as everywhere |
| `alpine:3.*`, `registry.example.com/team/*:*` | every tag that fits; `*` stays within the tag or one part of the path |
| `registry.example.com/team/*` | a pattern without a tag: every tag and every digest |
| `registry.example.com/**` | `**` goes across slashes; a pattern that begins with it fits any registry |

An image that is named by digest goes by it, then by patterns without a tag; a tag beside the digest is not looked at. Any other goes
by its exact name, then by patterns. Of several patterns the one with the most characters that are no `*` counts. These files go
before the registry; the entries that the webhook ships (image-index.yaml) come after it.
";

const TABLE: &str = "
| key | value | default | takes effect | |
|---|---|---|---|---|
";

fn row(key: &Key) -> String {
    let value = match &key.range {
        Some(range) => format!("{}, {range}", key.kind),
        None => key.kind.clone(),
    };
    let default = match &key.default {
        Value::Null => "unset".to_owned(),
        Value::String(text) if text.is_empty() => "unset".to_owned(),
        default => format!("`{}`", inline(default)),
    };
    let reload = if key.restart { "restart" } else { "live" };
    format!("| `{}` | {value} | {default} | {reload} | {} |\n", key.name(), key.description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Override, Sources, load};

    #[test]
    fn the_reference_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
        let made = reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == made,
            "docs/settings.md is not what the code says; UPDATE_DOCS=1 cargo test settings writes it"
        );
    }

    #[test]
    fn printed_settings_say_where_each_value_comes_from_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        std::fs::write(&file, "mode: enforce\nserver:\n  maxBody: 1Mi\nexecutor: {args: [a, \"on\"]}\n").unwrap();
        let sources = Sources {
            files: vec![file.clone()],
            overrides: vec![Override::parse("server.lameDuck=1s").unwrap()],
            variables: vec![("EMISSARY_WEBHOOK_REGISTRY_TTL".to_owned(), "1m".to_owned())],
        };
        let (snapshot, _) = load(&sources).unwrap();
        let printed = print(&snapshot);
        let line = |start: &str| {
            let line = printed.lines().find(|line| line.starts_with(start));
            line.unwrap_or_else(|| panic!("{start} in {printed}")).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let file_name = file.display();
        assert_eq!(line("mode:"), format!("mode: enforce # {file_name}:1:7"));
        assert_eq!(line("  maxBody:"), format!("maxBody: 1Mi # {file_name}:3:12"));
        assert_eq!(line("  lameDuck:"), "lameDuck: 1s # --set server.lameDuck=1s");
        assert_eq!(line("  ttl:"), "ttl: 1m # EMISSARY_WEBHOOK_REGISTRY_TTL");
        assert_eq!(line("  maxConnections:"), "maxConnections: 1024 # default");
        let again = folder.path().join("again.yaml");
        std::fs::write(&again, &printed).unwrap();
        let (back, _) = load(&Sources { files: vec![again], ..Sources::default() }).unwrap();
        assert_eq!(back.settings, snapshot.settings);
    }
}
