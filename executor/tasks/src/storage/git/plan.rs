//! Which references a clone has: those that Argo's own executor gives it.
//!
//! Without a revision the default branch is checked out, or `branch` where it is the only one. With one, that is, detached, and
//! every branch is also one of ours. Tags come along: all, or, with a single branch, those of what has come.

use super::Order;
use super::object::{Id, is_reference};
use super::remote::{Listed, Reference, Wanted};
use crate::storage::StorageError;

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
const ORIGIN: &str = "refs/remotes/origin/";

/// References that are wanted besides, by a pattern, and their names here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    source: String,
    target: String,
}

impl Spec {
    /// Reads one as git writes them: `[+]SOURCE:TARGET`, with one `*` in both or in none.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn parse(text: &str) -> Result<Self, StorageError> {
        let spec = text
            .strip_prefix('+')
            .unwrap_or(text)
            .split_once(':')
            .map(|(source, target)| Self { source: source.to_owned(), target: target.to_owned() });
        let stars = |text: &str| text.matches('*').count();
        let filled = |text: &str| text.replace('*', "x");
        let is_fine = |spec: &Self| {
            is_reference(&filled(&spec.source))
                && is_reference(&filled(&spec.target))
                && spec.target.starts_with("refs/")
                && stars(&spec.source) <= 1
                && stars(&spec.source) == stars(&spec.target)
        };
        spec.filter(is_fine).ok_or_else(|| {
            StorageError::lasting(format!(
                "git.fetch: {text:?} is no refspec; one is refs/changes/12/3412/2:refs/changes/2, or \
                 +refs/pull/*/head:refs/remotes/origin/pr/*"
            ))
        })
    }

    /// What a server has to list for it.
    pub(super) fn prefix(&self) -> &str {
        self.source.split('*').next().unwrap_or_default()
    }

    /// The commit that it names itself.
    fn commit(&self) -> Option<Id> {
        Id::parse(self.source.as_bytes())
    }

    /// What a reference of the server is called here, if it is wanted.
    fn target(&self, name: &str) -> Option<String> {
        match self.source.split_once('*') {
            Some((before, behind)) => {
                let middle = name.strip_prefix(before)?.strip_suffix(behind)?;
                Some(self.target.replace('*', middle)).filter(|target| is_reference(target))
            }
            None => (name == self.source).then(|| self.target.clone()),
        }
    }
}

/// What HEAD is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A branch, and nothing where it has no commit yet.
    Branch(String, Option<Id>),
    Commit(Id),
}

/// A reference here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Local {
    pub(super) name: String,
    pub(super) id: Id,
    /// What a tag that is an object is of.
    pub(super) peeled: Option<Id>,
    /// Whether it is only there if its commit has come.
    pub(super) by_chance: bool,
}

/// What a clone will be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) wanted: Wanted,
    /// By name.
    pub(super) references: Vec<Local>,
    /// Before a revision is looked up.
    pub(super) head: Head,
}

impl Plan {
    /// Puts together what is ordered and what is there.
    ///
    /// # Errors
    /// Where the single branch is not there.
    pub(super) fn new(order: &Order, listed: &Listed, gives_any: bool) -> Result<Self, StorageError> {
        let references = listed.references.as_slice();
        let head = head(order, listed)?;
        let mut wanted = Wanted { ids: Vec::new(), depth: order.depth, tags: order.branch.is_some() };
        let mut locals = Vec::new();
        for reference in references {
            let Reference { name, id, peeled, .. } = reference;
            let mut add = |name: String, by_chance: bool| {
                if !by_chance {
                    wanted.ids.push(*id);
                }
                locals.push(Local { name, id: *id, peeled: *peeled, by_chance });
            };
            let branch = name.strip_prefix(HEADS);
            if let Some(branch) = branch.filter(|branch| order.branch.as_deref().is_none_or(|only| only == *branch)) {
                add(format!("{ORIGIN}{branch}"), false);
                if order.revision.is_some() || matches!(&head, Head::Branch(own, _) if own == branch) {
                    add(name.clone(), false);
                }
            }
            if let Some(tag) = name.strip_prefix(TAGS) {
                let is_named =
                    order.revision.as_deref().is_some_and(|revision| revision.split(['~', '^']).next() == Some(tag));
                add(name.clone(), order.branch.is_some() && !is_named);
            }
            for spec in &order.fetch {
                if let Some(target) = spec.target(name) {
                    add(target, false);
                }
            }
        }
        for (id, target) in order.fetch.iter().filter_map(|spec| Some((spec.commit()?, &spec.target))) {
            wanted.ids.push(id);
            locals.push(Local { name: target.clone(), id, peeled: None, by_chance: false });
        }
        if let Head::Commit(id) = head {
            wanted.ids.push(id);
        }
        // One that no branch leads to: not every server gives it.
        let commit = order.revision.as_deref().and_then(|revision| Id::parse(revision.as_bytes()));
        wanted.ids.extend(commit.filter(|_| gives_any));
        wanted.ids.sort_unstable();
        wanted.ids.dedup();
        locals.sort_unstable();
        // Of two that have one name the later is as good.
        locals.dedup_by(|one, other| one.name == other.name);
        Ok(Self { wanted, references: locals, head })
    }
}

