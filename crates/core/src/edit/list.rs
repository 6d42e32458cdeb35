use super::{Edits, Path};
use serde_json::Value;
use std::collections::BTreeSet;

/// What becomes of one list: which elements go, what is put before the ones that stay, and what follows at the end.
///
/// All indices are those of the list as it was sent. Edits inside its elements must be made before [`Edits::list`].
#[derive(Debug, Clone)]
pub struct ListEdit {
    path: Path,
    /// `None` where the field itself is absent.
    length: Option<usize>,
    removed: BTreeSet<usize>,
    inserted: Vec<(usize, Value)>,
    appended: Vec<Value>,
}

impl ListEdit {
    /// No change yet to the list at `path`, which has `length` elements, or is absent.
    pub fn new(path: Path, length: Option<usize>) -> Self {
        Self { path, length, removed: BTreeSet::new(), inserted: Vec::new(), appended: Vec::new() }
    }

    /// Takes an element away.
    pub fn remove(&mut self, index: usize) {
        self.removed.insert(index);
    }

    /// Puts an element before the one that has this index now.
    pub fn insert(&mut self, index: usize, value: Value) {
        self.inserted.push((index, value));
    }

    /// Puts an element at the end.
    pub fn append(&mut self, value: Value) {
        self.appended.push(value);
    }

    /// Whether the list stays as it is.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.inserted.is_empty() && self.appended.is_empty()
    }

    pub(super) fn finish(self, edits: &mut Edits) {
        if self.is_empty() {
            return;
        }
        let Self { path, length, removed, mut inserted, appended } = self;
        let length_now = length.unwrap_or(0);
        let stays = length_now - removed.iter().filter(|index| **index < length_now).count();
        if stays == 0 {
            inserted.sort_by_key(|(index, _)| *index);
            let all: Vec<Value> = inserted.into_iter().map(|(_, value)| value).chain(appended).collect();
            match (length, all.is_empty()) {
                (Some(_), true) => edits.remove(&path),
                (exists, false) => edits.set(&path, exists.is_some(), Value::Array(all)),
                (None, true) => {}
            }
            return;
        }
        for index in removed.iter().rev() {
            edits.remove(&path.index(*index));
        }
        inserted.sort_by_key(|(index, _)| *index);
        for (before, (index, value)) in inserted.into_iter().enumerate() {
            let gone = removed.range(..index).count();
            edits.add(&path.index(index - gone + before), value);
        }
        for value in appended {
            edits.add(&path.end(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edited(list: Option<Value>, change: impl FnOnce(&mut ListEdit)) -> (Value, usize) {
        let mut object = json!({});
        let length = list.as_ref().and_then(Value::as_array).map(Vec::len);
        if let Some(list) = list {
            object["list"] = list;
        }
        let mut edit = ListEdit::new(Path::of(&["list"]), length);
        change(&mut edit);
        let mut edits = Edits::default();
        edits.list(edit);
        edits.apply(&mut object).unwrap();
        (object["list"].clone(), edits.operations().len())
    }

    #[test]
    fn an_absent_list_is_made_in_one_operation() {
        let (list, operations) = edited(None, |l| {
            l.append(json!(2));
            l.insert(0, json!(1));
        });
        assert_eq!((list, operations), (json!([1, 2]), 1));
    }

    #[test]
    fn indices_are_those_of_the_list_as_sent() {
        let (list, operations) = edited(Some(json!(["a", "b", "c", "d"])), |l| {
            l.remove(0);
            l.remove(2);
            l.insert(1, json!("before b"));
            l.insert(3, json!("before d"));
            l.append(json!("last"));
        });
        assert_eq!((list, operations), (json!(["before b", "b", "before d", "d", "last"]), 5));
    }

    #[test]
    fn a_list_of_which_nothing_stays_is_replaced_or_removed() {
        let (list, operations) = edited(Some(json!([1, 2])), |l| {
            l.remove(0);
            l.remove(1);
            l.append(json!(3));
        });
        assert_eq!((list, operations), (json!([3]), 1));
        let (list, operations) = edited(Some(json!([1])), |l| l.remove(0));
        assert_eq!((list, operations), (Value::Null, 1));
    }

    #[test]
    fn no_change_is_no_operation() {
        assert_eq!(edited(Some(json!([1])), |_| {}).1, 0);
    }
}
