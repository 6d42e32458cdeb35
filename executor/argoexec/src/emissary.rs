//! `argoexec emissary -- COMMAND…`: a container's process, and what comes before and after it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use emissary_contract::template::Fields;
use emissary_contract::{Template, container, file, path, variable};

use crate::arguments::Arguments;
use crate::capture::Capture;
use crate::child::{self, Ended, Surroundings};
use crate::command::Words;
use crate::dependencies::{self, Awaited};
use crate::environment::Environment;
use crate::exit_code::Pending;
use crate::failure::{Doing as _, Failure};
use crate::shared::Shared;
use crate::sys::{self, Mask};
use crate::terminal::Terminal;
use crate::wake::{Event, Wake};
use crate::{files, inputs, outputs};

/// A container's run, from its folder on.
struct Run<'a> {
    environment: &'a Environment,
    shared: &'a Shared,
    /// The container's name; empty where the pod gives it none.
    name: &'a str,
    /// Its folder, which nobody has made where it has no name.
    folder: PathBuf,
    wake: Wake,
    mask: Mask,
    verbose: bool,
}

/// Runs a container's process; what comes back is the exit code, which has then been left for those that wait for it.
pub(crate) fn run(arguments: &Arguments, environment: &Environment, shared: &Shared) -> u8 {
    let (pending, ended) = match Run::begin(environment, shared, arguments.verbose) {
        Err(failure) => (None, Err(failure)),
        Ok((mut run, pending)) => (pending, run.complete(arguments)),
    };
    // The same code for everybody: the kubelet, and whoever reads the file.
    let mut failure = ended.err().unwrap_or_else(|| Failure { code: 0, text: String::new() });
    if let Some(pending) = pending
        && let Err(error) = pending.finish(failure.code)
    {
        let already = std::mem::take(&mut failure.text);
        let separator = if already.is_empty() { "" } else { "; " };
        failure.text = format!("{already}{separator}cannot leave the exit code {}: {error}", failure.code);
    }
    failure.tell(&shared.termination_log());
    failure.code
}

/// Runs an artifact plugin's process. It ends when `wait` says so and not before, and never fails the pod.
///
/// # Errors
/// Where it cannot be started.
pub(crate) fn run_plugin(arguments: &Arguments, environment: &Environment, shared: &Shared) -> Result<u8, Failure> {
    let (mut run, pending) = Run::begin(environment, shared, arguments.verbose)?;
    let ended = Words::gather(&arguments.words, environment, shared).and_then(|words| {
        let program = words.find(environment.path.as_deref())?;
        run.once(&program, &words, None, None, None, Some(libc::SIGTERM))
    });
    if let Some(pending) = pending {
        let code = ended.as_ref().map_or_else(|failure| failure.code, |ended| ended.code);
        pending.finish(code).doing(|| "cannot leave the exit code".to_owned())?;
    }
    ended.map(|_| 0)
}

impl<'a> Run<'a> {
    /// Blocks signals and makes the container's folder.
    fn begin(
        environment: &'a Environment,
        shared: &'a Shared,
        verbose: bool,
    ) -> Result<(Self, Option<Pending>), Failure> {
        let cannot = || "cannot take signals".to_owned();
        let mask = sys::block_signals().doing(cannot)?;
        let mut wake = Wake::new().doing(cannot)?;
        // Containers of other users leave files here, and Argo's users know their own files this way.
        rustix::process::umask(rustix::fs::Mode::empty());
        let name = environment.container.as_deref().unwrap_or_default();
        let folder = shared.container(name);
        let mut pending = None;
        if !name.is_empty() {
            if !dependencies::is_name(name) {
                return Err(Failure::own(format!("{} is no name: {name:?}", variable::CONTAINER_NAME)));
            }
            let cannot =
                || format!("cannot write to {}; a volume has to be mounted at {}", folder.display(), path::SHARED);
            files::make_folder(&folder, 0o777).doing(cannot)?;
            pending = Some(Pending::begin(&folder).doing(cannot)?);
            wake.watch(&folder);
        }
        Ok((Self { environment, shared, name, folder, wake, mask, verbose }, pending))
    }

    /// Everything between the container's start and its end. A command that fails is a failure without a text.
    fn complete(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let environment = self.environment;
        let words = Words::gather(&arguments.words, environment, self.shared)?;
        if environment.wait_for_ready {
            inputs::wait_for_ready(self.shared, &mut self.wake)?;
        }
        let template = inputs::template(environment, self.shared)?;
        let fields = template.fields();
        if environment.wait_for_ready && self.name == container::MAIN {
            self.link(fields)?;
        }
        self.await_dependencies(fields)?;
        let program = words.find(environment.path.as_deref())?;
        self.say(|| format!("running {}", program.display()));
        if environment.pause_before {
            self.pause(file::BEFORE)?;
        }
        dependencies::wait(&self.folder, &mut self.wake, || Ok(true))?;

        let captured = self.capture(&template)?;
        let ended = self.repeat(&program, &words, fields, captured.as_ref())?;
        self.say(|| format!("the process ended with {}", ended.code));
        if environment.pause_after {
            // Whoever ends the pause by a signal wants the outputs no less.
            let _ = self.pause(file::AFTER);
        }
        let saved = self.save(fields);
        let captured = captured.map_or(Ok(()), Capture::finish);
        match ended.code {
            0 => saved.and(captured),
            code => Err(Failure {
                code,
                // The command's own code says more than ours would.
                text: saved.and(captured).err().map(|failure| failure.text).unwrap_or_default(),
            }),
        }
    }

