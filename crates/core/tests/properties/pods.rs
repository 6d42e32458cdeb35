//! Pods as an API server would admit them: bare ones, and what each kind of Argo's controllers makes, with fields, volumes,
//! mounts and variables that nobody expected.

use super::arbitrary::unknown;
use emissary_core::image::Platform;
use emissary_core::pod::{Layout, NamePatterns, Options, Profile};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

const IMAGES: [&str; 6] = ["both", "entrypoint-only", "cmd-only", "empty", "slow", "docker.io/library/both:latest"];
const VARIABLES: [&str; 7] = [
    "A",
    "B",
    "ARGO_CONTAINER_NAME",
    "ARGO_TEMPLATE",
    "ARGO_KUBELET_HOST",
    "ARGO_CONTAINER_RUNTIME_EXECUTOR",
    "ARGO_TERMINATION_GRACE_PERIOD_SECONDS",
];
/// Of mounts; each stands for a volume of its own choice.
const PATHS: [&str; 9] = [
    "/data",
    "/data/",
    "/tmp",
    "/var/run/argo",
    "/argo-bin",
    "/var/run/docker.sock",
    "relative",
    "/relative",
    "/var/run/secrets/kubernetes.io/serviceaccount",
];
const USERS_VOLUMES: [&str; 6] =
    ["data", "docker-sock", "var-run-argo", "tmp-dir-argo", "argoexec-bin", "kube-api-access-x"];

/// What made the pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Made {
    Bare,
    V31(&'static str),
    V33(&'static str),
    V35,
    Supervisor,
}

fn with(mut value: Value, more: Map<String, Value>) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.extend(more);
    }
    value
}

fn present<T: std::fmt::Debug + Clone>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(inner)
}

fn source() -> impl Strategy<Value = Value> {
    let sources = [
        json!({"emptyDir": {}}),
        json!({"emptyDir": {"medium": "Memory"}}),
        json!({"persistentVolumeClaim": {"claimName": "c"}}),
        json!({"hostPath": {"path": "/x"}}),
        json!({"image": {"reference": "i"}}),
        json!({"fromTheFuture": {}}),
    ];
    // Mostly what is compatible, or nothing would ever get through.
    prop_oneof![3 => Just(sources[0].clone()), 1 => select(sources.to_vec())]
}

fn users_volumes() -> impl Strategy<Value = Vec<Value>> {
    let volume = |name: &'static str| {
        (source(), unknown()).prop_map(move |(source, more)| {
            let Value::Object(source) = source else { unreachable!() };
            with(with(json!({"name": name}), source), more)
        })
    };
    subsequence(USERS_VOLUMES.to_vec(), 0..3)
        .prop_flat_map(move |names| names.into_iter().map(volume).collect::<Vec<_>>())
}

