use emissary_core::image::{ImageProcess, IndexEntry, Platform};

/// What an entry says of a platform and the image does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where.
    pub platform: Platform,
    /// What the entry says.
    pub written: ImageProcess,
    /// What the image runs; `None` where it has no such platform.
    pub found: Option<ImageProcess>,
}

/// Compares an entry with what the image runs on all of its platforms, or on those that were asked for. A platform of which
/// the entry says nothing is no difference, and neither is a user.
pub fn compare(entry: &IndexEntry, found: &[(Platform, ImageProcess)], asked: &[Platform]) -> Vec<Difference> {
    let same = |a: &ImageProcess, b: &ImageProcess| a.entrypoint == b.entrypoint && a.cmd == b.cmd;
    let mut differences = Vec::new();
    for (platform, process) in found {
        if let Some(written) = entry.process_for(Some(platform)).filter(|written| !same(written, process)) {
            let (platform, found) = (platform.clone(), Some(process.clone()));
            differences.push(Difference { platform, written: written.clone(), found });
        }
    }
    for (platform, written) in &entry.platforms {
        let is_asked = asked.is_empty() || asked.iter().any(|asked| platform.matches(asked));
        if is_asked && !found.iter().any(|(has, _)| has.matches(platform)) {
            differences.push(Difference { platform: platform.clone(), written: written.clone(), found: None });
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_entry_says_is_compared() {
        let runs = |word: &str| ImageProcess { entrypoint: vec![word.to_owned()], ..ImageProcess::default() };
        let on = |platform: &str| -> Platform { platform.parse().unwrap() };
        let entry = |platforms: &[(&str, &str)], common: Option<&str>| IndexEntry {
            process: common.map(runs),
            platforms: platforms.iter().map(|(platform, word)| (on(platform), runs(word))).collect(),
        };
        let found = [(on("linux/amd64"), runs("a")), (on("linux/arm64"), runs("b"))];
        let table = [
            (entry(&[("linux/arm64", "b")], Some("a")), vec![]),
            (entry(&[("linux/amd64", "a")], None), vec![]),
            (entry(&[], Some("a")), vec!["linux/arm64"]),
            (entry(&[("linux/arm64", "x")], None), vec!["linux/arm64"]),
            (entry(&[("linux/s390x", "x")], None), vec!["linux/s390x"]),
        ];
        for (entry, expected) in table {
            let differences = compare(&entry, &found, &[]);
            let platforms: Vec<String> = differences.iter().map(|one| one.platform.to_string()).collect();
            assert_eq!(platforms, expected, "{entry:?}");
        }
        assert_eq!(compare(&entry(&[("linux/s390x", "x")], None), &found, &[on("linux/amd64")]), []);
    }
}
