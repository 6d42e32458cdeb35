use crate::cli::look_ups::{LookUpArguments, resolver};
use crate::cli::settings::{SettingsArguments, load};
use crate::settings::Snapshot;
use emissary_core::image::{Platform, Reference};
use emissary_registry::{Failure, Keyring, Question, Resolved, Resolver};
use futures_util::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const AT_ONCE: usize = 8;

/// Asks registries as `resolve` does.
pub(super) struct Asker {
    resolver: Resolver,
    keyring: Keyring,
    /// All that an image has where none is asked for.
    pub(super) platforms: Vec<Platform>,
    timeout: Duration,
}

impl Asker {
    /// The snapshot holds what `--image-index` and the settings name, unless `without_index`.
    pub(super) fn new(
        settings: &SettingsArguments,
        look_ups: &LookUpArguments,
        without_index: bool,
    ) -> anyhow::Result<(Self, Snapshot)> {
        let files: Vec<String> = look_ups.image_index.iter().map(|file| file.display().to_string()).collect();
        let files = (!files.is_empty() || without_index).then_some(if without_index { Vec::new() } else { files });
        let files = files.map(|files| serde_json::json!(files).to_string());
        let sources = settings.sources([("--image-index", "imageIndex.files", files)])?;
        let snapshot = load(&sources)?;
        let asker = Self {
            resolver: resolver(look_ups.options(&snapshot))?,
            keyring: look_ups.keyring(&snapshot)?,
            platforms: look_ups.platform.clone(),
            timeout: look_ups.timeout,
        };
        Ok((asker, snapshot))
    }

    async fn ask(&self, reference: &Reference) -> Result<Arc<Resolved>, Arc<Failure>> {
        let question =
            Question::new(reference.clone()).with_platforms(self.platforms.clone()).with_keyring(self.keyring.clone());
        self.resolver.resolve(&question, Instant::now() + self.timeout).await
    }

    /// The answers, in the order of the questions, some asked at once; a failure comes with its causes, since here the
    /// operator asks about his own registry. A terminal shows how far it is.
    pub(super) fn all<'a, T: 'a>(
        &'a self,
        asked: Vec<(T, Reference)>,
    ) -> impl Stream<Item = (T, Result<Arc<Resolved>, String>)> + 'a {
        let bar = ProgressBar::new(asked.len() as u64);
        // Two fields and no width of its own: the template is right.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        let moved = bar.clone();
        stream::iter(asked)
            .map(move |(what, reference)| {
                let bar = bar.clone();
                async move {
                    bar.set_message(reference.to_string());
                    let answer = self.ask(&reference).await.map_err(|failure| with_causes(&*failure));
                    bar.inc(1);
                    (what, answer)
                }
            })
            .buffered(AT_ONCE)
            .chain(stream::poll_fn(move |_| {
                moved.finish_and_clear();
                std::task::Poll::Ready(None)
            }))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
