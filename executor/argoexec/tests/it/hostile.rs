//! Processes that take what they can get: disk, processes, memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::containers::{NAMESPACES, Need, need};
use crate::pod::{Ended, Pod};

/// Runs a shell's line in the container `main`, with `before` done by a root of a mount namespace first.
fn prepared(pod: &Pod, before: &str, line: &str) -> Ended {
    let emissary = pod.emissary("main", &["sh", "-c", line]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!("{before}; exec \"$@\"")).arg("sh").arg(emissary.get_program()).args(emissary.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("ARGO_CONTAINER_NAME", "main");
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    pod.start("main", command).end()
}

#[test]
fn a_full_disk_is_said_and_keeps_nobody_waiting() {
    if !need(NAMESPACES, "a_full_disk_is_said_and_keeps_nobody_waiting") {
        return;
    }
    let pod = Pod::new(&json!({}));
    let shared = pod.path("var/run/argo");
    let template = pod.path("template");
    let out = pod.path("out");
    // What remains is looked at from inside, since the mount goes with its namespace.
    let seen = pod.path("seen");
    pod.write("template", json!({"outputs": {"artifacts": [{"name": "a", "path": out}]}}).to_string());
    let mount =
        format!("mount -t tmpfs -o size=256k none {0} && cp {1} {0}/template", shared.display(), template.display());

    // The process's output fills it.
    let look = format!(
        "sh -c '\"$@\"; code=$?; cat {}/ctr/main/exitcode > {}; exit $code' sh",
        shared.display(),
        seen.display()
    );
    let before = format!("{mount}; set -- {look} \"$@\"");
    let ended = prepared(&pod, &before, "head -c 3000000 /dev/zero");
    assert_eq!((ended.code, pod.text("seen").as_str()), (64, "64"), "{}", ended.last_words);
    assert_eq!(ended.stdout.len(), 3_000_000, "the log is whole");
    assert!(ended.last_words.contains("No space left"), "{}", ended.last_words);

    // The process itself fills it, and then there is no room for its artifact.
    let line = format!(
        "head -c 100000 /dev/urandom > {}; dd if=/dev/zero of={}/fill bs=4k 2>/dev/null; exit 0",
        out.display(),
        shared.display()
    );
    let ended = prepared(&pod, &before, &line);
    assert_eq!((ended.code, pod.text("seen").as_str()), (64, "64"), "{}", ended.last_words);
    assert!(ended.last_words.contains("No space left"), "{}", ended.last_words);
}

#[test]
fn a_fork_bomb_ends_with_its_container() {
    let pod = Pod::new(&json!({}));
    // Few enough for the machine, more than we would like to reap one by one.
    let line = "i=0; while [ $i -lt 300 ]; do (sleep 0.3 &) ; i=$((i+1)); done; ulimit -u 1 2>/dev/null; exit 11";
    assert_eq!(pod.sh(line).both(), (11, Some("11")));
}

#[test]
fn a_process_that_cannot_be_made_is_said() {
    let pod = Pod::new(&json!({}));
    let emissary = pod.emissary("main", &["true"]);
    let mut command = Command::new("prlimit");
    command.args(["--nofile=7:7", "--"]).arg(emissary.get_program()).args(emissary.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    let ended = pod.start("main", command).end();
    assert_eq!(ended.both(), (64, Some("64")), "{}", ended.last_words);
    assert!(ended.last_words.contains("Too many open files"), "{}", ended.last_words);
}

#[test]
fn a_process_that_runs_out_of_memory_has_a_code() {
    if !need(MEMORY, "a_process_that_runs_out_of_memory_has_a_code") {
        return;
    }
    let pod = Pod::new(&json!({}));
    let group = Limit::of("argoexec-test", "32M").unwrap();
    let emissary = pod.emissary("main", &["tail", "/dev/zero"]);
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0\"; exec \"$@\""]).arg(group.0.join("cgroup.procs"));
    command.arg(emissary.get_program()).args(emissary.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
    let ended = pod.start("main", command).end();
    assert_eq!((ended.both(), ended.last_words.as_str()), ((137, Some("137")), ""), "the kernel took the larger one");
}

/// A group of processes with a limit of memory, which only some may make.
const MEMORY: Need = ("a memory cgroup", || Limit::of("argoexec-probe", "32M").is_some());

struct Limit(PathBuf);

impl Limit {
    fn of(name: &str, limit: &str) -> Option<Self> {
        let version_1 = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
        [version_1, ("/sys/fs/cgroup", "memory.max")].into_iter().find_map(|(root, file)| {
            let group = Self(Path::new(root).join(format!("{name}-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), limit).ok().map(|()| group)
        })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
