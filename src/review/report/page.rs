use super::model::Report;
use crate::manifest::to_yaml;
use crate::review::verdict::Column;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

/// The page without its data.
const PAGE: &str = include_str!("page.html");
/// Where the data goes: between two halves of the page.
const SLOT: &str = "\"REPORT\"";

/// One page that needs nothing else: the matrix, each cell's judgements, and both pods side by side.
///
/// # Errors
/// None that strings and numbers could have.
pub fn page(report: &Report) -> serde_json::Result<String> {
    let mut data = serde_json::to_value(report)?;
    let diffs: Vec<Value> = report
        .rows
        .iter()
        .map(|row| {
            let pod = |column| row.row.iter().find(|cell| cell.column == column).and_then(|cell| cell.pod.as_ref());
            // What is rendered was sent by nobody.
            match pod(Column::Emissary).filter(|_| !row.is_rendered) {
                Some(after) => side_by_side(pod(Column::AsIs).unwrap_or(&row.sent), after),
                None => Value::Null,
            }
        })
        .collect();
    data["diffs"] = Value::Array(diffs);
    // A script ends at its first `</`, wherever that stands.
    let data = data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let (before, after) = PAGE.split_once(SLOT).unwrap_or((PAGE, ""));
    Ok([before, &data, after].concat())
}

/// Lines as `[kind, left, right]`; of what stays, three lines around each change.
fn side_by_side(before: &Value, after: &Value) -> Value {
    let (before, after) = (to_yaml(before), to_yaml(after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(3) {
        if !lines.is_empty() {
            lines.push(json!(["gap", "⋯", "⋯"]));
        }
        for operation in group {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for change in diff.iter_changes(&operation) {
                let text = change.value().trim_end_matches('\n');
                match change.tag() {
                    ChangeTag::Equal => lines.push(json!(["same", text, text])),
                    ChangeTag::Delete => left.push(text),
                    ChangeTag::Insert => right.push(text),
                }
            }
            for at in 0..left.len().max(right.len()) {
                let kind = match (left.get(at), right.get(at)) {
                    (Some(_), Some(_)) => "changed",
                    (Some(_), None) => "gone",
                    _ => "new",
                };
                lines.push(json!([kind, left.get(at), right.get(at)]));
            }
        }
    }
    Value::Array(lines)
}
