use std::time::{Duration, SystemTime};

use super::{
    AUTHORITIES, Bundle, CERTIFICATE, GenerateError, KEY, NEXT_KEY, Pair, PairError, Rotation, Seen, Standing, Step,
    Stock, StockError, Terms, common_name, generate,
};

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

fn read(stock: &Stock) -> Result<Stock, StockError> {
    let values = stock.write();
    Stock::read(|key| values.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_slice()))
}

fn terms() -> Terms {
    Terms { names: names(), life: 30 * DAY }
}

#[test]
fn a_stock_survives_being_written() {
    let first = Stock::make(&names(), now(), 30 * DAY).unwrap();
    for stock in [first.clone(), first.stage(&names(), now(), 30 * DAY).unwrap()] {
        let again = read(&stock).unwrap();
        assert_eq!(again.serving(), stock.serving());
        assert_eq!(again.next(), stock.next());
        assert_eq!(again.bundle(), stock.bundle());
    }
}

#[test]
fn what_is_no_stock_is_refused() {
    let (one, other) = (Stock::make(&names(), now(), DAY).unwrap(), Stock::make(&names(), now(), DAY).unwrap());
    let large = vec![b'x'; 65 << 10];
    let value = |stock: &Stock, key: &str| stock.write().into_iter().find(|(k, _)| *k == key).unwrap().1;
    type Expected = fn(&StockError) -> bool;
    let cases: [(&str, &str, Vec<u8>, Expected); 6] = [
        ("no certificate", CERTIFICATE, vec![], |error| matches!(error, StockError::Missing(CERTIFICATE))),
        ("no key", KEY, vec![], |error| matches!(error, StockError::Missing(KEY))),
        ("too large", AUTHORITIES, large, |error| matches!(error, StockError::TooLarge(AUTHORITIES))),
        ("another's key", KEY, value(&other, KEY), |error| matches!(error, StockError::Pair(PairError::Mismatch))),
        ("no authority", AUTHORITIES, b"garbage".to_vec(), |error| matches!(error, StockError::Authorities(_))),
        ("another's authority", AUTHORITIES, value(&other, AUTHORITIES), |error| {
            matches!(error, StockError::Untrusted)
        }),
    ];
    for (what, key, wrong, expected) in cases {
        let values: Vec<_> =
            one.write().into_iter().map(|(k, value)| if k == key { (k, wrong.clone()) } else { (k, value) }).collect();
        let error = Stock::read(|key| values.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_slice()));
        let error = error.unwrap_err();
        assert!(expected(&error), "{what}: {error:?}");
    }
}

#[test]
fn a_next_pair_that_cannot_be_used_is_none() {
    let staged = Stock::make(&names(), now(), DAY).unwrap().stage(&names(), now(), DAY).unwrap();
    let mut values = staged.write();
    values.iter_mut().find(|(key, _)| *key == NEXT_KEY).unwrap().1.truncate(20);
    let stock = Stock::read(|key| values.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_slice())).unwrap();
    assert_eq!((stock.serving(), stock.next()), (staged.serving(), None));
    assert_eq!(terms().plan(&stock, Seen { agreed: Some(now()), serving: now() }, now() + DAY), Step::Stage);
}

#[test]
fn a_bundle_is_the_same_however_it_is_written() {
    let stock = Stock::make(&names(), now(), DAY).unwrap().stage(&names(), now(), DAY).unwrap();
    let pem = stock.bundle().to_pem();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(pem.lines().all(|line| line.len() <= 64));
    for written in [pem.clone(), pem.replace('\n', "\r\n"), format!("by hand\n{pem}\n{pem}")] {
        assert_eq!(&Bundle::from_pem(written.as_bytes()).unwrap(), stock.bundle());
    }
    assert!(Bundle::from_pem(b"").is_err());
}

