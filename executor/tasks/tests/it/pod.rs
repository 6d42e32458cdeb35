//! A pod that is a folder: every place of the contract is below it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Pod {
    folder: TempDir,
    template: Value,
    variables: Vec<(String, String)>,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) last_words: String,
    pub(crate) stderr: String,
}

/// A run that has not ended. It does not outlive its test.
pub(crate) struct Running<'a> {
    pod: &'a Pod,
    child: Option<Child>,
}

impl Pod {
    pub(crate) fn new(template: Value) -> Self {
        let pod = Self { folder: TempDir::new().unwrap(), template, variables: Vec::new() };
        for folder in
            ["var/run/argo/ctr", "dev", "tmp", "mainctrfs", "argo/secret", "argo/staging", "argo/inputs/artifacts"]
        {
            fs::create_dir_all(pod.path(folder)).unwrap();
        }
        pod.write("var/run/argo/template", pod.template.to_string());
        // Tries do not take a test's time.
        pod.with("EXECUTOR_RETRY_BACKOFF_DURATION", "10ms")
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }

    pub(crate) fn write(&self, place: &str, text: impl AsRef<[u8]>) {
        let path = self.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As the executor does it: whole or not there.
        let partial = path.with_extension("partial");
        fs::write(&partial, text).unwrap();
        fs::rename(partial, path).unwrap();
    }

    pub(crate) fn text(&self, place: &str) -> String {
        fs::read_to_string(self.path(place)).unwrap_or_else(|error| panic!("{place}: {error}"))
    }

    pub(crate) fn has(&self, place: &str) -> bool {
        self.path(place).exists()
    }

    /// What a pod without a Workflow has reported.
    pub(crate) fn reported(&self) -> Value {
        serde_json::from_str(&self.text("var/run/argo/outputs/node.json")).unwrap()
    }

    pub(crate) fn start(&self, verb: &str) -> Running<'_> {
        self.start_with(&[verb])
    }

    /// With words behind the verb.
    pub(crate) fn start_with(&self, words: &[&str]) -> Running<'_> {
        self.start_as(&[], words)
    }

    /// By another program, which becomes it in surroundings of its own making.
    pub(crate) fn start_as(&self, starter: &[&str], words: &[&str]) -> Running<'_> {
        let program = env!("CARGO_BIN_EXE_argoexec-tasks");
        let mut line = starter.iter().chain([&program]);
        let mut command = Command::new(line.next().unwrap());
        command.args(line).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("ARGO_TEMPLATE", self.template.to_string()).envs(self.variables.iter().cloned());
        // As controllers of 3.7 and later write it.
        command.args(words).args(["--loglevel", "debug", "--log-format", "text", "--gloglevel", "0"]);
        command.arg("--root").arg(self.folder.path()).stdin(Stdio::null()).stderr(Stdio::piped());
        Running { pod: self, child: Some(command.spawn().unwrap()) }
    }

    pub(crate) fn run(&self, verb: &str) -> Ended {
        self.start(verb).end()
    }

    /// `wait` for containers that have ended.
    pub(crate) fn wait(&self) -> Ended {
        self.write("var/run/argo/ctr/main/exitcode", "0");
        self.run("wait")
    }
}

impl Running<'_> {
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg(self.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// As the kubelet does it, and the kernel where memory is short.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn end(mut self) -> Ended {
        let Output { status, stderr, .. } = self.child.take().unwrap().wait_with_output().unwrap();
        Ended {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            last_words: fs::read_to_string(self.pod.path("dev/termination-log")).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ended {
    pub(crate) fn is_fine(&self) {
        assert_eq!((self.code, self.last_words.as_str()), (0, ""), "{}", self.stderr);
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
