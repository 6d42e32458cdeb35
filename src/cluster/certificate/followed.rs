use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::certificate::Bundle;
use crate::cluster::follow::Seen;

/// The first and the longest pause between two heals of one registration, where somebody else keeps on changing it.
const CONTESTED: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// A registration of ours, and what was done about it.
pub(super) struct Followed {
    pub(super) name: String,
    pub(super) seen: watch::Receiver<Seen<MutatingWebhookConfiguration>>,
    /// The bundle of ours that it was last seen with: another in its place is somebody else's doing.
    pub(super) carried: Option<Bundle>,
    /// The version over which we wrote, whose successor has not been seen yet.
    pub(super) written_over: Option<String>,
    /// How long to leave it alone after `last`.
    pub(super) pause: Duration,
    /// When it was last healed.
    pub(super) last: Option<Instant>,
}

impl Followed {
    /// For how long it is left alone, because somebody else keeps on changing it too.
    pub(super) fn contested(&self, now: Instant) -> Option<Duration> {
        let next = self.last.map(|last| last + self.pause)?;
        (now < next).then(|| next - now)
    }

    pub(super) fn healed(&mut self, now: Instant) {
        let (first, longest) = CONTESTED;
        let soon = self.last.is_some_and(|last| now - last < longest + self.pause);
        self.pause = if soon { (self.pause * 2).clamp(first, longest) } else { Duration::ZERO };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_healed_again_and_again_is_healed_ever_more_slowly() {
        let (_, seen) = watch::channel(Seen::Pending);
        let mut followed = Followed {
            name: String::new(),
            seen,
            carried: None,
            written_over: None,
            pause: Duration::ZERO,
            last: None,
        };
        let mut now = Instant::now();
        assert_eq!(followed.contested(now), None);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            followed.healed(now);
            let pause = followed.contested(now).unwrap_or_default();
            pauses.push(pause.as_millis());
            now += pause;
            assert_eq!(followed.contested(now), None);
        }
        assert_eq!(pauses, [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        now += Duration::from_secs(121);
        followed.healed(now);
        assert_eq!(followed.contested(now), None, "an old quarrel is forgotten");
    }
}
