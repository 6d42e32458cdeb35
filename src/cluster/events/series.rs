use std::collections::HashMap;

use k8s_openapi::api::events::v1::Event as Written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{CONTROLLER, Event, Severity, metadata};

/// How long repetitions are gathered before they are written.
const GATHER: SignedDuration = SignedDuration::from_secs(30);

/// How long after its last repetition a series ends. The API server keeps an Event for an hour after its last write.
const QUIET: SignedDuration = SignedDuration::from_mins(10);

/// The most series that are remembered.
const LARGEST: usize = 256;

/// Writes that may follow each other at once.
const BURST: i32 = 20;

/// What a further write costs.
const REFILL: SignedDuration = SignedDuration::from_secs(3);

/// The longest name of an object, and of an Event with it (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// More came than may be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// What is to be written: a new Event where `count` is 1, else the series of one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) event: Event,
    pub(super) name: String,
    pub(super) count: i32,
    pub(super) last: Timestamp,
}

#[derive(Debug)]
struct Known {
    name: String,
    count: i32,
    last: Timestamp,
    written: i32,
    written_at: Timestamp,
}

/// What was said of late, and how much more may be. Told the time.
#[derive(Debug)]
pub(super) struct Series {
    instance: String,
    known: HashMap<Event, Known>,
    /// When the bucket will be full again.
    full_at: Timestamp,
}

impl Series {
    pub(super) fn new(instance: String) -> Self {
        Self { instance, known: HashMap::new(), full_at: Timestamp::UNIX_EPOCH }
    }

    /// Takes one more Event: what is to be written at once, if it is.
    pub(super) fn take(&mut self, event: Event, now: Timestamp) -> Result<Option<Write>, TooMany> {
        if let Some(known) = self.known.get_mut(&event) {
            known.count = known.count.saturating_add(1);
            known.last = now;
            return Ok(None);
        }
        if !self.afford(now) {
            return Err(TooMany);
        }
        if self.known.len() >= LARGEST {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last).map(|(event, _)| event.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let name = name(&event.regarding.name, now);
        let known = Known { name: name.clone(), count: 1, last: now, written: 1, written_at: now };
        self.known.insert(event.clone(), known);
        Ok(Some(Write { event, name, count: 1, last: now }))
    }

    /// The repetitions that are due, as far as they may be written now. Series that have gone quiet end.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Write> {
        self.known.retain(|_, known| known.count > known.written || now.duration_since(known.last) < QUIET);
        let due: Vec<Event> = self
            .known
            .iter()
            .filter(|(_, known)| known.count > known.written && now.duration_since(known.written_at) >= GATHER)
            .map(|(event, _)| event.clone())
            .collect();
        let mut writes = Vec::new();
        for event in due {
            if !self.afford(now) {
                break;
            }
            if let Some(known) = self.known.get_mut(&event) {
                (known.written, known.written_at) = (known.count, now);
                writes.push(Write { event, name: known.name.clone(), count: known.count, last: known.last });
            }
        }
        writes
    }

    /// The next of its kind is a first one.
    pub(super) fn forget(&mut self, event: &Event) {
        self.known.remove(event);
    }

    /// The Event that a first write creates.
    pub(super) fn first(&self, write: &Write) -> Written {
        let Event { regarding, severity, reason, action, note } = &write.event;
        Written {
            metadata: metadata(regarding, &write.name),
            event_time: Some(MicroTime(write.last)),
            regarding: Some(regarding.into()),
            type_: Some(
                match severity {
                    Severity::Normal => "Normal",
                    Severity::Warning => "Warning",
                }
                .to_owned(),
            ),
            reason: Some((*reason).to_owned()),
            action: Some((*action).to_owned()),
            note: Some(note.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Written::default()
        }
    }

    /// Pays for one write.
    fn afford(&mut self, now: Timestamp) -> bool {
        let full_at = self.full_at.max(now) + REFILL;
        let affordable = full_at.duration_since(now) <= REFILL * BURST;
        if affordable {
            self.full_at = full_at;
        }
        affordable
    }
}

/// A name that no other Event has: the object's, and the moment.
fn name(object: &str, now: Timestamp) -> String {
    let moment = format!("{:x}", now.as_nanosecond());
    let longest = object.floor_char_boundary(LONGEST_NAME - 1 - moment.len());
    let object = object[..longest].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{object}.{moment}")
}

#[cfg(test)]
mod tests {
    use super::super::Regarding;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn event(note: impl ToString) -> Event {
        Event {
            regarding: Regarding {
                api_version: "v1",
                kind: "ConfigMap",
                namespace: Some("argo".to_owned()),
                name: "image-index".to_owned(),
                uid: None,
            },
            severity: Severity::Warning,
            reason: "InvalidImageIndex",
            action: "Load",
            note: note.to_string(),
        }
    }

