//! Telling the controller what came of tasks: patches of the task set's status, several outcomes in one.
//!
//! The first outcome after a pause is told at once, and then no more than one patch in the time that the controller allows. No
//! outcome is lost because of another: where the API server refuses a patch, its halves are told by themselves, and only the
//! one outcome that cannot be told becomes an error. A server that is away is asked for as long as it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::outcome::Outcome;
use crate::failure::Failure;
use crate::pod::Pod;
use crate::report::{Answer, Call, Client};
use crate::retry::Backoff;

/// How long is waited for more outcomes to tell with the first.
const GATHER: Duration = Duration::from_millis(50);
/// How much is told in one patch, bytes, if it is more than one outcome.
const LARGEST: usize = 512 << 10;
/// The kind of patch that Argo's agent sends.
const MERGE: Call = Call::Patch("application/merge-patch+json");
/// What etcd says of an object that it does not take; the API server answers 500.
const TOO_LARGE: &str = "request is too large";

type Outcomes = BTreeMap<String, Outcome>;

/// Outcomes that have not been told.
#[derive(Debug)]
pub(super) struct Untold {
    outcomes: Outcomes,
    since: Option<Instant>,
    /// Before this nothing is told.
    not_before: Option<Instant>,
    rate: Duration,
}

impl Untold {
    pub(super) fn new(rate: Duration) -> Self {
        Self { outcomes: Outcomes::new(), since: None, not_before: None, rate }
    }

    /// One more; of two of one node the later counts.
    pub(super) fn add(&mut self, node: String, outcome: Outcome, now: Instant) {
        self.since.get_or_insert(now);
        self.outcomes.insert(node, outcome);
    }

    /// When to tell; nothing where there is nothing to.
    pub(super) fn due(&self) -> Option<Instant> {
        let gathered = self.since? + GATHER;
        Some(self.not_before.map_or(gathered, |not_before| not_before.max(gathered)))
    }

    /// Takes all of them, to be told now.
    pub(super) fn take(&mut self, now: Instant) -> Outcomes {
        self.since = None;
        self.not_before = Some(now + self.rate);
        std::mem::take(&mut self.outcomes)
    }
}

/// Makes sure, before anything is done, that what comes of it can be told.
///
/// # Errors
/// Where the service account may not.
pub(super) async fn prove(pod: &Pod, client: &Client<'_>) -> Result<(), Failure> {
    let mut tried = 0;
    loop {
        tried += 1;
        match client.call(MERGE, &path(pod, client), Some(&json!({}))).await {
            // A set that is not there yet says nothing about rights: they are looked at first.
            Answer::Done(_) | Answer::Exists | Answer::Missing(_) => return Ok(()),
            Answer::Later(why) => {
                pod.say(|| format!("try {tried}: {why}"));
                Backoff::endless().wait(tried).await;
            }
            Answer::Forbidden(why) | Answer::Refused(why) => {
                return Err(Failure::own(format!(
                    "could not tell what came of tasks, so none is begun: {why}; the pod's service account needs patch on \
                     workflowtasksets/status.argoproj.io"
                )));
            }
        }
    }
}

/// Tells outcomes, as often as it takes.
pub(super) async fn tell(pod: &Pod, client: &Client<'_>, outcomes: Outcomes) {
    let mut parts = parts(outcomes);
    // The first is the next.
    parts.reverse();
    while let Some(part) = parts.pop() {
        let Err(why) = put(pod, client, &part).await else { continue };
        pod.say(|| format!("{} outcomes were refused: {why}", part.len()));
        let mut nodes: Vec<_> = part.into_iter().collect();
        let half = nodes.split_off(nodes.len() / 2);
        if nodes.is_empty() {
            // One by itself. If even this is refused there is nobody to tell.
            let message = format!("the task was done, and its outcome cannot be told: {why}");
            let errors = half.into_iter().map(|(node, _)| (node, Outcome::error(message.clone()))).collect();
            if let Err(why) = put(pod, client, &errors).await {
                pod.say(|| format!("an error was refused as well: {why}"));
            }
            continue;
        }
        parts.push(half.into_iter().collect());
        parts.push(nodes.into_iter().collect());
    }
}

