//! Judges that can be stopped: processes of this program's own.
//!
//! A policy is a program of a stranger. It may loop, recurse until the stack ends, or eat all memory. So policies are loaded
//! and run in processes with a limit on their memory, which are ended where they answer too late. What one of them ended at
//! is found by asking again another one that says what it is about to do; from then on that policy is not asked any more, and
//! what it says is unknown.

use super::candidate::Candidate;
use super::policies::Assumed;
use super::verdict::{Judgement, Stage, Verdict};
use super::wire::{About, Charge, Line, Question, Ready, Reply};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How judging processes are started, and how far they may go.
#[derive(Debug, Clone)]
pub struct Limits {
    /// This program.
    pub program: PathBuf,
    /// Its arguments, which make it judge.
    pub arguments: Vec<String>,
    /// How long one pod, and the loading of all policies, may take: of the processor's time, so that what others do on the
    /// machine is held against nobody.
    pub deadline: Duration,
    /// How many bytes of address space a process may have.
    pub memory: u64,
    /// Whether the scheduler is to put this program before them.
    pub give_way: bool,
}

/// How many deadlines may pass by the clock, whatever the processor's time says: a process that is not run at all, or that
/// waits for what never comes, is given up then.
const PATIENCE: u32 = 20;

/// What is not asked any more, and why: files by name, programs as `engine policy`.
pub(super) type Stopped = Arc<Mutex<BTreeMap<String, String>>>;

/// Why there is nobody to judge.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The process cannot be started.
    #[error("the process that is to judge cannot be started")]
    Start(#[source] io::Error),
    /// The policies are not what they say they are.
    #[error("{0}")]
    Policies(String),
    /// It ends at something that it does not name.
    #[error("the policies cannot be loaded: {0}; give --policy-deadline or --policy-memory more")]
    Load(String),
}

/// A judge in a process of its own, started anew where it had to be stopped.
#[derive(Debug)]
pub(super) struct Worker {
    limits: Limits,
    files: Vec<PathBuf>,
    assumed: Assumed,
    stopped: Stopped,
    /// How many were stopped when the process was started.
    known: usize,
    process: Option<Process>,
    /// What a review has to know of the policies.
    pub(super) ready: Ready,
}

#[derive(Debug)]
struct Process {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<Reply>,
}

/// How a process ended that was to answer.
#[derive(Debug)]
struct Ended {
    why: String,
    /// What it had announced last.
    at: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; what matters is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(limits: &Limits, charge: &Charge) -> io::Result<Self> {
        let mut command = Command::new(&limits.program);
        // A policy has no business with the environment of who asks.
        command.env_clear().args(&limits.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // glibc's allocator takes 64 MiB of address space for a thread's own arena, and twice that for a moment: by chance, with
        // where it lies, more than is allowed. One thread judges, so one arena is enough.
        command.env("MALLOC_ARENA_MAX", "1");
        let mut child = command.spawn()?;
        let (Some(mut questions), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(replies).lines() {
                let Some(reply) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { return };
                if sender.send(reply).is_err() {
                    return;
                }
            }
        });
        let sent = send(&mut questions, charge);
        let process = Self { child, questions, answers };
        sent.map(|()| process)
    }

    /// The next reply that is no announcement.
    fn reply(&mut self, deadline: Duration) -> Result<Reply, Ended> {
        let mut at = String::new();
        let mut meter = Meter::start(&self.child, deadline);
        loop {
            match self.answers.recv_timeout(meter.left) {
                Ok(Reply::Next(next)) => {
                    at = next;
                    meter = Meter::start(&self.child, deadline);
                }
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Timeout) if meter.goes_on(&self.child) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Ended { why: format!("it was stopped after {} s", deadline.as_secs_f32()), at });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let why = match self.child.wait() {
                        Ok(status) => {
                            format!("it ended the process that judged ({status}): out of memory, or of stack")
                        }
                        Err(_) => "it ended the process that judged".to_owned(),
                    };
                    return Err(Ended { why, at });
                }
            }
        }
    }
}

