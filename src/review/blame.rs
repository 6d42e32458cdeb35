use super::judge::Judgement;
use emissary_policy::Decision;

/// Whose doing a denial or a warning is, by comparing what is said of the pod with and without the rewriting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The pod as it was sent has it too, in the same words.
    User,
    /// Only what is injected has it.
    Injected,
    /// Both have something.
    Both,
}

impl Blame {
    /// The name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Injected => "injected",
            Self::Both => "both",
        }
    }
}

/// Says of each denial and warning whose doing it is; `as_is` is what was said of the pod as it was sent.
pub fn assign(judgements: &mut [Judgement], as_is: &[Judgement]) {
    let is_against =
        |judgement: &Judgement| judgement.decision >= Decision::Warned && judgement.decision != Decision::Unknown;
    for judgement in judgements.iter_mut().filter(|judgement| is_against(judgement)) {
        let alone = as_is
            .iter()
            .find(|other| (other.engine, &other.policy) == (judgement.engine, &judgement.policy) && is_against(other));
        judgement.blame = Some(match alone {
            None => Blame::Injected,
            Some(alone) if alone.message == judgement.message => Blame::User,
            Some(_) => Blame::Both,
        });
    }
}
