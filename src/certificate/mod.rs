//! Certificates for the webhook's own TLS: making them, reading them, and when to renew them.
//!
//! Pure: no clock, no files, no network. The present is an argument everywhere, so that a test can stand in any year.
//!
//! - [`generate`] makes a certificate authority and one server certificate signed by it.
//! - [`Pair`] is a certificate chain and its private key, read from PEM and known to belong together.
//! - [`Bundle`] is whom clients are told to trust: a `caBundle`.
//! - [`Stock`] is what replicas share in a Secret: the pair served, the next one, and the bundle.
//! - [`Terms`] say, of a stock at a given time, what to do about it next.
//! - [`Offer`] is what a server is handed by whoever keeps its certificate.
//! - [`Validity`] says whether a pair holds at a given time, and when it is due for renewal.

mod bundle;
mod generate;
mod name;
mod offer;
mod pair;
mod plan;
mod stock;
mod validity;
mod x509;

#[cfg(test)]
mod tests;

pub use bundle::{Bundle, BundleError};
pub use generate::{GenerateError, Generated, generate};
pub use name::common_name;
pub use offer::Offer;
pub use pair::{Pair, PairError};
pub use plan::{Seen, Step, Terms};
pub use stock::{AUTHORITIES, CERTIFICATE, KEY, NEXT_CERTIFICATE, NEXT_KEY, Stock, StockError};
pub use validity::{Rotation, Standing, Validity};
