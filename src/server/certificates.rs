use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::readiness::Check;
use super::tls::Served;
use crate::certificate::{Offer, Pair, PairError, Standing, Validity};

/// The most that a certificate or key file may hold, in bytes: no more than a Secret.
const LARGEST: u64 = 1 << 20;

/// How often readiness and metrics are brought up to date where nothing changes.
const REPORT: Duration = Duration::from_secs(30);

/// Where the server's certificate comes from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// PEM files, reloaded when their content changes. Content, because the kubelet replaces a mounted Secret by
    /// swapping a symbolic link above the files, which a watch on the files themselves never sees.
    Files {
        /// The chain: the server's certificate first.
        certificate: PathBuf,
        /// The private key of the chain's first certificate.
        key: PathBuf,
        /// How often the files are read. At least a millisecond.
        poll: Duration,
    },
    /// One pair for the life of the server.
    Fixed(Pair),
    /// Whatever its keeper offers. Until there is a pair, the server is not ready and handshakes fail.
    Kept(watch::Receiver<Offer>),
}

/// Why no pair could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing, unreadable, or larger than a Secret can be.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The files do not hold a certificate chain and its key.
    #[error("{} and {} are no certificate and key", certificate.display(), key.display())]
    Pair {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        #[source]
        source: PairError,
    },
}

/// Two files and what they held when last read.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    seen: Option<(Vec<u8>, Vec<u8>)>,
}

/// What is followed.
enum Followed {
    Nothing,
    Files(Files, Duration),
    Offers(watch::Receiver<Offer>),
}

/// Keeps the pair in service, its readiness check and its metrics up to date.
pub(super) struct Certificates {
    followed: Followed,
    served: Arc<Served>,
    validity: Option<Validity>,
    standing: Option<Standing>,
    problem: Option<String>,
    check: Check,
    metrics: Metrics,
}

impl Certificates {
    /// Loads the first pair.
    pub(super) async fn load(
        source: CertificateSource,
        check: Check,
        metrics: Metrics,
    ) -> Result<(Self, Arc<Served>), LoadError> {
        let (followed, pair) = match source {
            CertificateSource::Fixed(pair) => (Followed::Nothing, Some(pair)),
            CertificateSource::Kept(offers) => (Followed::Offers(offers), None),
            CertificateSource::Files { certificate, key, poll } => {
                let mut files = Files { certificate, key, seen: None };
                let contents = files.settled(files.read().await?).await?;
                let pair = files.pair(&contents)?;
                files.seen = Some(contents);
                (Followed::Files(files, poll.max(Duration::from_millis(1))), Some(pair))
            }
        };
        let served = Arc::new(Served::new(pair.as_ref().map(|pair| Arc::clone(pair.certified_key()))));
        let mut certificates = Self {
            followed,
            served: Arc::clone(&served),
            validity: pair.as_ref().map(Pair::validity),
            standing: None,
            problem: None,
            check,
            metrics,
        };
        certificates.report(SystemTime::now());
        Ok((certificates, served))
    }

    /// Follows the source until `closing`.
    pub(super) async fn follow(mut self, closing: CancellationToken) {
        let followed = std::mem::replace(&mut self.followed, Followed::Nothing);
        closing
            .run_until_cancelled(async {
                match followed {
                    Followed::Nothing => {}
                    Followed::Files(files, poll) => self.follow_files(files, poll).await,
                    Followed::Offers(offers) => self.follow_offers(offers).await,
                }
            })
            .await;
    }

    async fn follow_files(&mut self, mut files: Files, poll: Duration) {
        let mut ticks = interval(poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match files.changed().await {
                Ok(None) => self.problem = None,
                Ok(Some(pair)) => self.take(&pair),
                Err(error) => self.keep(&error),
            }
            self.report(SystemTime::now());
        }
    }

    async fn follow_offers(&mut self, mut offers: watch::Receiver<Offer>) {
        let mut served = None;
        loop {
            let Offer { pair, problem } = offers.borrow_and_update().clone();
            if let Some(pair) = pair.filter(|pair| served.as_ref() != Some(pair)) {
                self.take(&pair);
                served = Some(pair);
            }
            self.problem = problem;
            self.report(SystemTime::now());
            tokio::select! {
                changed = offers.changed() => if changed.is_err() { return },
                // The certificate may expire, and the figures are about time.
                () = tokio::time::sleep(REPORT) => {}
            }
        }
    }