/// What one answer takes of the processor.
#[derive(Debug)]
struct Meter {
    deadline: Duration,
    /// What the process had taken when it was asked; `None` where the system does not say, so that the clock counts.
    before: Option<Duration>,
    /// After how long it is to be looked at again.
    left: Duration,
    /// By the clock, until it is given up.
    patience: Duration,
}

impl Meter {
    fn start(child: &Child, deadline: Duration) -> Self {
        Self { deadline, before: processor_time(child), left: deadline, patience: deadline * PATIENCE }
    }

    /// Whether there is time left when what was left has passed.
    fn goes_on(&mut self, child: &Child) -> bool {
        self.patience = self.patience.saturating_sub(self.left);
        let used = self.before.and_then(|before| processor_time(child)?.checked_sub(before));
        let Some(left) = used.and_then(|used| self.deadline.checked_sub(used)) else { return false };
        // No less than the system counts by.
        self.left = left.max(TICK).min(self.patience);
        left > TICK && !self.patience.is_zero()
    }
}

/// By how much the kernel counts, on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// What a process has taken of the processor so far, in user and kernel mode (proc(5), `/proc/PID/stat`).
fn processor_time(child: &Child) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // The name before it may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Some(TICK * times.next()?.ok()?.saturating_add(times.next()?.ok()?))
}

fn send(questions: &mut ChildStdin, what: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    questions.write_all(&line)?;
    questions.flush()
}

