use super::advice::{Advice, advise};
use super::blame::{self, Blame, Sides};
use super::candidate::Candidate;
use super::judge::of_outcome;
use super::policies::Assumed;
use super::start;
use super::unresolved;
use super::verdict::{Column, Judgement, Verdict};
use super::wire::Ready;
use super::worker::{Limits, Stopped, Worker, WorkerError};
use crate::mutation::{Asking, Facts, Kind, Leave, Prepared, Rules, Subject, Unreadable, prepare};
use crate::settings::Snapshot;
use emissary_core::image::ImageProcess;
use emissary_core::lookup::{Answers, LookUp};
use emissary_core::outcome::Outcome;
use emissary_core::pod;
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
    /// For which executors.
    pub columns: Vec<Column>,
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

/// What is said of a pod, a cell an executor.
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
    before: Vec<Judgement>,
    sent: Option<Value>,
    prepared: Option<Result<Prepared<'r>, Unreadable>>,
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

    /// Judges a chunk; a row for each, in order. What a node or a registry has to be asked is asked once for all.
    pub async fn review(&mut self, candidates: &[Candidate]) -> Vec<Arc<Row>> {
        let Self { options, judges, rows } = self;
        if rows.len() > ROWS {
            rows.clear();
        }
        let keys: Vec<String> =
            candidates.iter().enumerate().map(|(at, one)| shape(one, at, options, judges)).collect();
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
        let (sent, before) = judge.before(candidate);
        let is_rewritten = self.columns.contains(&Column::Emissary);
        let prepared = sent.as_ref().filter(|_| is_rewritten).map(|sent| self.prepare(candidate, sent, None));
        Halfway { candidate, before, sent, prepared }
    }

    /// Plans the rewriting, with the settings' own options or others.
    fn prepare<'o>(
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
        let snapshot: &'o Snapshot = self.snapshot;
        let decisions = snapshot.decisions(&candidate.namespace, || instance(sent).map(Cow::Borrowed));
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
        Facts { namespace_labels: labels.collect(), keyring: Arc::clone(&self.keyring), ..Facts::default() }
    }

    /// Asks for what the plans lack, and for the users of images that may not be root's, all at once.
    async fn ask(&self, halfway: &[Halfway<'_, '_>]) -> Answers {
        let mut look_ups: HashSet<LookUp> = HashSet::new();
        for one in halfway {
            if let Some(Ok(prepared)) = &one.prepared {
                look_ups.extend(prepared.look_ups().into_iter().cloned());
            }
            // Offline nobody answers, and what is not known is not held against anybody.
            let images = one.sent.as_ref().filter(|_| self.resolver.is_some()).map(start::images).unwrap_or_default();
            look_ups.extend(images.into_iter().filter_map(|image| self.look_up(image)));
        }
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
        let Halfway { candidate, before, sent, prepared } = halfway;
        let refused = |column| Cell { column, judgements: before.clone(), pod: None, advice: Advice::default() };
        let Some(sent) = sent else { return self.columns.iter().map(|column| refused(*column)).collect() };
        let mut side = Side { options: self, candidate, answers, judge };
        let (stored, mut as_is) = side.judge(&sent, false);
        let against = as_is.iter_mut().filter(|one| one.verdict.is_against());
        against.for_each(|one| one.blame = Some(Blame::User));
        let mut prepared = prepared;
        let mut cells = Vec::with_capacity(self.columns.len());
        let variants = unresolved::variants(candidate);
        for column in &self.columns {
            let planned = prepared.take_if(|_| *column == Column::Emissary);
            let mut cell = match planned {
                Some(planned) => side.emissary(&sent, &as_is, planned),
                None => {
                    let (judgements, pod) = (as_is.clone(), Some(stored.clone()));
                    Cell { column: *column, judgements, pod, advice: Advice::default() }
                }
            };
            cell.judgements.splice(
                0..0,
                before.iter().cloned().map(|mut one| {
                    one.blame = one.verdict.is_against().then_some(Blame::User);
                    one
                }),
            );
            for variant in &variants {
                let other = side.variant(variant, *column);
                unresolved::doubt(&mut cell.judgements, &other);
            }
            cells.push(cell);
        }
        cells
    }
}

/// One candidate, and what judges it: a counterfactual is a call.
pub(super) struct Side<'s, 'o, 'p> {
    options: &'s Options<'o>,
    pub(super) candidate: &'s Candidate,
    answers: &'s Answers,
    judge: &'p mut Worker,
}

