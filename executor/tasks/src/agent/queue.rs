//! Which tasks there are, which have been begun, and which come again.
//!
//! A request must not be made twice because a watch tells of a task twice. So each task is begun once in an agent's life, and
//! again only when a plugin asks for it; a task whose outcome an agent before this one has told is not begun at all. What the
//! controller takes out of the set has ended there: it is not begun any more, and what comes of it is told nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::outcome;

/// A task set, as the agent needs it.
#[derive(Debug, Default)]
pub(super) struct TaskSet {
    /// Templates by the names of their nodes.
    pub(super) tasks: BTreeMap<String, Box<RawValue>>,
    /// Phases that have been told.
    pub(super) phases: BTreeMap<String, String>,
}

/// A task to be done now.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) node: String,
    pub(super) template: Box<RawValue>,
}

/// How far a task is.
#[derive(Debug)]
enum State {
    Waiting(Box<RawValue>),
    Running,
    Later(Box<RawValue>),
    Done,
}

/// All tasks that have been seen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    states: HashMap<String, State>,
    waiting: VecDeque<String>,
    later: BTreeSet<(Instant, String)>,
    /// What the set has now.
    wanted: BTreeSet<String>,
}

impl Queue {
    /// Takes in what the set has now.
    pub(super) fn see(&mut self, set: TaskSet) {
        self.wanted = set.tasks.keys().cloned().collect();
        // What has not been begun and is wanted no more may come back as something new.
        let wanted = &self.wanted;
        self.states
            .retain(|node, state| wanted.contains(node) || !matches!(state, State::Waiting(_) | State::Later(_)));
        for (node, template) in set.tasks {
            if self.states.contains_key(&node) {
                continue;
            }
            let told = set.phases.get(&node).is_some_and(|phase| outcome::is_final(phase));
            let state = if told { State::Done } else { State::Waiting(template) };
            if !told {
                self.waiting.push_back(node.clone());
            }
            self.states.insert(node, state);
        }
    }

    /// The next task to begin, if there is one.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Task> {
        while self.wake().is_some_and(|at| at <= now) {
            let Some((_, node)) = self.later.pop_first() else { break };
            if let Some(state) = self.states.get_mut(&node)
                && let State::Later(template) = state
            {
                *state = State::Waiting(template.clone());
                self.waiting.push_back(node);
            }
        }
        while let Some(node) = self.waiting.pop_front() {
            if let Some(state) = self.states.get_mut(&node)
                && matches!(state, State::Waiting(_))
                && let State::Waiting(template) = std::mem::replace(state, State::Running)
            {
                return Some(Task { node, template });
            }
        }
        None
    }

    /// When the next task comes again.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Whether anybody wants to know of a node.
    pub(super) fn wants(&self, node: &str) -> bool {
        self.wanted.contains(node)
    }

    /// A task has been done, for good or until a time.
    pub(super) fn end(&mut self, task: Task, again: Option<Instant>) {
        let state = match again {
            Some(at) if self.wants(&task.node) => {
                self.later.insert((at, task.node.clone()));
                State::Later(task.template)
            }
            _ => State::Done,
        };
        self.states.insert(task.node, state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn set(tasks: &[&str], phases: &[(&str, &str)]) -> TaskSet {
        let raw = || RawValue::from_string("{}".to_owned()).unwrap();
        TaskSet {
            tasks: tasks.iter().map(|node| ((*node).to_owned(), raw())).collect(),
            phases: phases.iter().map(|(node, phase)| ((*node).to_owned(), (*phase).to_owned())).collect(),
        }
    }

    fn begun(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.begin(now)).map(|task| task.node).collect()
    }

    #[test]
    fn a_task_is_begun_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.see(set(&["a", "b"], &[]));
        assert_eq!(begun(&mut queue, now), ["a", "b"]);
        queue.see(set(&["a", "b", "c"], &[]));
        assert_eq!(begun(&mut queue, now), ["c"]);
        // Gone, and back: what has been begun is not begun again.
        queue.see(set(&[], &[]));
        queue.see(set(&["a"], &[]));
        assert!(begun(&mut queue, now).is_empty());
    }

    #[test]
    fn what_an_agent_before_has_told_is_not_done_again() {
        let mut queue = Queue::default();
        queue.see(set(&["a", "b", "c"], &[("a", "Succeeded"), ("b", "Running"), ("c", "Failed")]));
        assert_eq!(begun(&mut queue, Instant::now()), ["b"]);
    }

    #[test]
    fn what_is_taken_out_is_not_begun() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.see(set(&["a", "b"], &[]));
        queue.see(set(&["b"], &[]));
        assert_eq!(begun(&mut queue, now), ["b"]);
        assert!(queue.wants("b") && !queue.wants("a"));
        queue.see(set(&["a"], &[]));
        assert_eq!(begun(&mut queue, now), ["a"]);
    }

    #[test]
    fn a_task_comes_again_when_its_time_is_there() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.see(set(&["a", "b"], &[]));
        let (a, b) = (queue.begin(now).unwrap(), queue.begin(now).unwrap());
        let later = now + Duration::from_secs(5);
        queue.end(a, Some(later));
        queue.end(b, Some(later));
        assert!(begun(&mut queue, now).is_empty());
        assert_eq!(queue.wake(), Some(later));
        // Seen again meanwhile, and one of them taken out.
        queue.see(set(&["a"], &[]));
        assert_eq!(begun(&mut queue, later), ["a"]);
        assert_eq!(queue.wake(), None);
    }

    #[test]
    fn what_nobody_wants_does_not_come_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.see(set(&["a"], &[]));
        let task = queue.begin(now).unwrap();
        queue.see(set(&[], &[]));
        queue.end(task, Some(now));
        assert_eq!(queue.wake(), None);
    }
}
