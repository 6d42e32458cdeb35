//! A repository on a server, spoken to in git's protocol over HTTP: version 2, or what there was before (`gitprotocol-http`,
//! `gitprotocol-v2`, `gitprotocol-pack`).
//!
//! Nothing is there yet, so nothing is negotiated: what is wanted is asked for, and a pack with all of it comes.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use sha1_checked::{Digest as _, Sha1};

use super::object::{Id, is_reference};
use super::packet::{Packet, Packets, Source, delimiter, flush, line, refused};
use crate::storage::StorageError;
use crate::storage::web::{self, shown};

/// How long a server may take between two parts of an answer: it counts what it has to send first, and says so now and then.
const PATIENCE: Duration = Duration::from_secs(300);
/// References and their names at most, bytes.
const LONGEST_LIST: usize = 256 << 20;
/// Some servers give git's answers only to those that call themselves so.
const AGENT: &str = "git/argoexec";
/// The one way of naming objects that is spoken here.
const FORMAT: &str = "object-format=sha1";

/// A reference on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) id: Id,
    /// The reference that this one stands for.
    pub(super) target: Option<String>,
    /// What a tag that is an object is of.
    pub(super) peeled: Option<Id>,
}

/// What a server says that it has.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) references: Vec<Reference>,
    /// The branch that there will be, where there is none yet.
    pub(super) unborn: Option<String>,
}

/// What a pack is to have.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) ids: Vec<Id>,
    /// Commits of each branch at most; nothing for all.
    pub(super) depth: Option<u64>,
    /// Whether tags come along with what they are of.
    pub(super) tags: bool,
}

/// A pack that has come.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Commits whose parents have not come.
    pub(super) shallow: Vec<Id>,
    /// What the pack ends with.
    pub(super) checksum: [u8; 20],
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// A server's repository.
pub(super) struct Remote<'a> {
    client: &'a Client,
    /// As it was asked for, and where requests go since the server has sent the first one on.
    base: String,
    login: Option<&'a Login>,
    /// What a server of version 2 can do, or what one before it can; and, of that one, its references.
    version: u8,
    capabilities: Vec<String>,
    listed: Listed,
}

impl Source for Response {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        web::chunk(self, PATIENCE).await
    }
}

