//! Empty folders outside of a cluster's own (cgroups), which go when it ends.

use std::fs;
use std::path::{Path, PathBuf};

/// The file in a cluster's folder that lists them, a line each.
pub(crate) const LIST: &str = "leftovers";

/// Those of a cluster.
pub(crate) fn of(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(folder.join(LIST)).unwrap_or_default();
    list.lines().map(PathBuf::from).collect()
}

/// Removes folders and those in them, as far as nothing else is in them; whether all are gone. The files of a cgroup are nothing:
/// they go with it. What somebody uses stays.
pub(crate) fn remove(folders: &[PathBuf]) -> bool {
    folders.iter().for_each(|folder| remove_tree(folder));
    !folders.iter().any(|folder| folder.exists())
}

fn remove_tree(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays() {
        let root = std::env::temp_dir().join(format!("test-cluster-leftovers-{}", std::process::id()));
        let [empty, used] = ["empty", "used"].map(|name| root.join(name));
        fs::create_dir_all(empty.join("deep/deeper")).unwrap();
        fs::create_dir_all(used.join("deep")).unwrap();
        fs::write(used.join("file"), "").unwrap();
        fs::write(root.join(LIST), format!("{}\n{}\n", empty.display(), used.display())).unwrap();
        assert!(!remove(&of(&root)));
        assert!(!empty.exists() && !used.join("deep").exists() && used.join("file").exists());
        fs::remove_file(used.join("file")).unwrap();
        assert!(remove(&of(&root)));
        fs::remove_dir_all(root).unwrap();
    }
}
