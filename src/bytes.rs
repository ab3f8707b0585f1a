//! Looking for a byte in what is mostly short, where a search that is made for long texts takes long to begin; and
//! numbers as text, without the formatting of the standard library, which takes ten times as long.

/// Where `wanted` comes first, looked for eight bytes at a time.
pub(crate) fn find(wanted: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        // Only what is wanted becomes 0, and only 0 both borrows and had no highest bit. Right up to the first.
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

/// A number in digits, written to the end of `room`.
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
        fn writes_numbers(number: u64) {
            for number in [number, number % 100, 0, u64::MAX] {
                let (mut room, expected) = ([0; 20], number.to_string());
                prop_assert_eq!(decimal(number, &mut room), expected.as_bytes());
            }
        }

        #[test]
        fn finds_the_first(bytes in proptest::collection::vec(prop_oneof![0_u8..4, 126_u8..131], 0..40), wanted: u8) {
            for wanted in [wanted, 0, 1, 127, 128, 129] {
                prop_assert_eq!(find(wanted, &bytes), bytes.iter().position(|byte| *byte == wanted));
            }
        }
    }
}
