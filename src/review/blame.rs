//! Whose doing it is: what is said of the user's pod with each part of what is injected, by itself.

use super::verdict::Judgement;
use serde_json::{Map, Value};

/// Whose doing a denial or a warning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The pod as it was sent has it too, and nothing that is injected adds to it.
    User,
    /// Only what is injected has it.
    Injected,
    /// The pod as it was sent has it, and so has what is injected.
    Both,
    /// Neither has it alone: only several parts together.
    Interaction,
}

impl Blame {
    /// The name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Injected => "injected",
            Self::Both => "both",
            Self::Interaction => "interaction",
        }
    }

    /// Whether what is injected has a part in it.
    pub fn is_ours(self) -> bool {
        self != Self::User
    }
}

/// What is compared.
pub(super) struct Sides<'s> {
    /// The pod as the webhook got it.
    pub(super) sent: &'s Value,
    /// The pod as the webhook left it.
    pub(super) rewritten: &'s Value,
    /// What is said of the pod as it was sent.
    pub(super) as_is: &'s [Judgement],
}

/// A part of what is injected, and the user's pod with that part alone.
struct Part {
    /// `container wait`, `volume var-run-argo`, `container main: volumeMounts`, `metadata.labels`.
    name: String,
    with: Value,
    /// Where an injected container stands in `with`.
    container: Option<(&'static str, usize)>,
}

/// Says of each denial and warning whose doing it is, and which part and field of what is injected has it. `judge` says what
/// is said of another pod in this one's place, at least by these programs, each an `engine policy`.
pub(super) fn assign(
    judgements: &mut [Judgement],
    sides: &Sides<'_>,
    mut judge: impl FnMut(&Value, &[String]) -> Vec<Judgement>,
) {
    let before =
        |judgement: &Judgement| sides.as_is.iter().find(|other| other.is_of(judgement) && other.verdict.is_against());
    let mut open = Vec::new();
    for judgement in judgements.iter_mut().filter(|judgement| judgement.verdict.is_against()) {
        match before(judgement) {
            Some(alone) if says_no_more(judgement, alone) => judgement.blame = Some(Blame::User),
            _ => open.push(judgement),
        }
    }
    if open.is_empty() {
        return;
    }
    let asked: Vec<String> = open.iter().map(|one| format!("{} {}", one.engine, one.policy)).collect();
    for part in parts(sides) {
        let found = judge(&part.with, &asked);
        let adds = |judgement: &Judgement, found: &[Judgement]| {
            let now = found.iter().find(|other| other.is_of(judgement) && other.verdict.is_against());
            now.is_some_and(|now| before(judgement).is_none_or(|alone| !says_no_more(now, alone)))
        };
        let mut guilty: Vec<&mut &mut Judgement> =
            open.iter_mut().filter(|judgement| adds(judgement, &found)).collect();
        if guilty.is_empty() {
            continue;
        }
        let mut fields: Vec<Vec<String>> = vec![Vec::new(); guilty.len()];
        for (field, without) in part.without_fields() {
            let found = judge(&without, &asked);
            for (judgement, fields) in guilty.iter().zip(&mut fields).filter(|(judgement, _)| !adds(judgement, &found))
            {
                let _ = judgement;
                fields.push(field.clone());
            }
        }
        for (judgement, mut fields) in guilty.iter_mut().zip(fields) {
            // Without an image a container is none; it has something to do with it where it is quoted.
            let image = part.image().unwrap_or_default();
            fields.retain(|field| field != "image" || judgement.message.contains(image));
            // What several fields have each by itself is told by the narrowest.
            match fields.last() {
                Some(field) => judgement.causes.push(format!("{}: {field}", part.name)),
                None => judgement.causes.push(part.name.clone()),
            }
        }
    }
    for judgement in open {
        judgement.blame = Some(match (before(judgement).is_some(), judgement.causes.is_empty()) {
            (false, false) => Blame::Injected,
            (false, true) => Blame::Interaction,
            (true, _) => Blame::Both,
        });
    }
}

/// Whether each line of the one is in the other, but for the places of containers in lists, which what is injected shifts.
pub(super) fn says_no_more(judgement: &Judgement, alone: &Judgement) -> bool {
    let lines = |message: &str| -> Vec<String> {
        let mut lines: Vec<String> = message.lines().map(unplaced).collect();
        lines.sort_unstable();
        lines
    };
    let known = lines(&alone.message);
    lines(&judgement.message).iter().all(|line| known.binary_search(line).is_ok())
}

/// A text less the numbers in brackets.
fn unplaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('[') {
        out.push_str(before);
        out.push('[');
        rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

/// The lists of a pod whose elements go by name.
const LISTS: [(&str, &str); 3] = [("initContainers", "container"), ("containers", "container"), ("volumes", "volume")];

fn parts(sides: &Sides<'_>) -> Vec<Part> {
    let Sides { sent, rewritten, .. } = *sides;
    let mut parts = Vec::new();
    let mut part = |name: String, container, change: &dyn Fn(&mut Value)| {
        let mut with = sent.clone();
        change(&mut with);
        parts.push(Part { name, with, container });
    };
    for (list, word) in LISTS {
        let (before, after) = (elements(sent, list), elements(rewritten, list));
        for element in after {
            let name = name(element);
            let Some(at) = before.iter().position(|other| self::name(other) == name) else {
                let container = (word == "container").then_some((list, before.len()));
                part(format!("{word} {name}"), container, &|pod| push(pod, list, element.clone()));
                continue;
            };
            let (Some(old), Some(new)) = (before.get(at).and_then(Value::as_object), element.as_object()) else {
                continue;
            };
            for field in changed(old, new) {
                part(format!("{word} {name}: {field}"), None, &|pod| {
                    let target = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)?.get_mut(at)?.as_object_mut());
                    put(target, field, new.get(field));
                });
            }
        }
    }
    for (root, skipped) in [("spec", &["initContainers", "containers", "volumes"][..]), ("metadata", &[])] {
        let object = |pod: &Value| pod.get(root).and_then(Value::as_object).cloned().unwrap_or_default();
        let (old, new) = (object(sent), object(rewritten));
        for field in changed(&old, &new).filter(|field| !skipped.contains(field)) {
            let change = |pod: &mut Value| put(pod.get_mut(root).and_then(Value::as_object_mut), field, new.get(field));
            part(format!("{root}.{field}"), None, &change);
        }
    }
    parts
}

