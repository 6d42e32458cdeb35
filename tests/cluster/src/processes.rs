//! Processes that go on without their parent: written down, so that another process can stop exactly those.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end when told to; then it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// The processes of one folder. Each has `NAME.log` there, and a line `NAME PID START` in the file `processes`, where START is
/// its start time in the kernel's clock ticks: by it a process is told from a later one with the same id.
#[derive(Debug)]
pub struct Processes {
    folder: PathBuf,
    /// What is put before each command, such as `nsenter --net=…`.
    prefix: Vec<String>,
}

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {name}")]
pub struct SpawnError {
    /// What it is called here.
    pub name: String,
    #[source]
    source: io::Error,
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    pid: u32,
    started: u64,
}

impl Processes {
    /// Those of `folder`, which exists. Further ones are started behind `prefix`.
    pub fn of(folder: &Path, prefix: &[String]) -> Self {
        Self { folder: folder.to_owned(), prefix: prefix.to_vec() }
    }

    /// Starts a process in a group of its own, without input, its output in its log.
    ///
    /// # Errors
    /// It cannot be started, or not be written down; in the latter case it is killed.
    pub fn spawn<A: AsRef<OsStr>>(&self, name: &str, program: &Path, arguments: &[A]) -> Result<Child, SpawnError> {
        self.spawn_with(name, program, arguments, &[])
    }

    /// The same with variables in its environment.
    ///
    /// # Errors
    /// Those of [`Processes::spawn`].
    pub fn spawn_with<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &Path,
        arguments: &[A],
        variables: &[(&str, &str)],
    ) -> Result<Child, SpawnError> {
        let spawned = self.try_spawn(name, program, arguments, variables);
        spawned.map_err(|source| SpawnError { name: name.to_owned(), source })
    }

    fn try_spawn<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &Path,
        arguments: &[A],
        variables: &[(&str, &str)],
    ) -> io::Result<Child> {
        let log = File::create(self.log(name))?;
        let mut command = behind(&self.prefix, program);
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut child = command.spawn()?;
        self.write_down(name, child.id()).inspect_err(|_| {
            let _ = child.kill();
        })?;
        Ok(child)
    }

    fn write_down(&self, name: &str, pid: u32) -> io::Result<()> {
        let started = started(pid).ok_or_else(|| io::Error::other("it has ended already"))?;
        let mut list = OpenOptions::new().create(true).append(true).open(self.list())?;
        writeln!(list, "{name} {pid} {started}")
    }

    /// Where a process writes what it has to say.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// The last lines of a log, for an error that has to show them.
    pub fn last_words(&self, name: &str) -> String {
        const LINES: usize = 10;
        let log = fs::read(self.log(name)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.split_at(lines.len().saturating_sub(LINES)).1.join("\n")
    }

    /// The names of those that run, in the order of their start.
    pub fn running(&self) -> Vec<String> {
        self.entries().into_iter().filter(Entry::runs).map(|entry| entry.name).collect()
    }

    /// The process of this name that runs.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.entries().into_iter().find(|entry| entry.name == name && entry.runs()).map(|entry| entry.pid)
    }

    /// Kills those of this name, which has nothing to put in order, and forgets nobody.
    pub fn kill_named(&self, name: &str) {
        for entry in self.entries().into_iter().filter(|entry| entry.name == name) {
            entry.kill(Instant::now());
        }
    }

    /// Stops those of this name, and forgets nobody.
    pub fn stop_named(&self, name: &str) {
        for entry in self.entries().into_iter().filter(|entry| entry.name == name) {
            entry.stop();
        }
    }

    /// Stops them, the last first, each when the one before has ended; those that do not end in time are killed.
    ///
    /// # Errors
    /// The list cannot be removed.
    pub fn stop(&self) -> io::Result<()> {
        for entry in self.entries().into_iter().rev() {
            entry.stop();
        }
        match fs::remove_file(self.list()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Sees to it that they end with this process, however it ends, and that the folder is removed then. Those that are
    /// started later too.
    ///
    /// # Errors
    /// There is no shell.
    pub fn end_with_this_process(&self) -> io::Result<Watchdog> {
        // Its input ends when the last copy of the pipe's other end does, and nobody but this process has one.
        const SCRIPT: &str = r#"cat >/dev/null
            while read -r name pid start; do kill -KILL "$pid"; done <"$1/processes"
            for pause in 0 0.1 0.5 1 2; do
                sleep $pause
                left=
                [ ! -e "$1/leftovers" ] || while read -r folder; do
                    find "$folder" -depth -type d -exec rmdir {} \;
                    [ ! -e "$folder" ] || left=$folder
                done <"$1/leftovers"
                [ -n "$left" ] || break
            done
            for pause in 0 0.1 0.5 1 2; do sleep $pause; rm -rf -- "$1" && break; done"#;
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for us, and then the watchdog has work to do.
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take().ok_or_else(|| io::Error::other("the shell has no input"))?;
        Ok(Watchdog { _pipe: pipe })
    }

    fn list(&self) -> PathBuf {
        self.folder.join("processes")
    }

    fn entries(&self) -> Vec<Entry> {
        fs::read_to_string(self.list()).unwrap_or_default().lines().filter_map(Entry::parse).collect()
    }
}

/// A program, behind what has to stand before it.
pub(crate) fn behind(prefix: &[String], program: &Path) -> Command {
    match prefix.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// Ends the processes when it is dropped, and also when the process that holds it dies in any other way.
#[derive(Debug)]
pub struct Watchdog {
    _pipe: ChildStdin,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (name, pid, started) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { name: name.to_owned(), pid, started })
    }

    fn runs(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    fn stop(&self) {
        let began = Instant::now();
        self.signal(Signal::TERM);
        while self.runs() && began.elapsed() < PATIENCE {
            sleep(POLL);
        }
        self.kill(began);
    }

    fn kill(&self, began: Instant) {
        self.signal(Signal::KILL);
        while self.runs() && began.elapsed() < 2 * PATIENCE {
            sleep(POLL);
        }
    }

    fn signal(&self, signal: Signal) {
        if self.runs()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended in between, which is as well.
            let _ = kill_process(pid, signal);
        }
    }
}

