use super::Executor;
use crate::object::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

/// Which executor a controller's configuration gives a Workflow: `containerRuntimeExecutors`, the first whose selector
/// fits the Workflow's labels; else `containerRuntimeExecutor`; else emissary (Argo 3.3).
///
/// Names are the controller's and not validated by it, so neither are they here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutorChoice {
    selected: Vec<(String, LabelSelector)>,
    default: Option<String>,
}

impl ExecutorChoice {
    /// Of the two values as the controller's configuration has them. An entry that cannot be read ends the list, as it does
    /// in the controller, which then goes on with the default; the texts that come back say what was wrong.
    pub fn read(selected: &Value, default: Option<&str>) -> (Self, Vec<String>) {
        #[derive(Deserialize)]
        struct Entry {
            name: String,
            #[serde(default)]
            selector: LabelSelector,
        }
        let (mut list, mut problems) = (Vec::new(), Vec::new());
        match selected {
            Value::Null => {}
            Value::Array(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    match serde_json::from_value::<Entry>(entry.clone()) {
                        Ok(Entry { name, selector }) => list.push((name, selector)),
                        Err(error) => {
                            problems.push(format!("containerRuntimeExecutors[{index}]: {error}"));
                            break;
                        }
                    }
                }
            }
            _ => problems.push("containerRuntimeExecutors is no list".to_owned()),
        }
        let default = default.filter(|name| !name.is_empty()).map(str::to_owned);
        (Self { selected: list, default }, problems)
    }

    /// Whether the Workflow's labels make a difference.
    pub fn depends_on_labels(&self) -> bool {
        self.selected.iter().any(|(_, selector)| !selector.is_empty())
    }

    /// The name of the executor for a Workflow with these labels. Of one whose labels are not known: the default.
    pub fn choose(&self, labels: Option<&[(String, String)]>) -> &str {
        let selected = labels.and_then(|labels| self.selected.iter().find(|(_, selector)| selector.matches(labels)));
        let selected = match (selected, labels) {
            (None, None) => self.selected.iter().find(|(_, selector)| selector.is_empty()),
            (selected, _) => selected,
        };
        let name = selected.map(|(name, _)| name).or(self.default.as_ref());
        name.map_or(Executor::Emissary.name(), String::as_str)
    }
}

/// Which executors a pod may be left to, and who asks for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Executors {
    /// Those that the operator allows beside emissary.
    pub others: Vec<Executor>,
    /// What the controller's configuration says.
    pub choice: ExecutorChoice,
}

impl Executors {
    /// Whether the Workflow's labels may decide that a pod is left alone.
    pub fn depends_on_labels(&self) -> bool {
        !self.others.is_empty() && self.choice.depends_on_labels()
    }

    /// Whether a pod of this executor is left alone.
    pub(in crate::pod) fn leaves(&self, name: &str) -> bool {
        self.others.iter().any(|other| *other != Executor::Emissary && other.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_that_fits_goes_before_the_default() {
        let list = json!([
            {"name": "pns", "selector": {"matchLabels": {"executor": "pns"}}},
            {"name": "k8sapi", "selector": {"matchExpressions": [{"key": "old", "operator": "Exists"}]}},
        ]);
        let all = json!([{"name": "kubelet", "selector": {}}]);
        let broken = json!([{"name": "pns", "selector": {"matchExpressions": [{"key": "x", "operator": "Near"}]}}, {"name": "kubelet"}]);
        let old = [("old".to_owned(), String::new())];
        let both = [("old".to_owned(), String::new()), ("executor".to_owned(), "pns".to_owned())];
        type Row<'t> = (&'t Value, Option<&'t str>, Option<&'t [(String, String)]>, &'t str);
        let table: [Row<'_>; 10] = [
            (&Value::Null, None, None, "emissary"),
            (&Value::Null, Some(""), None, "emissary"),
            (&Value::Null, Some("docker"), Some(&[]), "docker"),
            (&list, Some("docker"), Some(&old), "k8sapi"),
            (&list, Some("docker"), Some(&both), "pns"),
            (&list, Some("docker"), Some(&[]), "docker"),
            (&list, Some("docker"), None, "docker"),
            (&all, Some("docker"), None, "kubelet"),
            (&broken, Some("docker"), Some(&both), "docker"),
            (&json!("x"), None, Some(&[]), "emissary"),
        ];
        for (selected, default, labels, expected) in table {
            let (choice, _) = ExecutorChoice::read(selected, default);
            assert_eq!(choice.choose(labels), expected, "{selected} {default:?} {labels:?}");
        }
        assert!(ExecutorChoice::read(&list, None).0.depends_on_labels());
        assert!(!ExecutorChoice::read(&all, None).0.depends_on_labels());
        assert_eq!(ExecutorChoice::read(&broken, None).1.len(), 1);
    }
}
