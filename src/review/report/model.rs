use crate::manifest::Place;
use crate::review::advice::{Advice, Change, Exception};
use crate::review::candidate::Candidate;
use crate::review::reviewer::{Cell, Row};
use crate::review::verdict::{Column, Judgement, Verdict, worst};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The version of the JSON; a key that goes or changes its meaning makes another.
const VERSION: &str = "emissary-webhook.io/review/v1";

/// What a review comes to. It grows with the shapes of pods, not with pods, but for their names.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "A policy review")]
pub struct Report {
    /// `emissary-webhook.io/review/v1`.
    pub(super) api_version: String,
    /// The columns.
    pub(super) executors: Vec<String>,
    /// For each executor how many pods came to which verdict.
    pub(super) counts: BTreeMap<String, BTreeMap<String, usize>>,
    /// A row for the pods of one shape.
    pub(super) rows: Vec<ReportRow>,
    #[serde(skip)]
    by_row: HashMap<usize, usize>,
}

/// The pods of one shape, and what is said of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReportRow {
    /// Empty where a recorded request names none.
    pub(super) namespace: String,
    /// In the order of the input.
    pub(super) pods: Vec<ReportPod>,
    /// One for each executor; none for `as-is` where the pod is rendered from a template.
    pub(super) cells: Vec<ReportCell>,
    /// Kept alive, since it is the key of this row.
    #[serde(skip)]
    pub(super) row: Arc<Row>,
    #[serde(skip)]
    pub(super) sent: Value,
    #[serde(skip)]
    pub(super) is_rendered: bool,
}

/// A pod by name and place.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReportPod {
    /// `pod/name`; `workflow/name/template` for what a template comes to.
    pub(super) pod: String,
    /// The file; `standard input` for that.
    pub(super) file: String,
    /// From 1; 0 where it is not known.
    pub(super) line: u64,
}

/// What is said for one executor.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReportCell {
    /// Such as `emissary`.
    pub(super) executor: String,
    /// The worst of the judgements: `allowed`, `warned`, `unknown`, `wont-start` or `denied`.
    pub(super) verdict: String,
    /// In the API server's order.
    pub(super) judgements: Vec<ReportJudgement>,
    /// Settings that clear policies and break none, tried by judging again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) change: Option<ReportChange>,
    /// Settings that clear some policies and break others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conflicts: Vec<ReportChange>,
    /// For what no setting clears.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) exceptions: Vec<ReportException>,
}

/// What one policy says.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ReportJudgement {
    /// Such as `pss`.
    pub(super) engine: String,
    /// As its engine names it.
    pub(super) policy: String,
    /// `build`, `before-rewrite`, `rewrite`, `after-rewrite`, `validation` or `start`.
    pub(super) stage: String,
    /// The same words as a cell's.
    pub(super) verdict: String,
    /// Why, in the engine's own words.
    pub(super) message: String,
    /// `user`, `injected`, `both` or `interaction`; null where nothing is held against the pod.
    pub(super) blame: Option<String>,
    /// Parts of what is injected that have it by themselves.
    pub(super) causes: Vec<String>,
}

/// Other settings.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ReportChange {
    /// As `--set` takes them.
    pub(super) settings: Vec<String>,
    /// `engine policy`.
    pub(super) clears: Vec<String>,
    /// `engine policy`.
    pub(super) breaks: Vec<String>,
}

/// An exception in the engine's own format.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ReportException {
    /// `engine policy`.
    pub(super) policy: String,
    /// What to apply.
    pub(super) text: String,
    /// What else it lets through; empty where that is little.
    pub(super) warning: String,
}

impl Report {
    /// Without rows yet.
    pub fn new(columns: &[Column]) -> Self {
        Self {
            api_version: VERSION.to_owned(),
            executors: columns.iter().map(|column| column.name().to_owned()).collect(),
            counts: BTreeMap::new(),
            rows: Vec::new(),
            by_row: HashMap::new(),
        }
    }

