//! The one task that follows the sources and publishes snapshots.

use super::composer::Composer;
use super::feed::{Changes, Feed};
use super::report::Report;
use super::snapshot::{Snapshot, Sources};
use crate::manifest::Problem;
use arc_swap::ArcSwap;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The snapshot in effect, and what is wrong with newer sources.
///
/// Files are read every `period`, by content: a ConfigMap volume is swapped by a symbolic link, and the time of a file
/// says nothing. What is handed in through [`feed`](Self::feed) is looked at at once.
#[derive(Debug, Clone)]
pub struct Watch {
    current: Arc<ArcSwap<Snapshot>>,
    generation: watch::Receiver<u64>,
    report: watch::Receiver<Arc<Report>>,
    feed: Feed,
}

impl Watch {
    /// How often `serve` reads the files.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// Reads every source, then follows the files until `cancel`.
    ///
    /// # Errors
    /// What is wrong with any source at the start.
    pub fn start(
        sources: &Sources,
        period: Duration,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Result<Self, Vec<Problem>> {
        let (composer, snapshot, report) = Composer::start(sources)?;
        log(&Report::default(), &report);
        let current = Arc::new(ArcSwap::from_pointee(snapshot));
        let (reports, report) = watch::channel(Arc::new(report));
        let (generations, generation) = watch::channel(1);
        let feed = Feed::default();
        let following =
            Following { composer, period, published: Arc::clone(&current), generations, reports, feed: feed.clone() };
        tracker.spawn(async move {
            // Biased to the token: a stop must not wait for files.
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = following.run() => {}
            }
        });
        Ok(Self { current, generation, report, feed })
    }

    /// Where ConfigMaps are handed in.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The number of the snapshot in effect, to wait on the next.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }

    /// What is in effect now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What is wrong now, to read or to wait on.
    pub fn report(&self) -> watch::Receiver<Arc<Report>> {
        self.report.clone()
    }
}

/// The task.
struct Following {
    composer: Composer,
    period: Duration,
    published: Arc<ArcSwap<Snapshot>>,
    generations: watch::Sender<u64>,
    reports: watch::Sender<Arc<Report>>,
    feed: Feed,
}

impl Following {
    async fn run(self) {
        let Self { mut composer, period, published, generations, reports, feed } = self;
        loop {
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = feed.woken() => {}
            }
            let (changes, count) = feed.take();
            let Some((back, snapshot, report)) = refreshed(composer, changes).await else {
                tracing::error!("settings are no longer followed, because reading them failed; restart the webhook");
                return;
            };
            composer = back;
            if let Some(snapshot) = snapshot {
                let generation = snapshot.generation;
                let index_entries = snapshot.index.len();
                tracing::info!(generation, mode = ?snapshot.settings.mode, index_entries, "settings changed");
                published.store(Arc::new(snapshot));
                generations.send_replace(generation);
            }
            let before = Arc::clone(&reports.borrow());
            if *before != report {
                log(&before, &report);
                reports.send_replace(Arc::new(report));
            }
            feed.done(count);
        }
    }
}

/// Files are read, and texts parsed, off the async threads: a volume may hang, and an index be long.
async fn refreshed(mut composer: Composer, changes: Changes) -> Option<(Composer, Option<Snapshot>, Report)> {
    let work = tokio::task::spawn_blocking(move || {
        let (snapshot, report) = composer.refresh(changes);
        (composer, snapshot, report)
    });
    work.await.ok()
}

