//! A pod that is a folder: every place of the contract is below it, and its containers are processes of this machine.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The program in a folder of its own: beside the one that cargo has built, its sibling may have been built too.
pub(crate) fn program() -> &'static Path {
    static FOLDER: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("argoexec");
        fs::copy(env!("CARGO_BIN_EXE_argoexec"), &program).unwrap();
        (folder, program)
    });
    &FOLDER.1
}

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Pod {
    folder: TempDir,
}

/// How a container ended, as those see it who look at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The process's exit code; that of a shell where a signal ended it.
    pub(crate) code: i32,
    /// What is in the file `exitcode`.
    pub(crate) file: Option<String>,
    pub(crate) last_words: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Container {
    child: Child,
    folder: PathBuf,
    last_words: PathBuf,
}

impl Pod {
    pub(crate) fn new(template: &Value) -> Self {
        let pod = Self { folder: TempDir::new().unwrap() };
        for folder in ["var/run/argo", "dev", "tmp", "argo/config", "argo/staging", "argo/inputs/artifacts"] {
            fs::create_dir_all(pod.path(folder)).unwrap();
        }
        pod.write("var/run/argo/template", template.to_string());
        pod
    }

    pub(crate) fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }

    pub(crate) fn text(&self, place: &str) -> String {
        let path = self.path(place);
        String::from_utf8_lossy(&fs::read(&path).unwrap_or_else(|error| panic!("{place}: {error}"))).into_owned()
    }

    pub(crate) fn write(&self, place: &str, text: impl AsRef<[u8]>) {
        let path = self.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The executor, in the environment of a container.
    pub(crate) fn argoexec(&self, name: &str) -> Command {
        let mut command = Command::new(program());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("ARGO_CONTAINER_NAME", name);
        command.arg("--root").arg(self.folder.path());
        command
    }

    /// `emissary -- WORDS…`, as controllers of 3.4 and later write it.
    pub(crate) fn emissary(&self, name: &str, words: &[&str]) -> Command {
        let mut command = self.argoexec(name);
        command.args(["emissary", "--loglevel", "info", "--log-format", "text", "--"]).args(words);
        command
    }

    pub(crate) fn start(&self, name: &str, mut command: Command) -> Container {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What the harness ignores or blocks is not the containers'.
        let child = command.process_group(0).spawn().unwrap();
        Container {
            child,
            folder: self.path("var/run/argo/ctr").join(name),
            last_words: self.path("dev/termination-log"),
        }
    }

    pub(crate) fn run(&self, name: &str, words: &[&str]) -> Ended {
        self.start(name, self.emissary(name, words)).end()
    }

    /// Runs a shell's line in the container `main`.
    pub(crate) fn sh(&self, line: &str) -> Ended {
        self.run("main", &["sh", "-c", line])
    }
}

impl Container {
    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(self.id()).unwrap(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn end(mut self) -> Ended {
        let (mut stdout, mut stderr) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(bytes), text(reader.join().unwrap().unwrap()));
        let status = self.child.wait().unwrap();
        Ended {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            file: fs::read_to_string(self.folder.join("exitcode")).ok(),
            last_words: fs::read_to_string(&self.last_words).unwrap_or_default(),
            stdout,
            stderr,
        }
    }
}

/// A test that fails leaves nothing behind.
impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Ended {
    /// Both codes, which have to be one.
    pub(crate) fn both(&self) -> (i32, Option<&str>) {
        (self.code, self.file.as_deref())
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(2));
    }
}

/// Waits until a file has something in it, and gives that.
pub(crate) fn text_of(file: &Path) -> String {
    let mut text = String::new();
    until(&file.display().to_string(), || {
        text = fs::read_to_string(file).unwrap_or_default();
        text.ends_with('\n')
    });
    text
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(process: i32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}
