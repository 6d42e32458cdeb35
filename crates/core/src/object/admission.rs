use super::{Text, null_as_default};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What the API server asks (Kubernetes API, `AdmissionRequest` of `admission.k8s.io/v1`), borrowed from its body.
///
/// Our own type: the object stays the text it came as, so that nothing of it is lost, and a version other than v1 is
/// refused instead of being taken for one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRequest<'a> {
    /// To be returned with the answer.
    #[serde(borrow, default)]
    pub uid: Text<'a>,
    /// The object's kind, after conversion to what the webhook asked for.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub kind: GroupVersionKind<'a>,
    /// `ephemeralcontainers`, `status`, …; absent or empty for the object itself.
    #[serde(borrow, default)]
    pub sub_resource: Option<Text<'a>>,
    /// Absent where the API server will make the name from `generateName`.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    /// Absent for what belongs to the cluster.
    #[serde(borrow, default)]
    pub namespace: Option<Text<'a>>,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    #[serde(borrow, default)]
    pub operation: Text<'a>,
    /// Absent for DELETE.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// What it was before, for UPDATE and DELETE.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
    /// Whether nothing will be stored.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dry_run: bool,
}

/// A kind's full name.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GroupVersionKind<'a> {
    /// Empty for Kubernetes' core group.
    #[serde(borrow, default)]
    pub group: Text<'a>,
    /// `v1`, `v1alpha1`, …
    #[serde(borrow, default)]
    pub version: Text<'a>,
    /// `Pod`, `Workflow`, …
    #[serde(borrow, default)]
    pub kind: Text<'a>,
}

/// Why a body is no question that can be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON, nested too deeply, or a field of another type.
    #[error("the body is not an AdmissionReview: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// There is none.
    #[error("the body is empty; send an AdmissionReview")]
    Empty,
    /// Another version, or another kind of object.
    #[error(
        "the body is apiVersion {version:?}, kind {kind:?}; this webhook answers admission.k8s.io/v1 AdmissionReview only: \
         set admissionReviewVersions: [v1]"
    )]
    Version {
        /// What it says it is.
        version: String,
        /// What it says it is.
        kind: String,
    },
    /// There is no request.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// There is nothing to answer to.
    #[error("the AdmissionReview's request has no uid")]
    NoUid,
}

impl<'a> AdmissionRequest<'a> {
    /// Reads the body of an AdmissionReview.
    ///
    /// # Errors
    /// [`ReviewError`]; none of them has a uid that could be answered to.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReviewError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Review<'a> {
            #[serde(borrow, default)]
            api_version: Text<'a>,
            #[serde(borrow, default)]
            kind: Text<'a>,
            #[serde(borrow, default)]
            request: Option<AdmissionRequest<'a>>,
        }
        if body.is_empty() {
            return Err(ReviewError::Empty);
        }
        let Review { api_version, kind, request } = serde_json::from_slice(body)?;
        if api_version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
            return Err(ReviewError::Version { version: api_version.to_string(), kind: kind.to_string() });
        }
        let request = request.ok_or(ReviewError::NoRequest)?;
        if request.uid.is_empty() { Err(ReviewError::NoUid) } else { Ok(request) }
    }

    /// The object's JSON text; `null` counts as absent.
    pub fn object(&self) -> Option<&'a str> {
        self.object.map(RawValue::get).filter(|text| *text != "null")
    }

    /// The old object's JSON text; `null` counts as absent.
    pub fn old_object(&self) -> Option<&'a str> {
        self.old_object.map(RawValue::get).filter(|text| *text != "null")
    }
}