/// When a process started, in the kernel's clock ticks; nothing where there is none, or only what is left of one.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the second field is the program's name in parentheses, and may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("test-cluster-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "never: {what}");
            sleep(POLL);
        }
    }

    #[test]
    fn only_those_on_the_list_are_stopped() {
        let folder = folder("list");
        let processes = Processes::of(&folder, &[]);
        let mut stopped = processes.spawn("one", Path::new("/bin/sleep"), &["600"]).unwrap();
        let mut stranger = Command::new("/bin/sleep").arg("600").spawn().unwrap();
        // As if a later process had got an id of the list.
        let list = OpenOptions::new().append(true).open(processes.list());
        writeln!(list.unwrap(), "two {} 1", stranger.id()).unwrap();
        assert_eq!(processes.running(), ["one"]);
        processes.stop().unwrap();
        assert!(stopped.try_wait().unwrap().is_some());
        assert!(stranger.try_wait().unwrap().is_none());
        assert_eq!(processes.running(), [""; 0]);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_watchdog_ends_them_and_removes_the_folder() {
        let folder = folder("watchdog");
        let processes = Processes::of(&folder, &[]);
        let watchdog = processes.end_with_this_process().unwrap();
        let mut child = processes.spawn("one", Path::new("/bin/sleep"), &["600"]).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        drop(watchdog);
        child.wait().unwrap();
        until("the folder is removed", || !folder.exists());
    }

    #[test]
    fn a_log_ends_in_last_words() {
        let folder = folder("log");
        let processes = Processes::of(&folder, &["/usr/bin/env".to_owned()]);
        let mut child = processes.spawn("one", Path::new("/bin/sh"), &["-c", "seq 20 >&2"]).unwrap();
        child.wait().unwrap();
        assert!(processes.last_words("one").starts_with("11\n") && processes.last_words("one").ends_with("\n20"));
        fs::remove_dir_all(folder).unwrap();
    }
}
