//! Waiting longer and longer between tries, each a little off, so that many pods do not come at once.

use std::time::{Duration, SystemTime};

use emissary_contract::go_duration;

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(30);

/// How often something is tried and how long between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Backoff {
    /// The number of tries.
    pub(crate) steps: usize,
    /// Between the first and the second.
    pub(crate) first: Duration,
    /// Between any two, as a multiple of the wait before.
    pub(crate) factor: f64,
    /// How much is added at random, as a part of the wait.
    pub(crate) jitter: f64,
}

impl Backoff {
    /// As the variables `EXECUTOR_RETRY_BACKOFF_*` say, with Argo's own values where they do not.
    pub(crate) fn read(text: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str, default: f64| {
            let number = text(name).and_then(|text| text.parse::<f64>().ok());
            number.filter(|number| number.is_finite() && *number >= 0.0).unwrap_or(default)
        };
        Self {
            steps: text("EXECUTOR_RETRY_BACKOFF_STEPS").and_then(|steps| steps.parse().ok()).unwrap_or(5).max(1),
            first: text("EXECUTOR_RETRY_BACKOFF_DURATION")
                .and_then(|text| go_duration(&text))
                .unwrap_or(Duration::from_secs(1)),
            factor: number("EXECUTOR_RETRY_BACKOFF_FACTOR", 1.6),
            jitter: number("EXECUTOR_RETRY_BACKOFF_JITTER", 0.5),
        }
    }

    /// What the API server is asked with: for as long as it takes, since a result that is not reported stalls the Workflow.
    pub(crate) fn endless() -> Self {
        Self { steps: usize::MAX, first: Duration::from_secs(1), factor: 2.0, jitter: 0.2 }
    }

    /// How long to wait before the try that follows `tried` others; nothing where there is none. `chance` is 0 to 1.
    pub(crate) fn pause(&self, tried: usize, chance: f64) -> Option<Duration> {
        if tried >= self.steps {
            return None;
        }
        let power = i32::try_from(tried.saturating_sub(1)).unwrap_or(i32::MAX).min(64);
        let seconds = self.first.as_secs_f64() * self.factor.powi(power) * (1.0 + self.jitter * chance);
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
    }

    /// Waits before the next try, or says that there is none.
    pub(crate) async fn wait(&self, tried: usize) -> bool {
        match self.pause(tried, chance()) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => false,
        }
    }
}

/// Between 0 and 1. The clock's last digits are as good as anything where only coincidence is to be avoided.
fn chance() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    f64::from(now.subsec_nanos() % 1000) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_end() {
        let backoff = Backoff::read(|_| None);
        let pauses: Vec<_> = (1..=5).map(|tried| backoff.pause(tried, 0.0).map(|pause| pause.as_millis())).collect();
        assert_eq!(pauses, [Some(1000), Some(1600), Some(2560), Some(4096), None]);
        assert_eq!(backoff.pause(1, 1.0), Some(Duration::from_millis(1500)));
        assert_eq!(Backoff::endless().pause(1_000_000, 0.5), Some(LONGEST));
    }

    #[test]
    fn what_is_no_number_is_argos_own() {
        let backoff = Backoff::read(|name| {
            Some(match name {
                "EXECUTOR_RETRY_BACKOFF_STEPS" => "0".to_owned(),
                "EXECUTOR_RETRY_BACKOFF_DURATION" => "10ms".to_owned(),
                "EXECUTOR_RETRY_BACKOFF_FACTOR" => "NaN".to_owned(),
                _ => "-1".to_owned(),
            })
        });
        assert_eq!(backoff, Backoff { steps: 1, first: Duration::from_millis(10), factor: 1.6, jitter: 0.5 });
    }
}
