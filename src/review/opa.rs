//! A real OPA beside the one that is built in: it is asked for the same rules with the same input, and where the two differ is
//! said.

use super::candidate::Candidate;
use super::verdict::{Judgement, Verdict};
use emissary_policy::rego::Rule;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 16 << 20;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a program may take until it serves.
const START: Duration = Duration::from_secs(30);

/// Why OPA cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum OpaError {
    /// The program cannot be run.
    #[error("--opa {program}: cannot be run; give OPA's program or an http:// address that it serves at")]
    Run {
        /// As it was given.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended, or does not serve in time.
    #[error("--opa {program}: it does not serve: {said}")]
    Start {
        /// As it was given.
        program: String,
        /// Its last words.
        said: String,
    },
    /// No address.
    #[error("--opa {0}: not an address such as http://localhost:8181; TLS is not spoken, so forward a port for that")]
    Address(String),
    /// Asked, and no answer came of it.
    #[error("OPA at {address}: {why}")]
    Answer {
        /// Host and port.
        address: String,
        /// What it said, or the network.
        why: String,
    },
}

/// One rule of which the two say different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The rule, as verdicts name it.
    pub policy: String,
    /// What was said here: the verdict, and the message behind a colon.
    pub here: String,
    /// What OPA says.
    pub opa: String,
}

/// A server that is asked one question after the other. A program that was started for it ends with it.
#[derive(Debug)]
pub struct Opa {
    /// Host and port.
    address: String,
    sender: Option<SendRequest<Full<Bytes>>>,
    rules: Vec<Rule>,
    /// Ends when it is dropped.
    program: Option<Child>,
}

impl Opa {
    /// The one at an address, with whatever policies it has; or a program, which is given the Rego among the `files` and the
    /// namespaces that are known.
    ///
    /// # Errors
    /// [`OpaError`].
    pub async fn connect(
        which: &str,
        files: &[PathBuf],
        namespaces: &BTreeMap<String, Map<String, Value>>,
        rules: Vec<Rule>,
    ) -> Result<Self, OpaError> {
        if which.contains("://") {
            let uri: Option<Uri> = which.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("http"));
            let host = uri.as_ref().and_then(|uri| Some((uri.host()?, uri.port_u16().unwrap_or(80))));
            let (host, port) = host.ok_or_else(|| OpaError::Address(which.to_owned()))?;
            return Ok(Self { address: format!("{host}:{port}"), sender: None, rules, program: None });
        }
        let modules: Vec<&Path> =
            files.iter().map(PathBuf::as_path).filter(|file| super::policies::is_module(file)).collect();
        let mut opa = match Self::start(which, &modules, false).await? {
            Ok(opa) => opa,
            // Perhaps they are written for an OPA before 1.0.
            Err(said) => {
                let old = Self::start(which, &modules, true).await?;
                old.map_err(|_| OpaError::Start { program: which.to_owned(), said })?
            }
        };
        opa.rules = rules;
        let data = json!({"namespaces": namespaces});
        opa.ask(Method::PUT, "/v1/data/kubernetes", &data).await?;
        Ok(opa)
    }

    /// Starts the program; its last words where it ends by itself.
    async fn start(program: &str, modules: &[&Path], is_old: bool) -> Result<Result<Self, String>, OpaError> {
        let failed = |source| OpaError::Run { program: program.to_owned(), source };
        let address = free_address().map_err(failed)?;
        let mut command = Command::new(program);
        command.args([
            "run",
            "--server",
            "--skip-version-check",
            "--log-level",
            "error",
            "--addr",
            &address.to_string(),
        ]);
        command.args(is_old.then_some("--v0-compatible")).args(modules);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let deadline = Instant::now() + START;
        loop {
            if child.try_wait().map_err(failed)?.is_some() {
                let output = child.wait_with_output().await.map_err(failed)?;
                let said = [output.stderr, output.stdout].concat();
                return Ok(Err(String::from_utf8_lossy(&said).trim().chars().take(2000).collect()));
            }
            let mut opa = Self { address: address.to_string(), sender: None, rules: Vec::new(), program: None };
            if opa.ask(Method::GET, "/health", &Value::Null).await.is_ok() {
                opa.program = Some(child);
                return Ok(Ok(opa));
            }
            if Instant::now() > deadline {
                return Ok(Err(format!("nothing answers at {address} after {} s", START.as_secs())));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many rules are asked about each pod.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Where OPA says something else of a pod, as it would be stored, than these judgements do.
    ///
    /// # Errors
    /// [`OpaError::Answer`].
    pub async fn differences(
        &mut self,
        candidate: &Candidate,
        pod: &Value,
        judgements: &[Judgement],
    ) -> Result<Vec<Difference>, OpaError> {
        let request = candidate.request(pod.clone());
        let mut differences = Vec::new();
        for rule in self.rules.clone() {
            let Some(here) = judgements.iter().find(|one| one.engine == "rego" && one.policy == rule.policy()) else {
                continue;
            };
            // OPA is asked of one pod, and what is rendered may be another.
            if candidate.rendered.is_some() && here.verdict == Verdict::Unknown {
                continue;
            }
            let input = rule.input(&request);
            let value = self.query(rule.reference(), &input).await?;
            let excepted = match rule.exception() {
                Some(exception) => self.query(exception, &input).await?,
                None => None,
            };
            let said = rule.verdict(value.as_ref(), excepted.as_ref());
            let opa = Verdict::from(said.decision);
            if opa != here.verdict || said.message != here.message {
                let told = |verdict: Verdict, message: &str| match message {
                    "" => verdict.name().to_owned(),
                    message => format!("{}: {message}", verdict.name()),
                };
                differences.push(Difference {
                    policy: rule.policy().to_owned(),
                    here: told(here.verdict, &here.message),
                    opa: told(opa, &said.message),
                });
            }
        }
        Ok(differences)
    }

    async fn query(&mut self, reference: &str, input: &Value) -> Result<Option<Value>, OpaError> {
        let question = json!({"query": format!("said = {reference}"), "input": input});
        let mut answer = self.ask(Method::POST, "/v1/query", &question).await?;
        Ok(answer.pointer_mut("/result/0/said").map(Value::take))
    }

    async fn ask(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, OpaError> {
        let failed = |why: String| OpaError::Answer { address: self.address.clone(), why };
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body));
        let request = request.map_err(|error| failed(error.to_string()))?;
        let asked = async {
            let mut kept = self.sender.take();
            // One that the server has closed meanwhile is never ready again.
            if let Some(sender) = &mut kept
                && sender.ready().await.is_err()
            {
                kept = None;
            }
            let mut sender = match kept {
                Some(sender) => sender,
                None => {
                    let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
                    let (sender, connection) =
                        handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
                    tokio::spawn(connection);
                    sender
                }
            };
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>((sender, status, body))
        };
        let (sender, status, body) = match timeout(PATIENCE, asked).await {
            Ok(asked) => asked.map_err(failed)?,
            Err(_) => return Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        self.sender = Some(sender);
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(answer),
            status => {
                let why = answer.get("message").and_then(Value::as_str).unwrap_or_default();
                Err(OpaError::Answer { address: self.address.clone(), why: format!("{status}: {why}") })
            }
        }
    }
}

/// One of this machine's own that is free now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
