use super::advice::Advice;
use super::built::PutOn;
use super::candidate::Candidate;
use super::doubt::Doubt;
use super::policies::Assumed;
use super::shape::shape;
use super::side::{Cells, Origin, Side, Way};
use super::start;
use super::templates::Work;
use super::verdict::{Column, Judgement};
use super::wire::Ready;
use super::worker::{Limits, Stopped, Worker, WorkerError};
use crate::mutation::{Asking, Facts, Kind, Leave, Prepared, Rules, Subject, Unreadable, prepare};
use crate::settings::{Decisions, Snapshot};
use emissary_core::lookup::{Answers, LookUp};
use emissary_core::outcome::{Outcome, Skip};
use emissary_core::pod::{self, Executor};
use emissary_core::workflow::{Controller, Version};
use emissary_registry::{Keyring, Priority, Resolver};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many candidates are best judged together: enough to keep every core busy, and to ask a registry once for an image.
pub const CHUNK: usize = 256;

/// How many rows are kept for pods of the same shape that come later.
const ROWS: usize = 1024;

/// With what pods are reviewed.
#[derive(Debug)]
pub struct Options<'a> {
    /// How pods are rewritten.
    pub snapshot: &'a Snapshot,
    /// Whom to ask about images; nobody offline.
    pub resolver: Option<&'a Resolver>,
    /// With which credentials.
    pub keyring: Arc<Keyring>,
    /// How long one chunk's look-ups may take.
    pub timeout: Duration,
    /// For which executors, each once.
    pub columns: Vec<Column>,
    /// What is configured of the workflow controller that would make the pods; null where nothing is known.
    pub controller: Value,
    /// How many judge at the same time.
    pub threads: NonZeroUsize,
    /// Whether pods of the same shape are judged once.
    pub by_shape: bool,
    /// Whether settings are searched that clear what is injected.
    pub with_advice: bool,
}

/// What is said of a pod for one executor.
#[derive(Debug, Clone)]
pub struct Cell {
    /// For which.
    pub column: Column,
    /// In the API server's order.
    pub judgements: Vec<Judgement>,
    /// The pod that would be stored; `None` where it is refused before.
    pub pod: Option<Value>,
    /// What would help against what is injected.
    pub advice: Advice,
}

/// What is said of a pod, a cell an executor; of what is rendered there is nothing as it is.
pub type Row = Vec<Cell>;

/// Judges candidates, chunk by chunk.
#[derive(Debug)]
pub struct Reviewer<'a> {
    options: Options<'a>,
    /// One for each thread.
    judges: Vec<Worker>,
    rows: HashMap<String, Arc<Row>>,
}

/// A candidate on its way: what is known before images are looked up.
struct Halfway<'c, 'r> {
    candidate: &'c Candidate,
    /// The pods that it stands for, the one that was sent first.
    ways: Vec<Way<'c, 'r>>,
    /// Columns for which there is no pod, and why.
    none: Vec<(Column, String)>,
}

impl<'a> Reviewer<'a> {
    /// With the policies of these files.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn new(
        options: Options<'a>,
        limits: Limits,
        files: Vec<PathBuf>,
        assumed: Assumed,
    ) -> Result<Self, WorkerError> {
        let first = Worker::start(limits, files, assumed, Stopped::default())?;
        let mut judges: Vec<Worker> = (1..options.threads.get()).map(|_| first.another()).collect();
        judges.insert(0, first);
        Ok(Self { options, judges, rows: HashMap::new() })
    }

    /// What is known of the policies.
    pub fn ready(&self) -> Ready {
        self.judges.first().map(|judge| judge.ready.clone()).unwrap_or_default()
    }

    /// Files that could not be loaded and programs that had to be stopped, with the reasons.
    pub fn stopped(&self) -> BTreeMap<String, String> {
        self.judges.first().map(Worker::stopped).unwrap_or_default()
    }

    /// The candidates of a chunk of work: pods as they are, and one for each template that makes a pod. What images run is
    /// asked for at once for all.
    pub async fn candidates(&self, work: Vec<Work>) -> Vec<Candidate> {
        self.options.candidates(work).await
    }

    /// Judges a chunk; a row for each, in order. What a node or a registry has to be asked is asked once for all.
    pub async fn review(&mut self, candidates: &[Candidate]) -> Vec<Arc<Row>> {
        let Self { options, judges, rows } = self;
        if rows.len() > ROWS {
            rows.clear();
        }
        let ready = judges.first().map(|judge| &judge.ready);
        let key = |(at, one)| if options.by_shape { shape(one, ready) } else { usize::to_string(&at) };
        let keys: Vec<String> = candidates.iter().enumerate().map(key).collect();
        let mut seen = HashSet::new();
        let todo: Vec<(&String, &Candidate)> =
            keys.iter().zip(candidates).filter(|(key, _)| !rows.contains_key(*key) && seen.insert(*key)).collect();

        let work = todo.iter().map(|(_, candidate)| *candidate).collect();
        let halfway: Vec<Halfway<'_, '_>> = parallel(judges, work, |judge, one| options.start(judge, one));
        let answers = options.ask(&halfway).await;
        let options = &*options;
        let judged = parallel(judges, halfway, |judge, one| options.finish(judge, one, &answers));
        let made: Vec<(String, Arc<Row>)> =
            todo.into_iter().zip(judged).map(|((key, _), row)| (key.clone(), Arc::new(row))).collect();
        rows.extend(made);
        let rows_of = |key: &String| rows.get(key).map(Arc::clone).unwrap_or_default();
        let reviewed = keys.iter().map(rows_of).collect();
        if !options.by_shape {
            rows.clear();
        }
        reviewed
    }
}

