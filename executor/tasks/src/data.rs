//! `argoexec data`: the names of a store's objects, and what expressions make of them, as the step's result.

use serde_json::Value;

use crate::expr::{self, Expression};
use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::report::{Report, Word};
use crate::storage;

/// What an expression calls what the step before it has made.
const DATA: &str = "data";

/// Lists, transforms, and reports.
///
/// # Errors
/// The first thing that could not be done; that nothing more will come is reported all the same.
pub(crate) async fn run(pod: &Pod) -> Result<(), Failure> {
    let report = Report::of(pod)?;
    report.begin().await?;
    let mut word = Word::default();
    let done = gather(pod).await.map(|result| {
        word.outputs.insert("result".to_owned(), result.to_string().into());
    });
    done.and(report.finish(&word).await)
}

async fn gather(pod: &Pod) -> Result<Value, Failure> {
    let source = pod.value.pointer("/data/source/artifactPaths").filter(|source| source.is_object());
    let source =
        source.ok_or_else(|| Failure::own("data.source.artifactPaths is not set: there is no other source"))?;
    let steps =
        pod.value.pointer("/data/transformation").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |step: &Value| step.get("expression").and_then(Value::as_str).unwrap_or_default().to_owned();
    let steps = steps.iter().map(text).enumerate().filter(|(_, expression)| !expression.is_empty());
    // Before anything is asked for: what is wrong with them is wrong whatever comes.
    let mut read = Vec::new();
    for (place, text) in steps {
        let name = format!("data.transformation[{place}].expression");
        let expression = Expression::parse(&text, &[DATA]).doing(|| name.clone())?;
        read.push((name, expression));
    }
    let names = storage::list(pod, source).await.doing(|| "data.source.artifactPaths".to_owned())?;
    let mut value = expr::Value::list_of(names.iter().map(|name| expr::Value::text(name)));
    for (name, expression) in read {
        value = expression.evaluate(&[(DATA, value)]).doing(|| name)?;
    }
    Ok(value.to_json())
}
