//! Numbers that count for one process or for one period, and are 0 in any other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::fork;

/// A number that counts for one tag. Under any other tag it is 0.
#[derive(Default)]
pub(super) struct Tagged(AtomicU64);

/// The low bits are the number, and the others are the tag.
const NUMBER_BITS: u32 = 40;
const MOST: u64 = (1 << NUMBER_BITS) - 1;

impl Tagged {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn add(&self, tag: u32, amount: u64) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |cell| {
            Some(tagged(tag) | (number(cell, tag) + amount.min(MOST)).min(MOST))
        });
    }

    /// Subtracts 1 if the number counts for this tag.
    pub(super) fn subtract(&self, tag: u32) {
        let _ =
            self.0.fetch_update(Relaxed, Relaxed, |cell| (number(cell, tag) > 0).then(|| cell - 1));
    }

    pub(super) fn get(&self, tag: u32) -> u64 {
        number(self.0.load(Relaxed), tag)
    }

    pub(super) fn in_process(&self) -> u64 {
        self.get(fork::generation())
    }
}

fn tagged(tag: u32) -> u64 {
    u64::from(tag) << NUMBER_BITS
}

fn number(cell: u64, tag: u32) -> u64 {
    // The low bits of the tag are enough: equal ones are 2^24 apart.
    if (cell ^ tagged(tag)) >> NUMBER_BITS == 0 {
        cell & MOST
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_zero_under_another_tag() {
        let cell = Tagged::new();
        cell.add(1, 2);
        cell.subtract(1);
        assert_eq!((cell.get(1), cell.get(2)), (1, 0));
        cell.subtract(2);
        assert_eq!(cell.get(1), 1, "what is of another time or process takes nothing away");
        cell.add(2, 5);
        assert_eq!((cell.get(1), cell.get(2)), (0, 5));
        cell.add(2, u64::MAX);
        assert_eq!(cell.get(2), MOST);
    }
}
