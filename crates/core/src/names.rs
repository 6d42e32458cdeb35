//! Our own labels and annotations.

/// Label on a pod: `"true"` asks for the rewriting, `"false"` forbids it. A label, because a selector sees no annotation.
pub const INJECT: &str = "emissary-webhook.io/inject";
/// Label on a namespace, and annotation on a pod or Workflow where allowed: `enforce`, `dry-run` or `off`.
pub const MODE: &str = "emissary-webhook.io/mode";
/// Annotation on a pod, where allowed: the executor that it is for, such as `pns`.
pub const EXECUTOR: &str = "emissary-webhook.io/executor";
/// Annotation on a pod, where allowed: the platform to look images up for, such as `linux/arm64`.
pub const PLATFORM: &str = "emissary-webhook.io/platform";
/// Annotation on a pod, where allowed: further containers to wrap, separated by commas.
pub const WRAP: &str = "emissary-webhook.io/wrap";
/// Label on a ConfigMap: `"true"` where its data are image index entries.
pub const IMAGE_INDEX: &str = "emissary-webhook.io/image-index";
/// Annotation that the rewriting leaves behind: version and a hash of what decided.
pub const REWRITTEN: &str = "emissary-webhook.io/rewritten";
