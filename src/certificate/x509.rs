use rustls::pki_types::CertificateDer;
use yasna::{ASN1Result, Tag};

/// The fields of a certificate (RFC 5280 §4.1) that are read here, as DER.
pub(super) struct Fields {
    pub(super) validity: Vec<u8>,
    pub(super) subject: Vec<u8>,
}

impl Fields {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> ASN1Result<Self> {
        yasna::parse_der(certificate, |reader| {
            reader.read_sequence(|certificate| {
                let fields = certificate.next().read_sequence(|tbs| {
                    tbs.read_optional(|version| version.read_tagged(Tag::context(0), |number| number.read_i64()))?;
                    for _skipped in ["serialNumber", "signature", "issuer"] {
                        tbs.next().read_der()?;
                    }
                    let (validity, subject) = (tbs.next().read_der()?, tbs.next().read_der()?);
                    // subjectPublicKeyInfo, extensions and the like: the reader wants every element of a sequence read.
                    while tbs.read_optional(|rest| rest.read_der())?.is_some() {}
                    Ok(Self { validity, subject })
                })?;
                for _skipped in ["signatureAlgorithm", "signatureValue"] {
                    certificate.next().read_der()?;
                }
                Ok(fields)
            })
        })
    }
}
