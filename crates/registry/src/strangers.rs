//! What registries send, read without a registry: for fuzzers, which try out what nobody would send.

use crate::challenge::Challenge;
use crate::document;
use crate::failure::Failure;

/// How many challenges a `WWW-Authenticate` header has that can be answered.
#[must_use]
pub fn challenges(header: &str) -> usize {
    Challenge::parse(header).len()
}

/// Reads a manifest or an index.
///
/// # Errors
/// Where it is none.
pub fn manifest(body: &[u8], content_type: Option<&str>) -> Result<(), Failure> {
    document::parse(body, content_type).map(drop)
}

/// Reads an image's configuration.
///
/// # Errors
/// Where it is none.
pub fn config(body: &[u8]) -> Result<(), Failure> {
    document::parse_config(body).map(drop)
}
