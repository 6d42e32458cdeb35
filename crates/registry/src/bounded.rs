use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// At most `N` elements of a JSON array; the rest is read over without being kept.
///
/// A few bytes of JSON can become a hundred in memory, so a cap on the body alone would let four megabytes of `{}` grow
/// to hundreds.
#[derive(Debug)]
pub(crate) struct Bounded<T, const N: usize> {
    pub(crate) items: Vec<T>,
    pub(crate) overflowed: bool,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Elements<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < N {
                    match sequence.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Bounded { items, overflowed: false }),
                    }
                }
                let mut overflowed = false;
                while sequence.next_element::<IgnoredAny>()?.is_some() {
                    overflowed = true;
                }
                Ok(Bounded { items, overflowed })
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// Whether annotations mark a BuildKit attestation; nothing else of them is kept.
#[derive(Debug, Default)]
pub(crate) struct AttestationMark(pub(crate) bool);

impl<'de> Deserialize<'de> for AttestationMark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = AttestationMark;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(AttestationMark(false))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = false;
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    found |= key == "vnd.docker.reference.type";
                }
                Ok(AttestationMark(found))
            }
        }

        deserializer.deserialize_any(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_the_bound() {
        for (text, kept, overflowed) in
            [("[]", 0, false), ("[1,2]", 2, false), ("[1,2,3]", 3, false), ("[1,2,3,4,5]", 3, true)]
        {
            let array: Bounded<u8, 3> = serde_json::from_str(text).unwrap();
            assert_eq!((array.items.len(), array.overflowed), (kept, overflowed), "{text}");
        }
    }
}
