//! Which main containers have ended.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use emissary_contract::{file, path};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

use crate::beneath::{self, Links};
use crate::files;
use crate::pod::Pod;

/// How often files are looked at where the kernel cannot tell of them.
const FALLBACK: Duration = Duration::from_secs(1);
/// The longest exit code, bytes.
const LONGEST: u64 = 64;

/// The containers that have not ended, and what tells of their ends.
pub(super) struct Ends<'a> {
    pod: &'a Pod,
    left: BTreeSet<String>,
    /// An inotify instance; nothing where none could be had, since a user has few of them on a node.
    watch: Option<Receiver>,
}

impl<'a> Ends<'a> {
    pub(super) fn watch(pod: &'a Pod) -> Self {
        let left: BTreeSet<String> = pod.template.fields().main_containers().map(str::to_owned).collect();
        let watch = watch(pod, &left).ok();
        if watch.is_none() {
            pod.say(|| "the kernel does not tell of files: looking at them".to_owned());
        }
        Self { pod, left, watch }
    }

    /// Whether all have ended.
    pub(super) fn all(&mut self) -> bool {
        let pod = self.pod;
        self.left.retain(|name| {
            let ended = exit_code(pod, name);
            if let Some(code) = ended {
                pod.say(|| format!("container {name} ended with {code}"));
            }
            ended.is_none()
        });
        self.left.is_empty()
    }

    /// Those that have not, as far as is known.
    pub(super) fn left(&self) -> impl Iterator<Item = &str> {
        self.left.iter().map(String::as_str)
    }

    /// Waits until files have changed, or may have.
    pub(super) async fn changed(&mut self) {
        let Some(watch) = &self.watch else { return tokio::time::sleep(FALLBACK).await };
        if watch.readable().await.is_err() {
            self.watch = None;
            return;
        }
        let mut records = [0; 4096];
        while watch.try_read(&mut records).is_ok_and(|read| read > 0) {}
    }
}

fn watch(pod: &Pod, names: &BTreeSet<String>) -> std::io::Result<Receiver> {
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
fn exit_code(pod: &Pod, name: &str) -> Option<i64> {
    let root = pod.shared.place(path::CONTAINERS);
    let file = beneath::open(&root, &format!("{name}/{}", file::EXIT_CODE), Links::Refused).ok()?;
    beneath::text(file, LONGEST).ok()?.trim().parse().ok()
}
