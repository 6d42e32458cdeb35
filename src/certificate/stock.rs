use std::fmt;
use std::time::{Duration, SystemTime};

use super::bundle::{Bundle, BundleError};
use super::{GenerateError, Pair, PairError, generate};

/// The most that one part of a Secret may hold, in bytes. A chain of ours has less than 1 KiB.
const LARGEST: usize = 64 << 10;

/// The keys of a Secret that holds a [`Stock`], as `kubernetes.io/tls` has the first two.
pub const CERTIFICATE: &str = "tls.crt";
/// See [`CERTIFICATE`].
pub const KEY: &str = "tls.key";
/// Every authority that clients are to trust.
pub const AUTHORITIES: &str = "ca.crt";
/// The certificate that is not served yet, because not everybody trusts it.
pub const NEXT_CERTIFICATE: &str = "next.crt";
/// See [`NEXT_CERTIFICATE`].
pub const NEXT_KEY: &str = "next.key";

/// A pair, and the PEM that it was read from.
#[derive(Clone)]
pub(super) struct Kept {
    pair: Pair,
    certificate_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pair.fmt(formatter)
    }
}

/// All that replicas share about their certificate: what they serve, what they will serve next, and whom clients are to
/// trust. The bundle trusts what is served and what is next.
#[derive(Clone, Debug)]
pub struct Stock {
    serving: Kept,
    next: Option<Kept>,
    bundle: Bundle,
}

/// Why what a Secret holds is no stock. None of the texts quotes it.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// A key is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value is larger than any certificate.
    #[error("{0} has more than {LARGEST} bytes")]
    TooLarge(&'static str),
    /// The certificate and its key are no pair.
    #[error("tls.crt and tls.key are no pair")]
    Pair(#[source] PairError),
    /// The authorities are none.
    #[error("ca.crt cannot be read")]
    Authorities(#[source] BundleError),
    /// No client that trusts the authorities would trust the certificate.
    #[error("no authority of ca.crt has signed tls.crt")]
    Untrusted,
}

impl Stock {
    /// Reads a Secret's values.
    ///
    /// # Errors
    /// [`StockError`]; but a next pair that cannot be used is as good as none, since another can be made.
    pub fn read<'a>(value: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, StockError> {
        let value = |key: &'static str| match value(key) {
            None | Some([]) => Err(StockError::Missing(key)),
            Some(value) if value.len() > LARGEST => Err(StockError::TooLarge(key)),
            Some(value) => Ok(value),
        };
        let serving = Kept::read(value(CERTIFICATE)?, value(KEY)?).map_err(StockError::Pair)?;
        let bundle = Bundle::from_pem(value(AUTHORITIES)?).map_err(StockError::Authorities)?;
        if !bundle.trusts(&serving.pair) {
            return Err(StockError::Untrusted);
        }
        let next = match (value(NEXT_CERTIFICATE), value(NEXT_KEY)) {
            (Ok(certificate), Ok(key)) => Kept::read(certificate, key).ok().filter(|next| bundle.trusts(&next.pair)),
            _ => None,
        };
        Ok(Self { serving, next, bundle })
    }

    /// The values of the Secret that [`read`](Self::read) reads the same from.
    pub fn write(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut values = vec![
            (CERTIFICATE, self.serving.certificate_pem.clone()),
            (KEY, self.serving.key_pem.clone()),
            (AUTHORITIES, self.bundle.to_pem().into_bytes()),
        ];
        if let Some(next) = &self.next {
            values.push((NEXT_CERTIFICATE, next.certificate_pem.clone()));
            values.push((NEXT_KEY, next.key_pem.clone()));
        }
        values
    }

    /// A first stock, for `names`.
    ///
    /// # Errors
    /// [`GenerateError`].
    pub fn make(names: &[String], now: SystemTime, life: Duration) -> Result<Self, GenerateError> {
        let (serving, bundle) = Kept::make(names, now, life)?;
        Ok(Self { serving, next: None, bundle })
    }

    /// The same with a next pair, whose authority joins the bundle. Nothing else is served yet.
    ///
    /// # Errors
    /// [`GenerateError`].
    pub fn stage(&self, names: &[String], now: SystemTime, life: Duration) -> Result<Self, GenerateError> {
        let (next, authority) = Kept::make(names, now, life)?;
        // What is in use goes first, should there be more than a bundle holds.
        let bundle = self.bundle.of(&[&self.serving.pair]).then(&authority).then(&self.bundle);
        Ok(Self { serving: self.serving.clone(), next: Some(next), bundle })
    }

    /// The same with the next pair in service. The old authority stays, for replicas that have not changed yet.
    pub fn promote(mut self) -> Self {
        if let Some(next) = self.next.take() {
            self.serving = next;
        }
        self
    }

    /// The same without authorities that no pair needs any more.
    pub fn prune(self) -> Self {
        let bundle = self.needed();
        Self { bundle, ..self }
    }

    /// The pair to be served.
    pub fn serving(&self) -> &Pair {
        &self.serving.pair
    }

    /// The pair to be served next.
    pub fn next(&self) -> Option<&Pair> {
        self.next.as_ref().map(|next| &next.pair)
    }

    /// Whom clients are to trust.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The authorities of the pairs that are here.
    pub(super) fn needed(&self) -> Bundle {
        let pairs: Vec<&Pair> =
            [Some(&self.serving), self.next.as_ref()].into_iter().flatten().map(|k| &k.pair).collect();
        self.bundle.of(&pairs)
    }
}

impl Kept {
    fn read(certificate: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let pair = Pair::from_pem(certificate, key)?;
        Ok(Self { pair, certificate_pem: certificate.to_vec(), key_pem: key.to_vec() })
    }

    /// A new pair and its authority.
    fn make(names: &[String], now: SystemTime, life: Duration) -> Result<(Self, Bundle), GenerateError> {
        let made = generate(names, now, life)?;
        let unreadable = |source| GenerateError::Unreadable { source };
        let kept = Self::read(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).map_err(unreadable)?;
        let bundle = Bundle::from_pem(made.ca_pem.as_bytes()).map_err(|_| unreadable(PairError::NoCertificate))?;
        Ok((kept, bundle))
    }
}