impl Part {
    fn image(&self) -> Option<&str> {
        let (list, at) = self.container?;
        elements(&self.with, list).get(at)?.get("image")?.as_str()
    }

    /// The part less one of its container's fields, the wide ones first.
    fn without_fields(&self) -> Vec<(String, Value)> {
        let Some((list, at)) = self.container else { return Vec::new() };
        let Some(container) = elements(&self.with, list).get(at).and_then(Value::as_object) else { return Vec::new() };
        let inner = |outer: &str| -> Vec<[String; 2]> {
            let fields = container.get(outer).and_then(Value::as_object);
            fields.into_iter().flat_map(Map::keys).map(|field| [outer.to_owned(), field.clone()]).collect()
        };
        let wide = container.keys().filter(|field| !matches!(field.as_str(), "name")).map(|field| vec![field.clone()]);
        let narrow = ["securityContext", "resources"].into_iter().flat_map(inner).map(Vec::from);
        wide.chain(narrow)
            .filter_map(|path| {
                let mut pod = self.with.clone();
                let (last, outer) = path.split_last()?;
                let container = pod.get_mut("spec")?.get_mut(list)?.get_mut(at)?;
                let target = outer.iter().try_fold(container, |at, field| at.get_mut(field))?;
                target.as_object_mut()?.remove(last);
                Some((path.join("."), pod))
            })
            .collect()
    }
}

fn elements<'v>(pod: &'v Value, list: &str) -> &'v [Value] {
    pod.get("spec").and_then(|spec| spec.get(list)?.as_array()).map(Vec::as_slice).unwrap_or_default()
}

fn name(element: &Value) -> &str {
    element.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn push(pod: &mut Value, list: &str, element: Value) {
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut)
        && let Some(elements) = spec.entry(list).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
    {
        elements.push(element);
    }
}

fn put(object: Option<&mut Map<String, Value>>, field: &str, value: Option<&Value>) {
    let Some(object) = object else { return };
    match value {
        Some(value) => _ = object.insert(field.to_owned(), value.clone()),
        None => _ = object.remove(field),
    }
}

/// Fields that differ.
fn changed<'m>(old: &'m Map<String, Value>, new: &'m Map<String, Value>) -> impl Iterator<Item = &'m str> {
    let gone = old.keys().filter(|field| !new.contains_key(*field));
    let others = new.iter().filter(|(field, value)| old.get(*field) != Some(value)).map(|(field, _)| field);
    gone.chain(others).map(String::as_str)
}
