//! Places where a test can make the library panic, in order to see that it copes, or pause, in
//! order to see what other threads do meanwhile. They exist only with the feature `failpoints`,
//! which releases do not have.

/// Panics if `COMMBOX_FAIL_AT` names this place. Pauses if `COMMBOX_PAUSE_AT` does.
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
