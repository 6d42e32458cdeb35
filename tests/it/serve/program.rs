//! The program under test: a process of its own, and the client that the API server would be.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use emissary_webhook::certificate::{Generated, generate};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sample_registry::RunningRegistry;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Far longer than anything should take; a test that gets here has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(20);

/// HTTP/1.1 is what the API server speaks through a Service, HTTP/2 what it speaks to a loopback URL.
pub(crate) const PROTOCOLS: [&str; 2] = ["http/1.1", "h2"];

/// A running `serve`; it is killed with the value.
pub(crate) struct Webhook {
    process: Child,
    pub(crate) https: SocketAddr,
    pub(crate) plain: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
    certificate: Generated,
    client: Client,
}

/// What a POST to the webhook came back with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

pub(crate) fn make_certificate() -> Generated {
    certificate_for(&["localhost"])
}

pub(crate) fn certificate_for(names: &[&str]) -> Generated {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    generate(&names, SystemTime::now(), Duration::from_secs(3600)).unwrap()
}

/// `serve` with a folder of its own, in which it runs: `settings.yaml`, `tls.crt`, `tls.key`.
pub(crate) struct Serve {
    folder: TempDir,
    certificate: Generated,
    flags: Vec<String>,
    variables: Vec<(String, OsString)>,
}

/// Under these settings, on free ports, without a lame-duck time.
pub(crate) fn serve(settings: &str) -> Serve {
    let serve = Serve {
        folder: tempfile::tempdir().unwrap(),
        certificate: make_certificate(),
        flags: Vec::new(),
        variables: Vec::new(),
    };
    install(serve.folder.path(), &serve.certificate);
    serve.file("settings.yaml", settings).flags(&DEFAULTS.map(|default| ["--set", default]).concat())
}

impl Serve {
    /// With one more file in its folder.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        write(self.folder.path(), name, text);
        self
    }

    /// With a certificate for these names instead of `localhost`.
    pub(crate) fn names(self, names: &[&str]) -> Self {
        self.with_certificate(certificate_for(names))
    }

    /// With this certificate.
    pub(crate) fn with_certificate(mut self, certificate: Generated) -> Self {
        install(self.folder.path(), &certificate);
        self.certificate = certificate;
        self
    }

    /// With a variable in its environment, which is empty otherwise.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// With further arguments; a later one goes before an earlier.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Asking this registry in the clear.
    pub(crate) fn registry(self, registry: &RunningRegistry) -> Self {
        self.flags(&["--plain-http", &registry.address().to_string(), "--allow-network", "127.0.0.0/8"])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
        command
            // A proxy that the environment names would be asked for loopback too.
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .args(["serve", "--log-format", "json", "--settings", "settings.yaml"])
            .args(&self.flags)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it; returns when it serves.
    pub(crate) async fn start(self) -> Webhook {
        let mut process = self.command().spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (BufReader::new(process.stderr.take().unwrap()).lines(), Arc::clone(&log));
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        let Self { folder, certificate, flags: _, variables: _ } = self;
        let (https, plain) = (ANY, ANY);
        let client = client(&[&certificate], PROTOCOLS[0]);
        let mut webhook = Webhook { process, https, plain, log, folder, certificate, client };
        let serving = webhook.logged("it serves", |line| line["message"] == "serving").await;
        let address = |key: &str| serving[key].as_str().unwrap().parse().unwrap();
        (webhook.https, webhook.plain) = (address("https"), address("plain"));
        webhook
    }

    /// Runs it where it is expected to fail at once: its exit code, and what it says.
    pub(crate) fn fail(&self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// What every test wants; a later flag goes before them.
const DEFAULTS: [&str; 5] = [
    "server.listen=127.0.0.1:0",
    "server.plainListen=127.0.0.1:0",
    "server.certificate=tls.crt",
    "server.key=tls.key",
    "server.lameDuck=0s",
];

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Writes a file whole at once, as an editor or the kubelet does.
fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("being-written"), text).unwrap();
    fs::rename(folder.join("being-written"), folder.join(name)).unwrap();
}

fn install(folder: &Path, certificate: &Generated) {
    write(folder, "tls.crt", &certificate.certificate_pem);
    write(folder, "tls.key", &certificate.key_pem);
}

