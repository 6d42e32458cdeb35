use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// An AdmissionReview's response, as the API server would understand it.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Admitted with a patch.
    Rewritten {
        /// The object with the patch applied.
        after: Value,
        /// Where each filled command came from, as the audit annotation says it.
        commands: Vec<String>,
        /// What the user is told.
        warnings: Vec<String>,
    },
    /// Admitted as it is: it is ours, and lacks nothing.
    Unchanged,
    /// Admitted as it is: it is none of ours.
    LeftAlone,
    /// Not admitted.
    Denied {
        /// The HTTP status that the user's client gets.
        code: u16,
        /// What the user is told.
        message: String,
    },
}

#[derive(Deserialize)]
struct Review {
    response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(default)]
    patch: Option<String>,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    audit_annotations: BTreeMap<String, String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Status {
    code: u16,
    message: String,
}

impl Answer {
    /// Reads the answer to a review about an object.
    pub(super) fn read(body: &[u8], review: &Value, object: &Value) -> Result<Self, Error> {
        let Review { response } = serde_json::from_slice(body)?;
        let Response { uid, allowed, patch, status, mut audit_annotations, warnings } = response;
        if review.pointer("/request/uid").and_then(Value::as_str) != Some(uid.as_str()) {
            return Err("the answer is to another request".into());
        }
        if !allowed {
            return Ok(Self::Denied { code: status.code, message: status.message });
        }
        let Some(patch) = patch else {
            // What is none of ours leaves no trace in the audit log.
            let ours = audit_annotations.contains_key("outcome");
            return Ok(if ours { Self::Unchanged } else { Self::LeftAlone });
        };
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch)?)?;
        let mut after = object.clone();
        json_patch::patch(&mut after, &patch)?;
        let commands = audit_annotations.remove("commands").unwrap_or_default();
        Ok(Self::Rewritten { after, commands: commands.lines().map(str::to_owned).collect(), warnings })
    }

    /// The object as it is admitted, where that is not as it was posted.
    pub fn after(&self) -> Option<&Value> {
        match self {
            Self::Rewritten { after, .. } => Some(after),
            Self::Unchanged | Self::LeftAlone | Self::Denied { .. } => None,
        }
    }

    /// In a word or two.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Rewritten { .. } => "rewritten",
            Self::Unchanged => "unchanged",
            Self::LeftAlone => "left alone",
            Self::Denied { .. } => "denied",
        }
    }
}
