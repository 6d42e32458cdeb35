use super::Exit;
use super::look_ups::{LookUpArguments, own_platform, resolver};
use super::output::{ERROR, Format};
use super::settings::{SettingsArguments, list, load};
use crate::settings::Snapshot;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use emissary_core::image::{ImageProcess, IndexEntry, Platform, Reference};
use emissary_registry::{Failure, Keyring, Question, Resolver};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::Instant;

/// Shows what images run, and who says so: the image index, the registry, or the entries that are shipped.
///
/// Exit code 0: all were found; 1: one was not; 2: bad input.
#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// Image names, as pods write them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

/// What is known of one image. The names are part of the interface.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// As it was asked.
    image: String,
    /// Normalised.
    reference: String,
    /// Of what the reference names; null where no registry was asked.
    digest: Option<String>,
    /// `index`, `registry` or `shipped`.
    source: &'static str,
    /// The key that matched in an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What the image offers, where a registry was asked.
    offered: Vec<String>,
    /// What it runs, by platform.
    platforms: Vec<OnPlatform>,
}

#[derive(Debug, Serialize)]
struct OnPlatform {
    /// Null where an index entry holds for all.
    platform: Option<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    user: Option<String>,
}

impl Answer {
    /// In one line.
    pub(super) fn described(&self) -> String {
        let Self { image, source, platforms, .. } = self;
        let process = platforms.first();
        let words: Vec<&str> =
            process.iter().flat_map(|on| on.entrypoint.iter().chain(&on.cmd)).map(String::as_str).collect();
        format!("{image} runs {}, says the {source}", serde_json::to_string(&words).unwrap_or_default())
    }
}

impl OnPlatform {
    fn of(platform: Option<&Platform>, process: &ImageProcess) -> Self {
        let ImageProcess { entrypoint, cmd, user } = process;
        let platform = platform.map(ToString::to_string);
        Self { platform, entrypoint: entrypoint.clone(), cmd: cmd.clone(), user: user.clone() }
    }
}

const AT_ONCE: usize = 8;

impl Resolve {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        super::block_on(self.resolve())
    }

    async fn resolve(self) -> anyhow::Result<Exit> {
        let Self { images, output, settings, look_ups } = self;
        let files = list(look_ups.image_index.iter().map(|file| file.display()));
        let snapshot = load(&settings.sources([("--image-index", "imageIndex.files", files)])?)?;
        let ask = Ask::new(&snapshot, &look_ups)?;
        let mut asked = stream::iter(images).map(|image| ask.one(image)).buffered(AT_ONCE);
        let (mut answers, mut exit) = (Vec::new(), Exit::Fine);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err((failed, complaint)) => {
                    exit = exit.max(failed);
                    anstream::eprintln!("{ERROR} {complaint}");
                }
            }
        }
        print(&answers, output)?;
        Ok(exit)
    }
}

/// Whom to ask about images, and as whom.
pub(super) struct Ask<'a> {
    snapshot: &'a Snapshot,
    resolver: Resolver,
    keyring: Keyring,
    platforms: Vec<Platform>,
    timeout: Duration,
}

impl<'a> Ask<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, look_ups: &LookUpArguments) -> anyhow::Result<Self> {
        Ok(Self {
            keyring: look_ups.keyring(snapshot)?,
            resolver: resolver(look_ups.options(snapshot))?,
            platforms: look_ups.platform.clone(),
            timeout: look_ups.timeout,
            snapshot,
        })
    }

    /// What one image runs; else with which code that ends, and why.
    pub(super) async fn one(&self, image: String) -> Result<Answer, (Exit, String)> {
        let reference = self.snapshot.pod().reference(&image);
        let reference = reference.map_err(|error| (Exit::BadInput, format!("{image}: {error}")))?;
        if let Some(hit) = self.snapshot.index.find(&reference) {
            return Ok(self.indexed(&image, &reference, "index", hit.key, hit.entry));
        }
        let question =
            Question::new(reference.clone()).with_platforms(self.platforms.clone()).with_keyring(self.keyring.clone());
        match self.resolver.resolve(&question, Instant::now() + self.timeout).await {
            Ok(resolved) => Ok(Answer {
                image,
                reference: reference.to_string(),
                digest: Some(resolved.digest.to_string()),
                source: "registry",
                key: None,
                offered: resolved.offered.iter().map(ToString::to_string).collect(),
                platforms: resolved.processes.iter().map(|(p, _, process)| OnPlatform::of(Some(p), process)).collect(),
            }),
            Err(failure) => match self.snapshot.shipped.find(&reference) {
                Some(hit) => Ok(self.indexed(&image, &reference, "shipped", hit.key, hit.entry)),
                None => Err((Exit::Denied, complaint(&image, &failure))),
            },
        }
    }

    fn indexed(
        &self,
        image: &str,
        reference: &Reference,
        source: &'static str,
        key: &str,
        entry: &IndexEntry,
    ) -> Answer {
        let own = [own_platform()];
        let wanted: &[Platform] = if self.platforms.is_empty() { &own } else { &self.platforms };
        let mut platforms: Vec<OnPlatform> = if entry.platforms.is_empty() {
            entry.process.iter().map(|process| OnPlatform::of(None, process)).collect()
        } else {
            entry.platforms.iter().map(|(platform, process)| OnPlatform::of(Some(platform), process)).collect()
        };
        if !self.platforms.is_empty() {
            let known = wanted.iter().filter_map(|p| Some(OnPlatform::of(Some(p), entry.process_for(Some(p))?)));
            platforms = known.collect();
        }
        Answer {
            image: image.to_owned(),
            reference: reference.to_string(),
            digest: None,
            source,
            key: Some(key.to_owned()),
            offered: Vec::new(),
            platforms,
        }
    }
}

/// Here the operator asks about his own registry, so the causes are told too.
fn complaint(image: &str, failure: &Failure) -> String {
    let mut text = format!("{image}: {failure}");
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn print(answers: &[Answer], output: Format) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    if output == Format::Json {
        serde_json::to_writer_pretty(&mut stdout, answers)?;
        writeln!(stdout)?;
        return Ok(());
    }
    if answers.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "IMAGE",
        "PLATFORM",
        "ENTRYPOINT",
        "CMD",
        "USER",
        "SOURCE",
        "DIGEST",
    ]);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for answer in answers {
        let source = match &answer.key {
            Some(key) => format!("{}: {key}", answer.source),
            None => answer.source.to_owned(),
        };
        for on in &answer.platforms {
            let words = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
            table.add_row([
                answer.image.clone(),
                on.platform.clone().unwrap_or_else(|| "all".to_owned()),
                words(&on.entrypoint),
                words(&on.cmd),
                on.user.clone().unwrap_or_default(),
                source.clone(),
                answer.digest.clone().unwrap_or_default(),
            ]);
        }
    }
    for line in table.lines() {
        writeln!(stdout, "{}", line.trim_end())?;
    }
    Ok(())
}
