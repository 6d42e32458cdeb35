//! The folder `.git`: made by hand, as git itself lays it out, so that git and all that knows it can go on from there.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::checkout::{self, Found};
use super::object::Id;
use super::pack::{Deadline, Pack};
use super::plan::{Head, Local, Plan};
use super::remote::Fetched;
use super::submodule::{Module, quoted};
use super::{Order, revision};

/// A repository in the making.
#[derive(Debug)]
pub(super) struct Repository {
    /// Where its files are.
    folder: PathBuf,
    git: PathBuf,
}

impl Repository {
    /// Makes an empty one. The folder itself may be there, and has nothing in it.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        let git = folder.join(".git");
        for below in ["objects/pack", "objects/info", "refs/heads", "refs/tags", "info"] {
            fs::create_dir_all(git.join(below))?;
        }
        Ok(Self { folder: folder.to_owned(), git })
    }

    /// The file that a pack goes to.
    pub(super) fn pack(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.incoming())
    }

    fn incoming(&self) -> PathBuf {
        self.git.join("objects/pack/tmp_pack")
    }

    /// Writes down a repository that has no commit.
    pub(super) fn end_empty(&self, order: &Order, plan: &Plan) -> io::Result<()> {
        self.settings(order, plan, &[])?;
        self.head(&plan.head)
    }

    /// Does all that follows on the pack. Gives what other repositories belong in this one.
    ///
    /// # Errors
    /// Where the pack is not whole, has no such revision, or cannot be checked out.
    pub(super) fn end(
        &self,
        order: &Order,
        mut plan: Plan,
        fetched: &Fetched,
        deadline: Deadline,
    ) -> io::Result<Vec<(Module, Id)>> {
        let mut pack = Pack::read(File::open(self.incoming())?, deadline)?;
        self.name_pack(&pack, fetched)?;
        plan.references.retain(|local| !local.by_chance || pack.kind(&local.id).is_some());
        let remote = match plan.head {
            Head::Branch(_, id) => id,
            Head::Commit(id) => Some(id),
        };
        if let Some(text) = &order.revision {
            plan.head = Head::Commit(revision::resolve(text, &plan.references, remote, &mut pack)?);
        }
        let at = match plan.head {
            Head::Branch(_, at) => at,
            Head::Commit(at) => Some(at),
        };
        let mut found = Found::default();
        if let Some(at) = at {
            let at = revision::commit(at, &mut pack)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(CWD, &self.folder, flags, Mode::empty())?;
            let index = OpenOptions::new().read(true).write(true).create_new(true).open(self.git.join("index"))?;
            found = checkout::write(&mut pack, at, folder, index, deadline)?;
        }
        let mut modules = Vec::new();
        if order.submodules {
            for module in super::submodule::parse(&found.modules) {
                let place = found.submodules.iter().find(|(path, _)| path == module.path.as_bytes());
                if let Some((_, commit)) = place {
                    modules.push((module, *commit));
                }
            }
        }
        self.settings(order, &plan, &modules)?;
        self.references(&plan.references)?;
        if !fetched.shallow.is_empty() {
            let lines: String = fetched.shallow.iter().map(|id| format!("{id}\n")).collect();
            fs::write(self.git.join("shallow"), lines)?;
        }
        self.head(&plan.head)?;
        Ok(modules)
    }

    /// Gives the pack its name and its index.
    fn name_pack(&self, pack: &Pack, fetched: &Fetched) -> io::Result<()> {
        let name = |ending: &str| self.git.join(format!("objects/pack/pack-{}.{ending}", Id(fetched.checksum)));
        fs::rename(self.incoming(), name("pack"))?;
        pack.write_index(File::create_new(name("idx"))?, fetched.checksum)
    }

    fn head(&self, head: &Head) -> io::Result<()> {
        fs::write(
            self.git.join("HEAD"),
            match head {
                Head::Branch(name, _) => format!("ref: refs/heads/{name}\n"),
                Head::Commit(id) => format!("{id}\n"),
            },
        )
    }

    /// All references in one file, so that no name of theirs is ever a path.
    fn references(&self, references: &[Local]) -> io::Result<()> {
        let mut text = String::from("# pack-refs with: peeled fully-peeled sorted \n");
        for Local { name, id, peeled, .. } in references {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{id} {name}");
            if let Some(peeled) = peeled {
                let _ = writeln!(text, "^{peeled}");
            }
        }
        fs::write(self.git.join("packed-refs"), text)
    }

    fn settings(&self, order: &Order, plan: &Plan, modules: &[(Module, Id)]) -> io::Result<()> {
        let mut text = String::from("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n");
        let fetch = match &order.branch {
            Some(branch) => format!("+refs/heads/{branch}:refs/remotes/origin/{branch}"),
            None => "+refs/heads/*:refs/remotes/origin/*".to_owned(),
        };
        let url = quoted(&order.shown);
        let _ = write!(text, "[remote \"origin\"]\n\turl = {url}\n\tfetch = {}\n", quoted(&fetch));
        if let Head::Branch(name, _) = &plan.head {
            let merge = quoted(&format!("refs/heads/{name}"));
            let _ = write!(text, "[branch {}]\n\tremote = origin\n\tmerge = {merge}\n", quoted(name));
        }
        for (module, _) in modules {
            let _ = write!(
                text,
                "[submodule {}]\n\tactive = true\n\turl = {}\n",
                quoted(&module.name),
                quoted(&module.url)
            );
        }
        fs::write(self.git.join("config"), text)
    }
}
