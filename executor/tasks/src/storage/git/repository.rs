//! The folder `.git`: made by hand, as git itself lays it out, so that git and all that knows it can go on from there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::checkout::{self, Found};
use super::object::Id;
use super::pack::{Deadline, Pack};
use super::plan::{Head, Local, Plan};
use super::remote::Fetched;
use super::submodule::{Module, quoted};
use super::{Order, revision};

/// Where a pack is until it has a name, in the folder `.git`.
const INCOMING: &str = "objects/pack/tmp_pack";

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
        fs::create_dir_all(folder)?;
        // As git has it, whatever this process keeps from others.
        let mut folders = DirBuilder::new();
        folders.recursive(true).mode(0o755);
        for below in ["objects/pack", "objects/info", "refs/heads", "refs/tags", "info"] {
            folders.create(git.join(below))?;
        }
        Ok(Self { folder: folder.to_owned(), git })
    }

    /// The file that a pack goes to.
    pub(super) fn pack(&self) -> io::Result<File> {
        self.create(INCOMING, 0o444)
    }

    /// A new file in the folder `.git`.
    fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(self.git.join(name))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        self.create(name, 0o644)?.write_all(text.as_bytes())
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
        let mut pack = Pack::read(File::open(self.git.join(INCOMING))?, deadline)?;
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
            let index = self.create("index", 0o644)?;
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
            self.write("shallow", &lines)?;
        }
        self.head(&plan.head)?;
        Ok(modules)
    }

    /// Gives the pack its name and its index.
    fn name_pack(&self, pack: &Pack, fetched: &Fetched) -> io::Result<()> {
        let name = |ending: &str| format!("objects/pack/pack-{}.{ending}", Id(fetched.checksum));
        fs::rename(self.git.join(INCOMING), self.git.join(name("pack")))?;
        pack.write_index(self.create(&name("idx"), 0o444)?, fetched.checksum)
    }

    fn head(&self, head: &Head) -> io::Result<()> {
        let text = match head {
            Head::Branch(name, _) => format!("ref: refs/heads/{name}\n"),
            Head::Commit(id) => format!("{id}\n"),
        };
        self.write("HEAD", &text)
    }

    /// All references in one file, so that no name of theirs is ever a path.
    fn references(&self, references: &[Local]) -> io::Result<()> {
        let mut text = String::from("# pack-refs with: peeled fully-peeled sorted \n");
        for Local { name, id, peeled, .. } in references {
            text.push_str(&format!("{id} {name}\n"));
            if let Some(peeled) = peeled {
                text.push_str(&format!("^{peeled}\n"));
            }
        }
        self.write("packed-refs", &text)
    }

    fn settings(&self, order: &Order, plan: &Plan, modules: &[(Module, Id)]) -> io::Result<()> {
        let mut text = String::from("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n");
        let fetch = match &order.branch {
            Some(branch) => format!("+refs/heads/{branch}:refs/remotes/origin/{branch}"),
            None => "+refs/heads/*:refs/remotes/origin/*".to_owned(),
        };
        let url = quoted(&order.shown);
        text.push_str(&format!("[remote \"origin\"]\n\turl = {url}\n\tfetch = {}\n", quoted(&fetch)));
        if let Head::Branch(name, _) = &plan.head {
            let merge = quoted(&format!("refs/heads/{name}"));
            text.push_str(&format!("[branch {}]\n\tremote = origin\n\tmerge = {merge}\n", quoted(name)));
        }
        for (module, _) in modules {
            let (name, url) = (quoted(&module.name), quoted(&module.url));
            text.push_str(&format!("[submodule {name}]\n\tactive = true\n\turl = {url}\n"));
        }
        self.write("config", &text)
    }
}
