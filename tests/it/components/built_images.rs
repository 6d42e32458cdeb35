//! What images run that were built by the tools of others, through a real registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::layout::{Image, Layout};
use super::registry::{Access, Registry, resolved, run, text};
use super::{BUILDAH, UMOCI, need};

const CONTAINERFILE: &str = "\
FROM scratch
COPY tool /bin/tool
USER 1000:1000
ENTRYPOINT [\"/bin/tool\", \"--fast\"]
CMD [\"serve\"]
";

/// buildah with its storage in `folder`, and without the configuration of whoever runs the tests.
fn buildah(program: &Path, folder: &Path) -> Command {
    let mut buildah = Command::new(program);
    buildah.current_dir(folder).env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin");
    buildah.env("BUILDAH_ISOLATION", "chroot");
    buildah.args([
        "--root",
        "storage",
        "--runroot",
        "run",
        "--storage-driver",
        "vfs",
        "--registries-conf",
        "/dev/null",
    ]);
    buildah
}

fn only(answers: &[Value]) -> &Value {
    let [answer] = answers else { panic!("{answers:?}") };
    answer
}

#[test]
fn what_buildah_built_is_resolved_in_each_format() {
    let Some([program]) = need([BUILDAH]) else { return };
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path();
    fs::create_dir(folder.join("context")).unwrap();
    fs::write(folder.join("context/tool"), "content").unwrap();
    fs::write(folder.join("context/Containerfile"), CONTAINERFILE).unwrap();
    fs::write(folder.join("policy.json"), json!({"default": [{"type": "insecureAcceptAnything"}]}).to_string())
        .unwrap();
    let policy = ["--signature-policy", "policy.json"];
    let platforms = ["--platform", "linux/amd64,linux/arm64", "--manifest", "both"];
    let build = |flags: &[&str]| run(buildah(&program, folder).arg("build").args(policy).args(flags).arg("context"));
    build(&platforms);
    // Other content, or the registry would have its layer already, in another form.
    fs::write(folder.join("context/tool"), "more").unwrap();
    build(&["--tag", "one"]);
    let push = |words: &[&str], flags: &[&str], local: &str, image: &str| {
        let target = format!("docker://{}/{image}", registry.host);
        let mut push = buildah(&program, folder);
        run(push.args(words).args(policy).args(["--quiet", "--tls-verify=false"]).args(flags).args([local, &target]));
    };
    let process = |platform: &str| json!({"platform": platform, "entrypoint": ["/bin/tool", "--fast"], "cmd": ["serve"], "user": "1000:1000"});
    push(&["push"], &["--format", "oci", "--compression-format", "zstd"], "one", "built/zstd:1");
    let served: Value = serde_json::from_slice(&registry.manifest("built/zstd:1")).unwrap();
    assert_eq!(served["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd", "{served}");
    let answers = resolved(&registry.resolve::<&str>(&[], &["built/zstd:1"]));
    assert_eq!(only(&answers)["platforms"][0]["entrypoint"], json!(["/bin/tool", "--fast"]));
    for (format, media_type) in [
        ("oci", "application/vnd.oci.image.index.v1+json"),
        ("v2s2", "application/vnd.docker.distribution.manifest.list.v2+json"),
    ] {
        let image = format!("built/{format}:1");
        push(&["manifest", "push"], &["--all", "--format", format], "both", &image);
        let served: Value = serde_json::from_slice(&registry.manifest(&image)).unwrap();
        assert_eq!(served["mediaType"], media_type, "{served}");
        let answers = resolved(&registry.resolve::<&str>(&[], &[&image]));
        let platforms = only(&answers)["platforms"].as_array().unwrap();
        // It lists them in the order in which they were done.
        assert_eq!(platforms.len(), 2, "{platforms:?}");
        assert!(["linux/amd64", "linux/arm64"].iter().all(|one| platforms.contains(&process(one))), "{platforms:?}");
    }
}

#[test]
fn what_umoci_made_is_resolved_with_layers_of_zstd_too() {
    let Some([umoci]) = need([UMOCI]) else { return };
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path();
    fs::write(folder.join("tool"), "content").unwrap();
    let umoci = |arguments: &[&str]| {
        let mut command = Command::new(&umoci);
        run(command.current_dir(folder).env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin").args(arguments));
    };
    umoci(&["init", "--layout", "layout"]);
    umoci(&["new", "--image", "layout:1"]);
    umoci(&["insert", "--rootless", "--image", "layout:1", "tool", "/bin/tool"]);
    let config = ["--architecture", "arm64", "--config.entrypoint", "/bin/tool", "--config.entrypoint", "a b"];
    umoci(&[&["config", "--image", "layout:1"][..], &config, &["--config.cmd", "c", "--config.user", "7"]].concat());

    let [gzip, zstd] = ["layout", "zstd"].map(|layout| format!("oci:{}:1", folder.join(layout).display()));
    run(registry.skopeo().args(["copy", "--quiet", "--dest-compress-format", "zstd", &gzip, &zstd]));
    registry.copy(&["--preserve-digests"], &gzip, "made/tool:gzip");
    registry.copy(&["--preserve-digests"], &zstd, "made/tool:zstd");
    let layers = |tag: &str| {
        let manifest: Value = serde_json::from_slice(&registry.manifest(tag)).unwrap();
        manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned()
    };
    let made = ["made/tool:gzip", "made/tool:zstd"];
    assert_eq!(made.map(layers), ["gzip", "zstd"].map(|kind| format!("application/vnd.oci.image.layer.v1.tar+{kind}")));
    for image in made {
        let answers = resolved(&registry.resolve::<&str>(&[], &[image]));
        assert_eq!(
            only(&answers)["platforms"],
            json!([{"platform": "linux/arm64", "entrypoint": ["/bin/tool", "a b"], "cmd": ["c"], "user": "7"}]),
            "{image}"
        );
    }
}

#[test]
fn what_is_no_image_is_refused_in_clear_words() {
    let Some(registry) = Registry::start(&Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let mut layout = Layout::new(&folder);
    let config = "application/vnd.cncf.helm.config.v1+json";
    layout.artifact("chart", config, "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
    layout.artifact("empty", "application/vnd.oci.empty.v1+json", "application/vnd.example.sbom");
    layout.image("image", &Image::linux("amd64", json!({"Cmd": ["/bin/app"]})));
    for tag in ["chart", "empty"] {
        registry.push(&folder, tag, &format!("no/image:{tag}"));
    }
    registry.copy(&["--format", "v2s1"], &format!("oci:{}:image", folder.display()), "no/image:schema1");
    let served: Value = serde_json::from_slice(&registry.manifest("no/image:schema1")).unwrap();
    assert_eq!(served["schemaVersion"], 1, "{served}");
    for (tag, expected) in [
        ("chart", "it is no image that can be run but"),
        ("empty", "it is no image that can be run but"),
        ("schema1", "manifest schema 1"),
    ] {
        let output = registry.resolve::<&str>(&[], &[&format!("no/image:{tag}")]);
        let complaint = text(&output.stderr);
        println!("{complaint}");
        assert!(output.status.code() == Some(1) && complaint.contains(expected), "{complaint}");
    }
}
