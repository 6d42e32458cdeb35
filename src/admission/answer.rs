use super::{message, review};
use crate::mutation::Unreadable;
use crate::review::Row;
use crate::settings::Mode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use emissary_core::outcome::{Outcome, Skip};
use serde::Serialize;
use std::collections::BTreeMap;

/// The outcome's word where there is no [`Outcome`].
const DENIAL: &str = "denial";

/// An `AdmissionReview` with its response, ready to be written.
///
/// Our own type: the API's `patch` is Base64 text, and a response to an allowed object has no status.
#[derive(Debug)]
pub struct Response {
    body: Body,
    mode: Mode,
    word: &'static str,
    skip: Option<Skip>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: &'a Body,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// `metav1.Status` of a denial.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: String,
}

impl Status {
    /// What may pass later. No `retryAfterSeconds`: clients would wait it out inside one request.
    pub(super) fn unavailable(message: String) -> Self {
        Self { status: "Failure", code: 503, reason: "ServiceUnavailable", message }
    }

    /// What somebody must mend.
    fn invalid(message: String) -> Self {
        Self { status: "Failure", code: 422, reason: "Invalid", message }
    }

    fn bad_request(message: String) -> Self {
        Self { status: "Failure", code: 400, reason: "BadRequest", message }
    }
}

impl Response {
    /// An outcome under a mode.
    pub(super) fn of(uid: &str, mode: Mode, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Denial(denial) if mode == Mode::Enforce => {
                let message = format!("emissary-webhook: {denial}");
                let status =
                    if denial.is_transient() { Status::unavailable(message) } else { Status::invalid(message) };
                let outcome = Outcome::Denial(denial);
                let mut response = Self::denied(uid, status);
                response.body.audit_annotations = message::audit(mode.name(), &outcome);
                response.mode = mode;
                response
            }
            outcome => Self::allowed(uid, mode, outcome),
        }
    }

    /// An object that is admitted.
    pub(super) fn allowed(uid: &str, mode: Mode, outcome: Outcome) -> Self {
        let mut body = Body { uid: uid.to_owned(), allowed: true, ..Body::default() };
        if let Some(findings) = outcome.findings() {
            body.warnings = message::warnings(findings);
        }
        // Most of what a cluster creates is none of ours: nothing is written into its audit log.
        let silent = matches!(outcome, Outcome::Skip(_));
        if !silent {
            body.audit_annotations = message::audit(mode.name(), &outcome);
        }
        match (&outcome, mode) {
            (Outcome::Rewrite(edits, _), Mode::Enforce) => {
                body.patch_type = Some("JSONPatch");
                body.patch = serde_json::to_vec(edits).ok().map(|patch| STANDARD.encode(patch));
            }
            (Outcome::Rewrite(edits, findings), Mode::DryRun) => {
                let text = format!(
                    "dry run, nothing changed: would make {} and fill {}",
                    message::count(edits.operations().len(), "edit"),
                    message::count(findings.provenance.len(), "command")
                );
                body.warnings.insert(0, message::one_line(&text));
                if let Ok(patch) = serde_json::to_string(edits) {
                    body.audit_annotations.insert("patch", message::cut(&patch, 64 * 1024));
                }
            }
            (Outcome::Denial(denial), _) => {
                body.warnings.insert(0, message::one_line(&format!("dry run, admitted: would deny: {denial}")));
            }
            _ => {}
        }
        let skip = match outcome {
            Outcome::Skip(skip) => Some(skip),
            _ => None,
        };
        Self { body, mode, word: outcome.word(), skip }
    }

    /// An object that is not.
    pub(super) fn denied(uid: &str, status: Status) -> Self {
        let body = Body { uid: uid.to_owned(), allowed: false, status: Some(status), ..Body::default() };
        Self { body, mode: Mode::Enforce, word: DENIAL, skip: None }
    }

    /// An object that is not what its kind says.
    pub(super) fn unreadable(uid: &str, mode: Mode, unreadable: &Unreadable) -> Self {
        let mut response = if mode == Mode::Enforce && unreadable.is_denied() {
            Self::denied(uid, Status::bad_request(format!("emissary-webhook: {unreadable}")))
        } else {
            let text = match unreadable.is_denied() {
                true => format!("dry run, admitted: would deny: {unreadable}"),
                false => format!("left as it is: {unreadable}"),
            };
            let warnings = vec![message::one_line(&text)];
            let body = Body { uid: uid.to_owned(), allowed: true, warnings, ..Body::default() };
            Self { body, mode, word: DENIAL, skip: None }
        };
        response.body.audit_annotations = message::audit_unreadable(mode.name(), DENIAL, unreadable);
        response
    }

    /// With what policies say of the pod, as far as it is known by now.
    pub(super) fn with_review(mut self, row: &Row) -> Self {
        if let Some(text) = review::annotation(row) {
            self.body.audit_annotations.insert("review", message::cut(&text, message::ANNOTATION));
        }
        self.body.warnings.extend(review::warnings(row));
        self
    }

    /// The AdmissionReview as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let review = Review { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response: &self.body };
        let mut json = Vec::with_capacity(256 + self.body.patch.as_ref().map_or(0, String::len));
        // Strings, numbers and maps with string keys: nothing of it can fail to be written.
        let _ = serde_json::to_writer(&mut json, &review);
        json
    }

    /// Under which mode it was answered.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The outcome's word.
    pub(super) fn outcome(&self) -> &'static str {
        self.word
    }

    /// Why it was left alone, or the status that it was denied with; for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match (&self.skip, &self.body.status) {
            (Some(skip), _) => skip.word(),
            (None, Some(status)) => status.reason,
            (None, None) => "",
        }
    }
}
