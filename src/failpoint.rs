//! Places where a test can make the library panic, to see that nothing comes of it, or pause, to see what others do
//! meanwhile. They are there with the feature `failpoints` alone, which no release has.

/// A place to panic at, if the environment's `COMMBOX_FAIL_AT` names it, or to pause at, if `COMMBOX_PAUSE_AT` does.
#[cfg(feature = "failpoints")]
#[allow(clippy::panic)]
pub(crate) fn reach(place: &str) {
    let names_it = |variable| std::env::var(variable).is_ok_and(|named| named == place);
    if names_it("COMMBOX_FAIL_AT") {
        panic!("failpoint {place}");
    }
    if names_it("COMMBOX_PAUSE_AT") {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn reach(_place: &str) {}
