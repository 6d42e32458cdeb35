use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader};

use super::x509::Fields;

/// The time in which a certificate is valid (RFC 5280 §4.1.2.5), both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

/// How a certificate stands at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Clients refuse it still.
    NotYetValid,
    /// Clients accept it.
    Valid,
    /// Clients refuse it.
    Expired,
}

/// What to do about a certificate at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Nothing, and ask again at this time.
    Keep {
        /// When two thirds of the certificate's life are over.
        until: SystemTime,
    },
    /// Make a new one now.
    Renew,
}

impl Validity {
    /// Reads the validity of one X.509 certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> ASN1Result<Self> {
        yasna::parse_der(&Fields::of(certificate)?.validity, |reader| {
            reader.read_sequence(|times| Ok(Self { not_before: time(times.next())?, not_after: time(times.next())? }))
        })
    }

    /// The time in which both are valid.
    pub(super) fn within(self, other: Self) -> Self {
        Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) }
    }

    /// How the certificate stands at `now`.
    pub fn standing(&self, now: SystemTime) -> Standing {
        if now < self.not_before {
            Standing::NotYetValid
        } else if now > self.not_after {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }

    /// What to do about the certificate at `now`: renew it after two thirds of its life, which leaves a third for the
    /// renewal to fail and be noticed in. One that is not yet valid serves nobody and is renewed too.
    pub fn rotation(&self, now: SystemTime) -> Rotation {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let until = self.not_before + life / 3 * 2;
        if now < self.not_before || now >= until { Rotation::Renew } else { Rotation::Keep { until } }
    }
}

/// `Time ::= CHOICE { utcTime UTCTime, generalTime GeneralizedTime }`: years up to 2049 are written as the first.
fn time(reader: BERReader<'_, '_>) -> ASN1Result<SystemTime> {
    if reader.lookahead_tag()? == TAG_UTCTIME {
        Ok((*reader.read_utctime()?.datetime()).into())
    } else {
        Ok((*reader.read_generalized_time()?.datetime()).into())
    }
}
