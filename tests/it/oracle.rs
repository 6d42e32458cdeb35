//! The recorded reviews of `tests/oracles/argo`: read, paired, and compared field for field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One admission that a real API server asked for.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recorded {
    /// `VERSION-EXECUTOR-WORKFLOW`, as the README there explains.
    pub(crate) name: String,
    /// Path and query of the request.
    pub(crate) path: String,
    /// The `AdmissionReview`.
    pub(crate) review: Value,
}

impl Recorded {
    /// The object under admission.
    pub(crate) fn object(&self) -> &Value {
        &self.review["request"]["object"]
    }

    pub(crate) fn is_pod(&self) -> bool {
        self.review["request"]["kind"]["kind"] == "Pod"
    }

    /// Version, executor, and the rest of the name; nothing for a name of another form.
    pub(crate) fn parts(&self) -> Option<(&str, &str, &str)> {
        let mut parts = self.name.splitn(3, '-');
        Some((parts.next()?, parts.next()?, parts.next()?))
    }
}

/// Executors that emissary replaced.
const REPLACED: [&str; 4] = ["docker", "kubelet", "k8sapi", "pns"];

/// Every recording, in the order of their names.
pub(crate) fn reviews() -> Vec<Recorded> {
    let file = folder().join("reviews.jsonl.gz");
    let packed = File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    BufReader::new(GzDecoder::new(packed)).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// The pods that one controller made of one workflow: for an executor of old, and for emissary.
pub(crate) fn twins() -> Vec<(Recorded, Recorded)> {
    let by_name: BTreeMap<String, Recorded> =
        reviews().into_iter().map(|review| (review.name.clone(), review)).collect();
    let pair = |old: &Recorded| {
        let (version, _, workflow) = old.parts().filter(|(_, executor, _)| REPLACED.contains(executor))?;
        let new = by_name.get(&format!("{version}-emissary-{workflow}"))?;
        // A controller that named pods by another rule in one of the two runs also wrote another name into the environment.
        let same_name = old.object()["metadata"]["name"] == new.object()["metadata"]["name"];
        same_name.then(|| (old.clone(), new.clone()))
    };
    by_name.values().filter_map(pair).collect()
}

/// The `images` of all the recorded controllers, as an image index. Where several name an image, the newest controller's
/// entry stands, in the newer notation (`entrypoint` and `cmd`); what it says is the same.
pub(crate) fn image_index() -> Value {
    let images: Map<String, Value> = configurations()
        .into_values()
        .filter_map(|mut configuration| match configuration["images"].take() {
            Value::Object(images) => Some(images),
            _ => None,
        })
        .flatten()
        .collect();
    json!({ "images": images })
}

/// What the ConfigMaps of the controllers said, by version and executor.
pub(crate) fn configurations() -> BTreeMap<String, Value> {
    serde_json::from_reader(File::open(folder().join("controller-configs.json")).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/argo")
}

/// The pod as it is compared: without what differs between two runs of one controller and without what the API server
/// puts in after the webhook; lists whose order means nothing become maps or are sorted.
pub(crate) fn normalise(pod: &Value) -> Value {
    let mut pod = pod.clone();
    veil(&mut pod);
    let object = pod.as_object_mut().expect("a pod is an object");
    object.remove("status");
    normalise_metadata(&mut object["metadata"]);
    normalise_spec(&mut object["spec"]);
    pod
}

fn normalise_metadata(metadata: &mut Value) {
    let metadata = metadata.as_object_mut().expect("metadata is an object");
    for assigned in ["managedFields", "uid", "creationTimestamp", "resourceVersion", "selfLink"] {
        metadata.remove(assigned);
    }
    for owner in list(metadata.get_mut("ownerReferences")) {
        owner.as_object_mut().unwrap().remove("uid");
    }
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    // Our own mark, which no controller writes.
    annotations.as_object_mut().unwrap().retain(|key, _| !key.starts_with("emissary-webhook.io/"));
}

fn normalise_spec(spec: &mut Value) {
    let spec = spec.as_object_mut().expect("spec is an object");
    sort_without_token(spec.entry("volumes").or_insert_with(|| json!([])), |volume| text(volume, "name"));
    for kind in ["initContainers", "containers"] {
        for container in list(spec.get_mut(kind)) {
            normalise_container(container.as_object_mut().expect("a container is an object"));
        }
    }
}

fn normalise_container(container: &mut Map<String, Value>) {
    // The path of a mount is what tells it from the others of a container.
    let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
    sort_without_token(mounts, |mount| (text(mount, "mountPath"), text(mount, "subPath")));

    // The last of two equal names is the one that the kubelet sets.
    let mut environment = Map::new();
    for variable in list(container.get_mut("env")) {
        let mut variable = std::mem::take(variable.as_object_mut().unwrap());
        let Some(Value::String(name)) = variable.remove("name") else { panic!("a variable without a name") };
        environment.insert(name, Value::Object(variable));
    }
    // Compared as a document: two encoders may order its keys differently.
    if let Some(template) = environment.get_mut("ARGO_TEMPLATE")
        && let Some(value) = template.get("value").and_then(Value::as_str)
    {
        *template = serde_json::from_str(value).expect("ARGO_TEMPLATE is JSON");
    }
    for of_one_run in ["ARGO_WORKFLOW_UID", "ARGO_DEADLINE"] {
        environment.remove(of_one_run);
    }
    container.insert("env".to_owned(), Value::Object(environment));

    if container.get("name").is_some_and(|name| name == "init") {
        for defaulted in ["imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"] {
            container.remove(defaulted);
        }
    }
    container.entry("resources").or_insert_with(|| json!({}));
}

/// Takes out the service account's token, which the API server adds to what a webhook adds, and sorts the rest.
fn sort_without_token<K: Ord>(named: &mut Value, key: impl Fn(&Value) -> K) {
    let named = named.as_array_mut().expect("a list");
    named.retain(|one| !text(one, "name").starts_with("kube-api-access-"));
    named.sort_by_key(key);
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

fn list(value: Option<&mut Value>) -> &mut [Value] {
    value.and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default()
}

/// Replaces uids and times, in whatever text they stand: each run has its own.
fn veil(value: &mut Value) {
    match value {
        Value::String(text) => *text = veiled(text),
        Value::Array(items) => items.iter_mut().for_each(veil),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, mut value)| {
                    veil(&mut value);
                    (veiled(&key), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A UUID and an RFC 3339 time in UTC, `h` a hexadecimal digit and `0` a decimal one.
const VEILED: [&str; 2] = ["hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", "0000-00-00T00:00:00Z"];

fn veiled(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(shape) = VEILED.iter().find(|shape| begins_with(rest, shape)) {
            result.push_str("UID-OR-TIME");
            rest = &rest[shape.len()..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    result
}

fn begins_with(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'h' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            b'0' => byte.is_ascii_digit(),
            exactly => byte == exactly,
        })
}

/// Where two normalised pods differ, a line a place: first what we made, then what the controller made.
pub(crate) fn differences(ours: &Value, twin: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", ours, twin, &mut found);
    found
}

fn compare(path: &str, ours: &Value, twin: &Value, found: &mut Vec<String>) {
    match (ours, twin) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => compare(&format!("{path}/{key}"), a, b, found),
                    (Some(_), None) => found.push(format!("{path}/{key} only in ours")),
                    (None, _) => found.push(format!("{path}/{key} only in the twin")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                found.push(format!("{path}: {} / {} entries", a.len(), b.len()));
            }
            for (place, (a, b)) in a.iter().zip(b).enumerate() {
                let place = a["name"].as_str().map_or_else(|| place.to_string(), str::to_owned);
                compare(&format!("{path}/{place}"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {} / {}", beginning(a), beginning(b))),
    }
}

fn beginning(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[test]
fn all_recordings_are_read() {
    let reviews = reviews();
    assert_eq!(reviews.len(), 366);
    assert!(reviews.is_sorted_by(|one, next| one.name < next.name));
    for Recorded { name, path, review } in &reviews {
        assert!(path.starts_with('/'), "{name}: {path}");
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1", "{name}");
        assert!(review["request"]["object"].is_object(), "{name}");
    }
}

#[test]
fn all_twins_are_found() {
    assert_eq!(twins().len(), 159);
}

#[test]
fn the_index_knows_what_the_controllers_were_told() {
    let index = image_index();
    assert_eq!(index["images"].as_object().unwrap().len(), 5);
    assert_eq!(index["images"]["redis:6"], json!({"entrypoint": ["docker-entrypoint.sh"], "cmd": ["redis-server"]}));
}

#[test]
fn a_pod_differs_from_its_twin_before_it_is_converted() {
    for (old, new) in twins() {
        let found = differences(&normalise(old.object()), &normalise(new.object()));
        // Agents run under every executor alike.
        assert_eq!(found.is_empty(), old.name.contains("-agent"), "{}: {found:?}", old.name);
    }
}

#[test]
fn a_pod_of_another_run_is_the_same_pod() {
    for (_, new) in twins() {
        assert_eq!(differences(&normalise(new.object()), &normalise(&in_another_run(&new))), [""; 0], "{}", new.name);
    }
}

/// The pod of another run: the same but for uids, times and what the API server assigns.
fn in_another_run(recorded: &Recorded) -> Value {
    let mut pod = recorded.object().clone();
    pod["metadata"]["uid"] = json!("00000000-1111-2222-3333-444444444444");
    pod["metadata"]["resourceVersion"] = json!("7");
    pod["metadata"]["annotations"]["emissary-webhook.io/rewritten"] = json!("0.1.0");
    pod
}

#[test]
fn every_kind_of_difference_is_told() {
    let ours = json!({"a": 1, "b": [{"name": "main", "image": "x"}], "c": [1, 2], "d": "0", "only": 1});
    let twin = json!({"a": 1, "b": [{"name": "main", "image": "y"}], "c": [1], "d": 0, "missing": 1});
    assert_eq!(
        differences(&ours, &twin),
        [
            "/b/main/image: \"x\" / \"y\"",
            "/c: 2 / 1 entries",
            "/d: \"0\" / 0",
            "/missing only in the twin",
            "/only only in ours"
        ]
    );
}

#[test]
fn uids_and_times_are_veiled_inside_a_text() {
    assert_eq!(
        veiled("é 6fb7aa56-96ab-4721-bdab-ed71ba4aaace at 2026-11-21T19:20:21Z."),
        "é UID-OR-TIME at UID-OR-TIME."
    );
    assert_eq!(veiled("6fb7aa56-96ab-4721-bdab"), "6fb7aa56-96ab-4721-bdab");
}