    fn link(&self, fields: &Fields) -> Result<(), Failure> {
        // The working directory may be what a link replaces.
        let folder = rustix::process::getcwd(Vec::new());
        inputs::link_artifacts(fields, self.shared)?;
        match folder {
            Ok(folder) => rustix::process::chdir(&folder).map_err(|error| {
                Failure::before_main(format!("cannot go back to {}: {error}", folder.to_string_lossy()))
            }),
            Err(_) => Ok(()),
        }
    }

    fn await_dependencies(&mut self, fields: &Fields) -> Result<(), Failure> {
        let names = fields.dependencies(self.name);
        if names.is_empty() {
            return Ok(());
        }
        let awaited = Awaited::watch(names.iter().map(String::as_str), self.shared, &mut self.wake)
            .doing(|| "cannot wait for the containers that this one depends on".to_owned())?;
        awaited.succeed(self.shared, &self.folder, &mut self.wake)
    }

    fn pause(&mut self, name: &str) -> Result<(), Failure> {
        let file = self.folder.join(name);
        self.say(|| format!("pausing until {} is there", file.display()));
        dependencies::wait(&self.folder, &mut self.wake, || Ok(file.exists()))
    }

    /// Where output is kept: only where somebody will read it.
    fn capture(&self, template: &Template) -> Result<Option<Capture>, Failure> {
        if self.name.is_empty() || !(self.environment.capture || template.fields().archive_location.archive_logs) {
            return Ok(None);
        }
        Capture::begin(&self.folder).map(Some).doing(|| format!("cannot keep output in {}", self.folder.display()))
    }

    /// Runs the process as often as the template says, until it succeeds or is told to end.
    fn repeat(
        &mut self,
        program: &Path,
        words: &Words,
        fields: &Fields,
        capture: Option<&Capture>,
    ) -> Result<Ended, Failure> {
        let terminal = Terminal::of_stdin();
        let awaited =
            fields.is_sidecar(self.name).then(|| Awaited::watch(fields.main_containers(), self.shared, &mut self.wake));
        let awaited = awaited.transpose().doing(|| "cannot wait for the main containers".to_owned())?;
        let (mut left, pause) = fields.attempts();
        loop {
            left -= 1;
            let ended = self.once(program, words, capture, terminal.as_ref(), awaited.as_ref(), None);
            let again = left > 0 && ended.as_ref().map_or(true, |ended| ended.code != 0 && !ended.told);
            if !again {
                return ended;
            }
            self.rest(pause)?;
        }
    }

    fn once(
        &mut self,
        program: &Path,
        words: &Words,
        capture: Option<&Capture>,
        terminal: Option<&Terminal>,
        awaited: Option<&Awaited>,
        ignored: Option<i32>,
    ) -> Result<Ended, Failure> {
        let surroundings = Surroundings {
            shared: self.shared,
            folder: &self.folder,
            variables: &self.environment.inherited,
            mask: self.mask,
            capture,
            terminal,
            ends_with: awaited.map(|awaited| (awaited, self.environment.grace)),
            ignored,
        };
        child::run(program, words, &surroundings, &mut self.wake)
    }

    /// Waits between two runs, unless told to end.
    fn rest(&mut self, pause: Duration) -> Result<(), Failure> {
        let until = Instant::now() + pause;
        loop {
            let signal = match self.wake.next(Some(until)).doing(|| "cannot wait".to_owned())? {
                Event::Time => return Ok(()),
                Event::Signal(signal) => Some(signal),
                Event::File => dependencies::take_signal(&self.folder, &mut self.wake),
                Event::Child => None,
            };
            if let Some(signal) = signal.filter(|signal| inputs::ends(*signal)) {
                return Err(Failure::signalled(signal));
            }
        }
    }

    fn save(&self, fields: &Fields) -> Result<(), Failure> {
        if self.name == container::MAIN {
            return outputs::save(fields, self.shared, |doing| self.say(|| doing));
        }
        // Whether this is the main container, nobody knows, and then its outputs would be lost without a word.
        if self.name.is_empty() && outputs::any(fields) {
            return Err(Failure::own(format!(
                "{} is not set: the outputs that the template declares cannot be saved",
                variable::CONTAINER_NAME
            )));
        }
        Ok(())
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            let _ = writeln!(io::stderr(), "argoexec: {}", what());
        }
    }
}