impl<'a> Remote<'a> {
    /// Asks for the first time.
    ///
    /// # Errors
    /// Where there is no such repository, it is not for who asks, or the server speaks something else.
    pub(super) async fn connect(client: &'a Client, url: &Url, login: Option<&'a Login>) -> Result<Self, StorageError> {
        const ENDING: &str = "/info/refs";
        let mut first = url.clone();
        first.set_path(&format!("{}{ENDING}", url.path().trim_end_matches('/')));
        first.set_query(Some("service=git-upload-pack"));
        let asked = first.clone();
        let plain = |request: RequestBuilder| request.header(USER_AGENT, AGENT).header("git-protocol", "version=2");
        let credentials = |request: RequestBuilder| with(login, request);
        let request =
            web::Request { method: Method::GET, url: first, credentials: &credentials, plain: &plain, body: None };
        let response = answered(request.send(client).await?, &shown(url.as_str()), login.is_some())?;
        // From now on it is where the server has sent us, and only if that is its own place it is told who asks.
        let login = login.filter(|_| response.url().origin() == asked.origin());
        let mut base = response.url().clone();
        base.set_query(None);
        let Some(path) = base.path().strip_suffix(ENDING).map(str::to_owned) else {
            return Err(not_git(url));
        };
        base.set_path(&path);
        if login.is_none() {
            // A place that has no host has no user either.
            let _ = (base.set_username(""), base.set_password(None));
        }
        let mut remote = Remote {
            client,
            base: base.as_str().trim_end_matches('/').to_owned(),
            login,
            version: 0,
            capabilities: Vec::new(),
            listed: Listed::default(),
        };
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-git-upload-pack-advertisement") {
            return Err(not_git(url));
        }
        remote.greeting(&mut Packets::new(response)).await?;
        if remote.capabilities.iter().any(|can| can.starts_with("object-format=") && can != FORMAT) {
            return Err(StorageError::lasting("repositories whose objects are named by SHA-256 are not supported"));
        }
        Ok(remote)
    }

    /// What the server begins with: what it can do and, before version 2, its references.
    async fn greeting(&mut self, packets: &mut Packets<impl Source>) -> Result<(), StorageError> {
        let mut text = packets.text().await?;
        if text.as_deref().is_some_and(|text| text.starts_with("# service=")) {
            packets.text().await?;
            text = packets.text().await?;
        }
        match text.as_deref() {
            Some("version 2") => {
                self.version = 2;
                let mut length = 0;
                while let Some(can) = packets.text().await? {
                    bounded(&mut length, &can)?;
                    self.capabilities.push(can);
                }
                return Ok(());
            }
            Some("version 1") => text = packets.text().await?,
            _ => {}
        }
        let mut length = 0;
        while let Some(line) = text {
            bounded(&mut length, &line)?;
            let (line, can) = line.split_once('\0').unwrap_or((&line, ""));
            self.capabilities.extend(can.split_whitespace().map(str::to_owned));
            let (id, name) = line.split_once(' ').unwrap_or_default();
            // What a tag is of follows it, under its name with an ending.
            match (Id::parse(id.as_bytes()), name.strip_suffix("^{}"), self.listed.references.last_mut()) {
                (Some(id), Some(name), Some(tag)) if tag.name == name => tag.peeled = Some(id),
                (Some(id), None, _) if is_reference(name) => {
                    let name = name.to_owned();
                    self.listed.references.push(Reference { name, id, target: None, peeled: None });
                }
                _ => {}
            }
            text = packets.text().await?;
        }
        let head = self.capabilities.iter().find_map(|can| can.strip_prefix("symref=HEAD:")).map(str::to_owned);
        let head = head.filter(|name| is_reference(name));
        match self.listed.references.iter_mut().find(|reference| reference.name == "HEAD") {
            Some(reference) => reference.target = head,
            None => self.listed.unborn = head,
        }
        Ok(())
    }

    /// Whether a commit may be asked for by its name alone.
    pub(super) fn gives_any(&self) -> bool {
        let by_name = ["allow-reachable-sha1-in-want", "allow-any-sha1-in-want"];
        self.version == 2 || self.capabilities.iter().any(|can| by_name.contains(&can.as_str()))
    }

    /// Every reference whose name begins with one of these.
    ///
    /// # Errors
    /// Where the server cannot be asked, or lists too many.
    pub(super) async fn list(&mut self, prefixes: &[String]) -> Result<Listed, StorageError> {
        if self.version != 2 {
            return Ok(std::mem::take(&mut self.listed));
        }
        let mut body = self.command("ls-refs");
        let unborn = self.capabilities.iter().any(|can| can.starts_with("ls-refs=") && can.contains("unborn"));
        for argument in ["peel", "symrefs"].into_iter().chain(unborn.then_some("unborn")) {
            line(&mut body, argument);
        }
        for prefix in prefixes {
            line(&mut body, &format!("ref-prefix {prefix}"));
        }
        flush(&mut body);
        let mut packets = self.ask(body).await?;
        let mut listed = Listed::default();
        let mut length = 0;
        while let Some(line) = packets.text().await? {
            bounded(&mut length, &line)?;
            let mut words = line.split(' ');
            let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let (mut target, mut peeled) = (None, None);
            for word in words {
                match word.split_once(':') {
                    Some(("symref-target", name)) if is_reference(name) => target = Some(name.to_owned()),
                    Some(("peeled", id)) => peeled = Id::parse(id.as_bytes()),
                    _ => {}
                }
            }
            match Id::parse(id.as_bytes()) {
                Some(id) if is_reference(name) => {
                    listed.references.push(Reference { name: name.to_owned(), id, target, peeled });
                }
                None if id == "unborn" && name == "HEAD" => listed.unborn = target,
                _ => {}
            }
        }
        Ok(listed)
    }

    /// Has a pack sent into a file.
    ///
    /// # Errors
    /// Where the server cannot be asked, refuses, or breaks off, or the file cannot be written.
    pub(super) async fn fetch(&self, wanted: &Wanted, to: &mut File) -> Result<Fetched, StorageError> {
        let can = |what: &str| self.capabilities.iter().any(|known| known == what);
        let mut body = Vec::new();
        let depth = wanted.depth.map(|depth| format!("deepen {depth}"));
        if self.version == 2 {
            body = self.command("fetch");
            let arguments = ["no-progress", "ofs-delta"].into_iter().chain(wanted.tags.then_some("include-tag"));
            arguments.chain(depth.as_deref()).for_each(|argument| line(&mut body, argument));
            wanted.ids.iter().for_each(|id| line(&mut body, &format!("want {id}")));
        } else {
            if !can("side-band-64k") {
                return Err(StorageError::lasting("the server is older than any that this executor speaks to"));
            }
            let asked = ["side-band-64k", "ofs-delta", "no-progress"];
            let asked = asked.into_iter().chain(wanted.tags.then_some("include-tag")).filter(|what| can(what));
            let mut asked = asked.collect::<Vec<_>>().join(" ");
            if depth.is_some() {
                asked.push_str(" shallow");
            }
            for (place, id) in wanted.ids.iter().enumerate() {
                let asked = if place == 0 { format!(" {asked}") } else { String::new() };
                line(&mut body, &format!("want {id}{asked}"));
            }
            depth.iter().for_each(|depth| line(&mut body, depth));
            flush(&mut body);
        }
        line(&mut body, "done");
        if self.version == 2 {
            flush(&mut body);
        }
        let mut packets = self.ask(body).await?;
        let mut shallow = Vec::new();
        // Before the pack: names of parts in version 2, else lists without one, and the word that nothing is in common.
        loop {
            match packets.next().await? {
                Packet::Data(data) => {
                    let text = data.strip_suffix(b"\n").unwrap_or(&data);
                    match (text, text.strip_prefix(b"shallow ").and_then(Id::parse)) {
                        (_, Some(id)) => shallow.push(id),
                        (b"packfile" | b"NAK", _) => break,
                        _ => {}
                    }
                }
                Packet::Flush | Packet::Delimiter => {}
            }
        }
        let checksum = receive(&mut packets, to).await?;
        Ok(Fetched { shallow, checksum })
    }

    /// A command of version 2, up to its arguments.
    fn command(&self, name: &str) -> Vec<u8> {
        let mut body = Vec::new();
        line(&mut body, &format!("command={name}"));
        line(&mut body, &format!("agent={AGENT}"));
        if self.capabilities.iter().any(|can| can == FORMAT) {
            line(&mut body, FORMAT);
        }
        delimiter(&mut body);
        body
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Packets<Response>, StorageError> {
        let mut request = self.client.post(format!("{}/git-upload-pack", self.base)).header(USER_AGENT, AGENT);
        if self.version == 2 {
            request = request.header("git-protocol", "version=2");
        }
        let request = request.header(CONTENT_TYPE, "application/x-git-upload-pack-request");
        let request =
            with(self.login, request.header(ACCEPT, "application/x-git-upload-pack-result")).body(body).send();
        let response = match tokio::time::timeout(PATIENCE, request).await {
            Ok(response) => response.map_err(web::broken)?,
            Err(_) => return Err(StorageError::Passing(format!("no answer for {} s", PATIENCE.as_secs()))),
        };
        Ok(Packets::new(answered(response, &shown(&self.base), self.login.is_some())?))
    }
}