impl Webhook {
    /// Replaces one of its files.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    /// Replaces its certificate.
    pub(crate) fn install(&self, certificate: &Generated) {
        install(self.folder.path(), certificate);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The authority of its first certificate, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.certificate.ca_pem
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https.port())
    }

    /// Posts a review as the API server does, over HTTP/1.1.
    pub(crate) async fn post(&self, review: &Value) -> Answer {
        self.post_within("7s", review).await
    }

    /// The same with another timeout in the URL.
    pub(crate) async fn post_within(&self, timeout: &str, review: &Value) -> Answer {
        self.post_by(&self.client, &format!("/mutate?timeout={timeout}"), review).await
    }

    pub(crate) async fn post_by(&self, client: &Client, path: &str, review: &Value) -> Answer {
        self.send(client.post(self.url(path)).header(CONTENT_TYPE, "application/json").body(review.to_string())).await
    }

    /// Posts whatever bytes, as JSON.
    pub(crate) async fn post_bytes(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.post(self.url("/mutate")).header(CONTENT_TYPE, "application/json");
        self.send(request.body(body.into())).await
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let began = Instant::now();
        let response = request.send().await.unwrap_or_else(|error| panic!("{error:?}; log: {:#?}", self.log()));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        Answer { status, text, took: began.elapsed() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Another client, with connections of its own.
    pub(crate) fn client_of(&self, protocol: &str) -> Client {
        client(&[&self.certificate], protocol)
    }

    /// From the plain port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("http://{}{path}", self.plain)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The value of the metric whose line begins with `series`; 0 for one that was never touched.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Bytes of memory that it takes, as the kernel counts them.
    pub(super) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// What it has logged so far, a JSON object a line.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines: MutexGuard<'_, Vec<String>> = self.log.lock().unwrap();
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.clone()))).collect()
    }

    /// The first line of the log that is `wanted`, as soon as there is one.
    pub(crate) async fn logged(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let ended = self.process.try_wait().unwrap();
            if let Some(line) = self.log().into_iter().find(|line| wanted(line)) {
                return line;
            }
            let late = ended.is_some() || began.elapsed() > FOREVER;
            assert!(!late, "{what}: {ended:?} {:#?}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn terminate(&self) {
        signal(self.process.id(), "TERM");
    }

    /// Its exit status, as soon as it has one.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < FOREVER, "it does not end: {:#?}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// By a shell's own `kill`: std has no signals but SIGKILL.
fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(status.success(), "{status}");
}

/// A client that trusts these certificates' authorities and offers one ALPN protocol.
pub(crate) fn client(certificates: &[&Generated], protocol: &str) -> Client {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(CertificateDer::from_pem_slice(certificate.ca_pem.as_bytes()).unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Client::builder()
        .tls_backend_preconfigured(config)
        .resolve("localhost", ANY)
        .no_proxy()
        .timeout(FOREVER)
        .build()
        .unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(FOREVER, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

impl Answer {
    /// The response of the AdmissionReview, which is checked for what holds of every one.
    #[track_caller]
    pub(crate) fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        let mut review: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(
            (&review["apiVersion"], &review["kind"]),
            (&"admission.k8s.io/v1".into(), &"AdmissionReview".into())
        );
        let response = review["response"].take();
        // The API server refuses one without the other (k8s.io/apiserver, webhook/request).
        assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "{response}");
        assert_eq!(response["allowed"] == false, response.get("status").is_some(), "{response}");
        for warning in response["warnings"].as_array().into_iter().flatten() {
            let warning = warning.as_str().unwrap();
            assert!(warning.chars().count() <= 120 && !warning.contains(char::is_control), "{warning:?}");
        }
        for (key, value) in response["auditAnnotations"].as_object().into_iter().flatten() {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(key.len() <= 63 && key.chars().all(fits) && value.is_string(), "{key}: {value}");
            assert!(key.starts_with(|c: char| c.is_ascii_alphanumeric()), "{key}");
            assert!(key.ends_with(|c: char| c.is_ascii_alphanumeric()), "{key}");
        }
        response
    }

    /// The status of a denial: code, reason, message.
    #[track_caller]
    pub(crate) fn denial(&self) -> (u64, String, String) {
        let response = self.response();
        assert_eq!(response["allowed"], false, "{response}");
        assert!(response.get("patch").is_none(), "{response}");
        let status = &response["status"];
        let text = |key: &str| status[key].as_str().unwrap().to_owned();
        assert_eq!(status["status"], "Failure");
        // Clients would wait it out inside one request.
        assert!(status.pointer("/details/retryAfterSeconds").is_none(), "{status}");
        (status["code"].as_u64().unwrap(), text("reason"), text("message"))
    }

    /// `object` with the patch applied; nothing where there is none.
    #[track_caller]
    pub(crate) fn patched(&self, object: &Value) -> Option<Value> {
        let response = self.response();
        assert_eq!(response["allowed"], true, "{response}");
        let patch = response.get("patch")?;
        assert_eq!(response["patchType"], "JSONPatch");
        let patch = STANDARD.decode(patch.as_str().unwrap()).unwrap();
        let mut object = object.clone();
        json_patch::patch(&mut object, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
        Some(object)
    }
}
