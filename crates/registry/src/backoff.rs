use std::time::Duration;

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Backoff {
    /// How long to wait after so many failures before this one. `random`, in 0..1, takes up to half of it away, so that those
    /// who failed together do not come back together.
    pub fn after(self, before: u32, random: f64) -> Duration {
        let whole = self.first.saturating_mul(1 << before.min(20)).min(self.most);
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.0 };
        whole.mul_f64(1.0 - random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_bound() {
        let backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };
        let table =
            [(0, 0.0, 2.0), (1, 0.0, 4.0), (4, 0.0, 32.0), (5, 0.0, 60.0), (u32::MAX, 0.0, 60.0), (1, 1.0, 2.0)];
        for (before, random, seconds) in table {
            assert_eq!(backoff.after(before, random), Duration::from_secs_f64(seconds), "{before} {random}");
        }
        assert_eq!(backoff.after(0, f64::NAN).as_secs(), 2);
    }
}
