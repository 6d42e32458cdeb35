use super::render::{line, named};
use emissary_core::image::{ImageIndex, IndexEntry};
use emissary_core::names;
use std::collections::BTreeMap;

/// What a ConfigMap of a shard takes at most, in bytes: below the 256 KiB of annotations in which `kubectl apply` keeps
/// the object once more, with room for the escapes of JSON.
const LONGEST: usize = 200 << 10;

/// Shards of an index as ConfigMaps that `kubectl apply` takes, in the order of their names; a shard's entries are sorted
/// by key, so that the same index is always the same text.
pub fn config_maps(index: &ImageIndex, name: &str, namespace: Option<&str>) -> Vec<String> {
    let sorted: BTreeMap<&str, &IndexEntry> = index.iter().map(|hit| (hit.key, hit.entry)).collect();
    let head = |number: usize| {
        let namespace = namespace.map(|namespace| format!("  namespace: {namespace}\n")).unwrap_or_default();
        let label = names::IMAGE_INDEX;
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}-{number:03}\n{namespace}  labels:\n    {label}: \
             \"true\"\ndata:\n  image-index.yaml: |\n"
        )
    };
    let mut shards: Vec<(String, usize)> = Vec::new();
    for (key, entry) in sorted {
        let text = format!("    {}\n", line(key, entry));
        // As JSON in an annotation, each of these takes another byte.
        let size = text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n')).count();
        match shards.last_mut() {
            Some((shard, used)) if *used + size <= LONGEST => {
                shard.push_str(&text);
                *used += size;
            }
            _ => {
                let head = head(shards.len());
                let used = head.len() + size;
                shards.push((head + &text, used));
            }
        }
    }
    shards.into_iter().map(|(text, _)| text).collect()
}

/// The names that Argo has for the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argo {
    /// 3.1 to 3.3: `command` and `args`.
    UpTo33,
    /// 3.4 and later: `entrypoint` and `cmd`; it refuses the others.
    From34,
}

/// An entry that Argo's map cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotExported {
    /// The key as written.
    pub key: String,
    /// Why.
    pub why: &'static str,
}

/// An index as the key `images` of Argo's workflow-controller ConfigMap, whose keys are exact texts of workflows, and what
/// could not be taken.
pub fn argo(index: &ImageIndex, version: Argo) -> (String, Vec<NotExported>) {
    let sorted: BTreeMap<&str, &IndexEntry> = index.iter().map(|hit| (hit.key, hit.entry)).collect();
    let names = match version {
        Argo::UpTo33 => ["command", "args"],
        Argo::From34 => ["entrypoint", "cmd"],
    };
    let (mut text, mut left) = ("images: |\n".to_owned(), Vec::new());
    for (key, entry) in sorted {
        let process = entry.process_for(None).filter(|process| entry.platforms.values().all(|other| other == *process));
        let why = match process {
            _ if key.contains('*') => "a glob; Argo compares whole names",
            _ if key.starts_with("sha256:") || key.starts_with("sha512:") => {
                "a digest without a name; Argo compares names"
            }
            None => "its platforms run different commands, and Argo has one for all",
            Some(process) if process.entrypoint.is_empty() && version == Argo::UpTo33 => {
                "it has no entrypoint, and Argo before 3.4 needs a command"
            }
            Some(process) => {
                text.push_str(&format!("  {}\n", named(key, &process.clone().into(), names)));
                continue;
            }
        };
        left.push(NotExported { key: key.to_owned(), why });
    }
    (text, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse_index;

    fn index(text: &str) -> ImageIndex {
        parse_index(text, &"i.yaml".into()).unwrap()
    }

    #[test]
    fn shards_are_small_sorted_and_complete() {
        let text: String =
            (0..20_000).rev().map(|n| format!("r.io/app-{n}:1: {{cmd: [\"a \\\"b\\\"\", x-{n}]}}\n")).collect();
        let all = index(&text);
        let shards = config_maps(&all, "image-index", Some("argo"));
        assert!(shards.len() > 3);
        let mut merged = ImageIndex::default();
        for (number, shard) in shards.iter().enumerate() {
            let document: serde_json::Value =
                crate::manifest::read([crate::manifest::STDIN.into()], shard.as_bytes()).next().unwrap().unwrap().value;
            assert!(document.to_string().len() <= LONGEST && shard.len() <= LONGEST);
            assert_eq!(document["metadata"]["name"], format!("image-index-{number:03}"));
            assert_eq!(document["metadata"]["labels"][names::IMAGE_INDEX], "true");
            assert!(merged.merge(&index(shard)).is_empty());
        }
        assert_eq!((merged.len(), merged.fingerprint()), (all.len(), all.fingerprint()));
        assert_eq!(config_maps(&merged, "image-index", Some("argo")), shards);
    }

    #[test]
    fn argo_gets_what_it_can_hold() {
        let all = index(
            "a:1: {entrypoint: [/a], cmd: [b]}\nc: {cmd: [sh]}\nr.io/*: {cmd: [x]}\n\
             p: {platforms: {linux/amd64: {cmd: [x]}, linux/arm64: {cmd: [z]}}}\n\
             q: {platforms: {linux/amd64: {entrypoint: [x]}, linux/arm64: {entrypoint: [x]}}}\n",
        );
        let keys = |left: Vec<NotExported>| left.into_iter().map(|one| one.key).collect::<Vec<_>>();
        let (text, left) = argo(&all, Argo::From34);
        assert_eq!(text, "images: |\n  a:1: {entrypoint: [/a], cmd: [b]}\n  c: {cmd: [sh]}\n  q: {entrypoint: [x]}\n");
        assert_eq!(keys(left), ["p", "r.io/*"]);
        let (text, left) = argo(&all, Argo::UpTo33);
        assert_eq!(text, "images: |\n  a:1: {command: [/a], args: [b]}\n  q: {command: [x]}\n");
        assert_eq!(keys(left), ["c", "p", "r.io/*"]);
        assert_eq!(index(&text).len(), 2);
    }
}
