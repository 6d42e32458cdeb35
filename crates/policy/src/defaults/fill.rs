//! The defaults of pods (Kubernetes 1.36, `core/v1`), in a pod that has been normalised: what is zero and optional is absent.

use serde_json::{Map, Value, json};

/// Fields of an object and the values that they get where they are absent.
type Defaults = &'static [(&'static str, Literal)];

#[derive(Clone, Copy)]
enum Literal {
    Text(&'static str),
    Number(i64),
    Flag(bool),
    Object,
}

use Literal::{Flag, Number, Object, Text};

const SPEC: Defaults = &[
    ("dnsPolicy", Text("ClusterFirst")),
    ("restartPolicy", Text("Always")),
    ("securityContext", Object),
    ("terminationGracePeriodSeconds", Number(30)),
    ("schedulerName", Text("default-scheduler")),
    ("enableServiceLinks", Flag(true)),
];

const CONTAINER: Defaults =
    &[("terminationMessagePath", Text("/dev/termination-log")), ("terminationMessagePolicy", Text("File"))];

const PROBE: Defaults = &[
    ("timeoutSeconds", Number(1)),
    ("periodSeconds", Number(10)),
    ("successThreshold", Number(1)),
    ("failureThreshold", Number(3)),
];

const HTTP_GET: Defaults = &[("path", Text("/")), ("scheme", Text("HTTP"))];
const GRPC: Defaults = &[("service", Text(""))];
const FIELD_REF: Defaults = &[("apiVersion", Text("v1"))];
/// Readable by everybody, writable by the owner: 0644.
const MODE: Defaults = &[("defaultMode", Number(0o644))];

/// Sources of volumes that have defaults of their own.
const VOLUMES: [(&str, Defaults); 9] = [
    ("hostPath", &[("type", Text(""))]),
    ("secret", MODE),
    ("configMap", MODE),
    ("downwardAPI", MODE),
    ("projected", MODE),
    ("iscsi", &[("iscsiInterface", Text("default"))]),
    ("rbd", &[("pool", Text("rbd")), ("user", Text("admin")), ("keyring", Text("/etc/ceph/keyring"))]),
    (
        "azureDisk",
        &[
            ("cachingMode", Text("ReadWrite")),
            ("fsType", Text("ext4")),
            ("readOnly", Flag(false)),
            ("kind", Text("Shared")),
        ],
    ),
    ("scaleIO", &[("storageMode", Text("ThinProvisioned")), ("fsType", Text("xfs"))]),
];

type Fields = Map<String, Value>;

/// Fills in what is left out.
pub(super) fn fill(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for list in ["initContainers", "containers"] {
        each(spec, list, requests_from_limits);
    }
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        for list in ["initContainers", "containers"] {
            each(spec, list, |container| each(container, "ports", host_port));
        }
    }
    defaults(spec, SPEC);
    each(spec, "volumes", volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list, container);
    }
}

fn defaults(fields: &mut Fields, defaults: Defaults) {
    for (name, literal) in defaults {
        if !fields.contains_key(*name) {
            let value = match literal {
                Text(text) => json!(text),
                Number(number) => json!(number),
                Flag(flag) => json!(flag),
                Object => json!({}),
            };
            fields.insert((*name).to_owned(), value);
        }
    }
}

fn each(fields: &mut Fields, list: &str, change: impl FnMut(&mut Fields)) {
    let items = fields.get_mut(list).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

/// A field that is an object.
fn child<'f>(fields: &'f mut Fields, name: &str) -> Option<&'f mut Fields> {
    fields.get_mut(name)?.as_object_mut()
}

