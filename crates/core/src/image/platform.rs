/// Operating system, architecture and variant in Go's names, as an image index and a node's labels spell them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /** `linux`, `windows`. */
    pub os: String,
    /** `amd64`, `arm64`. */
    pub architecture: String,
    /** `v7` of `linux/arm/v7`. */
    pub variant: Option<String>,
}
/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {}
