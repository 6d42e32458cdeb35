//! The platforms of the cluster's nodes, each once.

use super::watch::{Object, Sink, Unreadable};
use arc_swap::ArcSwap;
use emissary_core::image::Platform;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// What is in effect. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub(super) struct Platforms(Arc<ArcSwap<Arc<[Platform]>>>);

impl Default for Platforms {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Arc::from([]))))
    }
}

impl Platforms {
    pub(super) fn now(&self) -> Arc<[Platform]> {
        Arc::clone(&self.0.load())
    }
}

/// Nodes by name.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: HashMap<String, Platform>,
    platforms: Platforms,
}

impl Nodes {
    pub(super) fn new(platforms: Platforms) -> Self {
        Self { nodes: HashMap::new(), platforms }
    }

    fn publish(&self) {
        let mut distinct: Vec<Platform> = Vec::new();
        for platform in self.nodes.values() {
            if !distinct.contains(platform) {
                distinct.push(platform.clone());
            }
        }
        distinct.sort_by_cached_key(ToString::to_string);
        if *self.platforms.now() != *distinct {
            self.platforms.0.store(Arc::new(distinct.into()));
        }
    }
}

impl Sink for Nodes {
    fn set(&mut self, object: &Object<'_>) -> Result<(), Unreadable> {
        #[derive(Deserialize)]
        struct Node<'a> {
            #[serde(borrow)]
            metadata: Metadata<'a>,
        }
        #[derive(Deserialize)]
        struct Metadata<'a> {
            #[serde(borrow, default)]
            labels: Labels<'a>,
        }
        #[derive(Default, Deserialize)]
        struct Labels<'a> {
            #[serde(borrow, default, rename = "kubernetes.io/os")]
            os: Cow<'a, str>,
            #[serde(borrow, default, rename = "kubernetes.io/arch")]
            architecture: Cow<'a, str>,
        }
        let Node { metadata: Metadata { labels: Labels { os, architecture } } } = object.read()?;
        // The kubelet writes both; a node that has none yet says nothing.
        if os.is_empty() || architecture.is_empty() {
            return Ok(());
        }
        let platform = Platform::new(&os, &architecture, None);
        let before = self.nodes.insert(object.name.to_owned(), platform.clone());
        // Nodes report all the time, and hardly ever another platform.
        if before != Some(platform) {
            self.publish();
        }
        Ok(())
    }

    fn remove(&mut self, _: &str, name: &str) {
        self.nodes.remove(name);
        self.publish();
    }

    fn keep(&mut self, listed: &dyn Fn(&str, &str) -> bool) {
        self.nodes.retain(|name, _| listed("", name));
        self.publish();
    }

    fn count(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_there_once_and_go_with_their_last_node() {
        let platforms = Platforms::default();
        let mut nodes = Nodes::new(platforms.clone());
        let mut put = |name: &str, os: &str, architecture: &str| {
            let labels = serde_json::json!({"kubernetes.io/os": os, "kubernetes.io/arch": architecture});
            let text = serde_json::json!({"metadata": {"labels": labels}}).to_string();
            nodes.set(&Object::of("", name, &text)).unwrap();
        };
        let now = || platforms.now().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        put("a", "linux", "arm64");
        put("b", "linux", "amd64");
        put("c", "linux", "amd64");
        put("d", "", "");
        assert_eq!(now(), "linux/amd64 linux/arm64");
        nodes.remove("", "b");
        assert_eq!((now().as_str(), nodes.count()), ("linux/amd64 linux/arm64", 2));
        nodes.keep(&|_, name| name == "c");
        assert_eq!(now(), "linux/amd64");
    }
}