/// What HEAD will be.
fn head(order: &Order, listed: &Listed) -> Result<Head, StorageError> {
    let id_of = |name: &str| listed.references.iter().find(|known| known.name == name).map(|known| known.id);
    if let Some(branch) = &order.branch {
        let id = id_of(&format!("{HEADS}{branch}"))
            .ok_or_else(|| StorageError::lasting(format!("git.branch: the repository has no branch {branch:?}")))?;
        return Ok(Head::Branch(branch.clone(), Some(id)));
    }
    let remote = listed.references.iter().find(|reference| reference.name == "HEAD");
    // A server that does not say what HEAD stands for has the branch at its commit.
    let branch = remote.and_then(|head| head.target.as_deref()).or(listed.unborn.as_deref()).or_else(|| {
        let at_head =
            |known: &&Reference| remote.is_some_and(|head| head.id == known.id) && known.name.starts_with(HEADS);
        let common = [HEADS.to_owned() + "main", HEADS.to_owned() + "master"];
        let candidates = || listed.references.iter().filter(at_head).map(|known| known.name.as_str());
        candidates().find(|name| common.iter().any(|common| common == name)).or_else(|| candidates().next())
    });
    Ok(match (branch.and_then(|name| name.strip_prefix(HEADS)), remote) {
        (Some(branch), _) => Head::Branch(branch.to_owned(), id_of(&format!("{HEADS}{branch}"))),
        (None, Some(head)) => Head::Commit(head.id),
        // There is nothing; what is asked for is what it will be called.
        (None, None) => {
            Head::Branch(order.revision.clone().filter(|name| is_reference(name)).unwrap_or("master".to_owned()), None)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> Id {
        Id([digit; 20])
    }

    fn listed() -> Listed {
        let reference = |name: &str, digit, target: Option<&str>| Reference {
            name: name.to_owned(),
            id: id(digit),
            target: target.map(str::to_owned),
            peeled: None,
        };
        Listed {
            references: vec![
                reference("HEAD", 1, Some("refs/heads/main")),
                reference("refs/heads/dev", 2, None),
                reference("refs/heads/main", 1, None),
                reference("refs/pull/7/head", 4, None),
                reference("refs/tags/v1", 3, None),
            ],
            unborn: None,
        }
    }

    fn names(order: &Order) -> (Vec<String>, Vec<u8>) {
        let plan = Plan::new(order, &listed(), true).unwrap();
        (
            plan.references.into_iter().map(|local| local.name).collect(),
            plan.wanted.ids.iter().map(|id| id.0[0]).collect(),
        )
    }

    #[test]
    fn branches_and_tags_are_those_of_argos_clone() {
        let url = reqwest::Url::parse("https://host/repo").unwrap();
        let plain = Order::of(url, String::new());
        let (own, dev, main, tag) =
            ("refs/heads/main", "refs/remotes/origin/dev", "refs/remotes/origin/main", "refs/tags/v1");
        assert_eq!(names(&plain), (vec![own, dev, main, tag].into_iter().map(str::to_owned).collect(), vec![1, 2, 3]));
        let revision = Order { revision: Some("dev".to_owned()), ..plain.clone() };
        assert_eq!(names(&revision).0, ["refs/heads/dev", own, dev, main, tag]);
        let single = Order { branch: Some("dev".to_owned()), ..plain.clone() };
        assert_eq!(names(&single), (vec!["refs/heads/dev".to_owned(), dev.to_owned(), tag.to_owned()], vec![2]));
        let tagged = Order { revision: Some("v1~2".to_owned()), ..single.clone() };
        assert_eq!(names(&tagged).1, [2, 3]);
        let commit = Order { revision: Some("05".repeat(20)), ..single };
        assert_eq!(names(&commit).1, [2, 5]);
        let fetch = vec![Spec::parse("+refs/pull/*/head:refs/remotes/origin/pr/*").unwrap()];
        let (with, wanted) = names(&Order { fetch, ..plain.clone() });
        assert!(with.contains(&"refs/remotes/origin/pr/7".to_owned()) && wanted.contains(&4));
        let none = Order { branch: Some("none".to_owned()), ..plain };
        assert!(Plan::new(&none, &listed(), true).unwrap_err().to_string().contains("no branch \"none\""));
    }

    #[test]
    fn head_is_found_where_the_server_does_not_say() {
        let order = Order::of(reqwest::Url::parse("https://host/repo").unwrap(), String::new());
        let mut listed = listed();
        listed.references[0].target = None;
        assert_eq!(head(&order, &listed).unwrap(), Head::Branch("main".to_owned(), Some(id(1))));
        listed.references[0].id = id(9);
        assert_eq!(head(&order, &listed).unwrap(), Head::Commit(id(9)));
        let empty = Listed { references: Vec::new(), unborn: Some("refs/heads/trunk".to_owned()) };
        assert_eq!(head(&order, &empty).unwrap(), Head::Branch("trunk".to_owned(), None));
        assert_eq!(head(&order, &Listed::default()).unwrap(), Head::Branch("master".to_owned(), None));
    }

    #[test]
    fn a_refspec_is_read_or_refused() {
        for text in ["refs/heads/a:refs/heads/b", "+refs/*:refs/*", &format!("{}:refs/x", "ab".repeat(20))] {
            assert!(Spec::parse(text).is_ok(), "{text}");
        }
        for text in
            ["", "a", ":", "a:b", "refs/*:refs/x", "refs/*/*:refs/*/*", "a b:refs/x", "a:refs/../x", "a:refs/x\ny"]
        {
            assert!(Spec::parse(text).unwrap_err().to_string().contains("git.fetch"), "{text}");
        }
    }
}
