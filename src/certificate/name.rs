use rustls::pki_types::CertificateDer;
use yasna::models::ObjectIdentifier;

use super::x509::Fields;

/// `id-at-commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];

/// The last common name of a certificate's subject, by which Kubernetes calls a client; `None` where there is none.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let subject = Fields::of(certificate).ok()?.subject;
    let mut found = None;
    let read = yasna::parse_der(&subject, |reader| {
        reader.read_sequence_of(|relative| {
            relative.read_set_of(|attribute| {
                attribute.read_sequence(|pair| {
                    let is_name = pair.next().read_oid()? == ObjectIdentifier::from_slice(&COMMON_NAME);
                    let value = pair.next().read_tagged_der()?;
                    // UTF8String and PrintableString are both UTF-8; other forms of text are no name that Kubernetes takes.
                    if is_name {
                        found = String::from_utf8(value.value().to_vec()).ok();
                    }
                    Ok(())
                })
            })
        })
    });
    read.ok().and(found)
}
