//! Reviews to post: recorded ones, and those made from them.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::oracle::{Recorded, reviews};

/// A pod of Argo 3.3, made for the docker executor, whose one container leaves its command to the image.
pub(super) const LEGACY: &str = "3.3.10-docker-nocmd";
/// The same pod, made by the same controller for emissary.
pub(super) const TWIN: &str = "3.3.10-emissary-nocmd";
/// What it runs.
const IMAGE: &str = "argoproj/argosay:v2";

pub(super) fn recorded(name: &str) -> Recorded {
    // Unpacking them takes longer than most tests.
    static ALL: LazyLock<Vec<Recorded>> = LazyLock::new(reviews);
    ALL.iter().find(|recorded| recorded.name == name).unwrap_or_else(|| panic!("no recording {name}")).clone()
}

/// [`LEGACY`], running another image. The image is also in the template that the pod carries.
pub(super) fn running(image: &str) -> Value {
    serde_json::from_str(&recorded(LEGACY).review.to_string().replace(IMAGE, image)).unwrap()
}

/// The same in another namespace.
pub(super) fn running_in(namespace: &str, image: &str) -> Value {
    let mut review = running(image);
    review["request"]["namespace"] = json!(namespace);
    review["request"]["object"]["metadata"]["namespace"] = json!(namespace);
    review
}

/// `review` with another object.
pub(super) fn with_object(review: &Value, object: &Value) -> Value {
    let mut review = review.clone();
    review["request"]["object"] = object.clone();
    review
}

/// What a container of a pod runs, args included, without the wrapper that stands before it; the test fails where there
/// is none.
#[track_caller]
pub(super) fn wrapped(pod: &Value, container: &str) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let container = containers.iter().find(|one| one["name"] == container).expect(container);
    let words =
        |key: &str| container[key].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned());
    let command: Vec<String> = words("command").collect();
    assert_eq!(command[..3], ["/var/run/argo/argoexec", "emissary", "--"], "{container}");
    command.into_iter().skip(3).chain(words("args")).collect()
}
