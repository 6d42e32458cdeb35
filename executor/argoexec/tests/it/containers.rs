//! The program as it is shipped, as process 1 of containers.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::pod::{Pod, text_of, until};

/// What a test may need of a machine, how to find out, and what gives it.
pub(crate) type Need = (&'static str, fn() -> bool);

/// User, mount and process namespaces.
pub(crate) const NAMESPACES: Need = ("namespaces", || {
    let all = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "true"];
    Command::new("unshare").args(all).output().is_ok_and(|output| output.status.success())
});

/// A runtime of OCI containers, run by root.
pub(crate) const RUNC: Need =
    ("runc, as root", || rustix::process::getuid().is_root() && Command::new("runc").arg("--version").output().is_ok());

/// Whether a test can run. What a machine allows nobody can get for it, so that a test which cannot run does not fail; it is
/// named on standard error and in the report of `cargo xtask test`.
pub(crate) fn need((what, is_there): Need, test: &str) -> bool {
    let there = is_there();
    let line = if there { format!("ran: {test} (with {what})") } else { format!("not run: {test} (needs {what})") };
    let _ = writeln!(std::io::stderr(), "{line}");
    if let Some(report) = std::env::var_os("EMISSARY_TEST_COMPONENTS_REPORT") {
        let file = fs::OpenOptions::new().append(true).open(report);
        writeln!(file.unwrap(), "{line}").unwrap();
    }
    there
}

/// The program that `cargo xtask executor` makes.
fn shipped() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut xtask = Command::new(env!("CARGO"));
        xtask.args(["xtask", "executor", "--print-path"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        // What this test was built with is not what the program is.
        for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
            xtask.env_remove(variable);
        }
        let output = xtask.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

#[test]
fn the_program_is_small_and_needs_nothing() {
    let size = fs::metadata(shipped()).unwrap().len();
    assert!(size <= 3 << 19, "{size} bytes");
    let bytes = fs::read(shipped()).unwrap();
    assert!(!bytes.windows(8).any(|window| window == b"ld-linux"), "it names a loader");
}

#[test]
fn beside_a_process_it_takes_a_megabyte_and_no_time() {
    let pod = Pod::new(&json!({}));
    let log = pod.path("log");
    let mut command = Command::new(shipped());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ARGO_CONTAINER_NAME", "main")
        .env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    command.arg("--root").arg(pod.path("")).args(["emissary", "--", "sh", "-c"]);
    command.arg(format!("echo >> {}; sleep 1", log.display()));
    let container = pod.start("main", command);
    text_of(&log);
    let status = || fs::read_to_string(format!("/proc/{}/status", container.id())).unwrap();
    let field = |status: &str, name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    };
    std::thread::sleep(std::time::Duration::from_millis(200));
    let before = status();
    assert!(field(&before, "VmHWM") <= 1536, "{before}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    for switches in ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"] {
        assert_eq!(field(&before, switches), field(&status(), switches), "it looks at nothing in the meantime");
    }
    assert_eq!(container.end().code, 0);
}

#[test]
fn process_1_reaps_and_hands_on() {
    if !need(NAMESPACES, "process_1_reaps_and_hands_on") {
        return;
    }
    let pod = Pod::new(&json!({}));
    let log = pod.path("log");
    // Orphans end while the process goes on; each is a zombie until process 1 takes notice of it.
    let line = format!(
        "for i in 1 2 3 4 5 6 7 8; do (sleep 0.05 &); done; sleep 0.4; ls /proc/*/stat >/dev/null; \
         cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z' > {0}; trap 'exit 42' TERM; echo up >> {0}; while :; do sleep 0.05; done",
        log.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]).arg(shipped());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
    command.arg("--root").arg(pod.path("")).args(["emissary", "--", "sh", "-c", &line]);
    let container = pod.start("main", command);
    until("the log", || text_of(&log).ends_with("up\n"));
    assert_eq!(text_of(&log), "0\nup\n");
    // As the controller does it, from another process of the same container.
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", container.id())).unwrap();
    let mut kill = Command::new("nsenter");
    kill.args(["--user", "--pid", "--target", child.trim()]).arg(shipped()).args(["kill", "15", "1"]);
    let killed = kill.output().unwrap();
    // Process 1 may end, and its namespace with all that is in it, before whoever sent the signal.
    let with_its_namespace = killed.status.signal() == Some(9);
    assert!(killed.status.success() || with_its_namespace, "{}", String::from_utf8_lossy(&killed.stderr));
    assert_eq!(container.end().both(), (42, Some("42")));
}

/// A container of a real runtime: read-only root, a user who is not root, no capability, the volume and nothing else.
#[test]
fn a_runtimes_container_runs_it() {
    if !need(RUNC, "a_runtimes_container_runs_it") {
        return;
    }
    let pod = Pod::new(&json!({"outputs": {"parameters": [{"name": "p", "valueFrom": {"path": "/tmp/p"}}]}}));
    let bundle = pod.path("bundle");
    for folder in ["bin", "lib", "lib64", "usr", "proc", "dev", "tmp", "var/run/argo"] {
        fs::create_dir_all(bundle.join("rootfs").join(folder)).unwrap();
    }
    let shared = pod.path("var/run/argo");
    fs::copy(shipped(), shared.join("argoexec")).unwrap();
    pod.write("dev/termination-log", "");
    for (place, mode) in
        [("var/run/argo", 0o777), ("dev/termination-log", 0o666), ("bundle/rootfs/tmp", 0o1777), ("", 0o755)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(pod.path(place), fs::Permissions::from_mode(mode)).unwrap();
    }
    let bind = |from: &Path, to: &str, write: bool| {
        let options = if write { json!(["rbind", "rw"]) } else { json!(["rbind", "ro"]) };
        json!({"destination": to, "source": from, "type": "bind", "options": options})
    };
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}),
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}),
        bind(&shared, "/var/run/argo", true),
        bind(&pod.path("dev/termination-log"), "/dev/termination-log", true),
    ];
    mounts.extend(["/bin", "/lib", "/lib64", "/usr"].map(|folder| bind(Path::new(folder), folder, false)));
    let line = "echo value > /tmp/p; echo out; id -u; (sleep 0.1 &); touch /x 2>/dev/null || echo read-only; exit 3";
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "cwd": "/", "noNewPrivileges": true,
            "user": {"uid": 8737, "gid": 8737},
            "args": ["/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--", "sh", "-c", line],
            "env": ["PATH=/usr/bin:/bin", "ARGO_CONTAINER_NAME=main", "ARGO_INCLUDE_SCRIPT_OUTPUT=true"],
        },
        "root": {"path": "rootfs", "readonly": true},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
    });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let mut command = Command::new("runc");
    let name = format!("argoexec-{}", std::process::id());
    command.arg("--root").arg(pod.path("runc")).args(["run", "--bundle"]).arg(&bundle).arg(&name);
    let ended = pod.start("main", command).end();
    assert_eq!(ended.both(), (3, Some("3")), "{} {}", ended.stderr, ended.last_words);
    assert_eq!((ended.stdout.as_str(), ended.last_words.as_str()), ("out\n8737\nread-only\n", ""));
    assert_eq!(pod.text("var/run/argo/ctr/main/stdout"), ended.stdout);
    assert_eq!(pod.text("var/run/argo/outputs/parameters/tmp/p"), "value\n");
}
