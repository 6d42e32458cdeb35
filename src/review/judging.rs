//! A process that judges for a review, and may be ended at any moment.

use super::policies::{LoadError, Policies};
use super::wire::{About, Charge, Line, Question, Ready, Reply};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, BufRead, Write};
use std::time::Duration;

/// The stack of the thread that judges: policies nest deeper than a thread's own stack is good for.
const STACK: usize = 64 << 20;
/// How far the scheduler puts others first (nice(2), 0 to 19).
const NICE: i32 = 5;
/// How often is looked whether anybody still asks.
const LOOK: Duration = Duration::from_secs(1);

/// Reads what to judge by, then answers questions until there are no more.
///
/// # Errors
/// Whoever asks has gone, or says what nobody understands.
pub fn judge_for_another(questions: impl BufRead + Send, answers: impl Write + Send) -> io::Result<()> {
    end_with_who_asks();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || judge(questions, answers))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Ends this process with who asks, also in the middle of a policy that never does. Where memory runs out, it goes first.
fn end_with_who_asks() {
    // Where the system does not allow it, nothing is lost but the courtesy.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let parent = rustix::process::getppid();
    std::thread::spawn(move || {
        while rustix::process::getppid() == parent {
            std::thread::sleep(LOOK);
        }
        std::process::exit(0);
    });
}

fn judge(questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let mut say = |reply: &Reply| {
        serde_json::to_writer(&mut answers, reply)?;
        answers.write_all(b"\n")?;
        answers.flush()
    };
    let mut lines = questions.lines();
    let Some(charge) = lines.next().transpose()? else { return Ok(()) };
    let charge: Charge = serde_json::from_str(&charge)?;
    let Charge { files, assumed, without, announces, memory, gives_way } = charge;
    let limit = Rlimit { current: Some(memory), maximum: getrlimit(Resource::As).maximum };
    setrlimit(Resource::As, limit)?;
    if gives_way {
        // As above.
        let _ = rustix::process::nice(NICE);
    }
    if announces {
        // One after the other first, to end at the one that cannot be loaded.
        for file in &files {
            say(&Reply::Next(file.display().to_string()))?;
            let _: Result<Policies, LoadError> = Policies::load(std::slice::from_ref(file), assumed.clone());
        }
        say(&Reply::Next(String::new()))?;
    }
    let mut policies = match Policies::load(&files, assumed) {
        Ok(policies) => policies,
        Err(error) => return say(&Reply::Refused(error.to_string())),
    };
    let is_empty = policies.is_empty();
    policies.retain(|program| !without.iter().any(|other| other == program));
    let namespaces = policies.namespaces().iter();
    let native = policies.native_documents();
    say(&Reply::Ready(Ready {
        is_empty,
        reads_identity: policies.reads_identity,
        selects_namespaces: policies.selects_namespaces,
        refusals: policies.refusals().to_vec(),
        namespaces: namespaces.map(|(name, namespace)| (name.clone(), namespace.object.clone())).collect(),
        has_programs: native.is_none() || !policies.programs().is_empty(),
        native: native.unwrap_or_default(),
        bounds: policies.bounds().to_vec(),
        rules: policies.rego.as_ref().map(|rego| rego.rules().to_vec()).unwrap_or_default(),
    }))?;
    // Who asks by the way of a few programs asks so many times.
    let mut some: Option<(Vec<String>, Policies)> = None;
    for line in lines {
        let question: Question = serde_json::from_str(&line?)?;
        let (about, programs, candidate) = question.candidate();
        let (pod, judgements) = match about {
            About::Before => candidate.before_rewrite(&policies),
            About::After(rewritten) => {
                if announces {
                    for program in policies.programs() {
                        say(&Reply::Next(program.clone()))?;
                        let mut one = policies.clone();
                        one.programs_alone();
                        one.retain(|other| other == program);
                        let _ = candidate.after_rewrite(&mut one, &candidate.object, rewritten);
                    }
                    say(&Reply::Next(String::new()))?;
                }
                let policies = match programs {
                    None => &mut policies,
                    Some(programs) => {
                        some = some.filter(|(known, _)| *known == programs);
                        let (_, some) = some.get_or_insert_with(|| {
                            let mut some = policies.clone();
                            some.retain(|program| programs.iter().any(|wanted| wanted == program));
                            (programs, some)
                        });
                        some
                    }
                };
                let (pod, judgements) = candidate.after_rewrite(policies, &candidate.object, rewritten);
                (Some(pod), judgements)
            }
        };
        say(&Reply::Said(pod.into_iter().collect(), judgements.into_iter().map(Line::of).collect()))?;
    }
    Ok(())
}
