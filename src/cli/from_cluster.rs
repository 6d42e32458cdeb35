//! `review --from-cluster`: policies, pods and templates of a cluster, read once.

use super::output::WARNING;
use crate::cluster::{self, Connection, ReviewReader, Subjects, Unread};
use crate::manifest::{self, Document, Documents, Place, Problem};
use anyhow::Context;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Stdin, Write};
use std::path::PathBuf;
use tempfile::TempDir;

/// What was read of a cluster to judge by. The files go with it.
pub(super) struct ClusterPolicies {
    reader: ReviewReader,
    folder: TempDir,
}

impl ClusterPolicies {
    /// Reads the policies of a cluster into files of their own: they are loaded by
    /// processes that can be stopped, as any others.
    pub(super) async fn read(connection: Connection<'_>) -> anyhow::Result<Self> {
        let client = cluster::connect(connection).await.context("name a cluster by --kubeconfig or KUBECONFIG")?;
        let mut reader = ReviewReader::new(client);
        let folder = TempDir::with_prefix("emissary-webhook-review-")?;
        let mut files: HashMap<String, BufWriter<File>> = HashMap::new();
        let take = |kind: &str, object: Value| {
            let file = match files.entry(kind.to_owned()) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(BufWriter::new(File::create(folder.path().join(format!("{kind}.json")))?))
                }
            };
            serde_json::to_writer(&mut *file, &object)?;
            file.write_all(b"\n")
        };
        reader.policies(take).await?;
        files.into_values().try_for_each(|mut file| file.flush())?;
        Ok(Self { reader, folder })
    }

    /// Where the files are.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// Where documents come from.
pub(super) enum Source<'c> {
    Files(Box<Documents<Stdin>>),
    Cluster(Subjects<'c>, VecDeque<Value>),
}

impl<'c> Source<'c> {
    /// The cluster where there is one, else files.
    pub(super) fn of(files: Vec<PathBuf>, cluster: Option<&'c mut ClusterPolicies>) -> Self {
        match cluster {
            Some(ClusterPolicies { reader, .. }) => Self::Cluster(reader.subjects(), VecDeque::new()),
            None => Self::Files(Box::new(manifest::read(files, std::io::stdin()))),
        }
    }

    /// The next document.
    pub(super) async fn next(&mut self) -> Option<Result<Document, Problem>> {
        match self {
            Self::Files(documents) => documents.next(),
            Self::Cluster(subjects, page) => {
                if page.is_empty() {
                    *page = subjects.next().await?.into();
                }
                page.pop_front().map(|value| {
                    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
                    let kind = text("/request/kind/kind").or_else(|| text("/kind")).unwrap_or_default();
                    let name = text("/request/name").or_else(|| text("/metadata/name")).unwrap_or_default();
                    let namespace = text("/request/namespace").or_else(|| text("/metadata/namespace"));
                    let place = Place::whole(format!("{kind} {}/{name}", namespace.unwrap_or_default()));
                    Ok(Document { place, number: 1, item: None, value })
                })
            }
        }
    }

    /// Says what could not be read; how much that was.
    pub(super) fn tell_unread(&self) -> usize {
        let Self::Cluster(subjects, _) = self else { return 0 };
        for Unread { what, why } in subjects.unread() {
            anstream::eprintln!("{WARNING} not read: {what}: {why}");
        }
        subjects.unread().len()
    }
}
