//! Processes that take what they can get: disk, processes, memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::containers::{NAMESPACES, Need, need};
use crate::pod::{Ended, Pod, text_of, until};

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
fn a_fork_bomb_within_its_limit_is_killed_whole() {
    if !need(PROCESSES, "a_fork_bomb_within_its_limit_is_killed_whole") {
        return;
    }
    let pod = Pod::new(&json!({}));
    let group = Limit::of(PIDS, "argoexec-bomb", "64").unwrap();
    let log = pod.path("log");
    // Each is two more, for as long as there is room.
    let line = format!("echo $$ > {}; b() {{ b & b & wait; }}; while :; do b; done 2>/dev/null", log.display());
    let container = pod.start("main", limited(&pod, &group, &["sh", "-c", &line]));
    text_of(&log);
    let current = || fs::read_to_string(group.0.join("pids.current")).unwrap().trim().parse::<u32>().unwrap();
    until("as many as may be", || current() >= 60);
    // As the controller does it, by a process of the container: even for that there may be no room. wait's way needs none.
    pod.write("var/run/argo/ctr/main/signal", "9");
    assert_eq!(container.end().both(), (137, Some("137")));
    until("the end of all of them", || current() == 0);
}

#[test]
fn a_users_last_process_is_not_the_executors() {
    let is_there = || rustix::process::getuid().is_root() && Command::new("setpriv").arg("--version").output().is_ok();
    if !need(("root, who can be another", is_there), "a_users_last_process_is_not_the_executors") {
        return;
    }
    let pod = Pod::new(&json!({}));
    let folders = ["", "var", "var/run", "var/run/argo", "dev", "tmp"];
    for folder in folders {
        fs::set_permissions(pod.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
    }
    fs::set_permissions(crate::pod::program().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    // A user of this test alone, who may have so many processes and threads.
    let words = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2 & done; exit 5"];
    for (limit, code) in [("3", 2), ("40", 5), ("1", 64)] {
        let emissary = pod.emissary("main", &words);
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=87370",
            "--regid=87370",
            "--clear-groups",
            "prlimit",
            &format!("--nproc={limit}:{limit}"),
            "--",
        ]);
        command.arg(emissary.get_program()).args(emissary.get_args());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
        let ended = pod.start("main", command).end();
        assert_eq!(ended.both(), (code, Some(code.to_string().as_str())), "{limit}: {}", ended.stderr);
        // Those that it left behind go before the next.
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

/// The executor with `limits`, as prlimit's arguments, keeping the output of a process.
fn within(pod: &Pod, limits: &[&str], words: &[&str]) -> Ended {
    let emissary = pod.emissary("main", words);
    let mut command = Command::new("prlimit");
    command.args(limits).arg("--").arg(emissary.get_program()).args(emissary.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
    command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
    pod.start("main", command).end()
}

#[test]
fn a_process_that_cannot_be_made_is_said() {
    let ended = within(&Pod::new(&json!({})), &["--nofile=7:7"], &["true"]);
    assert_eq!(ended.both(), (64, Some("64")), "{}", ended.last_words);
    assert!(ended.last_words.contains("Too many open files"), "{}", ended.last_words);
}

#[test]
fn a_limit_of_memory_is_the_processs() {
    let ended = within(&Pod::new(&json!({})), &["--as=100000000"], &["tail", "/dev/zero"]);
    assert_eq!(ended.both(), (1, Some("1")), "{}", ended.last_words);
    assert!(ended.stderr.contains("memory exhausted"), "{}", ended.stderr);
}

#[test]
fn a_limit_of_files_is_a_full_disk() {
    let pod = Pod::new(&json!({}));
    let ended = within(&pod, &["--fsize=65536:65536"], &["head", "-c", "1000000", "/dev/zero"]);
    assert_eq!((ended.both(), ended.stdout.len()), ((64, Some("64")), 1_000_000), "the log is whole");
    assert!(ended.last_words.contains("File too large"), "{}", ended.last_words);
}

#[test]
fn a_process_that_runs_out_of_memory_has_a_code() {
    if !need(MEMORY, "a_process_that_runs_out_of_memory_has_a_code") {
        return;
    }
    let pod = Pod::new(&json!({}));
    let group = Limit::of(BYTES, "argoexec-test", "32M").unwrap();
    let ended = pod.start("main", limited(&pod, &group, &["tail", "/dev/zero"])).end();
    assert_eq!((ended.both(), ended.last_words.as_str()), ((137, Some("137")), ""), "the kernel took the larger one");
}

/// The executor in a group of processes.
fn limited(pod: &Pod, group: &Limit, words: &[&str]) -> Command {
    let emissary = pod.emissary("main", words);
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0\"; exec \"$@\""]).arg(group.0.join("cgroup.procs"));
    command.arg(emissary.get_program()).args(emissary.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("ARGO_CONTAINER_NAME", "main");
    command
}

/// Where a kind of limit is set: a folder of groups and the file in one, for version 1 of cgroups and for version 2.
type Kind = [(&'static str, &'static str); 2];

const BYTES: Kind = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
const PIDS: Kind = [("/sys/fs/cgroup/pids", "pids.max"), ("/sys/fs/cgroup", "pids.max")];

/// A group with a limit of processes, which only some may make.
const PROCESSES: Need = ("a pids cgroup", || Limit::of(PIDS, "argoexec-probe-pids", "9").is_some());

/// A group of processes with a limit of memory, which only some may make.
const MEMORY: Need = ("a memory cgroup", || Limit::of(BYTES, "argoexec-probe", "32M").is_some());

struct Limit(PathBuf);

impl Limit {
    fn of(kind: Kind, name: &str, limit: &str) -> Option<Self> {
        kind.into_iter().find_map(|(root, file)| {
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