    /// Adds a pod, to the row of its shape where there is one.
    pub fn add(&mut self, candidate: &Candidate, row: &Arc<Row>) {
        for cell in row.iter() {
            let counts = self.counts.entry(cell.column.name().to_owned()).or_default();
            *counts.entry(worst(&cell.judgements).name().to_owned()).or_default() += 1;
        }
        let Place { source, line, .. } = &candidate.place;
        let pod = ReportPod { pod: candidate.title.clone(), file: source.to_string(), line: *line };
        let at = *self.by_row.entry(Arc::as_ptr(row).addr()).or_insert(self.rows.len());
        match self.rows.get_mut(at) {
            Some(row) => row.pods.push(pod),
            None => self.rows.push(ReportRow {
                namespace: candidate.namespace.clone(),
                pods: vec![pod],
                cells: row.iter().map(ReportCell::of).collect(),
                row: Arc::clone(row),
                sent: candidate.object.clone(),
                is_rendered: candidate.rendered.is_some(),
            }),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// None that strings and numbers could have.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The schema of that JSON.
    pub fn schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Every pod with every judgement.
    pub(super) fn judgements(&self) -> impl Iterator<Item = (&ReportRow, &ReportPod, &ReportCell, &ReportJudgement)> {
        self.rows.iter().flat_map(|row| {
            row.pods.iter().flat_map(move |pod| {
                row.cells.iter().flat_map(move |cell| cell.judgements.iter().map(move |one| (row, pod, cell, one)))
            })
        })
    }
}

impl ReportRow {
    /// The cell of each of these executors; `None` where there is none.
    pub(super) fn by_executor<'r>(&'r self, executors: &'r [String]) -> impl Iterator<Item = Option<&'r ReportCell>> {
        executors.iter().map(|executor| self.cells.iter().find(|cell| cell.executor == *executor))
    }
}

impl ReportCell {
    fn of(cell: &Cell) -> Self {
        let Cell { column, judgements, pod: _, advice: Advice { change, conflicts, exceptions } } = cell;
        Self {
            executor: column.name().to_owned(),
            verdict: worst(judgements).name().to_owned(),
            judgements: judgements.iter().map(ReportJudgement::of).collect(),
            change: change.as_ref().map(ReportChange::of),
            conflicts: conflicts.iter().map(ReportChange::of).collect(),
            exceptions: exceptions
                .iter()
                .map(|Exception { policy, text, warning }| ReportException {
                    policy: policy.clone(),
                    text: text.clone(),
                    warning: (*warning).to_owned(),
                })
                .collect(),
        }
    }
}

impl ReportJudgement {
    fn of(judgement: &Judgement) -> Self {
        let Judgement { stage, engine, policy, verdict, message, blame, causes } = judgement;
        Self {
            engine: (*engine).to_owned(),
            policy: policy.clone(),
            stage: stage.name().to_owned(),
            verdict: verdict.name().to_owned(),
            message: message.clone(),
            blame: blame.map(|blame| blame.name().to_owned()),
            causes: causes.clone(),
        }
    }
}

impl ReportChange {
    fn of(change: &Change) -> Self {
        let Change { settings, clears, breaks } = change.clone();
        Self { settings, clears, breaks }
    }
}

/// The denials of an earlier review.
#[derive(Debug, Default)]
pub struct Baseline {
    denials: BTreeSet<[String; 5]>,
}

/// As much of a report as a baseline reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Earlier {
    api_version: String,
    rows: Vec<EarlierRow>,
}

#[derive(Deserialize)]
struct EarlierRow {
    namespace: String,
    pods: Vec<EarlierPod>,
    cells: Vec<EarlierCell>,
}

#[derive(Deserialize)]
struct EarlierPod {
    pod: String,
}

#[derive(Deserialize)]
struct EarlierCell {
    executor: String,
    judgements: Vec<EarlierJudgement>,
}

#[derive(Deserialize)]
struct EarlierJudgement {
    engine: String,
    policy: String,
    verdict: String,
}

impl Baseline {
    /// Reads a report that was written with `-o json`.
    ///
    /// # Errors
    /// It is none, or one of another version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let earlier: Earlier = serde_json::from_str(text)
            .map_err(|error| format!("not a report that `review -o json` has written: {error}"))?;
        if earlier.api_version != VERSION {
            return Err(format!(
                "its apiVersion is {:?}, and {VERSION:?} is read; write it again",
                earlier.api_version
            ));
        }
        let mut denials = BTreeSet::new();
        for EarlierRow { namespace, pods, cells } in &earlier.rows {
            for (EarlierPod { pod }, EarlierCell { executor, judgements }) in
                pods.iter().flat_map(|pod| cells.iter().map(move |cell| (pod, cell)))
            {
                let denied = judgements.iter().filter(|judgement| judgement.verdict == Verdict::Denied.name());
                denials.extend(denied.map(|one| {
                    [namespace.clone(), pod.clone(), executor.clone(), one.engine.clone(), one.policy.clone()]
                }));
            }
        }
        Ok(Self { denials })
    }

    /// Whether a denial was there before.
    pub fn knows(&self, candidate: &Candidate, column: Column, judgement: &Judgement) -> bool {
        self.denials.contains(&[
            candidate.namespace.clone(),
            candidate.title.clone(),
            column.name().to_owned(),
            judgement.engine.to_owned(),
            judgement.policy.clone(),
        ])
    }
}
