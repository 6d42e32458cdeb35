use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::sync::watch;

use super::{Fixture, certificate, client_config, eventually, one_answer, options, pair, say, serve_with, tls};
use crate::certificate::{Generated, Offer, generate};
use crate::server::{CertificateSource, Dependencies, LoadError, Metrics, Readiness, StartError, start};

const REQUEST: &str = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";

/// A Secret as the kubelet mounts it: the files are links through `..data`, which is swapped for a new directory.
struct Mount(TempDir);

impl Mount {
    fn new(made: &Generated) -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        mount.swap("..first", &made.certificate_pem, &made.key_pem);
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), mount.path().join(file)).unwrap();
        }
        mount
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn swap(&self, version: &str, certificate: &str, key: &str) {
        let directory = self.path().join(version);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("tls.crt"), certificate).unwrap();
        fs::write(directory.join("tls.key"), key).unwrap();
        symlink(version, self.path().join("..data_tmp")).unwrap();
        fs::rename(self.path().join("..data_tmp"), self.path().join("..data")).unwrap();
    }

    fn source(&self) -> CertificateSource {
        CertificateSource::Files {
            certificate: self.path().join("tls.crt"),
            key: self.path().join("tls.key"),
            poll: Duration::from_millis(10),
        }
    }
}

async fn serves(fixture: &Fixture, made: &Generated) -> bool {
    tls(fixture.server.address(), client_config(&[made], "h2")).await.is_ok()
}

#[tokio::test]
async fn a_swapped_secret_is_served_and_open_connections_go_on() {
    let (first, second) = (certificate(), certificate());
    let mount = Mount::new(&first);
    let source = mount.source();
    let fixture = serve_with(options(), first, source).await;
    let expiry = fixture.metric("certificate_expiry_timestamp_seconds");
    let mut open = fixture.tls("http/1.1").await;
    say(&mut open, REQUEST).await;
    assert!(one_answer(&mut open).await.starts_with("HTTP/1.1 200"));

    mount.swap("..second", &second.certificate_pem, &second.key_pem);
    eventually("reloaded", || fixture.metric("certificate_reloads_total") == 1.0).await;
    assert!(serves(&fixture, &second).await);
    assert!(!serves(&fixture, &fixture.certificate).await);
    assert!(fixture.metric("certificate_expiry_timestamp_seconds") >= expiry);

    say(&mut open, REQUEST).await;
    assert!(one_answer(&mut open).await.starts_with("HTTP/1.1 200"), "the open connection goes on");
    assert_eq!(fixture.metric("certificate_reload_failures_total"), 0.0);
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_no_pair_is_not_served() {
    let (first, second) = (certificate(), certificate());
    let mount = Mount::new(&first);
    let torn = &second.certificate_pem[..100];
    let source = mount.source();
    let fixture = serve_with(options(), first, source).await;
    for (failures, version, chain, key) in [
        (1.0, "..mismatch", second.certificate_pem.as_str(), fixture.certificate.key_pem.as_str()),
        (2.0, "..torn", torn, second.key_pem.as_str()),
    ] {
        mount.swap(version, chain, key);
        eventually(version, || fixture.metric("certificate_reload_failures_total") == failures).await;
        assert!(serves(&fixture, &fixture.certificate).await, "{version}");
        assert!(fixture.readiness.is_ready(), "what is served is good");
        assert!(fixture.readiness.report().to_string().contains("are no certificate and key"), "{version}");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fixture.metric("certificate_reload_failures_total"), 2.0, "counted once a problem, not once a poll");

    fs::remove_file(mount.path().join("..data")).unwrap();
    eventually("gone", || fixture.metric("certificate_reload_failures_total") == 3.0).await;
    assert!(serves(&fixture, &fixture.certificate).await);

    mount.swap("..mended", &second.certificate_pem, &second.key_pem);
    eventually("mended", || fixture.metric("certificate_reloads_total") == 1.0).await;
    assert!(serves(&fixture, &second).await);
    eventually("no problem is left", || !fixture.readiness.report().to_string().contains("not used")).await;
    fixture.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_not_ready_until_it_is_replaced() {
    let hour = Duration::from_secs(3600);
    let expired = generate(&["localhost".to_owned()], SystemTime::now() - 3 * hour, hour).unwrap();
    let mount = Mount::new(&expired);
    let source = mount.source();
    let fixture = serve_with(options(), expired, source).await;
    assert!(fixture.readiness.report().to_string().contains("the certificate has expired"));
    let fresh = certificate();
    mount.swap("..second", &fresh.certificate_pem, &fresh.key_pem);
    eventually("ready", || fixture.readiness.is_ready()).await;
    fixture.stop().await;
}

#[tokio::test]
async fn what_its_keeper_offers_is_served() {
    let (first, second) = (certificate(), certificate());
    let (offers, offered) = watch::channel(Offer::default());
    let fixture = serve_with(options(), first, CertificateSource::Kept(offered)).await;
    assert!(!serves(&fixture, &fixture.certificate).await, "there is nothing to serve yet");
    assert!(fixture.readiness.report().to_string().contains("waiting for a certificate"));
    offers.send_modify(|offer| offer.problem = Some("the Secret may not be read".to_owned()));
    eventually("said why", || fixture.readiness.report().to_string().contains("may not be read")).await;

    offers.send_replace(Offer { pair: Some(pair(&fixture.certificate)), problem: None });
    eventually("ready", || fixture.readiness.is_ready()).await;
    let mut open = fixture.tls("http/1.1").await;

    offers.send_replace(Offer { pair: Some(pair(&second)), problem: None });
    eventually("reloaded", || fixture.metric("certificate_reloads_total") == 2.0).await;
    assert!(serves(&fixture, &second).await);
    say(&mut open, REQUEST).await;
    assert!(one_answer(&mut open).await.starts_with("HTTP/1.1 200"), "the open connection goes on");

    offers.send_modify(|offer| offer.problem = Some("the Secret may not be read".to_owned()));
    eventually("said why", || fixture.readiness.report().to_string().contains("may not be read")).await;
    assert!(fixture.readiness.is_ready(), "what is served is good");
    assert_eq!(fixture.metric("certificate_reloads_total"), 2.0, "the same pair is no news");
    fixture.stop().await;
}

#[tokio::test]
async fn without_a_certificate_there_is_no_server() {
    let mount = Mount::new(&certificate());
    fs::remove_file(mount.path().join("tls.key")).unwrap();
    let dependencies = Dependencies {
        application: super::application(),
        plain: Default::default(),
        certificate: mount.source(),
        readiness: Readiness::default(),
        metrics: Metrics::register(&mut Default::default()),
        registry: Default::default(),
        shutdown: Default::default(),
        tracker: Default::default(),
    };
    let error = start(options(), dependencies).await.unwrap_err();
    let StartError::Certificate(LoadError::Read { path, .. }) = error else { panic!("{error:?}") };
    assert_eq!(path, mount.path().join("tls.key"));
}
