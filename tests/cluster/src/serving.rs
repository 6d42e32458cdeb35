use std::path::{Path, PathBuf};

use crate::StartError;
use crate::pki::Pki;

/// What a server of TLS needs, and its clients: files, PEM. The authority signs nothing else.
#[derive(Debug, Clone)]
pub struct Serving {
    /// For clients to trust.
    pub authority: PathBuf,
    /// The server's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Serving {
    /// Makes them in `folder` for these DNS names or addresses.
    ///
    /// # Errors
    /// A name is none, or the folder cannot be written.
    pub fn make(folder: &Path, names: &[String]) -> Result<Self, StartError> {
        let pki = Pki::serving(folder.to_owned(), names).map_err(StartError::preparing("make keys".to_owned()))?;
        let [authority, certificate, key] = ["ca.crt", "tls.crt", "tls.key"].map(|name| pki.file(name));
        Ok(Self { authority, certificate, key })
    }
}
