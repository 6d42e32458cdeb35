use super::*;
use proptest::prelude::*;

const HEX: &str = "1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f";

fn runs(word: &str) -> IndexEntry {
    ImageProcess { entrypoint: vec![word.to_owned()], ..ImageProcess::default() }.into()
}

/// Each entry runs its own key.
fn index(keys: &[&str]) -> ImageIndex {
    let mut index = ImageIndex::default();
    for key in keys {
        index.insert(key, runs(key)).unwrap();
    }
    index
}

fn found<'a>(index: &'a ImageIndex, image: &str) -> Option<&'a str> {
    index.find(&Reference::parse(image).unwrap()).map(|hit| hit.key)
}

#[test]
fn the_best_match_wins() {
    let bare = format!("sha256:{HEX}");
    let named = format!("registry.corp/team/app@sha256:{HEX}");
    let keys = [
        bare.as_str(),
        &named,
        "alpine",
        "alpine:3.20",
        "alpine:3.*",
        "registry.corp/team/*",
        "registry.corp/team/a*",
        "registry.corp/team/*:v1*",
        "registry.corp/**",
        "**/busybox:1.*",
    ];
    let index = index(&keys);
    let other = "2e".repeat(32);
    let table = [
        ("alpine".to_owned(), Some("alpine")),
        ("docker.io/library/alpine:latest".to_owned(), Some("alpine")),
        ("alpine:3.20".to_owned(), Some("alpine:3.20")),
        ("alpine:3.21".to_owned(), Some("alpine:3.*")),
        ("alpine:edge".to_owned(), None),
        ("team/alpine:3.20".to_owned(), None),
        ("registry.corp/team/app:v1".to_owned(), Some("registry.corp/team/*:v1*")),
        ("registry.corp/team/app:v2".to_owned(), Some("registry.corp/team/a*")),
        ("registry.corp/team/b".to_owned(), Some("registry.corp/team/*")),
        ("registry.corp/team/sub/b".to_owned(), Some("registry.corp/**")),
        ("elsewhere.corp/x/busybox:1.36".to_owned(), Some("**/busybox:1.*")),
        // A digest goes first, its tag is not looked at, and a glob with a tag is not asked.
        (format!("registry.corp/team/app:v1@sha256:{HEX}"), Some(named.as_str())),
        (format!("mirror.corp/app@sha256:{HEX}"), Some(bare.as_str())),
        (format!("registry.corp/team/app:v1@sha256:{other}"), Some("registry.corp/team/a*")),
        (format!("alpine:3.20@sha256:{other}"), None),
    ];
    for (image, expected) in table {
        assert_eq!(found(&index, &image), expected, "{image}");
    }
}

#[test]
fn of_equal_globs_the_first_by_name_wins_whatever_the_order() {
    for keys in [["team/a*c", "team/*ac"], ["team/*ac", "team/a*c"]] {
        assert_eq!(found(&index(&keys), "team/aac"), Some("team/*ac"));
    }
}

#[test]
fn two_spellings_of_one_image_are_one_key() {
    let named = format!("alpine:3@sha256:{HEX}");
    let table = [
        ("alpine", "docker.io/library/alpine:latest".to_owned()),
        ("alpine:3.*", "docker.io/alpine:3.*".to_owned()),
        (named.as_str(), format!("docker.io/library/alpine@sha256:{HEX}")),
        ("alpine:1", "alpine:1".to_owned()),
    ];
    for (first, second) in table {
        let mut index = index(&[first]);
        let before = index.fingerprint();
        let problem = index.insert(&second, runs("other")).unwrap_err();
        assert_eq!(problem, IndexProblem::Duplicate { key: second.clone(), earlier: first.to_owned() });
        let text = problem.to_string();
        assert!(text.contains(&second) && text.contains(first), "{text}");
        assert_eq!((index.len(), index.fingerprint()), (1, before), "the first stays");
    }
}

#[test]
fn a_wrong_key_says_what_a_right_one_looks_like() {
    let table = [("Alpine", "lower case"), ("sha256:12", "digits"), ("a?*", "`*`"), ("", "empty"), ("a b", "a-z")];
    for (key, expected) in table {
        let text = ImageIndex::default().insert(key, runs("x")).unwrap_err().to_string();
        assert!(text.contains(expected), "{key}: {text}");
    }
}

#[test]
fn merging_adds_and_keeps_what_is_there() {
    let mut first = index(&["alpine", "busybox"]);
    let problems = first.merge(&index(&["library/alpine:latest", "nginx:1"]));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(first.iter().map(|hit| hit.key).collect::<Vec<_>>(), ["alpine", "busybox", "nginx:1"]);
}