    #[test]
    fn the_same_again_is_gathered_into_a_series() {
        let mut series = Series::new("pod".to_owned());
        let first = series.take(event("a"), at(0)).unwrap().unwrap();
        assert_eq!(first.count, 1);
        for second in 1..=10 {
            assert_eq!(series.take(event("a"), at(second)), Ok(None));
        }
        assert_eq!(series.due(at(11)), [], "gathered for a while");
        let due = series.due(at(30));
        assert_eq!((due.len(), due[0].count, due[0].last), (1, 11, at(10)));
        assert_eq!(due[0].name, first.name, "the Event that is there");
        assert_eq!(series.due(at(61)), [], "nothing new");
        assert_eq!(series.take(event("a"), at(62)), Ok(None));
        assert_eq!(series.due(at(62))[0].count, 12);
    }

    #[test]
    fn another_note_is_another_event() {
        let mut series = Series::new("pod".to_owned());
        let (one, other) = (series.take(event("a"), at(0)).unwrap(), series.take(event("b"), at(1)).unwrap());
        assert_ne!(one.unwrap().name, other.unwrap().name);
    }

    #[test]
    fn a_quiet_series_ends() {
        let mut series = Series::new("pod".to_owned());
        let first = series.take(event("a"), at(0)).unwrap().unwrap();
        assert_eq!(series.due(at(599)), []);
        assert_eq!(series.take(event("a"), at(599)), Ok(None), "still the same series");
        assert_eq!(series.due(at(629))[0].count, 2);
        series.due(at(599 + 600));
        let again = series.take(event("a"), at(599 + 601)).unwrap().unwrap();
        assert_eq!(again.count, 1);
        assert_ne!(again.name, first.name);
    }

    #[test]
    fn what_could_not_be_written_is_begun_again() {
        let mut series = Series::new("pod".to_owned());
        series.take(event("a"), at(0)).unwrap();
        series.forget(&event("a"));
        assert_eq!(series.take(event("a"), at(1)).unwrap().unwrap().count, 1);
    }

    #[test]
    fn a_flood_is_cut_to_a_trickle() {
        let mut series = Series::new("pod".to_owned());
        let taken = |series: &mut Series, from: i64, second: i64| {
            (from..from + 100).filter(|n| series.take(event(n), at(second)).is_ok()).count()
        };
        assert_eq!(taken(&mut series, 0, 0), 20);
        assert_eq!(taken(&mut series, 1000, 3), 1);
        assert_eq!(taken(&mut series, 2000, 63), 20);
    }

    #[test]
    fn memory_is_bounded() {
        let mut series = Series::new("pod".to_owned());
        for second in 0..1000 {
            series.take(event(second), at(second * 3)).unwrap();
        }
        assert_eq!(series.known.len(), LARGEST);
        assert!(series.known.contains_key(&event(999)), "the oldest go");
    }

    #[test]
    fn an_event_has_a_name_that_the_api_server_takes() {
        for object in ["image-index", &"a".repeat(253), &format!("{}.{}", "a".repeat(235), "b".repeat(17))] {
            let name = name(object, at(0));
            assert!(name.len() <= LONGEST_NAME, "{name}");
            let fits = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
            assert!(name.split('.').all(fits), "{name}");
        }
    }
}