impl<'a> Options<'a> {
    fn start<'c>(&self, judge: &mut Worker, candidate: &'c Candidate) -> Halfway<'c, 'a> {
        let (mut ways, mut none) = (Vec::new(), Vec::new());
        if let Some(rendered) = &candidate.rendered {
            for (column, built) in &rendered.0 {
                match built {
                    Ok(built) => {
                        let pod = Cow::Owned(candidate.with(built.pod.clone(), Value::Null));
                        ways.push(self.way(judge, vec![*column], pod, built.doubts.clone()));
                    }
                    Err(why) => none.push((*column, why.clone())),
                }
            }
            return Halfway { candidate, ways, none };
        }
        let settings = Controller::new(Version::V33, Executor::Docker).configured(&self.controller).settings;
        let (mut as_sent, mut others) = (Vec::new(), Vec::new());
        for column in &self.columns {
            let executor = column.executor().filter(|executor| *executor != Executor::Emissary);
            match executor.map(|executor| candidate.put_on(executor, &settings)) {
                None | Some(PutOn::Same) => as_sent.push(*column),
                Some(PutOn::Other(other, doubts)) => others.push((*column, *other, doubts)),
                // Whoever runs workflows has no part in it.
                Some(PutOn::Bare(_)) if self.is_strange(candidate) => as_sent.push(*column),
                Some(PutOn::Bare(why) | PutOn::Unknown(why)) => none.push((*column, why)),
            }
        }
        if !as_sent.is_empty() {
            ways.push(self.way(judge, as_sent, Cow::Borrowed(candidate), Vec::new()));
        }
        for (column, other, doubts) in others {
            ways.push(self.way(judge, vec![column], Cow::Owned(other), doubts));
        }
        Halfway { candidate, ways, none }
    }

    fn way<'c>(
        &self,
        judge: &mut Worker,
        columns: Vec<Column>,
        candidate: Cow<'c, Candidate>,
        doubts: Vec<Doubt>,
    ) -> Way<'c, 'a> {
        let (sent, before) = judge.before(&candidate);
        let is_rewritten = columns.contains(&Column::Emissary);
        let prepared = sent.as_ref().filter(|_| is_rewritten).map(|sent| self.prepare(&candidate, sent, None));
        Way { columns, candidate, doubts, before, sent, prepared }
    }

    /// Whether a pod is none of a workflow's, as the webhook sees it.
    fn is_strange(&self, candidate: &Candidate) -> bool {
        let prepared = self.prepare(candidate, &candidate.object, None);
        matches!(prepared, Ok(Prepared::Settled(Outcome::Skip(Skip::NotAWorkflowPod | Skip::MirrorPod))))
    }

    /// What the settings decide for an object.
    pub(super) fn decisions(&self, namespace: &str, object: &Value) -> Decisions<'a> {
        self.snapshot.decisions(namespace, || instance(object).map(Cow::Borrowed))
    }

    /// Plans the rewriting, with the settings' own options or others.
    pub(super) fn prepare<'o>(
        &self,
        candidate: &Candidate,
        sent: &Value,
        other: Option<&'o pod::Options>,
    ) -> Result<Prepared<'o>, Unreadable>
    where
        'a: 'o,
    {
        let text = sent.to_string();
        let name = super::candidate::text(&candidate.object, "/metadata/name");
        let old = (!candidate.old_object.is_null()).then(|| candidate.old_object.to_string());
        let subject = Subject {
            kind: Kind::Pod,
            operation: candidate.operation.as_str(),
            sub_resource: Some(&candidate.sub_resource),
            name: Some(name).filter(|name| !name.is_empty()),
            namespace: Some(&candidate.namespace),
            object: &text,
            old_object: old.as_deref(),
        };
        let decisions: Decisions<'o> = self.decisions(&candidate.namespace, sent);
        let rules =
            Rules { pod: other.unwrap_or(decisions.pod), workflow: decisions.workflow, indexes: decisions.indexes };
        prepare(&subject, rules, &self.facts(candidate))
    }

    fn facts(&self, candidate: &Candidate) -> Facts {
        let labels = candidate
            .namespace_object
            .as_ref()
            .and_then(|namespace| namespace.object.get("metadata")?.get("labels")?.as_object());
        let labels =
            labels.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        // Where the webhook does not watch them, it keeps to none.
        let bounds = candidate.bounds.as_ref().filter(|_| self.snapshot.settings.cluster.limit_ranges);
        Facts {
            namespace_labels: labels.collect(),
            keyring: Arc::clone(&self.keyring),
            limits: bounds.and_then(|bounds| bounds.injected.clone()),
            ..Facts::default()
        }
    }

    /// Asks for what the plans lack, and for the users of images that may not be root's, all at once.
    async fn ask(&self, halfway: &[Halfway<'_, '_>]) -> Answers {
        let mut look_ups: HashSet<LookUp> = HashSet::new();
        for one in halfway.iter().flat_map(|halfway| &halfway.ways) {
            if let Some(Ok(prepared)) = &one.prepared {
                look_ups.extend(prepared.look_ups().into_iter().cloned());
            }
            // Offline nobody answers, and what is not known is not held against anybody.
            let images = one.sent.as_ref().filter(|_| self.resolver.is_some()).map(start::images).unwrap_or_default();
            look_ups.extend(images.into_iter().filter_map(|image| self.look_up(image)));
        }
        self.answers(look_ups).await
    }

    pub(super) async fn answers(&self, look_ups: HashSet<LookUp>) -> Answers {
        let look_ups: Vec<&LookUp> = look_ups.iter().collect();
        let asking = Asking {
            resolver: self.resolver,
            keyring: &self.keyring,
            namespace: "",
            priority: Priority::Normal,
            deadline: Instant::now() + self.timeout,
            wait: &|_| Some(Leave::until_the_deadline(())),
        };
        asking.answers(&look_ups).await
    }

    fn look_up(&self, image: &str) -> Option<LookUp> {
        let options = self.snapshot.pod();
        let reference = options.reference(image).ok()?;
        (self.snapshot.indexes().operator.find(&reference).is_none()).then(|| LookUp {
            reference,
            platforms: options.platforms.clone(),
            stated: false,
            always: false,
        })
    }

    fn finish(&self, judge: &mut Worker, halfway: Halfway<'_, '_>, answers: &Answers) -> Row {
        let Halfway { candidate, ways, none } = halfway;
        let mut row: Row = none
            .into_iter()
            .map(|(column, why)| Cell {
                column,
                judgements: vec![Judgement::not_known(why)],
                pod: None,
                advice: Advice::default(),
            })
            .collect();
        // What is said of the pod as it was sent, by which it is told whose doing it is under another executor.
        let mut as_sent: Option<Vec<Judgement>> = None;
        for way in ways {
            let is_as_sent = matches!(way.candidate, Cow::Borrowed(_));
            let way_candidate = way.candidate.clone();
            let mut side = Side { options: self, candidate: &way_candidate, answers, judge };
            let origin = match () {
                () if is_as_sent => Origin::Sent,
                () if candidate.rendered.is_some() => Origin::Rendered,
                () => Origin::PutOn(candidate, &mut as_sent),
            };
            let Cells { cells, plain } = side.cells(way, origin);
            row.extend(cells);
            if is_as_sent {
                as_sent = plain;
            }
        }
        row.sort_by_key(|cell| self.columns.iter().position(|column| *column == cell.column));
        row
    }
}

/// To which workflow controller a pod belongs, by its label.
fn instance(pod: &Value) -> Option<&str> {
    pod.pointer("/metadata/labels/workflows.argoproj.io~1controller-instanceid").and_then(Value::as_str)
}

/// Does the work on as many threads as there are judges, and keeps its order.
pub(super) fn parallel<T: Send, R: Send>(
    judges: &mut [Worker],
    work: Vec<T>,
    one: impl Fn(&mut Worker, T) -> R + Sync,
) -> Vec<R> {
    let useful = work.len();
    let queue = Mutex::new(work.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = judges
            .iter_mut()
            .take(useful)
            .map(|judge| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    while let Some((at, work)) = next() {
                        done.push((at, one(judge, work)));
                    }
                    done
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
