use crate::metrics::encode_gauges;
use emissary_registry::{Counts, Prefetch, PrefetchCounts, Resolver};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use std::fmt;

/// The resolver's counts as metrics, read when they are scraped.
#[derive(Debug)]
pub struct LookUpMetrics(Resolver);

impl LookUpMetrics {
    /// Of this resolver.
    pub fn new(resolver: Resolver) -> Self {
        Self(resolver)
    }
}

/// What is said of a registry that only strangers name, as they could name any number.
const OTHER: &str = "other";

fn outcomes(counts: &Counts) -> [(&'static str, u64); 9] {
    let Counts { hit, revalidated, fetched, stale, negative, failed, breaker_open, busy, deadline, .. } = *counts;
    [
        ("hit", hit),
        ("revalidated", revalidated),
        ("fetched", fetched),
        ("stale", stale),
        ("negative", negative),
        ("failed", failed),
        ("breaker-open", breaker_open),
        ("busy", busy),
        ("deadline", deadline),
    ]
}

impl Collector for LookUpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Look-ups of images by how they were answered, and by registry where the operator has named it";
        let mut family = encoder.encode_descriptor("look_ups", help, None, MetricType::Counter)?;
        for (registry, counts) in self.0.counts_by_registry() {
            let registry = registry.as_deref().unwrap_or(OTHER);
            for (outcome, count) in outcomes(&counts) {
                let labels = [("outcome", outcome), ("registry", registry)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let Counts { coalesced, contents, tags, bytes, .. } = self.0.counts();
        let counter = ConstCounter::new(coalesced);
        let help = "Look-ups that joined one that was under way";
        counter.encode(encoder.encode_descriptor("look_ups_coalesced", help, None, counter.metric_type())?)?;
        let gauges = [
            ("look_up_contents", "Images by digest that are remembered", contents),
            ("look_up_tags", "Tags whose digest is remembered", tags),
            ("look_up_memory_bytes", "Memory of what is remembered, about", bytes),
        ];
        encode_gauges(&mut encoder, gauges)
    }
}

/// What became of look-ups ahead of need, as metrics, read when they are scraped.
pub struct PrefetchMetrics(Prefetch);

impl PrefetchMetrics {
    /// Of this one.
    pub fn new(prefetch: Prefetch) -> Self {
        Self(prefetch)
    }
}

impl fmt::Debug for PrefetchMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0.counts())
    }
}

impl Collector for PrefetchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let PrefetchCounts { images, waiting, given_up, found, failed, left_out } = self.0.counts();
        let gauges = [
            ("prefetch_images", "Images that stored templates name", images),
            ("prefetch_waiting", "Of these, those that wait for their turn", waiting),
            ("prefetch_given_up", "Of these, those that could not be found", given_up),
        ];
        encode_gauges(&mut encoder, gauges)?;
        let help = "Images of stored templates by what became of them: looked up ahead, or one too many";
        let mut family = encoder.encode_descriptor("prefetched", help, None, MetricType::Counter)?;
        for (outcome, count) in [("found", found), ("failed", failed), ("left-out", left_out)] {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}
