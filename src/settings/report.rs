use super::feed::{ObjectName, Role};
use crate::manifest::Problem;

/// What is wrong with the sources at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What of files, variables and flags is not in effect because it is not valid, or cannot be read; what was valid before
    /// is.
    pub problems: Vec<Problem>,
    /// What is valid and takes effect at the next start only.
    pub restart: Vec<Problem>,
    /// The same of ConfigMaps.
    pub objects: Vec<ObjectProblem>,
}

/// What of a ConfigMap is not in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectProblem {
    /// What it is to the settings.
    pub role: Role,
    /// Which.
    pub object: ObjectName,
    /// Where in it, and what.
    pub problem: Problem,
}

/// More would only bury the first.
const MOST_LINES: usize = 20;

impl Report {
    /// All that is not in effect.
    pub fn not_in_effect(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(self.objects.iter().map(|object| &object.problem))
    }

    /// What is wrong, for everybody who may read `/readyz`. What a tenant wrote into a ConfigMap is between it and those who may
    /// read that: here stands only that something is wrong with it.
    pub fn lines(&self) -> Vec<String> {
        let not_in_effect = |problem: &Problem| format!("not in effect: {problem}");
        let mut lines: Vec<String> = self.problems.iter().map(not_in_effect).collect();
        for ObjectProblem { role, object, problem } in &self.objects {
            let line = match role {
                Role::Namespace => format!("not in effect: something in ConfigMap {object}; see its Events"),
                _ => not_in_effect(problem),
            };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.extend(self.restart.iter().map(|problem| format!("needs a restart: {problem}")));
        if lines.len() > MOST_LINES {
            let more = lines.len() - MOST_LINES;
            lines.truncate(MOST_LINES);
            lines.push(format!("and {more} more"));
        }
        lines
    }
}
