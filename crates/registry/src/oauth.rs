//! Tokens from the realm that a registry names (distribution spec, "Token Authentication" and "OAuth2 Token
//! Authentication").

use crate::{
    Failure,
    hosts::Site,
    keyring::{Credential, Proof},
    transport::{Answer, Get, Limit, Post, Transport},
};
use reqwest::{Method, StatusCode, Url, header::HeaderValue};
use serde::Deserialize;
use std::time::Duration;

const TOKEN_LIMIT: Limit = Limit { what: "the token", bytes: 256 << 10 };
/// What the distribution spec lets a client assume where `expires_in` is missing.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
const LONGEST_TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// Who asks; the spec wants a name, and servers show it to their users.
const CLIENT_ID: &str = "emissary-webhook";

/// What a token is asked for.
pub(crate) struct Wanted<'a> {
    /// The realm, as safe as the registry is.
    pub(crate) realm: Url,
    pub(crate) service: Option<&'a str>,
    /// Separated by spaces.
    pub(crate) scope: &'a str,
    /// What the operator says of the realm's host.
    pub(crate) site: Option<&'a Site>,
}

/// `Authorization: Bearer …`, and for how long it may be used.
pub(crate) struct Token {
    pub(crate) value: HeaderValue,
    pub(crate) life: Duration,
}

#[derive(Deserialize)]
struct RawToken {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

impl Wanted<'_> {
    /// What the realm answers; `None` where it does not accept the credential, or cannot.
    pub(crate) async fn ask(
        &self,
        transport: &Transport,
        credential: Option<&Credential>,
    ) -> Result<Option<Answer>, Failure> {
        let answer = match credential.map(Credential::proof) {
            None => self.get(transport, None).await?,
            Some(Proof::Basic(basic)) => self.get(transport, Some(basic)).await?,
            Some(Proof::IdentityToken { token, basic }) => {
                let answer = self.refresh(transport, token).await?;
                // Realms from before OAuth2 know the path or the method not at all; there the token is a password.
                match (answer.status, basic) {
                    (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, Some(basic)) => {
                        self.get(transport, Some(basic)).await?
                    }
                    (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, None) => return Ok(None),
                    _ => answer,
                }
            }
        };
        let refused =
            matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST);
        Ok((!refused).then_some(answer))
    }

    async fn get(&self, transport: &Transport, authorization: Option<&HeaderValue>) -> Result<Answer, Failure> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in self.scope.split_ascii_whitespace() {
                query.append_pair("scope", scope);
            }
        }
        let get = Get {
            url,
            accept: "application/json",
            authorization,
            site: self.site,
            limit: TOKEN_LIMIT,
            method: Method::GET,
        };
        transport.get(get).await
    }

    async fn refresh(&self, transport: &Transport, token: &str) -> Result<Answer, Failure> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("service", self.service.unwrap_or_default()),
            ("scope", self.scope),
            ("client_id", CLIENT_ID),
        ];
        transport.post(Post { url: self.realm.clone(), form: &form, site: self.site, limit: TOKEN_LIMIT }).await
    }
}

impl Token {
    /// Reads the body of an answer that was 200.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Failure> {
        let unusable = || Failure::Protocol("its token cannot be used");
        let raw: RawToken = serde_json::from_slice(body).map_err(|_| unusable())?;
        let given = |token: Option<String>| token.filter(|token| !token.is_empty());
        let token = given(raw.token).or_else(|| given(raw.access_token)).ok_or_else(unusable)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable())?;
        value.set_sensitive(true);
        let life = raw.expires_in.and_then(|seconds| seconds.as_u64()).map_or(TOKEN_LIFE, Duration::from_secs);
        // A little before the end, since the request still has to travel.
        Ok(Self { value, life: life.min(LONGEST_TOKEN_LIFE).mul_f32(0.9) })
    }
}
