//! A real registry server, docker-registry, and what is asked of it by others' clients and by ours.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::token_server::TokenServer;
use super::{DOCKER_REGISTRY, SKOPEO, need};

/// "ci" with the password "secret", hashed by bcrypt at the least cost, 5.
const HTPASSWD: &str = "ci:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const CREDENTIALS: &str = "ci:secret";
/// [`CREDENTIALS`] in Base64, as a Docker configuration file has them.
pub(crate) const AUTH: &str = "Y2k6c2VjcmV0";

/// A running registry; it ends with the value.
pub(crate) struct Registry {
    process: Child,
    /// Address and port on loopback, as an image reference begins.
    pub(crate) host: String,
    pub(crate) folder: TempDir,
    skopeo: PathBuf,
    pub(crate) credentials: Option<&'static str>,
    tls: bool,
    /// Its access log, in the form of Apache's.
    log: Arc<Mutex<Vec<String>>>,
}

/// Whom it lets in.
pub(crate) enum Access<'a> {
    Anonymous,
    Htpasswd,
    /// Whoever has a token of this server.
    Token(&'a TokenServer),
    /// Over TLS under an authority of its own, whoever has a certificate of that.
    ClientCertificate,
    /// Over TLS under an authority of its own, everybody.
    Tls,
}

