use std::time::{Duration, SystemTime};

use super::{GenerateError, Pair, PairError, Rotation, Standing, generate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 365 * 56
}

fn names() -> Vec<String> {
    ["emissary-webhook.argo.svc", "127.0.0.1", "::1"].map(String::from).to_vec()
}

#[test]
fn a_generated_pair_is_a_pair_and_valid_for_its_life() {
    let made = generate(&names(), now(), 30 * DAY).unwrap();
    let validity = Pair::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap().validity();
    for (at, standing) in [
        (now() - DAY, Standing::NotYetValid),
        (now(), Standing::Valid),
        (now() + 30 * DAY, Standing::Valid),
        (now() + 31 * DAY, Standing::Expired),
    ] {
        assert_eq!(validity.standing(at), standing, "{at:?}");
    }
}

#[test]
fn renewal_is_due_after_two_thirds_of_life() {
    let made = generate(&names(), now(), 30 * DAY).unwrap();
    let validity = Pair::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap().validity();
    let Rotation::Keep { until } = validity.rotation(now()) else { panic!("due at once") };
    assert!(until > now() + 19 * DAY && until < now() + 20 * DAY, "{until:?}");
    assert_eq!(validity.rotation(until - DAY), Rotation::Keep { until });
    assert_eq!(validity.rotation(until), Rotation::Renew);
    assert_eq!(validity.rotation(now() - DAY), Rotation::Renew, "not yet valid serves nobody");
}

#[test]
fn years_past_2049_are_read() {
    let made = generate(&names(), now(), 365 * DAY * 40).unwrap();
    let validity = Pair::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap().validity();
    assert_eq!(validity.not_after, now() + 365 * DAY * 40);
}

#[test]
fn a_chain_is_valid_while_all_of_it_is() {
    let leaf = generate(&names(), now(), 30 * DAY).unwrap();
    let shorter = generate(&names(), now(), 10 * DAY).unwrap();
    let chain = leaf.certificate_pem + &shorter.ca_pem;
    let pair = Pair::from_pem(chain.as_bytes(), leaf.key_pem.as_bytes()).unwrap();
    assert_eq!(pair.certified_key().cert.len(), 2);
    assert_eq!(pair.validity().not_after, now() + 10 * DAY);
}

#[test]
fn what_is_no_pair_is_refused() {
    let one = generate(&names(), now(), DAY).unwrap();
    let other = generate(&names(), now(), DAY).unwrap();
    let torn = &one.certificate_pem[..one.certificate_pem.len() / 2];
    let not_x509 = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    type Expected = fn(&PairError) -> bool;
    let cases: [(&str, &str, &str, Expected); 6] = [
        ("another's key", &one.certificate_pem, &other.key_pem, |error| matches!(error, PairError::Mismatch)),
        ("half a certificate", torn, &one.key_pem, |error| matches!(error, PairError::CertificatePem(_))),
        ("nothing", "", &one.key_pem, |error| matches!(error, PairError::NoCertificate)),
        ("a key for a chain", &one.key_pem, &one.key_pem, |error| matches!(error, PairError::NoCertificate)),
        ("no key", &one.certificate_pem, "", |error| matches!(error, PairError::KeyPem(_))),
        ("not X.509", not_x509, &one.key_pem, |error| matches!(error, PairError::NotX509(_))),
    ];
    for (what, chain, key, expected) in cases {
        let error = Pair::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(expected(&error), "{what}: {error:?}");
    }
}

#[test]
fn a_certificate_without_a_name_is_refused() {
    assert!(matches!(generate(&[], now(), DAY), Err(GenerateError::NoName)));
    let error = generate(&["ünwell".to_owned()], now(), DAY).unwrap_err();
    assert_eq!(error.to_string(), "cannot make a certificate for ünwell");
}

#[test]
fn no_key_is_ever_printed() {
    let made = generate(&names(), now(), DAY).unwrap();
    assert!(!format!("{made:?}").contains("PRIVATE"));
}
