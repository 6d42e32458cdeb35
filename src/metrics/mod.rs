//! How the rooms declare what they count: a metric is made and registered at once, so that nothing is counted that nobody
//! exposes; and how a collector writes values that it reads when it is scraped.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::fmt;

/// Declares metrics under whatever prefix a registry has.
pub(crate) trait Declare {
    /// One that begins at nothing.
    fn declare<M: Metric + Default + Clone>(&mut self, name: &str, help: &str) -> M;

    /// One that is in seconds, which its name then ends with.
    fn declare_seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M;
}

impl Declare for Registry {
    fn declare<M: Metric + Default + Clone>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.register(name, help, metric.clone());
        metric
    }

    fn declare_seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}

/// A gauge at this moment.
pub(crate) fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Writes gauges without labels: name, help, value.
///
/// # Errors
/// Where the encoder's writer fails.
pub(crate) fn encode_gauges<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    gauges: [(&str, &str, usize); N],
) -> fmt::Result {
    for (name, help, value) in gauges {
        let gauge = gauge(value);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    #[test]
    fn what_is_counted_is_exposed() {
        let mut registry = Registry::with_prefix("x");
        let counted: Counter = registry.declare("seen", "What was seen");
        let until = registry.declare_seconds("expiry", "Until when", Gauge::<i64>::default());
        counted.inc();
        until.set(7);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("x_seen_total 1\n") && text.contains("x_expiry_seconds 7\n"), "{text}");
    }
}