impl Registry {
    /// Starts a registry on a port that the kernel picks; nothing where the components are missing.
    pub(crate) fn start(access: &Access) -> Option<Self> {
        let [registry, skopeo] = need([DOCKER_REGISTRY, SKOPEO])?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
            "http": {"addr": "127.0.0.1:0"},
            "compatibility": {"schema1": {"enabled": true}},
        });
        let (mut credentials, mut tls) = (None, false);
        match access {
            Access::Anonymous => {}
            Access::Htpasswd => {
                fs::write(path("htpasswd"), HTPASSWD).unwrap();
                config["auth"] = json!({"htpasswd": {"realm": "tests", "path": path("htpasswd")}});
                credentials = Some(CREDENTIALS);
            }
            Access::Token(server) => {
                fs::write(path("token.crt"), server.certificate()).unwrap();
                config["auth"] = json!({"token": {
                    "realm": server.realm(),
                    "service": TokenServer::SERVICE,
                    "issuer": TokenServer::ISSUER,
                    "rootcertbundle": path("token.crt"),
                }});
                credentials = Some(CREDENTIALS);
            }
            Access::ClientCertificate | Access::Tls => {
                certify(&path("certs"));
                config["http"]["tls"] =
                    json!({"certificate": path("certs/server.pem"), "key": path("certs/server-key.pem")});
                if matches!(access, Access::ClientCertificate) {
                    config["http"]["tls"]["clientcas"] = json!([path("certs/ca.crt")]);
                }
                tls = true;
            }
        }
        // JSON is YAML.
        let file = path("registry.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let mut process = Command::new(registry)
            .arg("serve")
            .arg(&file)
            // Variables override the file.
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = access_log(&mut process);
        let host = listening_on(&mut process);
        Some(Self { process, host, folder, skopeo, credentials, tls, log })
    }

    /// Pushes what the layout in `folder` calls `tag`, every platform of it.
    pub(crate) fn push(&self, folder: &Path, tag: &str, image: &str) {
        self.copy(&["--all", "--preserve-digests"], &format!("oci:{}:{tag}", folder.display()), image);
    }

    /// `skopeo copy` of an image in one of skopeo's transports to this registry.
    pub(crate) fn copy(&self, arguments: &[&str], from: &str, image: &str) {
        let mut copy = self.skopeo();
        copy.args(["copy", "--quiet"]).args(arguments);
        self.trust(&mut copy, "dest-");
        if let Some(credentials) = self.credentials {
            copy.args(["--dest-creds", credentials]);
        }
        run(copy.arg(from).arg(format!("docker://{}/{image}", self.host)));
    }

    /// The bytes of the manifest that the registry serves.
    pub(crate) fn manifest(&self, image: &str) -> Vec<u8> {
        run(&mut self.inspect(image)).stdout
    }

    pub(crate) fn inspect(&self, image: &str) -> Command {
        let mut inspect = self.skopeo();
        inspect.args(["inspect", "--raw"]);
        self.trust(&mut inspect, "");
        if let Some(credentials) = self.credentials {
            inspect.args(["--creds", credentials]);
        }
        inspect.arg(format!("docker://{}/{image}", self.host));
        inspect
    }

    fn trust(&self, command: &mut Command, end: &str) {
        match self.tls {
            true => command.arg(format!("--{end}cert-dir")).arg(self.folder.path().join("certs")),
            false => command.arg(format!("--{end}tls-verify=false")),
        };
    }

    /// skopeo without the configuration of whoever runs the tests.
    pub(crate) fn skopeo(&self) -> Command {
        let mut skopeo = Command::new(&self.skopeo);
        skopeo.arg("--insecure-policy").arg("--registries-conf").arg("/dev/null").stdin(Stdio::null());
        skopeo.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        skopeo
    }

    /// Runs `resolve` for the images of this registry.
    pub(crate) fn resolve<A: AsRef<OsStr>>(&self, arguments: &[A], images: &[&str]) -> Output {
        let mut resolve = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
        resolve.args(["resolve", "-o", "json"]);
        if !self.tls {
            resolve.args(["--plain-http", &self.host]);
        }
        resolve
            .args(arguments)
            .args(images.iter().map(|image| format!("{}/{image}", self.host)))
            // No credentials but those a test gives.
            .env("DOCKER_CONFIG", self.folder.path().join("nothing"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A docker configuration that opens this registry; its path.
    pub(crate) fn docker_config(&self, auth: &str) -> PathBuf {
        let config = self.folder.path().join("config.json");
        fs::write(&config, json!({"auths": {&self.host: {"auth": auth}}}).to_string()).unwrap();
        config
    }

    /// What it answers while something is done, such as `GET /v2/app/manifests/1 200`.
    pub(crate) fn answers_during<T>(&self, done: impl FnOnce() -> T) -> (T, Vec<String>) {
        self.settle();
        let before = self.answered().len();
        let result = done();
        self.settle();
        (result, self.answered().split_off(before))
    }

    /// Waits until its log says nothing new: it writes after it has answered.
    fn settle(&self) {
        let (mut seen, deadline) = (usize::MAX, Instant::now() + Duration::from_secs(20));
        loop {
            let now = self.log.lock().unwrap_or_else(PoisonError::into_inner).len();
            if now == seen {
                return;
            }
            assert!(Instant::now() < deadline, "the registry's log does not end");
            seen = now;
            thread::sleep(Duration::from_millis(250));
        }
    }

    fn answered(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // ADDRESS - - [TIME] "METHOD PATH PROTOCOL" STATUS BYTES …
        let line = |line: &String| {
            let (_, rest) = line.split_once('"').unwrap();
            let (request, rest) = rest.split_once('"').unwrap();
            let (request, _protocol) = request.rsplit_once(' ').unwrap();
            format!("{request} {}", rest.split_whitespace().next().unwrap())
        };
        log.iter().map(line).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder as docker's `certs.d` has them (`ca.crt`, `client.cert`, `client.key`), and the server's own pair.
fn certify(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
    let pairs = [
        ("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth, "server.pem", "server-key.pem"),
        ("client", ExtendedKeyUsagePurpose::ClientAuth, "client.cert", "client.key"),
    ];
    for (name, purpose, certificate, key_file) in pairs {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.extended_key_usages = vec![purpose];
        fs::write(folder.join(certificate), parameters.signed_by(&key, &authority).unwrap().pem()).unwrap();
        fs::write(folder.join(key_file), key.serialize_pem()).unwrap();
    }
}

/// The address that the registry logs when it listens. The log is read to its end, or the registry would wait for a reader.
fn listening_on(process: &mut Child) -> String {
    let log = BufReader::new(process.stderr.take().unwrap());
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        let mut seen = Vec::new();
        for line in log.lines().map_while(Result::ok) {
            if let Ok(entry) = serde_json::from_str::<Value>(&line) {
                // "listening on 127.0.0.1:5000", and ", tls" after it.
                let address = entry["msg"].as_str().and_then(|message| message.strip_prefix("listening on "));
                if let Some(address) = address.and_then(|address| address.split(',').next()) {
                    let _ = found.send(Ok(address.to_owned()));
                }
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

/// The lines that it writes of requests, as they come.
fn access_log(process: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&kept);
    thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| log.lock().unwrap_or_else(PoisonError::into_inner).push(line));
    });
    kept
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    output
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The array that `resolve` printed.
pub(crate) fn resolved(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}\n{}", output.status, text(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", text(&output.stdout), text(&output.stderr)))
}
