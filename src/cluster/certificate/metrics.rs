use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::metrics::Declare as _;

/// What is counted about the certificate.
#[derive(Debug, Clone, Default)]
pub struct CertificateMetrics {
    steps: Family<Labels, Counter>,
    bundles: Family<Labels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    step: &'static str,
}

impl CertificateMetrics {
    /// Declares the metrics in `registry`, under whatever prefix it has.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            steps: registry.declare(
                "certificate_rotations",
                "Steps of the certificate's life that this replica wrote into its Secret",
            ),
            bundles: registry.declare(
                "ca_bundles_written",
                "Times that a registration's caBundle was set: to a new bundle, or healed after somebody else changed it",
            ),
        }
    }

    /// One more write of the Secret.
    pub(super) fn wrote(&self, step: &'static str) {
        self.steps.get_or_create(&Labels { step }).inc();
    }

    /// One more registration whose `caBundle` was set.
    pub(super) fn published(&self, step: &'static str) {
        self.bundles.get_or_create(&Labels { step }).inc();
    }
}