/// Takes the pack out of its lines. Gives what it ends with, which is the hash of what is before.
async fn receive(packets: &mut Packets<impl Source>, to: &mut File) -> Result<[u8; 20], StorageError> {
    let mut to = BufWriter::with_capacity(1 << 18, to);
    let mut sum = Sha1::new();
    // Any of the last bytes may be of the end.
    let mut last: Vec<u8> = Vec::with_capacity(1 << 17);
    loop {
        let data = match packets.next().await? {
            Packet::Data(data) => data,
            Packet::Flush | Packet::Delimiter => break,
        };
        match data.split_first() {
            Some((1, part)) => {
                to.write_all(part)?;
                last.extend_from_slice(part);
                let whole = last.len().saturating_sub(20);
                sum.update(last.get(..whole).unwrap_or_default());
                last.drain(..whole);
            }
            // What it is doing meanwhile.
            Some((2, _)) | None => {}
            Some((_, words)) => return Err(refused(words)),
        }
    }
    to.flush()?;
    let checksum: [u8; 20] = sum.finalize().into();
    match last == checksum {
        true => Ok(checksum),
        false => Err(StorageError::Passing("the pack that came is not the one that was sent".to_owned())),
    }
}

fn with(login: Option<&Login>, request: RequestBuilder) -> RequestBuilder {
    match login {
        Some(login) => request.basic_auth(&login.user, Some(&login.password)),
        None => request,
    }
}

