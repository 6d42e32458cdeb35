use std::time::{Duration, SystemTime};

use super::{Pair, Rotation, Standing, Stock};

/// How a certificate is kept: for whom, for how long, and how carefully it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// DNS names or IP addresses that clients know the server by.
    pub names: Vec<String>,
    /// How long a certificate lives. It is replaced after two thirds of that.
    pub life: Duration,
}

/// What to do next about a stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// [`Stock::stage`].
    Stage,
    /// [`Stock::promote`].
    Promote,
    /// [`Stock::prune`].
    Prune,
    /// Nothing until this time, if nothing changes.
    Wait {
        /// When to ask again at the latest.
        until: SystemTime,
    },
}

/// How long a bundle has to have stood in every registration before what it newly trusts is served: API servers read
/// registrations from a cache, each its own.
const SETTLE: Duration = Duration::from_secs(60);

/// How long an authority stays after the pair that it signed has been replaced: replicas read the Secret in their own time,
/// and one that is cut off from the API server goes on with the old pair.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// Certificates count in seconds.
const TICK: Duration = Duration::from_secs(1);

/// What one process has seen of a stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Since when every registration has carried the stock's bundle; `None` while one of them does not, or cannot be seen.
    pub agreed: Option<SystemTime>,
    /// Since when the pair has been the one to be served.
    pub serving: SystemTime,
}

impl Terms {
    /// [`SETTLE`], or a twentieth of a life that is short.
    fn settle(&self) -> Duration {
        SETTLE.min(self.life / 20)
    }

    /// [`OVERLAP`], or a tenth of a life that is short.
    fn overlap(&self) -> Duration {
        OVERLAP.min(self.life / 10)
    }

    /// What to do about `stock` at `now`, given what has been seen of it.
    ///
    /// A rotation is three steps, each of which waits for the one before: the next pair is staged, so that its authority
    /// joins the bundle; it is promoted once clients trust it; the old authority goes once no replica needs it. Only a
    /// pair that clients refuse anyway is replaced without waiting for them.
    pub fn plan(&self, stock: &Stock, seen: Seen, now: SystemTime) -> Step {
        let serving = stock.serving();
        if stock.next().is_some_and(|next| self.suits(next, now)) {
            let refused = serving.validity().standing(now) != Standing::Valid;
            let settled = seen.agreed.map(|agreed| agreed + self.settle());
            return match settled {
                _ if refused => Step::Promote,
                Some(settled) if settled <= now => Step::Promote,
                Some(settled) => Step::Wait { until: settled.min(serving.validity().not_after + TICK) },
                None => Step::Wait { until: serving.validity().not_after + TICK },
            };
        }
        let renewal = match serving.validity().rotation(now) {
            Rotation::Keep { until } if self.suits(serving, now) => until,
            _ => return Step::Stage,
        };
        let prune = seen.serving + self.overlap();
        match () {
            () if stock.needed() == *stock.bundle() => Step::Wait { until: renewal },
            () if prune <= now => Step::Prune,
            () => Step::Wait { until: prune.min(renewal) },
        }
    }

    /// Whether clients that know all our names would accept the pair.
    fn suits(&self, pair: &Pair, now: SystemTime) -> bool {
        pair.validity().standing(now) == Standing::Valid && self.names.iter().all(|name| pair.is_for(name))
    }
}
