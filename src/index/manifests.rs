use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// The images of an object's containers that have no command, in the order of the object, each once.
///
/// Containers are found by the names that the Kubernetes API and Argo give them, wherever they stand: in a pod, in any
/// kind's pod template, in a workflow's templates and in those inside its steps and tasks. Init containers are not
/// wrapped, and `status` repeats what stands elsewhere.
pub fn images(object: &Value) -> Vec<&str> {
    let mut images = Vec::new();
    walk(object, &mut images);
    images
}

fn walk<'v>(value: &'v Value, images: &mut Vec<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, images)),
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("status" | "initContainers" | "annotations" | "labels", _) => continue,
                    ("container" | "script", one) => consider(one, images),
                    ("containers" | "sidecars", Value::Array(all)) => all.iter().for_each(|one| consider(one, images)),
                    _ => {}
                }
                walk(member, images);
            }
        }
        _ => {}
    }
}

fn consider<'v>(container: &'v Value, images: &mut Vec<&'v str>) {
    let Some(image) = container.get("image").and_then(Value::as_str) else { return };
    let has_command = container.get("command").and_then(Value::as_array).is_some_and(|words| !words.is_empty());
    if !image.is_empty() && !has_command && !images.contains(&image) {
        images.push(image);
    }
}

/// The manifests among files and folders: a file as it was named, of a folder everything below it that ends in `.yaml`,
/// `.yml` or `.json`, in the order of the alphabet. What is hidden is left out, and folders behind links are.
///
/// # Errors
/// A folder that cannot be read.
pub fn files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() { below(path, &mut found)? } else { found.push(path.clone()) }
    }
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let mut entries = std::fs::read_dir(folder).map_err(named)?.collect::<io::Result<Vec<_>>>().map_err(named)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(named)?);
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let is_manifest = path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if kind.is_dir() {
            below(&path, found)?;
        } else if is_manifest && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_container_without_a_command_counts() {
        let pod = json!({"containers": [{"image": "a"}, {"image": "b", "command": ["x"]}, {"image": "a"}, {"image": "c", "command": []}],
                         "initContainers": [{"image": "i"}]});
        let template = json!({"containers": [{"image": "a"}]});
        let workflow = json!({"templates": [
            {"container": {"image": "one"}, "sidecars": [{"name": "s", "image": "two"}]},
            {"script": {"image": "three", "source": "x"}},
            {"containerSet": {"containers": [{"image": "four"}]}},
            {"steps": [[{"inline": {"container": {"image": "five"}}}]]},
            {"dag": {"tasks": [{"inline": {"script": {"image": "six", "command": ["sh"]}}}]}}]});
        let table = [
            (json!({"kind": "Pod", "spec": pod}), vec!["a", "c"]),
            (json!({"kind": "Deployment", "spec": {"template": {"spec": template}}}), vec!["a"]),
            (
                json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": template}}}}}),
                vec!["a"],
            ),
            (
                json!({"kind": "Workflow", "spec": workflow, "status": {"storedTemplates": {"x": {"container": {"image": "z"}}}}}),
                vec!["one", "two", "three", "four", "five"],
            ),
            (
                json!({"kind": "CronWorkflow", "spec": {"workflowSpec": workflow}}),
                vec!["one", "two", "three", "four", "five"],
            ),
            (json!({"kind": "ConfigMap", "data": {"container": "x"}}), vec![]),
        ];
        for (object, mut expected) in table {
            let mut found = images(&object);
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{object}");
        }
    }

    #[test]
    fn folders_are_searched_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a/z.yaml", "a/readme.md", ".git/x.yaml", "c.json"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = files(&[folder.path().to_owned(), "x.txt".into()]).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap_or(path)).collect();
        assert_eq!(names, ["a/z.yaml", "b.yml", "c.json", "x.txt"].map(Path::new));
    }
}
