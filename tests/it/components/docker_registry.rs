//! `resolve` against a real registry server that holds images which another client pushed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::layout::{Image, Layout, sha256};
use super::{DOCKER_REGISTRY, SKOPEO, need};

/// "ci" with the password "secret", hashed by bcrypt at the least cost, 5.
const HTPASSWD: &str = "ci:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const CREDENTIALS: &str = "ci:secret";
/// [`CREDENTIALS`] in Base64, as a Docker configuration file has them.
const AUTH: &str = "Y2k6c2VjcmV0";

/// A running registry; it ends with the value.
struct Registry {
    process: Child,
    /// Address and port on loopback, as an image reference begins.
    host: String,
    folder: TempDir,
    skopeo: PathBuf,
    credentials: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Anonymous,
    Htpasswd,
}

impl Registry {
    /// Starts a registry on a port that the kernel picks; nothing where the components are missing.
    fn start(access: Access) -> Option<Self> {
        let [registry, skopeo] = need([DOCKER_REGISTRY, SKOPEO])?;
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("storage")}},
            "http": {"addr": "127.0.0.1:0"},
        });
        if access == Access::Htpasswd {
            let file = folder.path().join("htpasswd");
            fs::write(&file, HTPASSWD).unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "tests", "path": file}});
        }
        // JSON is YAML.
        let file = folder.path().join("registry.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let mut process = Command::new(registry)
            .arg("serve")
            .arg(&file)
            // Variables override the file.
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let host = listening_on(&mut process);
        let credentials = (access == Access::Htpasswd).then_some(CREDENTIALS);
        Some(Self { process, host, folder, skopeo, credentials })
    }

    /// Pushes what the layout in `folder` calls `tag`, every platform of it.
    fn push(&self, folder: &Path, tag: &str, image: &str) {
        let mut copy = self.skopeo();
        copy.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]);
        if let Some(credentials) = self.credentials {
            copy.args(["--dest-creds", credentials]);
        }
        run(copy.arg(format!("oci:{}:{tag}", folder.display())).arg(format!("docker://{}/{image}", self.host)));
    }

    /// The bytes of the manifest that the registry serves.
    fn manifest(&self, image: &str) -> Vec<u8> {
        run(&mut self.inspect(image)).stdout
    }

    fn inspect(&self, image: &str) -> Command {
        let mut inspect = self.skopeo();
        inspect.args(["inspect", "--raw", "--tls-verify=false"]);
        if let Some(credentials) = self.credentials {
            inspect.args(["--creds", credentials]);
        }
        inspect.arg(format!("docker://{}/{image}", self.host));
        inspect
    }

    /// skopeo without the configuration of whoever runs the tests.
    fn skopeo(&self) -> Command {
        let mut skopeo = Command::new(&self.skopeo);
        skopeo.arg("--insecure-policy").arg("--registries-conf").arg("/dev/null").stdin(Stdio::null());
        skopeo.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        skopeo
    }

    /// Runs `resolve` for the images of this registry.
    fn resolve(&self, arguments: &[&str], images: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
            .args(["resolve", "-o", "json", "--plain-http", &self.host])
            .args(arguments)
            .args(images.iter().map(|image| format!("{}/{image}", self.host)))
            // No credentials but those a test gives.
            .env("DOCKER_CONFIG", self.folder.path().join("nothing"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address that the registry logs when it listens. The log is read to its end, or the registry would wait for a reader.
fn listening_on(process: &mut Child) -> String {
    let log = BufReader::new(process.stderr.take().unwrap());
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        let mut seen = Vec::new();
        for line in log.lines().map_while(Result::ok) {
            if let Ok(entry) = serde_json::from_str::<Value>(&line)
                && let Some(address) = entry["msg"].as_str().and_then(|message| message.strip_prefix("listening on "))
            {
                let _ = found.send(Ok(address.to_owned()));
            }
            if seen.len() < 20 {
                seen.push(line);
            }
        }
        let _ = found.send(Err(seen.join("\n")));
    });
    match address.recv_timeout(Duration::from_secs(20)) {
        Ok(Ok(address)) => address,
        Ok(Err(log)) => panic!("the registry ended:\n{log}"),
        Err(_) => panic!("the registry does not listen after 20 s"),
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The array that `resolve` printed.
fn resolved(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}\n{}", output.status, text(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", text(&output.stdout), text(&output.stderr)))
}

/// The sample of several platforms: the command differs between them.
fn multi() -> [Image; 2] {
    [
        Image::linux("amd64", json!({"Entrypoint": ["/bin/app"], "Cmd": ["--on", "amd64"], "User": "1000"})),
        Image::linux("arm64", json!({"Entrypoint": ["/bin/app"], "Cmd": ["--on", "arm64"]})),
    ]
}

