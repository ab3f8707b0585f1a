//! Looking for a byte in what is mostly short, where a search that is made for long texts takes long to begin.

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_the_first(bytes in proptest::collection::vec(prop_oneof![0_u8..4, 126_u8..131], 0..40), wanted: u8) {
            for wanted in [wanted, 0, 1, 127, 128, 129] {
                prop_assert_eq!(find(wanted, &bytes), bytes.iter().position(|byte| *byte == wanted));
            }
        }
    }
}
