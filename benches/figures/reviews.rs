//! Admission reviews to measure with: pods as Argo 3.2 makes them for docker, of any size, the same on every machine.

use serde_json::{Value, json};

/// What a pod asks of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The main container has a command: wrap it and put emissary on.
    Wrap,
    /// It has none: the image's is found first.
    LookUp,
    /// The same, and nothing of Argo's is there yet: the pod asks for everything by our label.
    Bare,
    /// A pod of somebody else's.
    Nothing,
}

impl Ask {
    /// Whether Argo's controller made the pod.
    fn is_argos(self) -> bool {
        matches!(self, Self::Wrap | Self::LookUp)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wrap => "command set",
            Self::LookUp => "look-up",
            Self::Bare => "look-up, bare pod",
            Self::Nothing => "nothing to do",
        }
    }
}

/// How large a review is, in bytes of compact JSON, or by its variables. Argo's own share is 3 to 4 KB.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    Bytes(usize),
    Variables(usize),
}

/// One review and the number of the main container's own variables, which are all that grows.
pub(crate) fn review(ask: Ask, size: Size, image: &str) -> (Vec<u8>, usize) {
    let written = |variables| review_of(ask, variables, image).to_string().into_bytes();
    let variables = match size {
        Size::Variables(variables) => variables,
        Size::Bytes(bytes) => {
            let fixed = written(0).len();
            let each = (written(200).len() - written(100).len()) / 100;
            bytes.saturating_sub(fixed) / each
        }
    };
    (written(variables), variables)
}

fn review_of(ask: Ask, variables: usize, image: &str) -> Value {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "steps-1234",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:argo:argo",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": pod(ask, variables, image),
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn pod(ask: Ask, variables: usize, image: &str) -> Value {
    let mut metadata = json!({"name": "steps-1234", "namespace": "default", "creationTimestamp": null});
    let mut volumes = vec![json!({
        "name": TOKEN,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ],
        },
    })];
    let mut containers = vec![main(ask, variables, image)];
    if ask == Ask::Bare {
        metadata["labels"] = json!({"emissary-webhook.io/inject": "true"});
    }
    if ask.is_argos() {
        metadata["labels"] =
            json!({"workflows.argoproj.io/workflow": "steps", "workflows.argoproj.io/completed": "false"});
        metadata["annotations"] = json!({
            "workflows.argoproj.io/node-name": "steps[0].step",
            "kubectl.kubernetes.io/default-container": "main",
        });
        metadata["ownerReferences"] = json!([{
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": "steps",
            "uid": "3c1f7a52-0000-4000-8000-000000000001",
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        volumes.insert(0, json!({"name": "var-run-argo", "emptyDir": {}}));
        volumes
            .insert(1, json!({"name": "docker-sock", "hostPath": {"path": "/var/run/docker.sock", "type": "Socket"}}));
        containers.insert(0, wait(image));
    }
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "volumes": volumes,
            "containers": containers,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}

const TOKEN: &str = "kube-api-access-x7k2p";

fn token() -> Value {
    json!({"name": TOKEN, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"})
}

fn shared() -> Value {
    json!({"name": "var-run-argo", "mountPath": "/var/run/argo"})
}

fn template(image: &str) -> Value {
    let template = json!({
        "name": "step",
        "inputs": {},
        "outputs": {},
        "metadata": {},
        "container": {"name": "", "image": image, "args": ["--epochs", "3"], "resources": {}},
    });
    json!({"name": "ARGO_TEMPLATE", "value": template.to_string()})
}

/// The variables that Argo gives to each of its and the user's containers.
fn common(container: &str) -> Vec<Value> {
    vec![
        json!({"name": "ARGO_CONTAINER_NAME", "value": container}),
        json!({"name": "ARGO_INCLUDE_SCRIPT_OUTPUT", "value": "false"}),
        json!({"name": "ARGO_DEADLINE", "value": "0001-01-01T00:00:00Z"}),
    ]
}

fn wait(image: &str) -> Value {
    let mut env = vec![
        json!({"name": "ARGO_POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}),
        json!({"name": "ARGO_CONTAINER_RUNTIME_EXECUTOR", "value": "docker"}),
        json!({"name": "ARGO_WORKFLOW_NAME", "value": "steps"}),
        template(image),
    ];
    env.extend(common("wait"));
    json!({
        "name": "wait",
        "image": "quay.io/argoproj/argoexec:v3.2.11",
        "command": ["argoexec", "wait", "--loglevel", "info"],
        "env": env,
        "resources": {},
        "volumeMounts": [
            {"name": "docker-sock", "readOnly": true, "mountPath": "/var/run/docker.sock"},
            shared(),
            token(),
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    })
}

fn main(ask: Ask, variables: usize, image: &str) -> Value {
    let own = |n| json!({"name": format!("SETTING_{n:04}"), "value": format!("value-{n:04}-abcdefgh")});
    let mut env: Vec<Value> = (0..variables).map(own).collect();
    let mut mounts = vec![token()];
    if ask.is_argos() {
        env.extend(common("main"));
        env.push(template(image));
        mounts.insert(0, shared());
    }
    let mut main = json!({
        "name": "main",
        "image": image,
        "args": ["--epochs", "3"],
        "env": env,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": mounts,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    });
    if matches!(ask, Ask::Wrap | Ask::Nothing) {
        main["command"] = json!(["python", "-m", "app"]);
    }
    main
}
