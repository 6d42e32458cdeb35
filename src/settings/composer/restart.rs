//! Keys that take effect at the next start only.

use crate::manifest::{Place, Problem};
use crate::settings::keys::KEYS;
use crate::settings::options::Settings;
use crate::settings::tree::Node;
use serde_json::Value;

/// The new settings with the restart keys of the running ones, and a problem for each that was changed.
pub(super) fn keep_restart_keys(running: &Settings, fresh: Settings, merged: &Node) -> (Settings, Vec<Problem>) {
    let (Ok(old), Ok(mut new)) = (serde_json::to_value(running), serde_json::to_value(&fresh)) else {
        return (running.clone(), Vec::new());
    };
    let mut changed = Vec::new();
    for key in KEYS.iter().filter(|key| key.restart) {
        let pointer = format!("/{}", key.path.join("/"));
        let (Some(old), Some(new)) = (old.pointer(&pointer), new.pointer_mut(&pointer)) else { continue };
        if old == new {
            continue;
        }
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text =
            format!("{}: {} takes effect at the next start; until then it is {}", key.name(), shown(new), shown(old));
        let place = merged.at(&key.path).map_or_else(|| Place::whole("default"), |node| node.place.clone());
        changed.push(Problem::new(place, text));
        *new = old.clone();
    }
    if changed.is_empty() {
        return (fresh, changed);
    }
    // Both came from valid settings, so this is valid too.
    (serde_json::from_value(new).unwrap_or_else(|_| running.clone()), changed)
}