    fn take(&mut self, pair: &Pair) {
        self.served.replace(Arc::clone(pair.certified_key()));
        self.validity = Some(pair.validity());
        self.problem = None;
        self.metrics.certificate_reloads.inc();
        tracing::info!("serving a new certificate");
    }

    /// The files are half-written, mismatched or gone: what was served goes on. Said once a problem, not once a poll.
    fn keep(&mut self, error: &LoadError) {
        let problem = format!("its files are not used: {}", with_causes(error));
        if self.problem.as_ref() != Some(&problem) {
            tracing::error!(problem, "keeping the certificate served so far");
            self.metrics.certificate_reload_failures.inc();
            self.problem = Some(problem);
        }
    }

    fn report(&mut self, now: SystemTime) {
        let problem = self.problem.as_deref();
        let Some(validity) = self.validity else {
            return self.check.not_ready(problem.unwrap_or("waiting for a certificate"));
        };
        let since_epoch = validity.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.certificate_expiry.set(since_epoch.as_secs_f64());
        let left = validity.not_after.duration_since(now).unwrap_or_default().as_secs();
        let left = if left < 2 * 86_400 { format!("{} h", left / 3600) } else { format!("{} d", left / 86_400) };
        let standing = validity.standing(now);
        if self.standing.replace(standing) != Some(standing) && standing != Standing::Valid {
            tracing::error!(?standing, "clients will refuse the certificate served");
        }
        match (standing, problem) {
            (Standing::Expired, None) => self.check.not_ready("the certificate has expired"),
            (Standing::NotYetValid, None) => self.check.not_ready("the certificate is not yet valid"),
            (Standing::Valid, None) => self.check.ready(format!("expires in {left}")),
            (Standing::Expired, Some(problem)) => {
                self.check.not_ready(format!("the certificate has expired; {problem}"));
            }
            (Standing::NotYetValid, Some(problem)) => {
                self.check.not_ready(format!("the certificate is not yet valid; {problem}"));
            }
            (Standing::Valid, Some(problem)) => self.check.ready(format!("expires in {left}; {problem}")),
        }
    }
}

impl Files {
    /// The new pair, if the files changed since last time.
    async fn changed(&mut self) -> Result<Option<Pair>, LoadError> {
        let contents = self.read().await?;
        if self.seen.as_ref() == Some(&contents) {
            return Ok(None);
        }
        let contents = self.settled(contents).await?;
        // Remembered only when it is good: a bad pair is judged again at every poll, until it is mended.
        let pair = self.pair(&contents)?;
        self.seen = Some(contents);
        Ok(Some(pair))
    }

    /// The files may have been swapped between the reading of one and of the other: read until nothing changes.
    async fn settled(&self, mut contents: (Vec<u8>, Vec<u8>)) -> Result<(Vec<u8>, Vec<u8>), LoadError> {
        for _ in 0..3 {
            let again = self.read().await?;
            if again == contents {
                break;
            }
            contents = again;
        }
        Ok(contents)
    }

    async fn read(&self) -> Result<(Vec<u8>, Vec<u8>), LoadError> {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        let read = tokio::task::spawn_blocking(move || Ok((read(&certificate)?, read(&key)?)));
        read.await.unwrap_or_else(|error| {
            Err(LoadError::Read { path: self.certificate.clone(), source: io::Error::other(error) })
        })
    }

    fn pair(&self, (certificate, key): &(Vec<u8>, Vec<u8>)) -> Result<Pair, LoadError> {
        Pair::from_pem(certificate, key).map_err(|source| LoadError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let contents = || {
        let mut contents = Vec::new();
        std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut contents)?;
        if contents.len() as u64 > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it holds more than {LARGEST} bytes")));
        }
        Ok(contents)
    };
    contents().map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// An error and what caused it, for a log line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::Files;

    #[tokio::test]
    async fn a_pair_read_during_a_swap_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
        std::fs::write(&certificate, "new").unwrap();
        std::fs::write(&key, "new").unwrap();
        let files = Files { certificate, key, seen: None };
        let torn = (b"old".to_vec(), b"new".to_vec());
        assert_eq!(files.settled(torn).await.unwrap(), (b"new".to_vec(), b"new".to_vec()));
    }

    #[tokio::test]
    async fn a_file_larger_than_a_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tls.crt");
        std::fs::File::create(&path).unwrap().set_len(super::LARGEST + 1).unwrap();
        let error = Files { certificate: path.clone(), key: path, seen: None }.read().await.unwrap_err();
        assert!(super::with_causes(&error).ends_with("it holds more than 1048576 bytes"), "{error}");
    }
}