/// Says what is new, once.
fn log(before: &Report, now: &Report) {
    for problem in now.not_in_effect().filter(|problem| before.not_in_effect().all(|known| known != *problem)) {
        tracing::warn!(place = %problem.place, "settings not in effect: {}", problem.text);
    }
    for problem in now.restart.iter().filter(|problem| !before.restart.contains(problem)) {
        tracing::warn!(place = %problem.place, "settings changed that need a restart: {}", problem.text);
    }
    if *now == Report::default() {
        tracing::info!("all settings are in effect");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Mode;
    use emissary_core::image::Reference;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A running watch over a folder of files.
    struct Bench {
        folder: TempDir,
        watch: Watch,
        _stop: tokio_util::sync::DropGuard,
    }

    impl Bench {
        fn start(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text.replace("DIR", &folder.path().display().to_string()))
                    .unwrap();
            }
            let sources = Sources { files: vec![folder.path().join("s.yaml")], ..Sources::default() };
            let cancel = CancellationToken::new();
            let watch = Watch::start(&sources, Duration::from_millis(5), &TaskTracker::new(), cancel.clone()).unwrap();
            Self { folder, watch, _stop: cancel.drop_guard() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Whole at once, as an atomic writer does it.
        fn write(&self, name: &str, text: &str) {
            let text = text.replace("DIR", &self.folder.path().display().to_string());
            std::fs::write(self.path("new"), text).unwrap();
            std::fs::rename(self.path("new"), self.path(name)).unwrap();
        }

        async fn until(&self, what: &str, holds: impl Fn(&Snapshot, &Report) -> bool) {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
            let report = self.watch.report();
            while !holds(&self.watch.snapshot(), &report.borrow()) {
                let late = tokio::time::Instant::now() > deadline;
                assert!(!late, "{what}: {:?}, {:?}", self.watch.snapshot().settings, *report.borrow());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    fn knows(snapshot: &Snapshot, image: &str) -> bool {
        snapshot.index.find(&Reference::parse(image).unwrap()).is_some()
    }

    fn says(problems: &[Problem], place: &str) -> bool {
        problems.iter().any(|problem| problem.to_string().contains(place))
    }

    #[tokio::test]
    async fn an_edit_takes_effect_and_an_invalid_one_says_where_it_is_wrong() {
        let bench = Bench::start(&[("s.yaml", "mode: dry-run\n")]);
        bench.write("s.yaml", "mode: enforce\n");
        bench
            .until("the edit", |snapshot, _| snapshot.settings.mode == Mode::Enforce && snapshot.generation == 2)
            .await;
        bench.write("s.yaml", "# broken\nmode: enforced\n");
        bench.until("the problem", |_, report| says(&report.problems, "s.yaml:2:7: mode: ")).await;
        assert_eq!(bench.watch.snapshot().settings.mode, Mode::Enforce, "the last good one stays");
        bench.write("s.yaml", "mode: off\n");
        bench
            .until("mending", |snapshot, report| snapshot.settings.mode == Mode::Off && report.problems.is_empty())
            .await;
        std::fs::remove_file(bench.path("s.yaml")).unwrap();
        bench.until("the loss", |_, report| says(&report.problems, "s.yaml: cannot be read")).await;
        assert_eq!(bench.watch.snapshot().settings.mode, Mode::Off, "a file that is gone is no empty file");
    }

    #[tokio::test]
    async fn one_wrong_index_file_leaves_the_other() {
        let settings = "imageIndex: {files: [DIR/a.yaml, DIR/b.yaml]}\n";
        let bench = Bench::start(&[("s.yaml", settings), ("a.yaml", "a: {cmd: [x]}\n"), ("b.yaml", "b: {cmd: [x]}\n")]);
        assert!(knows(&bench.watch.snapshot(), "a") && knows(&bench.watch.snapshot(), "b"));
        bench.write("a.yaml", "a: {cmd: x}\n");
        bench.write("b.yaml", "b2: {cmd: [x]}\n");
        bench.until("both", |snapshot, report| knows(snapshot, "b2") && says(&report.problems, "a.yaml:1:10: ")).await;
        assert!(knows(&bench.watch.snapshot(), "a"), "its last good entries stay");
        assert!(!knows(&bench.watch.snapshot(), "b"), "what is gone from a valid file is gone");
        bench.write("a.yaml", "library/b2: {cmd: [z]}\n");
        bench.until("the duplicate", |_, report| says(&report.problems, "b.yaml:1:1: `b2` is here already")).await;
        bench.write("s.yaml", "imageIndex: {files: [DIR/b.yaml]}\n");
        bench.until("a file less", |snapshot, report| report.problems.is_empty() && snapshot.index.len() == 1).await;
    }

    #[tokio::test]
    async fn a_volume_swapped_by_its_link_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        for (version, mode) in [("v1", "dry-run"), ("v2", "enforce")] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            std::fs::write(folder.path().join(version).join("s.yaml"), format!("mode: {mode}\n")).unwrap();
        }
        let link = |version: &str| {
            std::os::unix::fs::symlink(version, folder.path().join("..tmp")).unwrap();
            std::fs::rename(folder.path().join("..tmp"), folder.path().join("..data")).unwrap();
        };
        link("v1");
        let bench = Bench::start(&[("s.yaml", "")]);
        std::fs::remove_file(bench.path("s.yaml")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("..data/s.yaml"), bench.path("s.yaml")).unwrap();
        bench
            .until("v1", |snapshot, report| snapshot.settings.mode == Mode::DryRun && report.problems.is_empty())
            .await;
        link("v2");
        bench.until("v2", |snapshot, _| snapshot.settings.mode == Mode::Enforce).await;
    }

    #[tokio::test]
    async fn a_restart_key_is_reported_and_the_rest_of_the_edit_applies() {
        let bench = Bench::start(&[("s.yaml", "server: {maxConnections: 7}\n")]);
        bench.write("s.yaml", "mode: enforce\nserver:\n  maxConnections: 9\n");
        let expected = "s.yaml:3:19: server.maxConnections: 9 takes effect at the next start; until then it is 7";
        bench.until("the report", |_, report| says(&report.restart, expected)).await;
        let settings = &bench.watch.snapshot().settings;
        assert_eq!((settings.mode, settings.server.max_connections), (Mode::Enforce, 7));
        bench.write("s.yaml", "mode: enforce\n");
        bench.until("a default", |_, report| says(&report.restart, "default: server.maxConnections: 1024")).await;
        bench.write("s.yaml", "mode: enforce\nserver: {maxConnections: 7}\n");
        bench.until("nothing to report", |_, report| *report == Report::default()).await;
    }

    #[tokio::test]
    async fn what_changes_nothing_makes_no_snapshot() {
        let bench = Bench::start(&[("s.yaml", "mode: off\n")]);
        bench.write("s.yaml", "# a comment\nmode: off\n");
        tokio::time::sleep(Duration::from_millis(30)).await;
        bench.write("s.yaml", "mode: enforce\n");
        bench.until("the edit", |snapshot, _| snapshot.settings.mode == Mode::Enforce).await;
        assert_eq!(bench.watch.snapshot().generation, 2);
    }

    #[test]
    fn nothing_starts_from_sources_that_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.yaml");
        std::fs::write(&file, "imageIndex: {files: [/nonexistent/i.yaml]}\n").unwrap();
        let sources = Sources { files: vec![file, folder.path().join("none.yaml")], ..Sources::default() };
        let problems = super::super::load(&sources).unwrap_err();
        assert!(
            says(&problems, "none.yaml: cannot be read") && says(&problems, "i.yaml: cannot be read"),
            "{problems:?}"
        );
    }
}
