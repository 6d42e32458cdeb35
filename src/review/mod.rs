//! Policy review: what would the cluster's policies say of a pod, as it is and as the webhook would make it?
//!
//! Under another executor it is the pod that Argo's controller would have made for it, and a Workflow is the pods of its templates.
//!
//! A pod goes through the stages in the API server's order: defaults, those of LimitRanges, PodSecurityPolicy on what was sent, the rewriting by
//! the very code that the webhook runs, PodSecurityPolicy again, those that only see the result, and the node. Pods are
//! judged in chunks: all are planned, the images that the plans lack are asked for at once, and what follows waits for nobody,
//! so that a pod can be judged again with a part less or under other settings.

mod advice;
mod bare;
mod blame;
mod bounds;
mod built;
mod candidate;
mod controller;
mod doubt;
mod identity;
mod judge;
mod judging;
mod live;
mod opa;
mod policies;
mod report;
mod reviewer;
mod shape;
mod side;
mod start;
mod templates;
mod unresolved;
mod verdict;
mod wire;
mod worker;

pub use advice::{Advice, Change, Exception};
pub use blame::Blame;
pub use bounds::{Bounds, KnownBounds};
pub use built::Rendered;
pub use candidate::{Asker, Candidate, Input};
pub use controller::configuration;
pub use judging::judge_for_another;
pub use live::{Around, Live, LiveError, LiveMetrics, LiveOptions, RecordOptions, Recorded, Replay, Seen};
pub use opa::{Difference, Opa, OpaError};
pub use policies::{Assumed, LoadError, Policies, Refusal, Usable, standard};
pub use report::{Baseline, Report, github, json_line, junit, markdown, page, policy_reports, sarif, table};
pub use reviewer::{CHUNK, Cell, Options, Reviewer, Row};
pub use start::process as image_process;
pub use templates::{Templates, Work};
pub use verdict::{Column, Judgement, Stage, Verdict, worst};
pub use wire::Ready;
pub use worker::{Limits, WorkerError};