/// Outcomes in patches that are not too large.
fn parts(outcomes: Outcomes) -> Vec<Outcomes> {
    let mut parts: Vec<(Outcomes, usize)> = Vec::new();
    for (node, outcome) in outcomes {
        let size = outcome.to_json().to_string().len();
        match parts.last_mut() {
            Some((part, total)) if *total + size <= LARGEST => {
                *total += size;
                part.insert(node, outcome);
            }
            _ => parts.push((Outcomes::from([(node, outcome)]), size)),
        }
    }
    parts.into_iter().map(|(part, _)| part).collect()
}

fn path(pod: &Pod, client: &Client<'_>) -> String {
    let name = pod.environment.workflow.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
    format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflowtasksets/{name}/status", client.namespace())
}

/// One patch. An error is what would be refused again.
async fn put(pod: &Pod, client: &Client<'_>, outcomes: &Outcomes) -> Result<(), String> {
    let nodes: Map<String, Value> = outcomes.iter().map(|(node, outcome)| (node.clone(), outcome.to_json())).collect();
    let patch = json!({ "status": { "nodes": nodes } });
    let mut tried = 0;
    loop {
        tried += 1;
        match client.call(MERGE, &path(pod, client), Some(&patch)).await {
            Answer::Done(_) | Answer::Exists => {
                pod.say(|| format!("told of {} nodes", outcomes.len()));
                return Ok(());
            }
            // The set is gone, and with it everybody who wants to know; the watch says so as well.
            Answer::Missing(_) => return Ok(()),
            Answer::Later(why) if why.contains(TOO_LARGE) => return Err(why),
            Answer::Refused(why) => return Err(why),
            // It was allowed at the beginning. To end would do every task again.
            Answer::Later(why) | Answer::Forbidden(why) => {
                pod.say(|| format!("try {tried}: {why}"));
                Backoff::endless().wait(tried).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(size: usize) -> Outcome {
        let mut outcome = Outcome::new("Succeeded", "");
        outcome.progress = Some("x".repeat(size));
        outcome
    }

    #[test]
    fn the_first_is_told_at_once_and_the_next_when_it_is_time() {
        let (mut untold, now) = (Untold::new(Duration::from_secs(10)), Instant::now());
        assert_eq!(untold.due(), None);
        untold.add("a".to_owned(), outcome(1), now);
        assert_eq!(untold.due(), Some(now + GATHER));
        assert_eq!(untold.take(now + GATHER).len(), 1);
        assert_eq!(untold.due(), None);
        untold.add("b".to_owned(), outcome(1), now + Duration::from_secs(1));
        untold.add("b".to_owned(), outcome(2), now + Duration::from_secs(2));
        assert_eq!(untold.due(), Some(now + GATHER + Duration::from_secs(10)));
        assert_eq!(untold.take(now)["b"], outcome(2));
        untold.add("c".to_owned(), outcome(1), now + Duration::from_secs(60));
        assert_eq!(untold.due(), Some(now + Duration::from_secs(60) + GATHER));
    }

    #[test]
    fn a_patch_is_not_too_large() {
        let outcomes = |sizes: &[usize]| {
            sizes.iter().enumerate().map(|(place, size)| (place.to_string(), outcome(*size))).collect::<Outcomes>()
        };
        let lengths = |sizes: &[usize]| parts(outcomes(sizes)).iter().map(BTreeMap::len).collect::<Vec<_>>();
        assert_eq!(lengths(&[1, 2, 3]), [3]);
        assert_eq!(lengths(&[LARGEST / 2, LARGEST / 2, 5]), [1, 2]);
        assert_eq!(lengths(&[LARGEST * 2, 1]), [1, 1]);
        assert!(lengths(&[]).is_empty());
    }
}
