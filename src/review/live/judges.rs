use super::case::{Case, Made};
use crate::review::advice::Advice;
use crate::review::blame::{self, Blame, Sides};
use crate::review::candidate::Candidate;
use crate::review::policies::Policies;
use crate::review::reviewer::{Cell, Row};
use crate::review::start;
use crate::review::verdict::{Column, Judgement};
use crate::review::worker::Worker;
use emissary_core::image::ImageProcess;
use serde_json::Value;
use std::collections::BTreeMap;

/// Who judges a case.
pub(super) enum Judge<'j> {
    /// This thread, by what needs no program.
    Here(&'j Policies),
    /// A process of its own, by everything.
    There(&'j mut Worker),
}

impl Judge<'_> {
    fn before(&mut self, candidate: &Candidate) -> (Option<Value>, Vec<Judgement>) {
        match self {
            Self::Here(policies) => candidate.before_rewrite(policies),
            Self::There(worker) => worker.before(candidate),
        }
    }

    /// Of programs only these are asked, if they are named.
    fn after(
        &mut self,
        candidate: &Candidate,
        pod: &Value,
        rewritten: bool,
        programs: Option<&[String]>,
    ) -> (Value, Vec<Judgement>) {
        match self {
            Self::Here(policies) => {
                let (request, judgements) = candidate.after_rewrite_natively(policies, pod, rewritten);
                (request.object, judgements)
            }
            Self::There(worker) => worker.after(candidate, pod, rewritten, programs),
        }
    }

    /// What is not asked any more, and why.
    pub(super) fn stopped(&self) -> BTreeMap<String, String> {
        match self {
            Self::Here(_) => BTreeMap::new(),
            Self::There(worker) => worker.stopped(),
        }
    }

    /// What is said of a case: as it is, and as enforcing would make it. What a judgement is blamed on takes many more judgements, where
    /// something is held against the pod.
    pub(super) fn row(&mut self, case: &Case, with_blame: bool) -> Row {
        let Case { candidate, made, users } = case;
        let (sent, mut before) = self.before(candidate);
        by_user(&mut before);
        let cell = |column, judgements, pod| Cell { column, judgements, pod, advice: Advice::default() };
        let Some(sent) = sent else {
            return [Column::AsIs, Column::Emissary].map(|column| cell(column, before.clone(), None)).into();
        };
        let mut judge = |pod: &Value, rewritten, programs: Option<&[String]>| {
            let (stored, mut judgements) = self.after(candidate, pod, rewritten, programs);
            let process =
                |image: &str| Some(ImageProcess { user: users.get(image)?.clone(), ..ImageProcess::default() });
            judgements.extend(start::refusals(&stored, process));
            (stored, judgements)
        };
        let (stored, mut as_is) = judge(&sent, false, None);
        let emissary = match made {
            Made::Unchanged => {
                by_user(&mut as_is);
                (as_is.clone(), Some(stored.clone()))
            }
            Made::Refused(judgement) => {
                by_user(&mut as_is);
                let mut refusal = vec![(**judgement).clone()];
                by_user(&mut refusal);
                (refusal, None)
            }
            Made::Rewritten(pod) => {
                let (stored, mut judgements) = judge(pod, true, None);
                if with_blame {
                    let sides = Sides { sent: &sent, rewritten: pod, as_is: &as_is };
                    blame::assign(&mut judgements, &sides, |pod, programs| judge(pod, true, Some(programs)).1);
                    by_user(&mut as_is);
                }
                (judgements, Some(stored))
            }
        };
        let with_before = |judgements: Vec<Judgement>| before.iter().cloned().chain(judgements).collect::<Vec<_>>();
        let (judgements, pod) = emissary;
        vec![cell(Column::AsIs, with_before(as_is), Some(stored)), cell(Column::Emissary, with_before(judgements), pod)]
    }
}

/// What is said of a pod as it was sent is its user's doing.
fn by_user(judgements: &mut [Judgement]) {
    let against = judgements.iter_mut().filter(|judgement| judgement.verdict.is_against());
    against.for_each(|judgement| judgement.blame = Some(Blame::User));
}
