//! What all names of this room have in common: they are read by `parse`, written by `Display`, and stand in documents as
//! plain strings.

use super::{Digest, DigestError, Platform, PlatformError, Reference, ReferenceError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::str::FromStr;

macro_rules! as_text {
    ($($name:ident: $error:ident),*) => {$(
        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    )*};
}

as_text!(Digest: DigestError, Platform: PlatformError, Reference: ReferenceError);
