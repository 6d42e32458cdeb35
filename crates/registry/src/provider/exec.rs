//! One run of a program: `CredentialProviderRequest` in, `CredentialProviderResponse` out.

use super::{CacheKeyType, ProviderOptions, config::Configured};
use crate::keyring::Tier;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// The kubelet reads as much.
const MOST_OUTPUT: u64 = 1 << 20;
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Why a run gave nothing. What the program wrote is in none of it, since that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("it cannot be run")]
    Start(#[source] std::io::Error),
    #[error("it did not end in time")]
    Timeout,
    #[error("it ended with {0}")]
    Status(std::process::ExitStatus),
    #[error("it wrote more than {MOST_OUTPUT} bytes")]
    Output,
    #[error("what it wrote is no CredentialProviderResponse: {0}")]
    Response(&'static str),
}

pub(super) struct Answer {
    pub(super) tier: Tier,
    pub(super) cache_key_type: CacheKeyType,
    pub(super) cache_duration: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawResponse {
    api_version: String,
    kind: String,
    cache_key_type: CacheKeyType,
    cache_duration: Option<String>,
    auth: Option<Map<String, Value>>,
}

/// A program and all that it started, ended when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Once it has been waited for there is no id, and its group may be somebody else's by now.
        let group = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

pub(super) async fn run(configured: &Configured, options: &ProviderOptions, image: &str) -> Result<Answer, RunError> {
    let Configured { name, api_version, args, env, .. } = configured;
    let request = json!({"apiVersion": api_version, "kind": "CredentialProviderRequest", "image": image});
    let child = Command::new(options.bin_dir.join(name))
        .args(args)
        .env_clear()
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(RunError::Start)?;
    let mut running = Running(child);
    let output =
        timeout(options.timeout, talk(&mut running.0, request.to_string())).await.map_err(|_| RunError::Timeout)??;
    parse(&output, api_version)
}

async fn talk(child: &mut Child, request: String) -> Result<Vec<u8>, RunError> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that knows its answer without reading the question has done nothing wrong.
            let _ = stdin.write_all(request.as_bytes()).await;
        }
    };
    let read = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MOST_OUTPUT + 1).read_to_end(&mut output).await.map_err(RunError::Start)?;
        }
        if output.len() as u64 > MOST_OUTPUT { Err(RunError::Output) } else { Ok(output) }
    };
    let ((), output) = tokio::join!(write, read);
    let output = output?;
    let status = child.wait().await.map_err(RunError::Start)?;
    if status.success() { Ok(output) } else { Err(RunError::Status(status)) }
}

pub(super) fn parse(output: &[u8], api_version: &str) -> Result<Answer, RunError> {
    let fault = RunError::Response;
    let raw: RawResponse = serde_json::from_slice(output)
        .map_err(|_| fault("it is no JSON of one, or has no cacheKeyType of Image, Registry or Global"))?;
    let RawResponse { api_version: of, kind, cache_key_type, cache_duration, auth } = raw;
    if of != api_version || kind != "CredentialProviderResponse" {
        return Err(fault("it is of another kind or apiVersion than was asked for"));
    }
    let cache_duration = match cache_duration.map(|text| duration(&text)) {
        Some(None) => return Err(fault("cacheDuration is no duration")),
        given => given.flatten().map(|duration| duration.min(LONGEST_LIFE)),
    };
    let (tier, problems) = Tier::parse(&auth.unwrap_or_default());
    if !problems.is_empty() {
        return Err(fault("auth has an entry that is no HOST[:PORT][/PATH] with username and password"));
    }
    Ok(Answer { tier, cache_key_type, cache_duration })
}

/// Go's form of a duration, `1h30m` or `0`, never negative.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let table = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("12h", Some(43_200_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("300ms", Some(300)),
            ("", None),
            ("12", None),
            ("-1s", None),
            ("1d", None),
            ("h", None),
            ("1..2s", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn answers_are_read_strictly() {
        let version = "credentialprovider.kubelet.k8s.io/v1";
        let good = json!({"apiVersion": version, "kind": "CredentialProviderResponse", "cacheKeyType": "Registry",
            "cacheDuration": "6h", "auth": {"quay.io": {"username": "u", "password": "p"}}});
        let answer = parse(good.to_string().as_bytes(), version).unwrap();
        assert_eq!(answer.cache_duration, Some(Duration::from_secs(6 * 3600)));
        assert_eq!(answer.tier.credentials("quay.io", "a").count(), 1);
        let table = [
            ("apiVersion", json!("credentialprovider.kubelet.k8s.io/v1beta1")),
            ("kind", json!("CredentialProviderRequest")),
            ("cacheKeyType", json!("Host")),
            ("cacheKeyType", json!(null)),
            ("cacheDuration", json!("soon")),
            ("auth", json!({"quay.io": {"auth": "%"}})),
            ("auth", json!([])),
        ];
        for (key, value) in table {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(parse(bad.to_string().as_bytes(), version).is_err(), "{bad}");
        }
        assert!(parse(b"", version).is_err());
    }
}
