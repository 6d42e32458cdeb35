use super::Answer;
use emissary_contract::{container, path, volume};
use sample_registry::Request;
use serde_json::Value;

/// What a step's answer has to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// As [`Answer::word`] has it.
    pub answer: &'static str,
    /// How many requests the registry gets.
    pub requests: usize,
    /// How the lines begin that say where commands came from, all of them in order.
    pub commands: &'static [&'static str],
    /// Part of a denial's message or of a warning; empty where there is neither.
    pub says: &'static str,
}

impl Expected {
    /// What is otherwise, a sentence each.
    pub(super) fn surprises(&self, before: &Value, answer: &Answer, requests: &[Request]) -> Vec<String> {
        let Self { answer: word, requests: asked, commands, says } = self;
        let mut surprises = Vec::new();
        if answer.word() != *word {
            surprises.push(format!("the answer is \"{}\" and should be \"{word}\"", answer.word()));
        }
        if requests.len() != *asked {
            surprises.push(format!("the registry got {} requests and should get {asked}", requests.len()));
        }
        let (came, said) = match answer {
            Answer::Rewritten { after, commands, warnings } => {
                if before["kind"] == "Pod" {
                    surprises.extend(unfinished(after));
                }
                (commands.as_slice(), warnings.join("\n"))
            }
            Answer::Denied { message, .. } => (&[][..], message.clone()),
            Answer::Unchanged | Answer::LeftAlone => (&[][..], String::new()),
        };
        let as_said = came.len() == commands.len() && came.iter().zip(*commands).all(|(came, c)| came.starts_with(c));
        if !as_said {
            surprises.push(format!("the commands are {came:?} and should be {commands:?}"));
        }
        if !said.contains(says) || said.is_empty() != says.is_empty() {
            surprises.push(format!("the user is told {said:?} and should be told {says:?}"));
        }
        surprises
    }
}

/// What keeps a pod from being run by the emissary executor, whatever it was built for.
fn unfinished(pod: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let named = |list: &str| pod.pointer(list).and_then(Value::as_array).into_iter().flatten();
    let name = |object: &Value| object["name"].as_str().unwrap_or_default().to_owned();
    if !named("/spec/initContainers").any(|one| one["name"] == container::INIT) {
        faults.push("there is no init container".to_owned());
    }
    if !named("/spec/containers").any(|one| one["name"] == container::WAIT) {
        faults.push("there is no wait container".to_owned());
    }
    for container in named("/spec/containers").filter(|one| one["name"] != container::WAIT) {
        if container.pointer("/command/0").and_then(Value::as_str) != Some(path::EXECUTOR) {
            faults.push(format!("container {} is not run by the executor", name(container)));
        }
    }
    if named("/spec/volumes").any(|one| one["name"] == volume::DOCKER_SOCKET) {
        faults.push("the docker socket is still there".to_owned());
    }
    if pod.pointer("/spec/shareProcessNamespace").is_some_and(|shared| shared == true) {
        faults.push("containers still see each other's processes".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_surprise_is_told() {
        let expected = Expected { answer: "rewritten", requests: 1, commands: &["main: "], says: "" };
        let pod = json!({"kind": "Pod"});
        assert_eq!(
            expected.surprises(&pod, &Answer::Denied { code: 422, message: "no".to_owned() }, &[]),
            [
                "the answer is \"denied\" and should be \"rewritten\"",
                "the registry got 0 requests and should get 1",
                "the commands are [] and should be [\"main: \"]",
                "the user is told \"no\" and should be told \"\"",
            ]
        );
        let after = json!({"spec": {
            "shareProcessNamespace": true,
            "volumes": [{"name": "docker-sock"}],
            "containers": [{"name": "main", "command": ["sh"]}],
        }});
        assert_eq!(unfinished(&after).len(), 5, "{:?}", unfinished(&after));
    }
}
