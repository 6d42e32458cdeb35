use std::path::{Path, PathBuf};

/// A folder with the programs of a control plane, each by its own name, as envtest's `KUBEBUILDER_ASSETS` is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    folder: PathBuf,
}

/// A folder that is no [`Assets`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} has no program {program}", folder.display())]
pub struct MissingProgram {
    /// Where it was looked for.
    pub folder: PathBuf,
    /// The first that is missing.
    pub program: &'static str,
}

impl Assets {
    /// The programs without which nothing starts.
    pub const REQUIRED: [&'static str; 3] = ["etcd", "kube-apiserver", "kubectl"];

    /// The programs in `folder`.
    ///
    /// # Errors
    /// One of [`Assets::REQUIRED`] is not there.
    pub fn in_folder(folder: &Path) -> Result<Self, MissingProgram> {
        match Self::REQUIRED.into_iter().find(|program| !folder.join(program).is_file()) {
            None => Ok(Self { folder: folder.to_owned() }),
            Some(program) => Err(MissingProgram { folder: folder.to_owned(), program }),
        }
    }

    /// Where a program is, whether it is there or not.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether a program is there: envtest's folder has no controller manager, no scheduler and no kubelet.
    pub fn has(&self, name: &str) -> bool {
        self.program(name).is_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_program_is_named() {
        let missing = Assets::in_folder(Path::new("/nowhere")).unwrap_err();
        assert_eq!(missing.to_string(), "/nowhere has no program etcd");
    }
}
