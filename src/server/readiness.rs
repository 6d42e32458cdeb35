use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Whether the process should be sent admissions: the conjunction of named checks.
///
/// Cloning gives another handle to the same checks.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    draining: bool,
    checks: BTreeMap<&'static str, Result<String, String>>,
}

/// One named check, held by whoever knows its answer.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    readiness: Readiness,
}

/// The checks at one moment, in the order of their names. `Display` writes them as the Kubernetes API server does.
#[derive(Debug)]
pub(super) struct Report {
    draining: bool,
    checks: Vec<(&'static str, Result<String, String>)>,
}

impl Readiness {
    /// Adds a check, not ready until its holder says so. A name registered again is the same check, reset.
    pub fn register(&self, name: &'static str) -> Check {
        let check = Check { name, readiness: self.clone() };
        check.not_ready("starting");
        check
    }

    /// Whether every check is ready and the server is not on its way down.
    pub fn is_ready(&self) -> bool {
        self.report().is_ready()
    }

    /// Not ready from now on, whatever the checks say.
    pub(super) fn drain(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).draining = true;
    }

    pub(super) fn report(&self) -> Report {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Report {
            draining: state.draining,
            checks: state.checks.iter().map(|(name, state)| (*name, state.clone())).collect(),
        }
    }
}

impl Check {
    /// Ready; `detail` is for people (`/readyz?verbose`) and may be empty.
    pub fn ready(&self, detail: impl Into<String>) {
        self.set(Ok(detail.into()));
    }

    /// Not ready; `reason` is for people, and public within the cluster: no secrets.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, state: Result<String, String>) {
        self.readiness.0.write().unwrap_or_else(PoisonError::into_inner).checks.insert(self.name, state);
    }
}

impl Report {
    pub(super) fn is_ready(&self) -> bool {
        !self.draining && self.checks.iter().all(|(_, state)| state.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, state) in &self.checks {
            match state {
                Ok(detail) if detail.is_empty() => writeln!(formatter, "[+]{name} ok")?,
                Ok(detail) => writeln!(formatter, "[+]{name} ok: {detail}")?,
                Err(reason) => writeln!(formatter, "[-]{name} failed: {reason}")?,
            }
        }
        if self.draining {
            writeln!(formatter, "[-]shutdown failed: the process is shutting down")?;
        }
        writeln!(formatter, "readyz check {}", if self.is_ready() { "passed" } else { "failed" })
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn every_check_counts_and_says_why() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready(), "nothing to wait for");

        let (settings, certificate) = (readiness.register("settings"), readiness.register("certificate"));
        settings.ready("");
        assert!(!readiness.is_ready(), "a check is not ready until its holder says so");

        certificate.ready("expires in a year");
        assert!(readiness.is_ready());

        certificate.not_ready("expired");
        assert_eq!(
            readiness.report().to_string(),
            "[-]certificate failed: expired\n[+]settings ok\nreadyz check failed\n"
        );
    }

    #[test]
    fn draining_outweighs_the_checks() {
        let readiness = Readiness::default();
        readiness.register("settings").ready("");
        readiness.drain();
        assert!(!readiness.is_ready());
        assert!(readiness.report().to_string().contains("shutting down"));
    }
}
