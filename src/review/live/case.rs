use crate::manifest::{Document, Place, Problem};
use crate::review::candidate::{Asker, Candidate, Input};
use crate::review::judge::of_outcome;
use crate::review::start;
use crate::review::verdict::Judgement;
use emissary_core::image::ImageProcess;
use emissary_core::outcome::Outcome;
use emissary_policy::{Namespace, User};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the document calls itself in which a case is written down.
pub(super) const API_VERSION: &str = "emissary-webhook.io/v1alpha1";
/// See [`API_VERSION`].
pub(super) const KIND: &str = "ReviewedAdmission";

/// An admission of a pod as it was seen: the request, what the webhook made of the pod, and what it knew. All that is needed to
/// judge it once more, whatever has changed since.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// The pod as admission saw it.
    pub(super) candidate: Candidate,
    /// What enforcing makes of it.
    pub(super) made: Made,
    /// As whom images run that name no user themselves, as far as an index or a registry had said it.
    pub(super) users: BTreeMap<String, Option<String>>,
}

/// What enforcing makes of a pod.
#[derive(Debug, Clone)]
pub(super) enum Made {
    /// Nothing.
    Unchanged,
    /// This.
    Rewritten(Value),
    /// It refuses the pod, or cannot say what it would make of it.
    Refused(Box<Judgement>),
}

/// What an admission has besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The labels of the pod's namespace; none where they are not known.
    pub namespace_labels: &'a [(String, String)],
    /// What enforcing would do.
    pub outcome: &'a Outcome,
}

/// How a case is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    api_version: String,
    kind: String,
    /// The AdmissionReview.
    review: Value,
    /// The Namespace, as far as it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Map<String, Value>>,
    /// The pod that enforcing makes; absent where it leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewritten: Option<Value>,
    /// Why it makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
    #[serde(default)]
    users: BTreeMap<String, Option<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    why: String,
    is_transient: bool,
}

impl Case {
    /// Reads the body of an admission. `user` says as whom an image runs, if that is known.
    ///
    /// # Errors
    /// A [`Problem`] where it is no AdmissionReview of a pod.
    pub(super) fn of(
        body: &[u8],
        around: Around<'_>,
        user: impl Fn(&str) -> Option<ImageProcess>,
    ) -> Result<Self, Problem> {
        let place = Place::whole("admission");
        let review = serde_json::from_slice(body).map_err(|error| Problem::new(place.clone(), error.to_string()))?;
        let namespace = (!around.namespace_labels.is_empty()).then(|| namespace(&review, around.namespace_labels));
        let candidate = candidate(review, namespace, place.clone())?;
        let made = match around.outcome {
            Outcome::Rewrite(edits, _) => {
                let mut pod = candidate.object.clone();
                edits.apply(&mut pod).map_err(|error| Problem::new(place, error.to_string()))?;
                Made::Rewritten(pod)
            }
            outcome => of_outcome(outcome).map_or(Made::Unchanged, |judgement| Made::Refused(Box::new(judgement))),
        };
        let rewritten = match &made {
            Made::Rewritten(pod) => Some(pod),
            Made::Unchanged | Made::Refused(_) => None,
        };
        let images = start::images(&candidate.object).into_iter().chain(rewritten.into_iter().flat_map(start::images));
        let users = images.filter_map(|image| Some((image.to_owned(), user(image)?.user))).collect();
        Ok(Self { candidate, made, users })
    }

    /// As a JSON document.
    pub(super) fn to_json(&self) -> Value {
        let Self { candidate, made, users } = self;
        let request = candidate.request(candidate.object.clone());
        let mut review = request.to_json();
        if let Some(request) = review.as_object_mut() {
            request.retain(|_, value| !value.is_null());
        }
        let title = candidate.title.strip_prefix("pod/").filter(|name| !name.ends_with('…')).unwrap_or_default();
        if !title.is_empty() {
            review["name"] = Value::from(title);
        }
        let written = Written {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            review: json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": review}),
            namespace: candidate.namespace_object.as_ref().map(|namespace| namespace.object.clone()),
            rewritten: match made {
                Made::Rewritten(pod) => Some(pod.clone()),
                Made::Unchanged | Made::Refused(_) => None,
            },
            refused: match made {
                Made::Refused(judgement) => Some(Refused {
                    why: judgement.message.clone(),
                    is_transient: judgement.verdict == crate::review::Verdict::Unknown,
                }),
                Made::Unchanged | Made::Rewritten(_) => None,
            },
            users: users.clone(),
        };
        // Strings and maps with string keys: nothing of it can fail to be written.
        serde_json::to_value(written).unwrap_or_default()
    }

    /// Reads such a document.
    ///
    /// # Errors
    /// A [`Problem`].
    pub(super) fn parse(document: Value, place: Place) -> Result<Self, Problem> {
        let wrong = |text: String| Problem::new(place.clone(), text);
        let written: Written = serde_json::from_value(document).map_err(|error| wrong(error.to_string()))?;
        if written.api_version != API_VERSION || written.kind != KIND {
            return Err(wrong(format!(
                "it is {} of {}, and not {KIND} of {API_VERSION} as a webhook records it",
                written.kind, written.api_version
            )));
        }
        let candidate = candidate(written.review, written.namespace, place.clone())?;
        let made = match (written.rewritten, written.refused) {
            (Some(pod), _) => Made::Rewritten(pod),
            (None, Some(Refused { why, is_transient })) => {
                Made::Refused(Box::new(crate::review::judge::refusal(why, is_transient)))
            }
            (None, None) => Made::Unchanged,
        };
        Ok(Self { candidate, made, users: written.users })
    }
}

/// The namespace of a request, as far as it is known.
fn namespace(review: &Value, labels: &[(String, String)]) -> Map<String, Value> {
    let name = review.pointer("/request/namespace").cloned().unwrap_or_default();
    let labels: Map<String, Value> =
        labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    namespace.as_object().cloned().unwrap_or_default()
}

fn candidate(review: Value, namespace: Option<Map<String, Value>>, place: Place) -> Result<Candidate, Problem> {
    let name = review.pointer("/request/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespaces = namespace.map(|object| (name, Arc::new(Namespace { object }))).into_iter().collect();
    let nobody = Asker { user: User::default(), namespace: String::new() };
    let document = Document { place: place.clone(), number: 1, item: None, value: review };
    match Input::of(document, &nobody, &namespaces)? {
        Input::Pod(candidate) => Ok(*candidate),
        _ => Err(Problem::new(place, "it has no AdmissionReview of a pod")),
    }
}
