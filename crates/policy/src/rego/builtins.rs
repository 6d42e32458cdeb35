//! Functions that regorus lacks or has otherwise than OPA, under names of ours where the name is taken.

mod sprintf;

use regorus::{Engine, Value};
use sha2::{Digest, Sha256};

/// In place of `sprintf`.
pub(super) const SPRINTF: &str = "emissary.sprintf";
/// In place of `re_match`, which is `regex.match` by its old name.
pub(super) const RE_MATCH: &str = "regex.match";

/// Adds them to an engine.
pub(super) fn add(engine: &mut Engine) -> anyhow::Result<()> {
    engine.add_extension(SPRINTF.to_owned(), 2, Box::new(|arguments: Vec<Value>| Ok(sprintf::sprintf(&arguments))))?;
    engine.add_extension("crypto.sha256".to_owned(), 1, Box::new(|arguments: Vec<Value>| Ok(sha256(&arguments))))
}

fn sha256(arguments: &[Value]) -> Value {
    match arguments.first().map(Value::as_string) {
        Some(Ok(text)) => {
            let digest: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            Value::from(digest)
        }
        _ => Value::Undefined,
    }
}
