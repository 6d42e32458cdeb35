use crate::setup::{HandClock, keyring, plain, question, resolver, soon};
use emissary_registry::{Granted, Keyring, Options, ProviderOptions, Providers, Question};
use sample_registry::{Access, Fault, Image, RequestHead, RunningRegistry, SampleRegistry};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// A token realm that answers each POST alike and keeps what was sent.
struct Realm {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Realm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Realm {
    /// `answer` makes a status line with headers and a body of a whole request.
    async fn start(answer: impl Fn(&str) -> (String, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                let text = loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    request.extend(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    if body.len() >= length.unwrap_or(0) || read == 0 {
                        break text;
                    }
                };
                let (head, body) = answer(&text);
                log.lock().unwrap().push(text);
                let reply =
                    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self { address, seen, task }
    }
}

/// A registry that is opened by the token `right` of the realm.
async fn opened_by(realm: SocketAddr) -> RunningRegistry {
    let challenge = format!("Bearer realm=\"http://{realm}/token\",service=\"s&t\",scope=\"repository:app:pull\"");
    let hook = move |head: &RequestHead| {
        let right = head.authorization.as_deref() == Some("Bearer right");
        (!right).then(|| Fault::status(401).header("www-authenticate", &challenge))
    };
    SampleRegistry::new().put("app:1", Image::new("linux/amd64").cmd(&["x"])).fault(hook).start().await.unwrap()
}

fn with_identity_token(registry: &RunningRegistry, extra: &str) -> Keyring {
    let config = format!(r#"{{"auths": {{"{}": {{"identitytoken": "re/fresh+"{extra}}}}}}}"#, registry.address());
    Keyring::from_docker_config(config.as_bytes()).unwrap()
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let ok = || ("200 OK".to_owned(), r#"{"access_token": "right", "expires_in": 300}"#.to_owned());
    let realm = Realm::start(move |_| ok()).await;
    let registry = opened_by(realm.address).await;
    let mut options = plain(&registry);
    options.plain_http.push(realm.address.to_string());
    let keyring = with_identity_token(&registry, "");
    resolver(options).resolve(&Question { keyring, ..question(&registry, "app:1", &[]) }, soon()).await.unwrap();
    let seen = realm.seen.lock().unwrap().clone();
    let [request] = seen.as_slice() else { panic!("{seen:#?}") };
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded"), "{request}");
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
    let body = request.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        body,
        "grant_type=refresh_token&refresh_token=re%2Ffresh%2B&service=s%26t&scope=repository%3Aapp%3Apull\
         &client_id=emissary-webhook"
    );
    // The registry itself never sees it.
    assert_eq!(
        registry.requests().iter().map(|request| request.had_credentials).collect::<Vec<_>>(),
        [false, true, true]
    );
}

#[tokio::test]
async fn where_posts_are_unknown_it_is_a_password() {
    let table = [
        ("404 Not Found", true, "ok"),
        ("405 No", true, "ok"),
        ("405 No", false, "unauthorized"),
        ("401 No", true, "unauthorized"),
    ];
    for (status, has_user, expected) in table {
        let realm = Realm::start(move |request| match request.split(' ').next() {
            Some("POST") => (status.to_owned(), String::new()),
            // u:re/fresh+
            _ if request.contains("Basic dTpyZS9mcmVzaCs=") => {
                ("200 OK".to_owned(), r#"{"token": "right"}"#.to_owned())
            }
            _ => ("401 No".to_owned(), String::new()),
        })
        .await;
        let registry = opened_by(realm.address).await;
        let mut options = plain(&registry);
        options.plain_http.push(realm.address.to_string());
        let keyring = with_identity_token(&registry, if has_user { r#", "auth": "dTo=""# } else { "" });
        let got = resolver(options).resolve(&Question { keyring, ..question(&registry, "app:1", &[]) }, soon()).await;
        let kind = got.as_ref().map_or_else(|failure| failure.kind(), |_| "ok");
        assert_eq!(kind, expected, "{status} {has_user}: {:#?}", realm.seen.lock().unwrap());
    }
}

#[tokio::test]
async fn an_identity_token_is_not_sent_on() {
    let trap = Realm::start(|_| ("200 OK".to_owned(), r#"{"access_token": "right"}"#.to_owned())).await;
    let to = format!("307 Elsewhere\r\nlocation: http://{}/token", trap.address);
    let realm = Realm::start(move |_| (to.clone(), String::new())).await;
    let registry = opened_by(realm.address).await;
    let mut options = plain(&registry);
    options.plain_http.extend([realm.address.to_string(), trap.address.to_string()]);
    let keyring = with_identity_token(&registry, "");
    let got = resolver(options).resolve(&Question { keyring, ..question(&registry, "app:1", &[]) }, soon()).await;
    assert_eq!(got.unwrap_err().kind(), "protocol");
    assert_eq!((realm.seen.lock().unwrap().len(), trap.seen.lock().unwrap().len()), (1, 0));
}

/// A script that `/bin/sh` runs as a provider, and a log of its runs.
///
/// The script is not run by itself: a file that was just written may still be open in a process that another test starts,
/// and is busy then.
struct Program {
    directory: tempfile::TempDir,
}

impl Program {
    /// Before `script` it keeps what was asked and in which environment.
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let keep = format!("echo \"$* [$GREETING$TOKEN$HOME] $line\" >> {}", log.display());
        fs::write(directory.path().join("script"), format!("read -r line || true\n{keep}\n{script}\n")).unwrap();
        Self { directory }
    }

    fn answering(registry: &str, cache_key_type: &str, duration: &str) -> Self {
        let answer = serde_json::json!({
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderResponse",
            "cacheKeyType": cache_key_type,
            "cacheDuration": duration,
            "auth": {registry: {"username": "me", "password": "right"}, "other.test": {"username": "x", "password": "y"}},
        });
        Self::new(&format!("cat <<'EOF'\n{answer}\nEOF"))
    }

    fn providers(&self, matching: &str, clock: &HandClock, timeout: Duration) -> Providers {
        let script = self.directory.path().join("script");
        let config = serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [{
                "name": "sh",
                "matchImages": [matching],
                "defaultCacheDuration": "1h",
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                "args": [script, "get", "it"],
                "env": [{"name": "GREETING", "value": "hello"}],
            }],
        });
        let environment = vec![("TOKEN".to_owned(), "+t".to_owned()), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        let options = ProviderOptions { environment, timeout, clock: clock.clock(), ..ProviderOptions::new("/bin") };
        assert!(!format!("{options:?}").contains("+t"), "{options:?}");
        Providers::from_config(&config.to_string(), &options).unwrap()
    }

    fn keyring(&self, matching: &str, clock: &HandClock) -> Keyring {
        Granted::new(Keyring::anonymous(), Some(self.providers(matching, clock, Duration::from_secs(10))), vec![])
            .to_operator()
    }

    fn runs(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

async fn closed() -> RunningRegistry {
    let image = || Image::new("linux/amd64").cmd(&["x"]);
    let registry = SampleRegistry::new().put("a:1", image()).put("b:1", image()).put("open:1", image());
    registry.access("a", Access::basic("me", "right")).access("b", Access::token("me", "right")).start().await.unwrap()
}

#[tokio::test]
async fn a_provider_is_run_as_the_kubelet_runs_it() {
    let registry = closed().await;
    let host = registry.address().to_string();
    let program = Program::answering(&host, "Registry", "1h");
    let keyring = program.keyring(&host, &HandClock::default());
    let resolver = resolver(plain(&registry));
    for name in ["open:1", "a:1", "b:1"] {
        resolver
            .resolve(&Question { keyring: keyring.clone(), ..question(&registry, name, &[]) }, soon())
            .await
            .unwrap();
    }
    // Once, although two images needed it, and not for the one that needed none; nothing of our own environment.
    let request = format!(
        r#"get it [hello+t] {{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"{host}/a","kind":"CredentialProviderRequest"}}"#
    );
    assert_eq!(program.runs(), [request]);
    assert_eq!(format!("{keyring:?}"), r#"[["sh"]]"#);
}

#[tokio::test]
async fn answers_are_kept_by_what_they_are_for_and_as_long_as_they_say() {
    // Runs for: a, b, again a, and a after half an hour and after more than an hour.
    let table = [
        ("Image", "1h", [1, 2, 2, 2, 3]),
        ("Registry", "1h", [1, 1, 1, 1, 2]),
        ("Global", "1h", [1, 1, 1, 1, 2]),
        ("Global", "0s", [1, 1, 1, 2, 3]),
    ];
    for (cache_key_type, duration, expected) in table {
        let registry = closed().await;
        let host = registry.address().to_string();
        let clock = HandClock::default();
        let program = Program::answering(&host, cache_key_type, duration);
        let keyring = program.keyring(&host, &clock);
        let mut runs = Vec::new();
        for (name, wait) in [("a:1", 0), ("b:1", 0), ("a:1", 0), ("a:1", 1800), ("a:1", 2000)] {
            clock.turn(wait);
            let question = Question { keyring: keyring.clone(), ..question(&registry, name, &[]) };
            resolver(plain(&registry)).resolve(&question, soon()).await.unwrap();
            runs.push(program.runs().len());
        }
        assert_eq!(runs, expected, "{cache_key_type} {duration}");
    }
}

#[tokio::test]
async fn many_at_once_are_one_run() {
    let registry = closed().await;
    let host = registry.address().to_string();
    let program = Program::answering(&host, "Registry", "1h");
    let keyring = program.keyring(&host, &HandClock::default());
    // Each with a memory of its own, so that only the provider's is shared.
    let asks = (0..20).map(|n| {
        let question = Question { keyring: keyring.clone(), ..question(&registry, ["a:1", "b:1"][n % 2], &[]) };
        let resolver = resolver(plain(&registry));
        async move { resolver.resolve(&question, soon()).await.is_ok() }
    });
    assert!(futures_util::future::join_all(asks).await.into_iter().all(|ok| ok));
    assert_eq!(program.runs().len(), 1);
}

#[tokio::test]
async fn what_a_provider_does_wrong_is_transient_and_told_apart() {
    let registry = closed().await;
    for script in
        ["exit 3", "echo secret", "head -c 3000000 /dev/zero", ":", "echo '{}'; sleep 60", "sleep 60 & exec sleep 60"]
    {
        let program = Program::new(script);
        let host = registry.address().to_string();
        let providers = program.providers(&host, &HandClock::default(), Duration::from_millis(500));
        let provided = Granted::new(Keyring::anonymous(), Some(providers), vec!["*".to_owned()]).to_namespace("x");
        let before = Instant::now();
        for _ in 0..3 {
            let question = Question { keyring: provided.clone(), ..question(&registry, "a:1", &[]) };
            let failure = resolver(plain(&registry)).resolve(&question, soon()).await.unwrap_err();
            assert_eq!((failure.kind(), failure.is_transient()), ("provider", true), "{script}");
            assert!(!failure.to_string().contains("secret"));
        }
        assert!(before.elapsed() < Duration::from_secs(5), "{script}: {:?}", before.elapsed());
        assert_eq!(program.runs().len(), 1, "{script}: one that is broken is left alone for a while");
        // What is tried before it still opens.
        let own = Keyring::union([keyring(&registry, "me", "right"), provided]);
        resolver(plain(&registry))
            .resolve(&Question { keyring: own, ..question(&registry, "a:1", &[]) }, soon())
            .await
            .unwrap();
        assert_eq!(program.runs().len(), 1, "{script}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_it_started() {
    let registry = closed().await;
    let program = Program::new("sleep 300 & echo $! > \"$(dirname \"$0\")/child\"; sleep 300");
    let host = registry.address().to_string();
    let providers = program.providers(&host, &HandClock::default(), Duration::from_secs(60));
    let keyring = Granted::new(Keyring::anonymous(), Some(providers), vec![]).to_operator();
    let options = Options { lookup_timeout: Duration::from_millis(800), ..plain(&registry) };
    let failure =
        resolver(options).resolve(&Question { keyring, ..question(&registry, "a:1", &[]) }, soon()).await.unwrap_err();
    assert_eq!(failure.kind(), "timeout");
    let child: i32 = fs::read_to_string(program.directory.path().join("child")).unwrap().trim().parse().unwrap();
    // Until whoever adopts it has seen its end it is a zombie, which is as good.
    let ended = || match fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    };
    let before = Instant::now();
    while !ended() {
        assert!(before.elapsed() < Duration::from_secs(5), "it runs on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
