//! Places where a test can make the library panic, to see that nothing comes of it. They are there with the feature
//! `failpoints` alone, which no release has.

/// A place to panic at, where the environment's `COMMBOX_FAIL_AT` names it.
#[cfg(feature = "failpoints")]
#[allow(clippy::panic)]
pub(crate) fn reach(place: &str) {
    if std::env::var("COMMBOX_FAIL_AT").is_ok_and(|named| named == place) {
        panic!("failpoint {place}");
    }
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn reach(_place: &str) {}