#[test]
fn the_fingerprint_tells_contents_apart_and_nothing_else() {
    let one = index(&["alpine", "busybox:1"]);
    let mut same = ImageIndex::default();
    same.insert("busybox:1", runs("busybox:1")).unwrap();
    same.insert("docker.io/library/alpine", runs("alpine")).unwrap();
    assert_eq!(one.fingerprint(), same.fingerprint());
    assert_ne!(one.fingerprint(), index(&["alpine", "busybox:2"]).fingerprint());
    let split = |entrypoint: &[&str], cmd: &[&str]| {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let process = ImageProcess { entrypoint: own(entrypoint), cmd: own(cmd), user: None };
        hash_entry("x", &process.into())
    };
    assert_ne!(split(&["a", "b"], &[]), split(&["a"], &["b"]));
    assert_ne!(split(&["ab"], &[]), split(&["a", "b"], &[]));
    assert_eq!(split(&["/bin/sh", "-c"], &["x"]), 0xd082_dfff_aa43_170e, "the same in every build");
}

#[test]
fn a_platform_is_found_by_how_exactly_it_is_named() {
    let process = |word: &str| ImageProcess { entrypoint: vec![word.to_owned()], ..ImageProcess::default() };
    let platform = |text: &str| Platform::parse(text).unwrap();
    let mut entry = runs("common");
    for text in ["linux/arm", "linux/arm/v6", "windows/amd64"] {
        entry.platforms.insert(platform(text), process(text));
    }
    let table = [
        (Some("linux/arm/v6"), "linux/arm/v6"),
        (Some("windows/amd64"), "windows/amd64"),
        (Some("linux/amd64"), "common"),
        (None, "common"),
    ];
    for (asked, expected) in table {
        let asked = asked.map(platform);
        assert_eq!(entry.process_for(asked.as_ref()), Some(&process(expected)), "{asked:?}");
    }
    entry.process = None;
    assert_eq!(entry.process_for(None), None, "they differ, so none of them can be meant");
    assert_eq!(entry.process_for(Some(&platform("linux/s390x"))), None);
    entry.platforms.retain(|platform, _| platform.os == "windows");
    assert_eq!(entry.process_for(None), Some(&process("windows/amd64")));
}

/// Counts, not times: 20,000 globs of as many teams leave one to be tried.
#[test]
fn a_large_index_is_searched_by_name_and_not_through() {
    let mut index = ImageIndex::default();
    for n in 0..20_000 {
        let key = match n % 3 {
            0 => format!("registry.corp/team-{n}/app:1.2.{n}"),
            1 => format!("registry.corp/team-{n}/*:*"),
            _ => format!("registry.corp/app@sha256:{n:064x}"),
        };
        index.insert(&key, runs(&key)).unwrap();
    }
    assert_eq!(found(&index, "registry.corp/team-3/app:1.2.3"), Some("registry.corp/team-3/app:1.2.3"));
    assert_eq!(found(&index, "registry.corp/team-4/x:9"), Some("registry.corp/team-4/*:*"));
    assert_eq!(index.globs.candidates("registry.corp/team-4/x").count(), 1);
}

proptest! {
    #[test]
    fn any_key_is_taken_or_refused(key in any::<String>()) {
        let _ = ImageIndex::default().insert(&key, IndexEntry::default());
    }

    #[test]
    fn a_key_that_is_nearly_right_finds_itself(key in "([a-z]{1,3}[./:]){0,3}[a-z]{1,2}[*]?[a-z]?(:[a-z*]{1,4})?") {
        let mut index = ImageIndex::default();
        if index.insert(&key, runs(&key)).is_ok() && let Ok(image) = Reference::parse(&key.replace('*', "x")) {
            prop_assert_eq!(index.find(&image).map(|hit| hit.key), Some(key.as_str()));
        }
    }
}

#[test]
fn a_glob_that_another_always_beats_is_shadowed() {
    let shadows = |keys: [&str; 2]| {
        let mut index = ImageIndex::default();
        keys.iter().for_each(|key| index.insert(key, IndexEntry::from(ImageProcess::default())).unwrap());
        index.shadowed()
    };
    for keys in [["r.io/*b", "r.io/**b"], ["r.io/*b:*", "r.io/**b:*"], ["r.io/a*:*1", "r.io/a*:**1"]] {
        let both = [shadows(keys), shadows([keys[1], keys[0]])];
        assert!(both.iter().all(|found| found.len() == 1), "{keys:?}: {both:?}");
    }
    for keys in [["r.io/*", "r.io/**"], ["r.io/a*", "r.io/*"], ["r.io/a*:1*", "r.io/a*"], ["r.io/a*", "q.io/a*"]] {
        assert_eq!(shadows(keys), [], "{keys:?}");
    }
}