fn environment() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        3 => select(vec![json!({"value": "v"}), json!({}), json!({"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}})]),
        1 => Just(json!({"value": null})),
    ];
    let variable = (select(&VARIABLES[..]), value, unknown()).prop_map(|(name, value, more)| {
        let Value::Object(value) = value else { unreachable!() };
        with(with(json!({"name": name}), value), more)
    });
    vec(variable, 0..4).prop_map(Value::from)
}

fn mounts(volumes: Vec<String>) -> impl Strategy<Value = Value> {
    let count = if volumes.is_empty() { 0 } else { 4 };
    let volumes = if volumes.is_empty() { vec![String::new()] } else { volumes };
    let more = vec(
        (select(volumes), unknown(), select(vec![json!({}), json!({"readOnly": true}), json!({"subPath": "s"})])),
        count,
    );
    (subsequence(PATHS.to_vec(), 0..=count), more).prop_map(|(paths, more)| {
        let mount = |(path, (volume, unknown, own)): (&str, (String, Map<String, Value>, Value))| {
            let Value::Object(own) = own else { unreachable!() };
            with(with(json!({"name": volume, "mountPath": path}), own), unknown)
        };
        paths.into_iter().zip(more).map(mount).collect()
    })
}

/// A container of the user's.
fn container(name: String, volumes: Vec<String>) -> impl Strategy<Value = Value> {
    let words = || {
        prop_oneof![
            Just(Value::Null),
            Just(json!([])),
            vec("[a-z$({})\"\\\\é -]{1,4}", 1..3).prop_map(|words| json!(words))
        ]
    };
    let context =
        select(vec![json!({}), json!({"runAsUser": 0}), json!({"privileged": true, "capabilities": {"add": ["X"]}})]);
    (
        select(&IMAGES[..]),
        present(words()),
        present(words()),
        present(environment()),
        present(mounts(volumes)),
        present(context),
        unknown(),
    )
        .prop_map(move |(image, command, args, env, mounts, context, more)| {
            let mut container = Map::from_iter([("name".to_owned(), json!(name)), ("image".to_owned(), json!(image))]);
            let fields = [
                ("command", command),
                ("args", args),
                ("env", env),
                ("volumeMounts", mounts),
                ("securityContext", context),
            ];
            container.extend(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
            with(Value::Object(container), more)
        })
}

/// The executor's own container.
fn own(verb: &str, made: Made, template: &str) -> Value {
    let (image, flags) = match made {
        Made::V31(_) => ("quay.io/argoproj/argoexec:v3.1.15", vec!["--loglevel", "info"]),
        Made::V33(_) => ("quay.io/argoproj/argoexec:v3.3.10", vec!["--loglevel", "info"]),
        _ => ("quay.io/argoproj/argoexec:v3.5.15", vec!["--loglevel", "info", "--log-format", "text"]),
    };
    let mut env = vec![json!({"name": "ARGO_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})];
    let mut mounts = Vec::new();
    let executor = match made {
        Made::V31(executor) | Made::V33(executor) => Some(executor),
        _ => None,
    };
    match executor {
        Some("") => env.push(json!({"name": "ARGO_CONTAINER_RUNTIME_EXECUTOR"})),
        Some(name) => env.push(json!({"name": "ARGO_CONTAINER_RUNTIME_EXECUTOR", "value": name})),
        None => {}
    }
    if executor == Some("kubelet") {
        env.push(json!({"name": "ARGO_KUBELET_PORT", "value": "10250"}));
    }
    env.push(json!({"name": "ARGO_CONTAINER_NAME", "value": verb}));
    let has_template = match made {
        Made::V31(_) => false,
        Made::V33(_) => true,
        _ => verb != "wait",
    };
    if has_template {
        env.push(json!({"name": "ARGO_TEMPLATE", "value": template}));
    }
    if !matches!(made, Made::V31(executor) if executor != "emissary") {
        mounts.push(json!({"name": "var-run-argo", "mountPath": "/var/run/argo"}));
    }
    if matches!(executor, Some("docker" | "")) && verb == "wait" {
        mounts.push(json!({"name": "docker-sock", "mountPath": "/var/run/docker.sock", "readOnly": true}));
    }
    let command: Vec<&str> = ["argoexec", verb].into_iter().chain(flags).collect();
    let mut own = json!({"name": verb, "image": image, "command": command, "env": env, "volumeMounts": mounts});
    if executor == Some("pns") && verb == "wait" {
        own["securityContext"] = json!({"capabilities": {"add": ["SYS_PTRACE", "SYS_CHROOT"]}});
    }
    own
}

fn made() -> impl Strategy<Value = Made> {
    let legacy = || select(vec!["docker", "kubelet", "k8sapi", "pns", "emissary", ""]);
    prop_oneof![
        3 => Just(Made::Bare),
        2 => legacy().prop_map(Made::V31),
        2 => legacy().prop_map(Made::V33),
        1 => Just(Made::V35),
        1 => Just(Made::Supervisor),
    ]
}

/// A pod with the label of a Workflow.
pub(crate) fn pod() -> impl Strategy<Value = Value> {
    (made(), users_volumes(), 0_u8..8).prop_flat_map(|(made, volumes, reserved)| {
        let named: Vec<String> = volumes.iter().map(|volume| volume["name"].as_str().unwrap().to_owned()).collect();
        // What others inject, and seldom what Argo reserves.
        let (mut names, mut init_names) = (vec!["main", "a", "b", "istio-proxy"], vec!["prepare", "proxy"]);
        if made == Made::Bare {
            names.push("artifact-plugin-x");
        }
        if reserved == 0 {
            names.extend(["init", "wait", "supervisor"].into_iter().take(if made == Made::Bare { 3 } else { 1 }));
            init_names.extend(["init", "wait", "supervisor"]);
        }
        let all = subsequence(names, 1..4).prop_shuffle();
        let containers = {
            let named = named.clone();
            all.prop_flat_map(move |names| {
                names.into_iter().map(|name| container(name.to_owned(), named.clone())).collect::<Vec<_>>()
            })
        };
        let init = subsequence(init_names, 0..2).prop_flat_map(move |names| {
            names.into_iter().map(|name| container(name.to_owned(), named.clone())).collect::<Vec<_>>()
        });
        let more = (unknown(), unknown(), unknown(), any::<bool>(), any::<bool>(), 0_u8..10);
        (Just(made), Just(volumes), containers, init, more).prop_map(assemble)
    })
}

type Unknown = (Map<String, Value>, Map<String, Value>, Map<String, Value>, bool, bool, u8);

fn assemble(
    (made, mut volumes, mut containers, mut init, more): (Made, Vec<Value>, Vec<Value>, Vec<Value>, Unknown),
) -> Value {
    let (on_pod, on_metadata, on_spec, has_annotations, has_init, policy) = more;
    let taken: Vec<Value> = containers.iter().map(|container| container["name"].clone()).collect();
    init.retain(|container| !taken.contains(&container["name"]));
    for container in &mut init {
        if container["name"] == "proxy" {
            container["restartPolicy"] = json!("Always");
        }
    }
    // Among the containers of a pod of Argo's, istio-proxy came from elsewhere.
    let of_template: Vec<Value> = containers
        .iter()
        .filter(|container| container["name"] != "istio-proxy")
        .map(|container| json!({"name": container["name"]}))
        .collect();
    let template = json!({"name": "t", "containerSet": {"containers": of_template}}).to_string();
    let mut annotations = json!({});
    if made != Made::Bare {
        let of_argo = ["var-run-argo", "tmp-dir-argo", "argoexec-bin", "docker-sock"];
        volumes.retain(|volume| !of_argo.contains(&volume["name"].as_str().unwrap()));
        let gone = |mount: &Value| of_argo.contains(&mount["name"].as_str().unwrap());
        let reserved = ["/var/run/argo", "/argo-bin", "/tmp", "/var/run/docker.sock"];
        for container in containers.iter_mut().chain(&mut init) {
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.retain(|mount| !gone(mount) && !reserved.contains(&mount["mountPath"].as_str().unwrap()));
            }
        }
        let shared = match made {
            Made::V31(executor) => executor == "emissary",
            _ => true,
        };
        if shared {
            volumes.push(json!({"name": "var-run-argo", "emptyDir": {}}));
            for container in containers.iter_mut().filter(|container| container["name"] != "istio-proxy") {
                let mount = json!({"name": "var-run-argo", "mountPath": "/var/run/argo"});
                match container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                    Some(mounts) => mounts.push(mount),
                    None => container["volumeMounts"] = json!([mount]),
                }
            }
        }
        if matches!(made, Made::V31("docker" | "") | Made::V33("docker" | "")) {
            volumes.push(json!({"name": "docker-sock", "hostPath": {"path": "/any/where.sock"}}));
        }
        let supervised = made == Made::Supervisor;
        if supervised {
            volumes.push(json!({"name": "argoexec-bin", "image": {"reference": "i"}}));
        }
        containers.insert(0, own(if supervised { "supervisor" } else { "wait" }, made, &template));
        init.retain(|container| !["wait", "supervisor"].contains(&container["name"].as_str().unwrap()));
        let is_free = !containers.iter().chain(&init).any(|container| container["name"] == "init");
        let must = matches!(made, Made::V31("emissary") | Made::V33("emissary") | Made::V35);
        if (must || has_init) && is_free && !supervised {
            init.push(own("init", made, &template));
        }
        if matches!(made, Made::V31(_)) {
            annotations["workflows.argoproj.io/template"] = json!(template);
        }
    }
    let mut metadata = json!({"name": "p", "labels": {"workflows.argoproj.io/workflow": "p"}});
    if has_annotations || matches!(made, Made::V31(_)) {
        annotations["example.com/a~b"] = json!("c");
        metadata["annotations"] = annotations;
    }
    let mut spec = json!({"containers": containers, "restartPolicy": if policy == 0 { "OnFailure" } else { "Never" }});
    if !init.is_empty() || has_annotations {
        spec["initContainers"] = json!(init);
    }
    if !volumes.is_empty() || has_init {
        spec["volumes"] = json!(volumes);
    }
    if matches!(made, Made::V31("pns") | Made::V33("pns")) {
        spec["shareProcessNamespace"] = json!(true);
    }
    if policy > 7 {
        spec["terminationGracePeriodSeconds"] = json!(30);
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": with(metadata, on_metadata), "spec": with(spec, on_spec)});
    with(pod, on_pod)
}

/// What an operator chose; short where it is printed, unlike what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    profile: Profile,
    layout: Layout,
    harden: bool,
    after_proxies: bool,
    wrap_istio: bool,
    arm_too: bool,
    stamp: bool,
}

impl Chosen {
    pub(crate) fn options(&self) -> Options {
        let Self { profile, layout, harden, after_proxies, wrap_istio, arm_too, stamp } = *self;
        let architectures = if arm_too { &["amd64", "arm64"][..] } else { &["amd64"] };
        Options {
            profile,
            layout,
            harden_argo_containers: harden,
            init_after_proxies: after_proxies,
            injected_sidecars: NamePatterns::new(["istio-*"]).unwrap(),
            wrap: NamePatterns::new(wrap_istio.then_some("istio-proxy")).unwrap(),
            stamp: if stamp { "v1 x".to_owned() } else { String::new() },
            platforms: architectures.iter().map(|architecture| Platform::new("linux", architecture, None)).collect(),
            ..Options::default()
        }
    }
}

pub(crate) fn options() -> impl Strategy<Value = Chosen> {
    let profiles = vec![Profile::PssRestricted, Profile::PspLegacy, Profile::Openshift, Profile::None];
    let layouts = vec![Layout::Init, Layout::Supervisor];
    (select(profiles), select(layouts), any::<[bool; 5]>()).prop_map(
        |(profile, layout, [harden, after_proxies, wrap_istio, arm_too, stamp])| Chosen {
            profile,
            layout,
            harden,
            after_proxies,
            wrap_istio,
            arm_too,
            stamp,
        },
    )
}
