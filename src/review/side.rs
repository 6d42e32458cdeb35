use super::advice::{Advice, advise};
use super::bare::bare;
use super::blame::{self, Blame, Sides};
use super::candidate::Candidate;
use super::doubt::{Doubt, Open};
use super::judge::of_outcome;
use super::reviewer::{Cell, Options};
use super::start;
use super::unresolved;
use super::verdict::{Column, Judgement, Stage, Verdict};
use super::worker::Worker;
use crate::mutation::{Prepared, Unreadable};
use emissary_core::image::ImageProcess;
use emissary_core::lookup::Answers;
use emissary_core::outcome::Outcome;
use emissary_core::pod;
use serde_json::Value;
use std::borrow::Cow;

/// A pod that goes to the API server, for the columns that begin with it.
pub(super) struct Way<'c, 'r> {
    pub(super) columns: Vec<Column>,
    pub(super) candidate: Cow<'c, Candidate>,
    pub(super) doubts: Vec<Doubt>,
    pub(super) before: Vec<Judgement>,
    /// As the webhooks get it; `None` where it is refused before.
    pub(super) sent: Option<Value>,
    /// What the webhook plans, where its column is among these.
    pub(super) prepared: Option<Result<Prepared<'r>, Unreadable>>,
}

/// With what a pod is compared, to tell whose doing a denial is.
pub(super) enum Origin<'c> {
    /// It was sent: all in it is the user's.
    Sent,
    /// It was rendered: the template's own part is the user's.
    Rendered,
    /// Another executor was put on what was sent, and what is said of that, if it was asked.
    PutOn(&'c Candidate, &'c mut Option<Vec<Judgement>>),
}

/// What comes of a pod.
pub(super) struct Cells {
    pub(super) cells: Vec<Cell>,
    /// What is said of it where no webhook changes it, if that was asked.
    pub(super) plain: Option<Vec<Judgement>>,
}

/// What the webhook makes of a pod: another one, the same, or a refusal.
type Made = Result<Option<Value>, Judgement>;

/// What is said of a pod, and the pod that is stored.
struct Said {
    judgements: Vec<Judgement>,
    pod: Option<Value>,
}

/// One candidate, and what judges it: a counterfactual is a call.
pub(super) struct Side<'s, 'o, 'p> {
    pub(super) options: &'s Options<'o>,
    pub(super) candidate: &'s Candidate,
    pub(super) answers: &'s Answers,
    pub(super) judge: &'p mut Worker,
}