impl Worker {
    /// Starts one, which loads the policies. `stopped` is shared by all of a review.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub(super) fn start(
        limits: Limits,
        files: Vec<PathBuf>,
        assumed: Assumed,
        stopped: Stopped,
    ) -> Result<Self, WorkerError> {
        let mut worker = Self { limits, files, assumed, stopped, known: 0, process: None, ready: Ready::default() };
        worker.restart()?;
        Ok(worker)
    }

    /// Another one for the same policies, which starts with its first question.
    pub(super) fn another(&self) -> Self {
        let Self { limits, files, assumed, stopped, known, process: _, ready } = self;
        Self {
            limits: limits.clone(),
            files: files.clone(),
            assumed: assumed.clone(),
            stopped: Arc::clone(stopped),
            known: *known,
            process: None,
            ready: ready.clone(),
        }
    }

    /// What is not asked any more, and why.
    pub(super) fn stopped(&self) -> BTreeMap<String, String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stop(&self, what: String, why: String) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).insert(what, why);
    }

    fn launch(&mut self, announces: bool) -> Result<Result<Process, Ended>, WorkerError> {
        let stopped = self.stopped();
        self.known = stopped.len();
        let charge = Charge {
            files: self
                .files
                .iter()
                .filter(|file| !stopped.contains_key(&file.display().to_string()))
                .cloned()
                .collect(),
            assumed: self.assumed.clone(),
            without: stopped.into_keys().collect(),
            announces,
            memory: self.limits.memory,
            gives_way: self.limits.give_way,
        };
        let mut process = Process::start(&self.limits, &charge).map_err(WorkerError::Start)?;
        match process.reply(self.limits.deadline) {
            Ok(Reply::Ready(ready)) => {
                self.ready = ready;
                Ok(Ok(process))
            }
            Ok(Reply::Refused(why)) => Err(WorkerError::Policies(why)),
            Ok(Reply::Said(..) | Reply::Next(_)) => {
                Ok(Err(Ended { why: "it says what nobody asked".to_owned(), at: String::new() }))
            }
            Err(ended) => Ok(Err(ended)),
        }
    }

    /// Starts a process, without the files that no process can load.
    fn restart(&mut self) -> Result<(), WorkerError> {
        loop {
            if let Ok(process) = self.launch(false)? {
                self.process = Some(process);
                return Ok(());
            }
            match self.launch(true)? {
                // It was somebody else's hurry.
                Ok(_) => {}
                Err(ended) if ended.at.is_empty() => return Err(WorkerError::Load(ended.why)),
                Err(ended) => self.stop(ended.at, ended.why),
            }
        }
    }

    /// See [`Candidate::before_rewrite`].
    pub(super) fn before(&mut self, candidate: &Candidate) -> (Option<Value>, Vec<Judgement>) {
        let question = Question::new(About::Before, candidate, &candidate.object, None);
        self.ask(&question)
    }

    /// See [`Candidate::after_rewrite`]; of programs only these are asked, if they are named.
    pub(super) fn after(
        &mut self,
        candidate: &Candidate,
        pod: &Value,
        rewritten: bool,
        programs: Option<&[String]>,
    ) -> (Value, Vec<Judgement>) {
        let question = Question::new(About::After(rewritten), candidate, pod, programs);
        let (stored, mut judgements) = self.ask(&question);
        let unknown = |(what, why): (String, String)| {
            let (engine, policy) = match what.split_once(' ') {
                Some(("vap", policy)) => ("vap", policy.to_owned()),
                Some(("gatekeeper", policy)) => ("gatekeeper", policy.to_owned()),
                Some(("kyverno", policy)) => ("kyverno", policy.to_owned()),
                Some(("rego", policy)) => ("rego", policy.to_owned()),
                _ => ("policies", what),
            };
            Judgement::new(Stage::Validation, engine, policy, Verdict::Unknown, why)
        };
        judgements.extend(self.stopped().into_iter().map(unknown));
        (stored.unwrap_or_else(|| pod.clone()), judgements)
    }

    fn ask(&mut self, question: &Question) -> (Option<Value>, Vec<Judgement>) {
        let nothing = |why: String| {
            (None, vec![Judgement::new(Stage::Validation, "policies", "all".to_owned(), Verdict::Unknown, why)])
        };
        // Each round stops one program more, so there is an end.
        loop {
            if (self.process.is_none() || self.known != self.stopped().len())
                && let Err(error) = self.restart()
            {
                return nothing(error.to_string());
            }
            match self.process.as_mut().map(|process| put(process, question, self.limits.deadline)) {
                Some(Ok(said)) => return said,
                Some(Err(_)) | None => self.process = None,
            }
            match self.launch(true) {
                Err(error) => return nothing(error.to_string()),
                Ok(Err(ended)) => return nothing(ended.why),
                Ok(Ok(mut process)) => match put(&mut process, question, self.limits.deadline) {
                    Ok(said) => return said,
                    Err(ended) if ended.at.is_empty() => return nothing(ended.why),
                    Err(ended) => self.stop(ended.at, ended.why),
                },
            }
        }
    }
}

fn put(
    process: &mut Process,
    question: &Question,
    deadline: Duration,
) -> Result<(Option<Value>, Vec<Judgement>), Ended> {
    // Who has ended does not read; what it ended at is in its replies.
    let _ = send(&mut process.questions, question);
    match process.reply(deadline)? {
        Reply::Said(pod, lines) => Ok((pod.into_iter().next(), lines.into_iter().map(Line::judgement).collect())),
        _ => Err(Ended { why: "it says what nobody asked".to_owned(), at: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    const DEADLINE: Duration = Duration::from_millis(40);

    /// Whether a command is given up within so many looks.
    fn is_given_up(script: &str, looks: u32) -> bool {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().unwrap();
        let mut meter = Meter::start(&child, DEADLINE);
        let given_up = (0..looks).any(|_| {
            sleep(meter.left);
            !meter.goes_on(&child)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        given_up
    }

    #[test]
    fn the_processors_time_counts_and_the_clock_in_the_end() {
        assert!(!is_given_up("sleep 30", 5), "who waits has used nothing");
        assert!(is_given_up("sleep 30", 2 * PATIENCE), "nobody waits for ever");
        assert!(is_given_up("while :; do :; done", 10 * PATIENCE), "who runs has used it up");
    }
}