#[test]
fn what_skopeo_pushed_is_what_the_layout_says() {
    let Some(registry) = Registry::start(Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let digest = Layout::new(&folder).index("1.0", &multi());
    registry.push(&folder, "1.0", "app/multi:1.0");
    assert_eq!(sha256(&registry.manifest("app/multi:1.0")), digest);
}

#[test]
fn the_private_registry_asks_for_a_password() {
    let Some(mut registry) = Registry::start(Access::Htpasswd) else { return };
    let folder = registry.folder.path().join("layout");
    Layout::new(&folder).image("1", &Image::linux("amd64", json!({"Entrypoint": ["/bin/private"]})));
    registry.push(&folder, "1", "team/private:1");
    registry.credentials = None;
    let refused = registry.inspect("team/private:1").output().unwrap();
    assert!(!refused.status.success() && text(&refused.stderr).contains("authentication required"), "{refused:?}");
}

#[test]
fn an_index_says_what_each_platform_runs() {
    let Some(registry) = Registry::start(Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    Layout::new(&folder).index("1.0", &multi());
    registry.push(&folder, "1.0", "app/multi:1.0");

    let answers = resolved(&registry.resolve(&[], &["app/multi:1.0"]));
    let [answer] = answers.as_slice() else { panic!("one image, {} answers", answers.len()) };
    assert_eq!(answer["image"], format!("{}/app/multi:1.0", registry.host));
    assert_eq!(answer["reference"], answer["image"]);
    assert_eq!(answer["digest"], sha256(&registry.manifest("app/multi:1.0")));
    assert_eq!(
        answer["platforms"],
        json!([
            {"platform": "linux/amd64", "entrypoint": ["/bin/app"], "cmd": ["--on", "amd64"], "user": "1000"},
            {"platform": "linux/arm64", "entrypoint": ["/bin/app"], "cmd": ["--on", "arm64"], "user": null},
        ])
    );

    let answers = resolved(&registry.resolve(&["--platform", "linux/arm64"], &["app/multi:1.0"]));
    assert_eq!(answers[0]["platforms"].as_array().unwrap().len(), 1);
    assert_eq!(answers[0]["platforms"][0]["cmd"], json!(["--on", "arm64"]));
}

#[test]
fn an_entrypoint_or_a_cmd_alone_is_told_as_it_is() {
    let Some(registry) = Registry::start(Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let mut layout = Layout::new(&folder);
    let digests = [
        layout.image("entrypoint", &Image::linux("amd64", json!({"Entrypoint": ["/bin/app", "run"]}))),
        layout.image("cmd", &Image::linux("amd64", json!({"Cmd": ["/bin/sh", "-c", "echo $HOME"]}))),
        layout.image("neither", &Image::linux("amd64", json!({}))),
    ];
    for tag in ["entrypoint", "cmd", "neither"] {
        registry.push(&folder, tag, &format!("app/{tag}:1"));
    }

    let answers = resolved(&registry.resolve(&[], &["app/entrypoint:1", "app/cmd:1", "app/neither:1"]));
    let told: Vec<_> = answers.iter().map(|answer| answer["digest"].as_str().unwrap()).collect();
    assert_eq!(told, digests);
    let processes: Vec<_> = answers
        .iter()
        .map(|answer| (answer["platforms"][0]["entrypoint"].clone(), answer["platforms"][0]["cmd"].clone()))
        .collect();
    assert_eq!(
        processes,
        [
            (json!(["/bin/app", "run"]), json!([])),
            (json!([]), json!(["/bin/sh", "-c", "echo $HOME"])),
            (json!([]), json!([])),
        ]
    );
}

#[test]
fn an_image_is_found_by_its_digest() {
    let Some(registry) = Registry::start(Access::Anonymous) else { return };
    let folder = registry.folder.path().join("layout");
    let digest = Layout::new(&folder).image("1", &Image::linux("amd64", json!({"Cmd": ["/bin/app"]})));
    registry.push(&folder, "1", "app/single:1");
    let answers = resolved(&registry.resolve(&[], &[&format!("app/single@{digest}")]));
    assert_eq!(answers[0]["digest"], digest);
    assert_eq!(answers[0]["platforms"][0]["cmd"], json!(["/bin/app"]));
}

#[test]
fn a_private_image_needs_the_docker_configuration() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    let folder = registry.folder.path().join("layout");
    Layout::new(&folder).image("1", &Image::linux("amd64", json!({"Entrypoint": ["/bin/private"]})));
    registry.push(&folder, "1", "team/private:1");

    let config = registry.folder.path().join("config.json");
    let config_says = |auth: &str| {
        fs::write(&config, json!({"auths": {&registry.host: {"auth": auth}}}).to_string()).unwrap();
        registry.resolve(&["--docker-config", config.to_str().unwrap()], &["team/private:1"])
    };
    let answers = resolved(&config_says(AUTH));
    assert_eq!(answers[0]["platforms"][0]["entrypoint"], json!(["/bin/private"]));

    // "ci" with the password "wrong-one".
    let wrong = "Y2k6d3Jvbmctb25l";
    for refused in [registry.resolve(&[], &["team/private:1"]), config_says(wrong)] {
        let complaint = text(&refused.stderr);
        assert!(!refused.status.success());
        assert!(complaint.contains("team/private"), "{complaint}");
        assert!(!complaint.contains("wrong-one") && !complaint.contains(wrong), "{complaint}");
    }
}
