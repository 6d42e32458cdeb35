//! What is in the registry.

use super::REGISTRY;
use sample_registry::{Access, Image, Index, SampleRegistry};
use serde_json::json;

const USER: &str = "webhook";
const PASSWORD: &str = "only-for-the-demo";

/// The images of the examples. `shop/imports` is not among them.
pub(super) fn registry() -> SampleRegistry {
    let both =
        |image: fn(&str) -> Image| Index::oci().image(image("linux/amd64")).image(image("linux/arm64")).attestation();
    SampleRegistry::new()
        // ENTRYPOINT and CMD, for two platforms, with the attestation that BuildKit adds.
        .put(
            "shop/report:1.4",
            both(|platform| Image::new(platform).entrypoint(&["/usr/bin/report"]).cmd(&["--format", "text"])),
        )
        // ENTRYPOINT only, in Docker's media types.
        .put("shop/convert:2.0", Image::new("linux/amd64").entrypoint(&["/bin/convert", "--strict"]).docker())
        // CMD only.
        .put("shop/web:7", both(|platform| Image::new(platform).cmd(&["nginx", "-g", "daemon off;"])))
        // CMD in shell form. The kubelet would expand $(NAME) in a pod's command; nothing expands it in an image's.
        .put("shop/upload:5", Image::new("linux/amd64").shell_cmd("exec upload --from $(hostname) --port 8080"))
        // Another command on each platform.
        .put(
            "shop/python:3.12",
            Index::oci()
                .image(Image::new("linux/amd64").entrypoint(&["/usr/bin/python3"]).cmd(&["-i"]))
                .image(Image::new("linux/arm64").entrypoint(&["/opt/arm64/bin/python3"]).cmd(&["-i"])),
        )
        .put("finance/ledger:3", Image::new("linux/amd64").entrypoint(&["/ledger"]).cmd(&["close", "--month"]))
        .access("finance/ledger", Access::token(USER, PASSWORD))
}

/// Credentials for what is private, as docker keeps them.
pub(super) fn docker_config() -> String {
    let host = format!("{REGISTRY}/finance");
    json!({"auths": {host: {"username": USER, "password": PASSWORD}}}).to_string()
}