#[test]
fn names_are_those_that_were_asked_for() {
    let stock = Stock::make(&names(), now(), DAY).unwrap();
    for (name, expected) in [
        ("emissary-webhook.argo.svc", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("emissary-webhook.other.svc", false),
        ("10.0.0.1", false),
        ("not a name", false),
    ] {
        assert_eq!(stock.serving().is_for(name), expected, "{name}");
    }
}

/// A whole rotation, step by step, and what each of them waits for.
#[test]
fn a_rotation_takes_three_steps_each_after_the_other() {
    let first = Stock::make(&names(), now(), 30 * DAY).unwrap();
    let seen = |agreed| Seen { agreed, serving: now() };
    let Step::Wait { until: due } = terms().plan(&first, seen(None), now()) else { panic!("nothing to do yet") };
    assert!(due > now() + 19 * DAY && due < now() + 20 * DAY);
    assert_eq!(terms().plan(&first, seen(Some(now())), due), Step::Stage);

    let staged = first.stage(&names(), due, 30 * DAY).unwrap();
    assert_eq!(staged.serving(), first.serving());
    assert!(staged.bundle().trusts(staged.next().unwrap()) && staged.bundle().trusts(staged.serving()));
    let expired = staged.serving().validity().not_after + Duration::from_secs(1);
    let minute = Duration::from_secs(60);
    for (agreed, at, expected) in [
        (None, due + DAY, Step::Wait { until: expired }),
        (None, expired, Step::Promote),
        (Some(due), due, Step::Wait { until: due + minute }),
        (Some(due), due + minute, Step::Promote),
        (Some(due), expired, Step::Promote),
    ] {
        assert_eq!(terms().plan(&staged, seen(agreed), at), expected, "{agreed:?} at {at:?}");
    }

    let promoted = staged.clone().promote();
    assert_eq!(Some(promoted.serving()), staged.next());
    assert!(promoted.bundle().trusts(first.serving()), "replicas that lag are still trusted");
    let seen = Seen { agreed: Some(due), serving: due + minute };
    assert_eq!(terms().plan(&promoted, seen, due + minute), Step::Wait { until: due + minute + DAY });
    assert_eq!(terms().plan(&promoted, seen, due + minute + DAY), Step::Prune);
    let pruned = promoted.prune();
    assert_eq!(pruned.bundle().len(), 1);
    assert!(!pruned.bundle().trusts(first.serving()));
    assert!(matches!(terms().plan(&pruned, seen, due + minute + DAY), Step::Wait { .. }));
}

#[test]
fn a_certificate_for_other_names_is_replaced() {
    let stock = Stock::make(&names(), now(), 30 * DAY).unwrap();
    let renamed = Terms { names: vec!["renamed.argo.svc".to_owned()], ..terms() };
    assert_eq!(renamed.plan(&stock, Seen { agreed: Some(now()), serving: now() }, now()), Step::Stage);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    /// However registrations come and go, and whenever it is looked: what clients trust is served, as long as they can be
    /// told whom to trust; and nothing grows.
    #[test]
    fn what_is_served_is_trusted(events in proptest::collection::vec((0_u64..400, 0_u8..8), 1..120)) {
        let mut now = now();
        let mut stock = Stock::make(&names(), now, 30 * DAY).unwrap();
        let mut seen = Seen { agreed: None, serving: now };
        let mut published = Bundle::default();
        for (hours, event) in events {
            now += Duration::from_secs(3600) * u32::try_from(hours).unwrap();
            // The registrations: mostly as they are to be, sometimes somebody else's or out of sight.
            if event > 1 {
                if published != *stock.bundle() {
                    published = stock.bundle().clone();
                    seen.agreed = None;
                }
                seen.agreed = seen.agreed.or(Some(now));
            } else {
                seen.agreed = None;
            }
            let served_before = stock.serving().clone();
            stock = match terms().plan(&stock, seen, now) {
                Step::Stage => stock.stage(&names(), now, 30 * DAY).unwrap(),
                Step::Promote => stock.promote(),
                Step::Prune => stock.prune(),
                Step::Wait { until } => {
                    proptest::prop_assert!(until > now);
                    stock
                }
            };
            if *stock.serving() != served_before {
                seen.serving = now;
                let replaced_in_time = served_before.validity().standing(now) == Standing::Valid;
                proptest::prop_assert!(!replaced_in_time || published.trusts(stock.serving()));
            }
            proptest::prop_assert!(stock.bundle().trusts(stock.serving()));
            proptest::prop_assert!(stock.bundle().len() <= 8);
            proptest::prop_assert!(read(&stock).is_ok());
        }
    }
}

#[test]
fn a_common_name_is_read_and_nothing_else_is_one() {
    let stock = Stock::make(&names(), now(), DAY).unwrap();
    let certificate = &stock.serving().certified_key().cert[0];
    assert_eq!(common_name(certificate).as_deref(), Some("emissary-webhook"));
    for garbage in [&b""[..], b"0", &certificate[..200], b"0\x82\xff\xff"] {
        assert_eq!(common_name(&garbage.to_vec().into()), None);
    }
}
