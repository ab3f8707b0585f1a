//! Tests of the line through real threads and the real clock.

mod order;
mod waits;

use super::*;
use std::thread;

use crate::delivery::park::Canceller;

fn line(limit: f64) -> Arc<Line> {
    Arc::new(Line::new(limit, true, None, Arc::default()).unwrap())
}

fn watch(millis: u64, canceller: &Canceller) -> Watch {
    Watch::new(Duration::from_millis(millis), canceller.clone(), None)
}

const THROTTLED: Outcome = Outcome::Throttled { asked: None, policy: None };
const ACCEPTED: Outcome = Outcome::Accepted { exhausted: None };

fn asked(seconds: u64) -> Outcome {
    Outcome::Throttled { asked: Some(Duration::from_secs(seconds)), policy: None }
}

/// Makes a call whose request has this outcome.
fn call(line: &Arc<Line>, user_id: i64, outcome: Outcome) -> Result<(), Held> {
    let canceller = Canceller::default();
    let watch = watch(60_000, &canceller);
    let mut place = line.enter(user_id, &watch);
    line.wait_for_turn(&place, &watch).map_err(Held::Stopped)?;
    line.depart(&mut place, &watch, None)?.report(
        Instant::now(),
        outcome,
        outcome == ACCEPTED,
        None,
    );
    Ok(())
}

fn waiting(line: &Line) -> usize {
    line.held(|state| state.waiting.len())
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < until, "never so: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
