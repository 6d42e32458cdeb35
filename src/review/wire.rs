//! What a review and the processes that judge for it say to each other: a JSON value a line.

use super::bounds::Bounds;
use super::candidate::Candidate;
use super::policies::{Assumed, Refusal};
use super::verdict::{Judgement, Stage, Verdict};
use crate::manifest::Place;
use emissary_policy::rego::Rule;
use emissary_policy::{Engine, Namespace, Operation, User};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The first line: what to judge by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Charge {
    /// Files, no folders.
    pub(super) files: Vec<PathBuf>,
    pub(super) assumed: Assumed,
    /// Programs that are not to be run: `engine policy`.
    pub(super) without: Vec<String>,
    /// Whether to say what is done before it is done, so that whoever listens knows at what it ended.
    pub(super) announces: bool,
    /// Bytes of address space.
    pub(super) memory: u64,
    /// Whether whoever asks has better things to do with a processor.
    pub(super) gives_way: bool,
}

/// A question about a pod.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) about: About,
    /// Which programs are asked, each an `engine policy`; all without it. What is no program is asked anyway.
    pub(super) programs: Option<Vec<String>>,
    namespace: String,
    namespace_object: Option<Map<String, Value>>,
    bounds: Vec<Value>,
    operation: String,
    sub_resource: String,
    user: String,
    uid: String,
    groups: Vec<String>,
    dry_run: bool,
    is_defaulted: bool,
    object: Value,
    old_object: Value,
}

/// Which.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum About {
    /// The pod as it was sent.
    Before,
    /// The pod after the webhooks, which have rewritten it or not.
    After(bool),
}

/// What is said back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// All is loaded.
    Ready(Ready),
    /// The policies cannot be loaded, as everybody would say.
    Refused(String),
    /// This file, or this program, is next.
    Next(String),
    /// The answer: the pod, if it got so far, and what is said of it. A list, since a deleted pod is null and is there.
    Said(Vec<Value>, Vec<Line>),
}

/// What a review has to know of the policies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ready {
    /// Whether there is nothing that judges.
    pub is_empty: bool,
    /// Whether some policy can read by which name a pod goes.
    pub reads_identity: bool,
    /// Whether some constraint names pods where their namespace is not known.
    pub selects_namespaces: bool,
    /// What a cluster would not have taken.
    pub refusals: Vec<Refusal>,
    /// The namespaces that are known from the start.
    pub namespaces: BTreeMap<String, Map<String, Value>>,
    /// Whether there are policies that are programs, or others that this process alone can judge by.
    pub has_programs: bool,
    /// What judges without programs, for who wants to do that itself.
    pub native: Vec<Value>,
    /// LimitRanges and ResourceQuotas.
    pub bounds: Vec<Value>,
    /// The rules of Rego without a framework, for another OPA to be asked.
    pub rules: Vec<Rule>,
}

/// A judgement.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    stage: Stage,
    engine: String,
    policy: String,
    verdict: Verdict,
    message: String,
}

const ENGINES: [Engine; 8] = [
    Engine::Pss,
    Engine::Psp,
    Engine::Vap,
    Engine::Gatekeeper,
    Engine::Rego,
    Engine::Kyverno,
    Engine::LimitRange,
    Engine::ResourceQuota,
];

impl Line {
    pub(super) fn of(judgement: Judgement) -> Self {
        let Judgement { stage, engine, policy, verdict, message, blame: _, causes: _ } = judgement;
        Self { stage, engine: engine.to_owned(), policy, verdict, message }
    }

    pub(super) fn judgement(self) -> Judgement {
        let Self { stage, engine, policy, verdict, message } = self;
        let known = ENGINES.into_iter().map(Engine::as_str).find(|name| *name == engine);
        Judgement::new(stage, known.unwrap_or("unknown"), policy, verdict, message)
    }
}

impl Question {
    pub(super) fn new(about: About, candidate: &Candidate, pod: &Value, programs: Option<&[String]>) -> Self {
        Self {
            about,
            programs: programs.map(<[String]>::to_vec),
            namespace: candidate.namespace.clone(),
            namespace_object: candidate.namespace_object.as_ref().map(|namespace| namespace.object.clone()),
            bounds: candidate.bounds.as_ref().map(|bounds| bounds.documents.clone()).unwrap_or_default(),
            operation: candidate.operation.as_str().to_owned(),
            sub_resource: candidate.sub_resource.clone(),
            user: candidate.user.name.clone(),
            uid: candidate.user.uid.clone(),
            groups: candidate.user.groups.clone(),
            dry_run: candidate.dry_run,
            is_defaulted: candidate.is_defaulted,
            object: pod.clone(),
            old_object: candidate.old_object.clone(),
        }
    }

    pub(super) fn candidate(self) -> (About, Option<Vec<String>>, Candidate) {
        let operation = match self.operation.as_str() {
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            _ => Operation::Create,
        };
        let candidate = Candidate {
            title: String::new(),
            place: Place::whole(""),
            namespace: self.namespace,
            namespace_object: self.namespace_object.map(|object| Arc::new(Namespace { object })),
            bounds: Bounds::stored(self.bounds),
            operation,
            sub_resource: self.sub_resource,
            object: self.object,
            old_object: self.old_object,
            user: User { name: self.user, uid: self.uid, groups: self.groups },
            dry_run: self.dry_run,
            is_defaulted: self.is_defaulted,
            rendered: None,
        };
        (self.about, self.programs, candidate)
    }
}
