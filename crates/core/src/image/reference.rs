use super::Digest;
/// An image's name, normalised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}
/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {}
impl Reference {
    /// Parses and normalises.
    pub fn parse(_text: &str) -> Result<Self, ReferenceError> {
        todo!()
    }
    /// Host and port, `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }
    /// Path.
    pub fn repository(&self) -> &str {
        &self.repository
    }
    /// Tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
    /// Digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}
