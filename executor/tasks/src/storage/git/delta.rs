//! Objects that are kept as a difference to another (`gitformat-pack`).

use std::io;

use super::broken;

/// What a difference makes of its base, which may be at most `limit` bytes.
pub(super) fn apply(base: &[u8], delta: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let cut = || broken("a difference that is cut off");
    let (of, rest) = size(delta).ok_or_else(cut)?;
    let (length, mut rest) = size(rest).ok_or_else(cut)?;
    if of != base.len() as u64 {
        return Err(broken("a difference to another object"));
    }
    if length > limit {
        return Err(io::Error::other(format!("an object of {length} bytes that is kept as a difference is too long")));
    }
    let length = usize::try_from(length).map_err(io::Error::other)?;
    // What is announced is a stranger's word; what comes of a few bytes may still be long, up to the limit.
    let mut made = Vec::with_capacity(length.min(base.len() + delta.len()));
    while let Some((step, behind)) = rest.split_first() {
        rest = behind;
        match step {
            0 => return Err(broken("a difference with a step that git does not have")),
            copy if copy & 0x80 != 0 => {
                let mut number = |bits: std::ops::Range<u32>, shift: u32| {
                    let mut value = 0_usize;
                    for bit in bits.clone().filter(|bit| copy & (1 << bit) != 0) {
                        let (byte, behind) = rest.split_first()?;
                        rest = behind;
                        value |= usize::from(*byte) << (8 * (bit - shift));
                    }
                    Some(value)
                };
                let from = number(0..4, 0).ok_or_else(cut)?;
                let count = match number(4..7, 4).ok_or_else(cut)? {
                    0 => 0x1_0000,
                    count => count,
                };
                let part = from.checked_add(count).and_then(|to| base.get(from..to));
                made.extend_from_slice(part.ok_or_else(|| broken("a difference that copies what is not there"))?);
            }
            insert => {
                let (part, behind) = rest.split_at_checked(usize::from(*insert)).ok_or_else(cut)?;
                made.extend_from_slice(part);
                rest = behind;
            }
        }
        if made.len() > length {
            return Err(broken("a difference that makes more than it says"));
        }
    }
    if made.len() != length {
        return Err(broken("a difference that makes less than it says"));
    }
    Ok(made)
}

/// A length, seven bits a byte, the lowest first, and what is behind it.
fn size(data: &[u8]) -> Option<(u64, &[u8])> {
    let mut size = 0_u64;
    for (place, byte) in data.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        size |= bits.checked_shl(7 * u32::try_from(place).ok()?).filter(|shifted| shifted >> (7 * place) == bits)?;
        if byte & 0x80 == 0 {
            return Some((size, data.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn parts_are_copied_and_inserted() {
        // 11 bytes of base, 9 of result: copy 6 from 0, insert "git".
        let delta = [11, 9, 0x90, 6, 3, b'g', b'i', b't'];
        assert_eq!(apply(b"hello world", &delta, LIMIT).unwrap(), b"hello git");
        // An offset in the second byte, and a length that is not there: 65,536.
        let base = vec![7; 0x1_0100];
        let delta = [0x80, 0x82, 0x04, 0x80, 0x80, 0x04, 0x82, 1];
        assert_eq!(apply(&base, &delta, LIMIT).unwrap(), vec![7; 0x1_0000]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let cases: [(&[u8], &str); 7] = [
            (&[], "cut off"),
            (&[10, 1, 1, b'x'], "to another object"),
            (&[11, 1, 0], "does not have"),
            (&[11, 1, 2, b'x'], "cut off"),
            (&[11, 1, 2, b'x', b'y'], "more than"),
            (&[11, 2, 1, b'x'], "less than"),
            (&[11, 12, 0x91, 5, 12], "not there"),
        ];
        for (delta, expected) in cases {
            let error = apply(b"hello world", delta, LIMIT).unwrap_err().to_string();
            assert!(error.contains(expected), "{delta:?}: {error}");
        }
        let error = apply(b"hello world", &[11, 0xff, 0xff, 0xff, 0x7f], LIMIT).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    proptest! {
        #[test]
        fn any_difference_is_applied_or_refused(base: Vec<u8>, delta: Vec<u8>) {
            if let Ok(made) = apply(&base, &delta, LIMIT) {
                prop_assert!(made.len() as u64 <= LIMIT);
            }
            let mut fitting = vec![u8::try_from(base.len() & 0x7f).unwrap()];
            fitting.extend(delta);
            let _ = apply(&base[..base.len() & 0x7f], &fitting, LIMIT);
        }

        #[test]
        fn sizes_end_within_their_bits(data: Vec<u8>) {
            let _ = size(&data);
        }
    }
}
