use base64::{Engine, engine::general_purpose::STANDARD};
use std::collections::HashMap;

/// Who may read a repository, and how they prove it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Anyone, with no more than the request.
    #[default]
    Anonymous,
    /// Anyone who fetches a token first, as on Docker Hub.
    AnonymousToken,
    /// HTTP Basic authentication.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// A token that is given out against a user name and password.
    Token {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
}

impl Access {
    /// HTTP Basic authentication.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// A token against a user name and password.
    pub fn token(user: &str, password: &str) -> Self {
        Self::Token { user: user.to_owned(), password: password.to_owned() }
    }
}

/// What the token endpoint or a repository answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Granted,
    /// 401 with this `WWW-Authenticate`.
    Challenge(String),
}

#[derive(Default)]
pub(crate) struct Accesses(HashMap<String, Access>);

impl Accesses {
    pub(crate) fn set(&mut self, repository: &str, access: Access) {
        self.0.insert(repository.to_owned(), access);
    }

    fn of(&self, repository: &str) -> &Access {
        self.0.get(repository).unwrap_or(&Access::Anonymous)
    }

    pub(crate) fn decide(&self, origin: &str, repository: &str, authorization: Option<&str>) -> Decision {
        let bearer = || {
            Decision::Challenge(format!(
                "Bearer realm=\"{origin}/token\",service=\"sample-registry\",scope=\"repository:{repository}:pull\""
            ))
        };
        match self.of(repository) {
            Access::Anonymous => Decision::Granted,
            Access::AnonymousToken | Access::Token { .. } => match authorization {
                Some(sent) if sent == format!("Bearer {}", token(repository)) => Decision::Granted,
                _ => bearer(),
            },
            Access::Basic { user, password } => match authorization {
                Some(sent) if sent == basic(user, password) => Decision::Granted,
                _ => Decision::Challenge("Basic realm=\"sample-registry\"".to_owned()),
            },
        }
    }

    /// The token for a scope `repository:NAME:pull`; `None` where the credentials are wrong.
    ///
    /// As on Docker Hub, one who sends no credentials gets a token too, only one that opens nothing private.
    pub(crate) fn token(&self, scope: &str, authorization: Option<&str>) -> Option<String> {
        let repository =
            scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':')).map_or("", |(r, _)| r);
        match (self.of(repository), authorization) {
            (Access::Token { .. }, None) => Some("opens-nothing".to_owned()),
            (Access::Token { user, password }, Some(sent)) => {
                (sent == basic(user, password)).then(|| token(repository))
            }
            // It knows no users, so whoever claims to be one is refused, although nobody need be.
            (Access::AnonymousToken, Some(_)) => None,
            _ => Some(token(repository)),
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn token(repository: &str) -> String {
    format!("opens-{}", STANDARD.encode(repository))
}