fn requests_from_limits(container: &mut Fields) {
    let Some(resources) = child(container, "resources") else { return };
    let Some(limits) = child(resources, "limits").cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// On the host's network a container's port is the host's.
fn host_port(port: &mut Fields) {
    if let Some(number) = port.get("containerPort").filter(|port| **port != json!(0)).cloned() {
        port.entry("hostPort").or_insert(number);
    }
}

fn volume(volume: &mut Fields) {
    if volume.keys().all(|name| name == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for (source, of_source) in VOLUMES {
        if let Some(fields) = child(volume, source) {
            defaults(fields, of_source);
        }
    }
    if let Some(image) = child(volume, "image") {
        pull_policy(image, "reference", "pullPolicy");
    }
    let field_refs = |fields: &mut Fields| {
        each(fields, "items", |item| {
            if let Some(reference) = child(item, "fieldRef") {
                defaults(reference, FIELD_REF);
            }
        });
    };
    if let Some(downward) = child(volume, "downwardAPI") {
        field_refs(downward);
    }
    if let Some(projected) = child(volume, "projected") {
        each(projected, "sources", |source| {
            if let Some(downward) = child(source, "downwardAPI") {
                field_refs(downward);
            }
            if let Some(token) = child(source, "serviceAccountToken") {
                defaults(token, &[("expirationSeconds", Number(60 * 60))]);
            }
        });
    }
    let claim = child(volume, "ephemeral").and_then(|ephemeral| child(ephemeral, "volumeClaimTemplate"));
    if let Some(claim) = claim.and_then(|template| child(template, "spec")) {
        defaults(claim, &[("volumeMode", Text("Filesystem"))]);
    }
}

fn container(container: &mut Fields) {
    pull_policy(container, "image", "imagePullPolicy");
    defaults(container, CONTAINER);
    each(container, "ports", |port| defaults(port, &[("protocol", Text("TCP"))]));
    each(container, "env", |variable| {
        let Some(from) = child(variable, "valueFrom") else { return };
        if let Some(reference) = child(from, "fieldRef") {
            defaults(reference, FIELD_REF);
        }
        if let Some(reference) = child(from, "fileKeyRef") {
            defaults(reference, &[("optional", Flag(false))]);
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = child(container, name) {
            defaults(probe, PROBE);
            http_get(probe);
            if let Some(grpc) = child(probe, "grpc") {
                defaults(grpc, GRPC);
            }
        }
    }
    if let Some(lifecycle) = child(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = child(lifecycle, hook) {
                http_get(hook);
            }
        }
    }
}

fn http_get(handler: &mut Fields) {
    if let Some(action) = child(handler, "httpGet") {
        defaults(action, HTTP_GET);
    }
}

/// An image by the tag `latest`, or by none, is pulled always.
fn pull_policy(fields: &mut Fields, image: &str, policy: &str) {
    let image = fields.get(image).and_then(Value::as_str).unwrap_or_default();
    let value = if is_latest(image) { "Always" } else { "IfNotPresent" };
    fields.entry(policy).or_insert_with(|| json!(value));
}

/// Whether the API server reads it as a reference by the tag `latest`, which goes without saying unless there is a digest.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match name[last..].split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
        None => (name, None),
    };
    is_repository(repository) && tag.map_or(digest.is_none(), |tag| tag == "latest")
}

/// Whether it names a repository, with or without a registry before it. What does not has no tag either.
fn is_repository(name: &str) -> bool {
    let has_host =
        |host: &str| host.contains(['.', ':']) || host == "localhost" || host.contains(|c: char| c.is_uppercase());
    let path = match name.split_once('/') {
        Some((host, path)) if has_host(host) => path,
        _ => name,
    };
    let is_identifier = path.len() == 64 && path.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    !is_identifier && path.split('/').all(is_segment)
}

/// Lower case letters and digits, with a dot, one or two underscores or any number of dashes between them.
fn is_segment(segment: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separated = segment.split(is_alphanumeric).filter(|separator| !separator.is_empty());
    segment.starts_with(is_alphanumeric)
        && segment.ends_with(is_alphanumeric)
        && separated.into_iter().all(|s| [".", "_", "__"].contains(&s) || s.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::is_latest;

    #[test]
    fn latest_goes_without_saying() {
        let digest = format!("alpine@sha256:{}", "a".repeat(64));
        let cases = [
            ("alpine", true),
            ("alpine:latest", true),
            ("alpine:3", false),
            ("localhost:5000/a/b", true),
            ("Registry.example:5000/a__b/c---d:latest", true),
            ("registry.example/a:3", false),
            (digest.as_str(), false),
            ("", false),
            ("Alpine", false),
            ("a/B", false),
            ("a..b", false),
            ("-a", false),
            ("a___b", false),
            ("{{inputs.parameters.image}}", false),
            ("a b", false),
            ("a//b", false),
        ];
        for (image, expected) in cases {
            assert_eq!(is_latest(image), expected, "{image}");
        }
    }
}
