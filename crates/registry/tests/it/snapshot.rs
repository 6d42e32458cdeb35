use crate::setup::{keyring, plain, question, resolver, shown, soon};
use emissary_registry::{Keyring, Layer, Options};
use sample_registry::{Access, Image, Index, SampleRegistry};
use std::fs;

async fn registry() -> sample_registry::RunningRegistry {
    let image = |word: &str| Index::oci().image(Image::new("linux/amd64").cmd(&[word, "é"]).user("1000"));
    SampleRegistry::new()
        .put("open:1", image("a"))
        .put("closed:1", image("b"))
        .access("closed", Access::basic("me", "p4ssw0rd"))
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_restart_is_not_cold() {
    let registry = registry().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contents");
    let owner = keyring(&registry, "me", "p4ssw0rd");
    let first = resolver(plain(&registry));
    for name in ["open:1", "closed:1"] {
        let question = question(&registry, name, &["linux/amd64"]).with_keyring(owner.clone());
        first.resolve(&question, soon()).await.unwrap();
    }
    assert_eq!(first.save(&path).unwrap(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(text.contains("closed") && !text.contains("p4ssw0rd") && !text.contains("bWU6c"), "{text}");

    let second = resolver(plain(&registry));
    assert_eq!(second.load(&path), 2);
    // Nobody has proved anything yet.
    let by_digest = format!("closed@{}", registry.digest("closed:1").unwrap());
    let stranger = question(&registry, &by_digest, &[]).with_keyring(Keyring::anonymous());
    assert_eq!(second.resolve(&stranger, soon()).await.unwrap_err().kind(), "unauthorized");
    let before = registry.requests().len();
    let question = question(&registry, &by_digest, &["linux/amd64"]).with_keyring(owner);
    let resolved = second.resolve(&question, soon()).await.unwrap();
    assert_eq!((shown(&resolved), resolved.layer), (vec!["linux/amd64:  + b é".to_owned()], Layer::Revalidated));
    let seen: Vec<_> = registry.requests()[before..].iter().map(|request| request.method.clone()).collect();
    assert_eq!(seen, ["HEAD", "HEAD"]);
}

#[tokio::test]
async fn what_is_damaged_is_dropped() {
    let registry = registry().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contents");
    let full = resolver(plain(&registry));
    full.resolve(&question(&registry, "open:1", &[]), soon()).await.unwrap();
    full.save(&path).unwrap();
    let good = fs::read(&path).unwrap();
    let empty = resolver(plain(&registry));
    assert_eq!(empty.load(&folder.path().join("absent")), 0);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        assert_eq!(empty.load(&path), 0, "byte {at} flipped");
        fs::write(&path, &good[..at]).unwrap();
        assert_eq!(empty.load(&path), 0, "cut after {at} bytes");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(empty.load(&path), 1);
    assert_eq!(empty.load(folder.path()), 0);
    assert!(full.save(&folder.path().join("no/such/folder")).is_err());
}

#[tokio::test]
async fn no_more_is_loaded_than_may_be_kept() {
    let mut registry = SampleRegistry::new();
    for n in 0..50 {
        registry = registry
            .put(&format!("app:{n}"), Image::new("linux/amd64").cmd(&["x".repeat(1000).as_str(), &n.to_string()]));
    }
    let registry = registry.start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contents");
    let full = resolver(plain(&registry));
    for n in 0..50 {
        full.resolve(&question(&registry, &format!("app:{n}"), &[]), soon()).await.unwrap();
    }
    full.save(&path).unwrap();
    let small = resolver(Options { cache_bytes: 20_000, ..plain(&registry) });
    small.load(&path);
    let counts = small.counts();
    assert!((1..=10).contains(&counts.contents) && counts.bytes <= 20_000, "{counts:?}");
}