impl Side<'_, '_, '_> {
    /// What is said of a pod after the webhooks, and by the node; and the pod that is stored.
    pub(super) fn judge(&mut self, pod: &Value, rewritten: bool) -> (Value, Vec<Judgement>) {
        self.judge_by(pod, rewritten, None)
    }

    /// The same, where of programs only these are asked, if they are named.
    fn judge_by(&mut self, pod: &Value, rewritten: bool, programs: Option<&[String]>) -> (Value, Vec<Judgement>) {
        let (stored, mut judgements) = self.judge.after(self.candidate, pod, rewritten, programs);
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
        self.options.decisions(&self.candidate.namespace, sent).pod.clone()
    }

    /// The cells of the columns that begin with a pod, and what is said of it where no webhook changes it, if that was asked.
    pub(super) fn cells(&mut self, way: Way<'_, '_>, mut origin: Origin<'_>) -> Cells {
        let Way { columns, candidate: _, doubts, before, sent, prepared } = way;
        let made = sent.as_ref().zip(prepared).map(|(sent, prepared)| self.webhook(sent, prepared));
        let is_plain = |column: &Column| *column != Column::Emissary || matches!(made, None | Some(Ok(None)));
        let is_asked = columns.iter().any(is_plain) || matches!(origin, Origin::Sent);
        let mut plain = is_asked.then(|| self.unchanged(&before, sent.as_ref(), None));
        if let Some(plain) = &mut plain {
            self.blame_plain(&mut plain.judgements, &mut origin);
        }
        let mut cells = Vec::with_capacity(columns.len());
        for column in &columns {
            let mut cell = match (&made, &plain, &sent) {
                (Some(made), _, Some(sent)) if !is_plain(column) => {
                    self.rewritten_cell(made, sent, &before, plain.as_ref(), &origin)
                }
                (_, Some(Said { judgements, pod }), _) => Cell {
                    column: *column,
                    judgements: judgements.clone(),
                    pod: pod.clone(),
                    advice: Advice::default(),
                },
                // Every column is one or the other.
                _ => continue,
            };
            if let (Column::Emissary, Origin::Rendered, Some(sent), true) = (column, &origin, &sent, is_plain(column)) {
                cell.advice = self.advise_rendered(sent, sent, &cell.judgements);
            }
            cells.push(cell);
        }
        self.doubt(&mut cells, &doubts);
        Cells { cells, plain: plain.map(|plain| plain.judgements) }
    }

    /// What the webhook makes of a pod.
    fn webhook(&self, sent: &Value, prepared: Result<Prepared<'_>, Unreadable>) -> Made {
        let refusal = |verdict, why: String| {
            Err(Judgement::new(Stage::Rewrite, "emissary", "emissary-webhook".to_owned(), verdict, why))
        };
        match prepared.map(|prepared| prepared.apply(self.answers)) {
            Err(unreadable) => refusal(Verdict::Denied, unreadable.to_string()),
            Ok(Outcome::Rewrite(edits, _)) => {
                let mut pod = sent.clone();
                match edits.apply(&mut pod) {
                    Ok(()) => Ok(Some(pod)),
                    Err(error) => refusal(Verdict::Unknown, error.to_string()),
                }
            }
            Ok(outcome) => of_outcome(&outcome).map_or(Ok(None), Err),
        }
    }

    /// What is said of the pod where no webhook changes it.
    fn unchanged(&mut self, before: &[Judgement], sent: Option<&Value>, programs: Option<&[String]>) -> Said {
        let mut judgements = before.to_vec();
        let pod = sent.map(|sent| {
            let (stored, after) = self.judge_by(sent, false, programs);
            judgements.extend(after);
            stored
        });
        Said { judgements, pod }
    }

    fn blame_plain(&mut self, judgements: &mut [Judgement], origin: &mut Origin<'_>) {
        if !judgements.iter().any(|one| one.verdict.is_against()) {
            return;
        }
        let own = &self.candidate.object;
        match origin {
            Origin::Sent => blame_user(judgements),
            Origin::Rendered => {
                let base = bare(own);
                let as_is = self.said(&base, None);
                let sides = Sides { sent: &base, rewritten: own, as_is: &as_is };
                blame::assign(judgements, &sides, |pod, programs| self.said(pod, Some(programs)));
            }
            Origin::PutOn(base, known) => {
                let as_is = known.get_or_insert_with(|| self.said(&base.object, None));
                let sides = Sides { sent: &base.object, rewritten: own, as_is };
                blame::assign(judgements, &sides, |pod, programs| self.said(pod, Some(programs)));
            }
        }
    }

    fn rewritten_cell(
        &mut self,
        made: &Made,
        sent: &Value,
        before: &[Judgement],
        plain: Option<&Said>,
        origin: &Origin<'_>,
    ) -> Cell {
        let mut judgements = before.to_vec();
        blame_user(&mut judgements);
        let cell = |judgements, pod, advice| Cell { column: Column::Emissary, judgements, pod, advice };
        let pod = match made {
            Ok(pod) => pod.as_ref().unwrap_or(sent),
            Err(refusal) => {
                judgements.push(refusal.clone());
                blame_user(&mut judgements);
                return cell(judgements, None, Advice::default());
            }
        };
        let (stored, mut after) = self.judge(pod, true);
        let advice = match (origin, plain) {
            (Origin::Rendered, _) => {
                let base = bare(pod);
                let as_is = self.said(&base, None);
                let sides = Sides { sent: &base, rewritten: pod, as_is: &as_is };
                blame::assign(&mut after, &sides, |pod, programs| self.said(pod, Some(programs)));
                self.advise_rendered(sent, pod, &after)
            }
            (_, plain) => {
                let as_is = plain.map(|plain| plain.judgements.as_slice()).unwrap_or_default();
                let sides = Sides { sent, rewritten: pod, as_is };
                blame::assign(&mut after, &sides, |pod, programs| self.judge_by(pod, true, Some(programs)).1);
                if self.options.with_advice { advise(self, &sides, &after) } else { Advice::default() }
            }
        };
        judgements.extend(after);
        cell(judgements, Some(stored), advice)
    }

    /// What would help against what Argo and the webhook put on a template's own part.
    fn advise_rendered(&mut self, sent: &Value, rewritten: &Value, judgements: &[Judgement]) -> Advice {
        let is_ours = judgements.iter().any(|one| one.blame.is_some_and(Blame::is_ours));
        if !self.options.with_advice || !is_ours {
            return Advice::default();
        }
        let as_is = self.said(&bare(rewritten), None);
        advise(self, &Sides { sent, rewritten, as_is: &as_is }, judgements)
    }

    /// Makes unknown what depends on what is not known.
    fn doubt(&mut self, cells: &mut [Cell], doubts: &[Doubt]) {
        for variant in unresolved::variants(self.candidate, doubts) {
            let (sent, before) = self.judge.before(&variant.candidate);
            let mut side = self.of(&variant.candidate);
            let mut plain: Option<Vec<Judgement>> = None;
            for cell in cells.iter_mut() {
                let rewritten = sent.as_ref().filter(|_| cell.column == Column::Emissary).map(|sent| {
                    let settings = side.settings(sent);
                    side.rewritten(sent, &settings)
                });
                let other = match rewritten {
                    // Refused by the webhook.
                    Some(None) => before.clone(),
                    Some(Some(pod)) if sent.as_ref() != Some(&pod) => {
                        [before.clone(), side.judge(&pod, true).1].concat()
                    }
                    _ => plain.get_or_insert_with(|| side.unchanged(&before, sent.as_ref(), None).judgements).clone(),
                };
                unresolved::doubt(&mut cell.judgements, &variant, &other);
            }
        }
        for cell in cells {
            if doubts.iter().any(|doubt| doubt.open == Open::Everything) {
                unresolved::doubt_all(&mut cell.judgements);
            }
            cell.judgements.splice(0..0, doubts.iter().map(|doubt| Judgement::not_known(doubt.why.clone())));
        }
    }

    /// What is said of another pod in this one's place, from the start, where no webhook changes it; of programs by these, if
    /// they are named.
    fn said(&mut self, pod: &Value, programs: Option<&[String]>) -> Vec<Judgement> {
        let other = self.candidate.with(pod.clone(), self.candidate.old_object.clone());
        let (sent, before) = self.judge.before(&other);
        self.of(&other).unchanged(&before, sent.as_ref(), programs).judgements
    }

    /// The same for another candidate.
    fn of<'n>(&'n mut self, candidate: &'n Candidate) -> Side<'n, 'n, 'n> {
        Side { options: self.options, candidate, answers: self.answers, judge: self.judge }
    }

    /// What an image runs and as whom, as far as an index or a registry has said it.
    fn process(&self, image: &str) -> Option<ImageProcess> {
        start::process(self.options.snapshot, self.answers, image)
    }
}

fn blame_user(judgements: &mut [Judgement]) {
    for judgement in judgements.iter_mut().filter(|judgement| judgement.verdict.is_against()) {
        judgement.blame = Some(Blame::User);
    }
}
