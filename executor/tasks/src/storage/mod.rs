//! Where artifacts are: the kinds of store, and what is the same for each.
//!
//! A store is given a file to fill or to keep. What it holds of a template is read here from JSON, since an artifact goes back
//! to the controller with every field that it came with.

mod azure;
mod gcs;
mod git;
mod http;
mod location;
mod objects;
mod s3;
mod web;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::failure::Failure;
use crate::pod::Pod;
use crate::unpack::Tree;

pub(crate) use location::{Location, key_of, located, report_as};
pub(crate) use web::chain;

/// Why an artifact was not loaded or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The store does not have it.
    #[error("{0} is not there")]
    Missing(String),
    /// Worth another try.
    #[error("{0}")]
    Passing(String),
    /// Not worth another try.
    #[error("{0}")]
    Lasting(String),
}

impl StorageError {
    /// What another try does not mend.
    fn lasting(why: impl std::fmt::Display) -> Self {
        Self::Lasting(why.to_string())
    }
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> Self {
        Self::lasting(error)
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        Self::lasting(failure)
    }
}

/// Loads what a location names: a file at `target`, or a folder.
///
/// # Errors
/// Where the store does not have it, cannot be asked, or the file cannot be written.
pub(crate) async fn load(pod: &Pod, location: &Location, target: &Path) -> Result<(), StorageError> {
    again(pod, async || match location {
        Location::Raw(text) => {
            let mut file = File::create(target)?;
            Ok(file.write_all(text.as_bytes())?)
        }
        Location::Http(http) => http::load(pod, http, target).await,
        Location::S3(s3) => s3.objects(pod, false).await?.load(pod, target).await,
        Location::Gcs(gcs) => gcs.objects(pod)?.load(pod, target).await,
        Location::Azure(azure) => azure.objects(pod)?.load(pod, target).await,
        Location::Git(git) => git::load(pod, git, target).await,
    })
    .await
}

/// Keeps a file, or a folder of files, where a location names it.
///
/// # Errors
/// Where the store cannot be asked or refuses, or it cannot keep what this is.
pub(crate) async fn save(pod: &Pod, location: &Location, from: &File) -> Result<(), StorageError> {
    again(pod, async || match location {
        Location::Raw(_) => Err(StorageError::lasting("a raw artifact cannot be an output")),
        Location::Http(http) => http::save(pod, http, from).await,
        Location::S3(s3) => s3.objects(pod, true).await?.save(pod, from).await,
        Location::Gcs(gcs) => gcs.objects(pod)?.save(pod, from).await,
        Location::Azure(azure) => azure.objects(pod)?.save(pod, from).await,
        Location::Git(_) => Err(StorageError::lasting("git artifacts are inputs only")),
    })
    .await
}

/// The names of all objects at an artifact's place, which needs no key.
///
/// # Errors
/// Where the store cannot be asked, or is of a kind that does not list.
pub(crate) async fn list(pod: &Pod, artifact: &serde_json::Value) -> Result<Vec<String>, StorageError> {
    match location::searched(pod, artifact)? {
        Some(Location::S3(s3)) => s3.objects(pod, false).await?.list(pod).await,
        Some(Location::Gcs(gcs)) => gcs.objects(pod)?.list(pod).await,
        Some(Location::Azure(azure)) => azure.objects(pod)?.list(pod).await,
        _ => Err(StorageError::lasting("only s3, gcs and azure can be listed")),
    }
}

/// Tries until it is done, cannot be done, or has been tried often enough.
async fn again<T>(pod: &Pod, mut once: impl AsyncFnMut() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match once().await {
            Err(StorageError::Passing(why)) => {
                pod.say(|| format!("try {tried}: {why}"));
                if !pod.environment.backoff.wait(tried).await {
                    return Err(StorageError::Passing(why));
                }
            }
            other => return other,
        }
    }
}

/// A folder that files from a store are put in; none leaves it, whatever their keys are.
fn folder_at(target: &Path) -> std::io::Result<Tree> {
    Tree::begin(target)
}
