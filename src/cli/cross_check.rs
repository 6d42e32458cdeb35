//! `review --opa`: how often another OPA was asked, and what it says differently.

use super::output::WARNING;
use crate::review::{Candidate, Opa, OpaError, Row};
use std::collections::BTreeMap;

/// The differences that are told one by one; further ones are counted.
const TOLD: usize = 50;

/// What another OPA has said so far.
#[derive(Debug)]
pub(super) struct CrossCheck {
    opa: Opa,
    asked: usize,
    pods: usize,
    differences: BTreeMap<String, usize>,
}

impl CrossCheck {
    pub(super) fn new(opa: Opa) -> Self {
        Self { opa, asked: 0, pods: 0, differences: BTreeMap::new() }
    }

    /// Asks about a pod, as each executor would have it stored.
    pub(super) async fn of(&mut self, candidate: &Candidate, row: &Row) -> Result<(), OpaError> {
        for cell in row {
            let Some(pod) = &cell.pod else { continue };
            (self.asked, self.pods) = (self.asked + self.opa.rules(), self.pods + 1);
            for one in self.opa.differences(candidate, pod, &cell.judgements).await? {
                let (title, column) = (&candidate.title, cell.column.name());
                let told = format!("{title} for {column}: {} is {} here, and {} to OPA", one.policy, one.here, one.opa);
                if self.differences.len() < TOLD || self.differences.contains_key(&told) {
                    *self.differences.entry(told).or_default() += 1;
                } else {
                    *self.differences.entry("and others".to_owned()).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// Says what differs; whether anything does.
    pub(super) fn tell(self) -> bool {
        let Self { asked, pods, differences, .. } = self;
        for (told, times) in &differences {
            let times = if *times == 1 { String::new() } else { format!(" ({times} times)") };
            anstream::eprintln!("{WARNING} {told}{times}");
        }
        let count: usize = differences.values().sum();
        anstream::eprintln!("OPA was asked {asked} times about {pods} pods: {count} differences");
        count > 0
    }
}
