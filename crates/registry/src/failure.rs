use emissary_core::image::{Digest, Platform};
use std::{error::Error, time::Duration};

/// Why an image could not be looked up.
///
/// The texts are ours: nothing that a registry said is repeated, since anyone can name a registry of theirs in a pod and
/// read the denial. What it said is in [`source`](Error::source), for the operator's log.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The deadline passed, or a single request took too long. The look-up may still go on, for the next asker.
    #[error("the registry did not answer in time")]
    Timeout,
    /// No connection, or one that broke: DNS, TCP, TLS, a body cut short.
    #[error("the registry cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// HTTP 429.
    #[error("the registry limits the rate of requests")]
    RateLimited {
        /// `Retry-After` in its form of seconds, at most five minutes.
        retry_after: Option<Duration>,
    },
    /// HTTP 5xx.
    #[error("the registry answers with HTTP {status}")]
    ServerError {
        /// 500 to 599.
        status: u16,
        /// `Retry-After`, as for a rate limit.
        retry_after: Option<Duration>,
    },
    /// A credential provider of the operator's failed, and nothing else opened the registry.
    #[error("a credential provider of the operator's failed, and nothing else opens the registry")]
    Provider,
    /// The look-up was ended from within: the process stops, or a bug.
    #[error("the look-up was interrupted")]
    Interrupted,
    /// The registry failed so often that it is not asked for a while (a circuit breaker).
    #[error("the registry did not answer lately, so it is not asked for a moment")]
    LeftAlone,
    /// Too many look-ups wait already, of the namespace or of all.
    #[error("too many look-ups wait already")]
    Busy,

    /// A registry's name that the grammar of references allows and that of URLs does not, such as `1.2.3.4.5`.
    #[error("the registry's name is neither a host name nor an address")]
    BadHost,
    /// The operator does not allow to ask it: by a list of registries, or by the network that it leads into.
    #[error("the registry may not be asked: {0}")]
    Forbidden(&'static str),
    /// HTTP 404: no such repository, tag or digest.
    #[error("the registry has no such image; check its name and tag")]
    NotFound,
    /// HTTP 401 or 403 with every credential that matches, and without any.
    #[error(
        "the registry refuses access{}; the image does not exist, or it is private and needs an image pull secret that opens it",
        match tried {
            0 => " without credentials".to_owned(),
            1 => " with the credential that matches it".to_owned(),
            n => format!(" with each of the {n} credentials that match it"),
        }
    )]
    Unauthorized {
        /// How many credentials were sent.
        tried: usize,
    },
    /// Any other status that is no answer to a pull.
    #[error("the registry answers with HTTP {status}, which is no answer to a pull")]
    Rejected {
        /// 100 to 499.
        status: u16,
    },
    /// It exists, and is something else: a Helm chart, a signature, Docker's schema 1.
    #[error("it is no image that can be run but {what}")]
    NotAnImage {
        /// What it is instead.
        what: &'static str,
    },
    /// Content that does not have the digest or size by which it was asked for.
    #[error("the registry sends content that does not match its digest or size, {expected}")]
    DigestMismatch {
        /// The digest that was asked for or announced.
        expected: Digest,
    },
    /// More than we are willing to read or keep.
    #[error("{what} is larger than {limit} {unit}")]
    TooLarge {
        /// What exceeds its limit.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What the limit counts.
        unit: &'static str,
    },
    /// None of the wanted platforms is in the image's index.
    #[error("the image is not made for the wanted platform; it offers {}", list(offered))]
    NoSuchPlatform {
        /// What the index has.
        offered: Vec<Platform>,
    },
    /// An answer that breaks the distribution or image spec.
    #[error("the registry's answer cannot be used: {0}")]
    Protocol(&'static str),
}

impl Failure {
    /// Whether the same question may be answered later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Unreachable(_)
            | Self::RateLimited { .. }
            | Self::ServerError { .. }
            | Self::Provider
            | Self::Interrupted
            | Self::LeftAlone
            | Self::Busy => true,
            Self::BadHost
            | Self::Forbidden(_)
            | Self::NotFound
            | Self::Unauthorized { .. }
            | Self::Rejected { .. }
            | Self::NotAnImage { .. }
            | Self::DigestMismatch { .. }
            | Self::TooLarge { .. }
            | Self::NoSuchPlatform { .. }
            | Self::Protocol(_) => false,
        }
    }

    /// Whether it is the registry that is in trouble, rather than the image, the credential or we.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unreachable(_) | Self::ServerError { .. })
    }

    /// Whether it may be how a registry says that it does not know HEAD; they do in many ways.
    pub(crate) fn is_ignorance_of_head(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::ServerError { status: 501, .. })
    }

    /// One word for the kind of failure, for logs and as a metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::RateLimited { .. } => "rate-limited",
            Self::ServerError { .. } => "server-error",
            Self::Provider => "provider",
            Self::Interrupted => "interrupted",
            Self::LeftAlone => "left-alone",
            Self::Busy => "busy",
            Self::BadHost => "bad-host",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound => "not-found",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Rejected { .. } => "rejected",
            Self::NotAnImage { .. } => "not-an-image",
            Self::DigestMismatch { .. } => "digest-mismatch",
            Self::TooLarge { .. } => "too-large",
            Self::NoSuchPlatform { .. } => "no-such-platform",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if crate::guard::is_refusal(&error) {
            return crate::guard::BAD_ADDRESS;
        }
        // A redirect's URL may hold a signature that opens the blob to whoever reads the log.
        let error = error.without_url();
        if error.is_timeout() { Self::Timeout } else { Self::Unreachable(error.into()) }
    }
}

fn list(platforms: &[Platform]) -> String {
    const SHOWN: usize = 12;
    let mut text = platforms.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if platforms.is_empty() {
        text.push_str("none");
    }
    if let Some(more @ 1..) = platforms.len().checked_sub(SHOWN) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_platforms_are_cut() {
        let platform = Platform::new("linux", "amd64", None);
        let text = Failure::NoSuchPlatform { offered: vec![platform.clone(); 20] }.to_string();
        assert!(text.ends_with("linux/amd64 and 8 more"), "{text}");
        let text = Failure::NoSuchPlatform { offered: vec![platform; 12] }.to_string();
        assert!(text.ends_with("linux/amd64"), "{text}");
        assert!(Failure::NoSuchPlatform { offered: vec![] }.to_string().ends_with("none"));
    }
}
