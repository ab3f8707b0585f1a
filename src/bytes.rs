//! Finds a byte in short texts, for which a search that is optimized for long texts takes long to
//! start. Also formats numbers without the standard library, whose formatting takes ten times as
//! long.

/// Returns the first position of `wanted`. Compares eight bytes at a time.
pub(crate) fn find(wanted: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        // XOR turns only the wanted bytes into 0. Only a 0 byte both borrows and has a clear
        // highest bit. The result is exact up to the first match.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(wanted));
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    let found = rest.iter().position(|byte| *byte == wanted)?;
    Some(bytes.len() - rest.len() + found)
}

/// Writes a number in decimal digits to the end of `room`.
pub(crate) fn decimal(number: u64, room: &mut [u8; 20]) -> &[u8] {
    let (mut rest, mut at) = (number, room.len());
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    room.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimal_writes_every_number(number: u64) {
            for number in [number, number % 100, 0, u64::MAX] {
                let (mut room, expected) = ([0; 20], number.to_string());
                prop_assert_eq!(decimal(number, &mut room), expected.as_bytes());
            }
        }

        #[test]
        fn find_returns_the_first_position(bytes in proptest::collection::vec(prop_oneof![0_u8..4, 126_u8..131], 0..40), wanted: u8) {
            for wanted in [wanted, 0, 1, 127, 128, 129] {
                prop_assert_eq!(find(wanted, &bytes), bytes.iter().position(|byte| *byte == wanted));
            }
        }
    }
}
