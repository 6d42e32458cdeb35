//! Changing a pod that is a document of its own, where nobody waits for a patch.

use serde_json::{Map, Value};

/// The fields of an object; `None` for anything else.
pub(crate) fn members_mut(value: &mut Value) -> Option<&mut Map<String, Value>> {
    value.as_object_mut()
}

/// A list's entries, none where there is no such list.
pub(crate) fn list_mut<'v>(value: &'v mut Value, field: &str) -> &'v mut [Value] {
    match value.get_mut(field) {
        Some(Value::Array(entries)) => entries,
        _ => &mut [],
    }
}

/// Puts an entry at the end of a list, which is made where there is none.
pub(crate) fn append(fields: &mut Map<String, Value>, list: &str, entry: Value) {
    match fields.get_mut(list) {
        Some(Value::Array(entries)) => entries.push(entry),
        _ => {
            fields.insert(list.to_owned(), Value::Array(vec![entry]));
        }
    }
}

/// Visits every container of a pod's `spec`, init containers first.
pub(crate) fn each_container(spec: &mut Value, mut visit: impl FnMut(&mut Map<String, Value>)) {
    for list in ["initContainers", "containers"] {
        list_mut(spec, list).iter_mut().filter_map(Value::as_object_mut).for_each(&mut visit);
    }
}