impl Side<'_, '_, '_> {
    /// What is said of a pod after the webhooks, and by the node; and the pod that is stored.
    pub(super) fn judge(&mut self, pod: &Value, rewritten: bool) -> (Value, Vec<Judgement>) {
        let (stored, mut judgements) = self.judge.after(self.candidate, pod, rewritten);
        judgements.extend(start::refusals(&stored, |image| self.process(image)));
        (stored, judgements)
    }

    /// The pod under other settings; `None` where they refuse it.
    pub(super) fn rewritten(&self, sent: &Value, options: &pod::Options) -> Option<Value> {
        let outcome = self.options.prepare(self.candidate, sent, Some(options)).ok()?.apply(self.answers);
        let mut pod = sent.clone();
        match outcome {
            Outcome::Rewrite(edits, _) => edits.apply(&mut pod).ok().map(|()| pod),
            Outcome::Skip(_) | Outcome::Unchanged(_) => Some(pod),
            Outcome::Denial(_) => None,
        }
    }

    /// The settings' own options for this pod.
    pub(super) fn settings(&self, sent: &Value) -> pod::Options {
        let instance = || instance(sent).map(Cow::Borrowed);
        self.options.snapshot.decisions(&self.candidate.namespace, instance).pod.clone()
    }

    fn emissary(&mut self, sent: &Value, as_is: &[Judgement], prepared: Result<Prepared<'_>, Unreadable>) -> Cell {
        let column = Column::Emissary;
        let refused = |judgement| Cell { column, judgements: vec![judgement], pod: None, advice: Advice::default() };
        let outcome = match prepared {
            Ok(prepared) => prepared.apply(self.answers),
            Err(unreadable) => {
                let stage = super::verdict::Stage::Rewrite;
                let (name, why) = ("emissary-webhook".to_owned(), unreadable.to_string());
                return refused(Judgement::new(stage, "emissary", name, Verdict::Denied, why));
            }
        };
        if let Some(mut judgement) = of_outcome(&outcome) {
            judgement.blame = judgement.verdict.is_against().then_some(Blame::User);
            return refused(judgement);
        }
        let mut pod = Cow::Borrowed(sent);
        if let Outcome::Rewrite(edits, _) = &outcome
            && let Err(error) = edits.apply(pod.to_mut())
        {
            let stage = super::verdict::Stage::Rewrite;
            let (name, why) = ("emissary-webhook".to_owned(), error.to_string());
            return refused(Judgement::new(stage, "emissary", name, Verdict::Unknown, why));
        }
        let rewritten = matches!(outcome, Outcome::Rewrite(..));
        let (stored, mut judgements) = self.judge(&pod, rewritten);
        let sides = Sides { sent, rewritten: &pod, as_is };
        blame::assign(&mut judgements, &sides, |pod| self.judge(pod, true).1);
        let advice = match self.options.with_advice {
            true => advise(self, &sides, &judgements),
            false => Advice::default(),
        };
        Cell { column, judgements, pod: Some(stored), advice }
    }

    /// What is said of another pod in this one's place, from the start.
    fn variant(&mut self, variant: &Candidate, column: Column) -> Vec<Judgement> {
        let (sent, mut judgements) = self.judge.before(variant);
        let Some(sent) = sent else { return judgements };
        let mut side = Side { options: self.options, candidate: variant, answers: self.answers, judge: self.judge };
        let pod = match column {
            Column::AsIs => Some(sent),
            Column::Emissary => {
                let options = side.settings(&sent);
                side.rewritten(&sent, &options)
            }
        };
        judgements.extend(pod.map(|pod| side.judge(&pod, column == Column::Emissary).1).unwrap_or_default());
        judgements
    }

    /// What an image runs and as whom, as far as an index or a registry has said it.
    fn process(&self, image: &str) -> Option<ImageProcess> {
        start::process(self.options.snapshot, self.answers, image)
    }
}

/// To which workflow controller a pod belongs, by its label.
fn instance(pod: &Value) -> Option<&str> {
    pod.pointer("/metadata/labels/workflows.argoproj.io~1controller-instanceid").and_then(Value::as_str)
}

/// What two candidates have in common if they are judged alike: the whole request, less by which name the pod goes where no
/// policy can read it.
fn shape(candidate: &Candidate, at: usize, options: &Options<'_>, judges: &[Worker]) -> String {
    let Candidate {
        namespace,
        namespace_object,
        operation,
        sub_resource,
        object,
        old_object,
        user,
        dry_run,
        is_defaulted,
        ..
    } = candidate;
    if !options.by_shape {
        return at.to_string();
    }
    let first = judges.first().map(|judge| &judge.ready);
    let reads_identity =
        first.is_none_or(|ready| ready.reads_identity || namespace_object.is_none() && ready.selects_namespaces);
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !reads_identity) {
            for field in ["name", "generateName", "uid"] {
                metadata.remove(field);
            }
        }
        object
    };
    let namespace_object = namespace_object.as_ref().map(|namespace| &namespace.object);
    serde_json::json!([
        namespace,
        namespace_object,
        operation.as_str(),
        sub_resource,
        bare(object),
        bare(old_object),
        user.name,
        user.uid,
        user.groups,
        dry_run,
        is_defaulted
    ])
    .to_string()
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
