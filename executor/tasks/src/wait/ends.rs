//! Which main containers have ended, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Duration;

use argoexec_common::exit_code::{self, PENDING};
use emissary_contract::{file, path};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

use crate::beneath::{self, Links};
use crate::files;
use crate::pod::Pod;

/// How often files are looked at where the kernel cannot tell of them.
const FALLBACK: Duration = Duration::from_secs(1);
/// The longest exit code, bytes.
const LONGEST: u64 = 64;

/// What is known of a container that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No executor of ours is known to run in it.
    Unknown,
    /// Its executor runs, and its end will be told.
    Runs,
    /// Its executor has ended.
    Gone,
}

/// The containers that have not ended, and what tells of their ends.
pub(super) struct Ends<'a> {
    pod: &'a Pod,
    left: BTreeMap<String, State>,
    /// Those that ended and left no exit code.
    killed: Vec<String>,
    /// An inotify instance; nothing where none could be had, since a user has few of them on a node.
    watch: Option<Receiver>,
    /// The containers whose executor has ended, by name.
    gone: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
}

impl<'a> Ends<'a> {
    pub(super) fn watch(pod: &'a Pod) -> Self {
        let names: BTreeSet<&str> = pod.template.fields().main_containers().collect();
        let watch = watch(pod, &names).ok();
        if watch.is_none() {
            pod.say(|| "the kernel does not tell of files: looking at them".to_owned());
        }
        let left = names.into_iter().map(|name| (name.to_owned(), State::Unknown)).collect();
        Self { pod, left, killed: Vec::new(), watch, gone: mpsc::unbounded_channel() }
    }

    /// Whether all have ended.
    pub(super) fn all(&mut self) -> bool {
        let Self { pod, left, killed, gone: (tell, _), .. } = self;
        left.retain(|name, state| match (code_of(pod, name), *state) {
            (Some(code), _) => {
                pod.say(|| format!("container {name} ended with {code}"));
                false
            }
            (None, State::Gone) => {
                pod.say(|| format!("container {name} ended without an exit code"));
                killed.push(name.clone());
                false
            }
            (None, State::Unknown) => {
                if attend(pod, name, tell.clone()) {
                    *state = State::Runs;
                }
                true
            }
            (None, State::Runs) => true,
        });
        self.left.is_empty()
    }

    /// Those that have not, as far as is known.
    pub(super) fn left(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }

    /// Those of whom only the end is known: they were killed, and their executors with them.
    pub(super) fn killed(&self) -> &[String] {
        &self.killed
    }

    /// Waits until files have changed, or may have, or an executor has ended.
    pub(super) async fn changed(&mut self) {
        let Self { left, watch, gone: (_, ended), .. } = self;
        tokio::select! {
            name = ended.recv() => {
                if let Some(state) = name.and_then(|name| left.get_mut(&name)) {
                    *state = State::Gone;
                }
            }
            () = told(watch) => {}
        }
    }
}

/// Waits for the kernel's word, or, where it gives none, a while.
async fn told(watch: &mut Option<Receiver>) {
    let Some(receiver) = watch else { return tokio::time::sleep(FALLBACK).await };
    if receiver.readable().await.is_err() {
        *watch = None;
        return;
    }
    let mut records = [0; 4096];
    while receiver.try_read(&mut records).is_ok_and(|read| read > 0) {}
}

/// Takes care that the end of a container's executor is told; whether there is an executor that makes this possible.
fn attend(pod: &Pod, name: &str, tell: mpsc::UnboundedSender<String>) -> bool {
    let file = beneath::open(&pod.shared.place(path::CONTAINERS), &format!("{name}/{PENDING}"), Links::Refused);
    let Some(file) = file.ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file())) else { return false };
    let name = name.to_owned();
    // Nobody listens any more once everything has been collected.
    exit_code::when_released(file, move || drop(tell.send(name))).is_ok()
}

fn watch(pod: &Pod, names: &BTreeSet<&str>) -> std::io::Result<Receiver> {
    let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    for name in names {
        let folder = pod.shared.container(name);
        // The container, whoever it runs as, makes its files in it.
        files::make_folder(&folder, 0o777)?;
        inotify::add_watch(&instance, &folder, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
    }
    // It is no pipe, but is read in the same way.
    Receiver::from_file_unchecked(File::from(instance))
}

/// A container's exit code, once it is there and a number.
fn code_of(pod: &Pod, name: &str) -> Option<i64> {
    let root = pod.shared.place(path::CONTAINERS);
    let file = beneath::open(&root, &format!("{name}/{}", file::EXIT_CODE), Links::Refused).ok()?;
    exit_code::parse(&beneath::text(file, LONGEST).ok()?)
}
