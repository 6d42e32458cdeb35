use std::fmt;

/// A content digest, `sha256:…` or `sha512:…` in lower-case hex (OCI image spec, "Digests").
///
/// Other registered algorithms are refused: a digest that cannot be computed cannot be verified either.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// The algorithm of a [`Digest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// `sha256`, 64 hex digits.
    Sha256,
    /// `sha512`, 128 hex digits.
    Sha512,
}

/// Why a text is no [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no digest: {fault}; a digest is sha256: and 64, or sha512: and 128, lower-case hex digits")]
pub struct DigestError {
    text: String,
    fault: &'static str,
}

impl DigestAlgorithm {
    /// As the OCI image spec spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl Digest {
    /// Parses `algorithm:hex`.
    ///
    /// # Errors
    /// Unknown algorithm, wrong number of digits, or a digit that is not lower-case hex.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let fault = |fault| DigestError { text: shortened(text), fault };
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| fault("it has no colon"))?;
        let algorithm = match algorithm {
            "sha256" => DigestAlgorithm::Sha256,
            "sha512" => DigestAlgorithm::Sha512,
            _ => return Err(fault("the algorithm is not sha256 or sha512")),
        };
        if hex.len() != algorithm.hex_digits() {
            return Err(fault("it has the wrong number of digits"));
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(fault("it has characters other than 0-9 and a-f"));
        }
        Ok(Self(text.to_owned()))
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What to compute in order to verify content.
    pub fn algorithm(&self) -> DigestAlgorithm {
        if self.0.starts_with("sha512:") { DigestAlgorithm::Sha512 } else { DigestAlgorithm::Sha256 }
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

/// Errors quote what was typed, but not a megabyte of it.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_can_be_verified() {
        let sha256 = format!("sha256:{}", "0a".repeat(32));
        let sha512 = format!("sha512:{}", "f9".repeat(64));
        for (text, algorithm) in [(&sha256, DigestAlgorithm::Sha256), (&sha512, DigestAlgorithm::Sha512)] {
            let digest = Digest::parse(text).unwrap();
            assert_eq!((digest.as_str(), digest.algorithm()), (text.as_str(), algorithm));
            assert_eq!(digest.hex().len(), algorithm.hex_digits());
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        let table = [
            (String::new(), "no colon"),
            ("sha256".into(), "no colon"),
            ("sha256:".into(), "number of digits"),
            (format!("sha256:{}", "a".repeat(63)), "number of digits"),
            (format!("sha512:{}", "a".repeat(64)), "number of digits"),
            (format!("sha256:{}", "A".repeat(64)), "0-9 and a-f"),
            (format!("sha256:{}", "é".repeat(32)), "0-9 and a-f"),
            (format!("sha384:{}", "a".repeat(96)), "not sha256"),
            (format!("SHA256:{}", "a".repeat(64)), "not sha256"),
        ];
        for (text, expected) in table {
            let error = Digest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Digest::parse(&"é".repeat(100_000)).unwrap_err().to_string().len() < 1000);
    }
}
