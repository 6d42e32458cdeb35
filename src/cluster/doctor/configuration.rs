use super::registrations::count;
use super::{Check, Doctor, Finding};
use crate::settings::{ConfigMap, ObjectName, Role, count_entries};

/// Problems that are written out for one ConfigMap.
const SAID: usize = 5;

impl Doctor {
    pub(super) fn image_indexes(&self) -> Finding {
        let check = Check::ImageIndexes.name();
        let is_index = |role: Role| role != Role::Controller;
        let (mut number, mut entries, mut finding) = (0, 0, Finding::ok(check, ""));
        for ((role, object), map) in self.maps.there.iter().filter(|((role, _), _)| is_index(*role)) {
            let there = count_entries(object, map);
            (number, entries) = (number + 1, entries + there);
            let is = match role {
                Role::Index | Role::Controller => "",
                Role::Labelled => ", by its label",
                Role::Defaults => ", shipped",
                Role::Namespace => ", that namespace's own",
            };
            finding.details.push(format!("ConfigMap {object}: {}{is}", count(there, "entry", "entries")));
        }
        self.blame(&mut finding, is_index);
        let unread = self.unread(&mut finding, is_index);
        if number == 0 && unread > 0 {
            return finding.given_up("no ConfigMap with an image index may be read by you");
        }
        if finding.summary.is_empty() {
            let (number, entries) = (count(number, "ConfigMap", "ConfigMaps"), count(entries, "entry", "entries"));
            finding.summary = format!("{number} with {entries}");
        }
        finding
    }

    /// What is wrong in the ConfigMaps of some roles.
    pub(super) fn blame(&self, finding: &mut Finding, of: impl Fn(Role) -> bool) {
        for ((role, object), map) in self.maps.there.iter().filter(|((role, _), _)| of(*role)) {
            let problems = self.report.objects.iter().filter(|one| (one.role, &one.object) == (*role, object));
            for one in problems.take(SAID) {
                finding.fail(one.problem.to_string(), mend(object, map));
            }
        }
    }

    /// What of some roles could not be read; how much.
    pub(super) fn unread(&self, finding: &mut Finding, of: impl Fn(Role) -> bool) -> usize {
        let unread = self.maps.unread.iter().filter(|unread| of(unread.role));
        unread
            .map(|unread| finding.details.push(format!("{} may not be read by you: {}", unread.what, unread.why)))
            .count()
    }
}

/// How a ConfigMap is mended: what is compressed nobody can edit in place.
fn mend(ObjectName { namespace, name }: &ObjectName, map: &ConfigMap) -> String {
    if map.binary_data.is_empty() {
        return format!("kubectl -n {namespace} edit configmap {name}");
    }
    format!("mend the file that {namespace}/{name} was made of, and make the ConfigMap anew, with its labels")
}
