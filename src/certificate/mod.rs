//! Certificates for the webhook's own TLS: making them, reading them, and when to renew them.
//!
//! Pure: no clock, no files, no network. The present is an argument everywhere, so that a test can stand in any year.
//!
//! - [`generate`] makes a certificate authority and one server certificate signed by it.
//! - [`Pair`] is a certificate chain and its private key, read from PEM and known to belong together.
//! - [`Validity`] says whether a pair holds at a given time, and when it is due for renewal.

mod generate;
mod pair;
mod validity;

#[cfg(test)]
mod tests;

pub use generate::{GenerateError, Generated, generate};
pub use pair::{Pair, PairError};
pub use validity::{Rotation, Standing, Validity};
