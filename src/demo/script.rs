use super::Expected;

/// One review to post, and what is to come of it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What there is to see, in a line.
    pub title: &'static str,
    /// Where the review is, from the repository's root.
    pub file: &'static str,
    /// The review.
    pub review: &'static str,
    /// What of it is posted.
    pub object: Object,
    /// What comes back.
    pub expected: Expected,
}

/// What of a review is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The review as it is in its file.
    AsFiled,
    /// With the object that an earlier step of the same file made of it.
    AsRewritten,
}

/// The review in a file of `examples/reviews`.
macro_rules! review {
    ($name:literal) => {
        (concat!("examples/reviews/", $name), include_str!(concat!("../../examples/reviews/", $name)))
    };
}

const fn step(
    title: &'static str,
    (file, review): (&'static str, &'static str),
    object: Object,
    expected: Expected,
) -> Step {
    Step { title, file, review, object, expected }
}

const BARE: (&str, &str) = review!("01-bare-pod.json");

/// The demo, in order: later steps find what earlier ones left in the cache.
pub const STEPS: &[Step] = &[
    step(
        "A bare pod that asks for it by a label; its image has ENTRYPOINT and CMD, and two platforms",
        BARE,
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            // The index, the manifest of linux/amd64, its configuration.
            requests: 3,
            commands: &[
                r#"main: registry.example.com/shop/report:1.4 runs ["/usr/bin/report","--format","text"] (registry, linux/amd64, sha256:"#,
            ],
            says: "",
        },
    ),
    step(
        "A pod of Argo 3.3 for the docker executor; the image has ENTRYPOINT only, the pod has args",
        review!("02-argo-3.3-docker.json"),
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            // No index.
            requests: 2,
            commands: &[
                r#"main: registry.example.com/shop/convert:2.0 runs ["/bin/convert","--strict","--from","csv","--to","parquet"] (registry, "#,
            ],
            says: "",
        },
    ),
    step(
        "A pod of Argo 3.3 for pns; main has a command, the sidecar has none, and its image a CMD in shell form",
        review!("03-argo-3.3-pns-sidecar.json"),
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            requests: 2,
            // $$ is how a pod says $ to the kubelet.
            commands: &[
                r#"upload: registry.example.com/shop/upload:5 runs ["/bin/sh","-c","exec upload --from $$(hostname) --port 8080"] (registry, "#,
            ],
            says: "",
        },
    ),
    step(
        "A script of Argo 3.1 for the kubelet executor, on arm64, where the image has another ENTRYPOINT",
        review!("04-argo-3.1-kubelet-script.json"),
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            requests: 3,
            commands: &[
                r#"main: registry.example.com/shop/python:3.12 runs ["/opt/arm64/bin/python3","/argo/staging/script"] (registry, linux/arm64, "#,
            ],
            says: "",
        },
    ),
    step(
        "A pod of Argo 3.1 for k8sapi; its image is private",
        review!("05-argo-3.1-k8sapi-private.json"),
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            // A refusal, a token, the manifest, its configuration.
            requests: 4,
            commands: &[
                r#"main: registry.example.com/finance/ledger:3 runs ["/ledger","close","--month"] (registry, "#,
            ],
            says: "",
        },
    ),
    step(
        "A pod whose image is not there: denied, since it could not run",
        review!("06-image-not-there.json"),
        Object::AsFiled,
        Expected {
            answer: "denied",
            requests: 1,
            commands: &[],
            says: "container main has no command, and image registry.example.com/shop/imports:1.0 could not be looked \
                   up: the registry has no such image",
        },
    ),
    step(
        "A Workflow: commands are filled before Argo would look for them; a template whose image has a parameter stays",
        review!("07-workflow.json"),
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            // For web; report is in the cache.
            requests: 3,
            commands: &[
                r#"report/main: registry.example.com/shop/report:1.4 runs ["/usr/bin/report","--format","html"] (registry, "#,
                r#"serve/main: registry.example.com/shop/web:7 runs ["nginx","-g","daemon off;"] (registry, "#,
            ],
            says: "template compare, container main: no command filled",
        },
    ),
    step(
        "Argo's own agent: it runs no template",
        review!("08-agent.json"),
        Object::AsFiled,
        Expected { answer: "left alone", requests: 0, commands: &[], says: "" },
    ),
    step(
        "The first pod as it was rewritten: there is nothing left to do",
        BARE,
        Object::AsRewritten,
        Expected { answer: "unchanged", requests: 0, commands: &[], says: "" },
    ),
    step(
        "The first pod once more: its image's tag is still fresh in the cache",
        BARE,
        Object::AsFiled,
        Expected {
            answer: "rewritten",
            requests: 0,
            commands: &[
                r#"main: registry.example.com/shop/report:1.4 runs ["/usr/bin/report","--format","text"] (registry, linux/amd64, sha256:"#,
            ],
            says: "",
        },
    ),
];