/// Takes an answer that is no success apart.
fn answered(response: Response, url: &str, is_known: bool) -> Result<Response, StorageError> {
    let mends = match is_known {
        true => {
            "look at what git.usernameSecret and git.passwordSecret hold (for most servers the password is a token)"
        }
        false => "set git.usernameSecret and git.passwordSecret (for most servers the password is a token)",
    };
    match response.status() {
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(StorageError::Lasting(format!("{url} answered {status}: {mends}")))
        }
        // Most servers hide what is not for who asks. An artifact that is optional is not missing for that.
        StatusCode::NOT_FOUND => Err(StorageError::Lasting(format!(
            "{url} is not there, or not for who asks: look at git.repo, and {mends}"
        ))),
        status if status.is_redirection() => {
            Err(StorageError::Lasting(format!("{url} answered {status} where git's protocol has no redirect")))
        }
        _ => web::success(response, url),
    }
}

fn not_git(url: &Url) -> StorageError {
    StorageError::lasting(format!(
        "{} is no git repository, or its server speaks only what git calls dumb",
        shown(url.as_str())
    ))
}

/// Counts what has come of a list.
fn bounded(length: &mut usize, line: &str) -> Result<(), StorageError> {
    // A line takes memory besides its text.
    *length += line.len() + 64;
    match *length > LONGEST_LIST {
        true => Err(StorageError::lasting("the server lists more references than are taken")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef01234567";

    struct Once(Option<Bytes>);

    impl Source for Once {
        async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
            Ok(self.0.take())
        }
    }

    fn greeted(lines: &[&str]) -> Result<(u8, Vec<String>, Listed), String> {
        let mut stream = Vec::new();
        for text in lines {
            match *text {
                "" => flush(&mut stream),
                text => line(&mut stream, text),
            }
        }
        let client = Client::new();
        let (base, login) = (String::new(), None);
        let mut remote =
            Remote { client: &client, base, login, version: 0, capabilities: Vec::new(), listed: Listed::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let done = runtime.block_on(remote.greeting(&mut Packets::new(Once(Some(stream.into())))));
        done.map(|()| (remote.version, remote.capabilities, remote.listed)).map_err(|error| error.to_string())
    }

    #[test]
    fn servers_of_every_version_are_understood() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (version, can, _) =
            greeted(&["# service=git-upload-pack", "", "version 2", "ls-refs=unborn", "fetch=shallow", ""]).unwrap();
        assert_eq!(
            (version, can.as_slice()),
            (2, ["ls-refs=unborn".to_owned(), "fetch=shallow".to_owned()].as_slice())
        );
        let head = format!("{HEX} HEAD\0side-band-64k symref=HEAD:refs/heads/main agent=x");
        let branch = format!("{HEX} refs/heads/main");
        let tag = format!("{HEX} refs/tags/v1");
        let peeled = format!("{HEX} refs/tags/v1^{{}}");
        for first in [&["# service=git-upload-pack", ""][..], &["# service=git-upload-pack", "", "version 1"], &[]] {
            let rest = [head.as_str(), &branch, &tag, &peeled, &format!("{HEX} refs/heads/a..b"), ""];
            let (version, can, listed) = greeted(&[first, &rest].concat()).unwrap();
            assert_eq!((version, can[0].as_str()), (0, "side-band-64k"));
            let names: Vec<_> = listed.references.iter().map(|reference| reference.name.as_str()).collect();
            assert_eq!(names, ["HEAD", "refs/heads/main", "refs/tags/v1"]);
            assert_eq!(listed.references[0].target.as_deref(), Some("refs/heads/main"));
            assert!(listed.references[2].peeled.is_some());
        }
        assert!(greeted(&["# service=git-upload-pack", "", &branch]).is_err());
    }
}
