use super::feed::Role;
use super::watch::Watch;
use crate::metrics::{encode_gauges, gauge};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use std::fmt;

/// What is in effect and what is not, read when it is scraped.
#[derive(Debug)]
pub struct SettingsMetrics(Watch);

impl SettingsMetrics {
    /// Of these settings.
    pub fn new(watch: Watch) -> Self {
        Self(watch)
    }
}

/// The words of [`Role::word`], and one for everything that is no ConfigMap.
const SOURCES: [&str; 5] = ["file", "index", "defaults", "controller", "namespace"];

impl Collector for SettingsMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (snapshot, report) = (self.0.snapshot(), self.0.report());
        let report = report.borrow().clone();
        let words = report.objects.iter().map(|object| Role::word(object.role));
        let words: Vec<&str> = words.chain(report.problems.iter().map(|_| "file")).collect();
        let help = "Problems for which a part of the settings is not in effect, by kind of source";
        let mut family = encoder.encode_descriptor("settings_problems", help, None, MetricType::Gauge)?;
        for source in SOURCES {
            let count = words.iter().filter(|word| **word == source).count();
            gauge(count).encode(family.encode_family(&[("source", source)])?)?;
        }
        let gauges = [
            ("settings_restart_pending", "Changed settings that take effect at the next start", report.restart.len()),
            (
                "settings_generation",
                "Number of the settings in effect, from 1 at the start",
                snapshot.generation as usize,
            ),
            ("image_index_entries", "Entries of the operator's image index", snapshot.index.len()),
        ];
        encode_gauges(&mut encoder, gauges)
    }
}
