//! One credential, and how it is told from others without being shown.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use reqwest::header::HeaderValue;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

/// Docker pads its base64, some tools do not.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// What Docker writes for a user that is none, beside an identity token.
const NO_USER: &str = "00000000-0000-0000-0000-000000000000";

/// What a registry or its realm may be shown.
#[derive(Clone)]
pub(crate) struct Credential {
    proof: Proof,
    identity: Identity,
}

#[derive(Clone)]
pub(crate) enum Proof {
    /// The value of `Authorization` that says a user name and password.
    Basic(HeaderValue),
    /// For an OAuth2 realm: a refresh token, and what it is where a realm knows none.
    IdentityToken { token: Arc<str>, basic: Option<HeaderValue> },
}

/// What tells credentials apart in a cache's key without being one: an HMAC under a secret of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

impl Credential {
    pub(super) fn parse(value: &Value) -> Result<Option<Self>, &'static str> {
        let field = |name: &str| match value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err("auth, username, password and identitytoken are strings"),
        };
        if !value.is_object() {
            return Err("it is no object; write {\"auth\": \"…\"}");
        }
        let user = match (field("auth")?, field("username")?, field("password")?) {
            (Some(auth), ..) => {
                let fault = "auth is not base64 of USER:PASSWORD";
                let decoded = BASE64.decode(auth.trim()).map_err(|_| fault)?;
                let decoded = String::from_utf8(decoded).map_err(|_| fault)?;
                let (user, password) = decoded.split_once(':').ok_or(fault)?;
                Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
            }
            (None, Some(user), password) => Some((user.to_owned(), password.unwrap_or_default().to_owned())),
            (None, None, _) => None,
        };
        let Some(token) = field("identitytoken")? else {
            let Some((user, password)) = user else { return Ok(None) };
            let identity = Identity::of([user.as_bytes(), password.as_bytes()]);
            return Ok(Some(Self { proof: Proof::Basic(basic(&user, &password)?), identity }));
        };
        let user = user.map(|(user, _)| user).filter(|user| !user.is_empty() && user != NO_USER);
        let identity = Identity::of([b"identitytoken".as_slice(), token.as_bytes()]);
        let basic = user.map(|user| basic(&user, token)).transpose()?;
        Ok(Some(Self { proof: Proof::IdentityToken { token: token.into(), basic }, identity }))
    }

    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The value of `Authorization` that proves it to a registry without tokens.
    pub(crate) fn basic(&self) -> Option<&HeaderValue> {
        match &self.proof {
            Proof::Basic(basic) => Some(basic),
            // A refresh token is the realm's; a registry has no use for it.
            Proof::IdentityToken { .. } => None,
        }
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, &'static str> {
    let encoded = BASE64.encode(format!("{user}:{password}"));
    let mut basic = HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|_| "it cannot be sent")?;
    basic.set_sensitive(true);
    Ok(basic)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

impl Identity {
    /// Several as one, in their order.
    pub(crate) fn all<'a>(identities: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of(identities.into_iter().map(|identity| identity.0.as_slice()))
    }

    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        // The standard library seeds this from the operating system, and a hash of it cannot be turned round; so two
        // hundred and fifty-six bits of it are a key that is known to this process alone.
        static KEY: LazyLock<[u8; 64]> = LazyLock::new(|| {
            let secret = [RandomState::new(), RandomState::new()];
            let mut key = [0; 64];
            for (n, word) in key.chunks_exact_mut(8).take(4).enumerate() {
                word.copy_from_slice(&secret[usize::from(n >= 2)].hash_one(n).to_le_bytes());
            }
            key
        });
        // RFC 2104, with a key that is filled up to the hash's block already.
        let (mut inner, mut outer) = (Sha256::new(), Sha256::new());
        inner.update(KEY.map(|byte| byte ^ 0x36));
        for part in parts {
            inner.update((part.len() as u64).to_le_bytes());
            inner.update(part);
        }
        outer.update(KEY.map(|byte| byte ^ 0x5c));
        outer.update(inner.finalize());
        Self(outer.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(Identity::of([b"ab".as_slice(), b"c"]), Identity::of([b"a".as_slice(), b"bc"]));
        let (one, other) = (Identity::of([b"a".as_slice()]), Identity::of([b"b".as_slice()]));
        assert_ne!(Identity::all([&one, &other]), Identity::all([&other, &one]));
    }
}
