use std::cell::Cell;

use super::*;

/// A gate, and a clock that goes where the test says.
struct Bench {
    gate: Gate,
    now: Cell<Instant>,
}

impl Bench {
    fn new(limit: f64) -> Self {
        Self { gate: Gate::new(limit), now: Cell::new(Instant::now()) }
    }

    fn now(&self) -> Instant {
        self.now.get()
    }

    fn passes(&self, millis: u64) {
        self.now.set(self.now() + Duration::from_millis(millis));
    }

    fn ask(&self) -> Passage<'_> {
        self.gate.pass(self.now(), self.now() + Duration::from_secs(36_000), &mut None)
    }

    fn go(&self) -> Ticket<'_> {
        match self.ask() {
            Passage::Go(ticket) => ticket,
            Passage::Wait(until) => panic!("to wait {:?}", until - self.now()),
            Passage::TooLate { wait, .. } => panic!("to wait {wait:?}, too late"),
        }
    }

    /// How long a call that asks now is to wait, in milliseconds.
    fn wait(&self) -> u128 {
        match self.ask() {
            Passage::Wait(until) => (until - self.now()).as_millis(),
            Passage::Go(_) => 0,
            Passage::TooLate { wait, .. } => panic!("to wait {wait:?}, too late"),
        }
    }

    fn sends(&self, outcome: Outcome) {
        self.go().report(self.now(), &outcome);
    }

    /// Where a 429 comes after this many requests in the second before; the probe follows.
    fn throttled_at(&self, rate: u64) {
        for _ in 0..rate {
            self.sends(Outcome::Passed);
            self.passes(1000 / rate - 1);
        }
        self.sends(BARE);
        self.passes(1000);
        self.sends(Outcome::Passed);
    }

    /// Waits for a turn and sends.
    fn sends_in_turn(&self, outcome: Outcome) {
        let mut place = None;
        loop {
            match self.gate.pass(self.now(), self.now() + Duration::from_secs(36_000), &mut place) {
                Passage::Go(ticket) => return ticket.report(self.now(), &outcome),
                Passage::Wait(until) => self.now.set(until),
                Passage::TooLate { wait, .. } => panic!("to wait {wait:?}, too late"),
            }
        }
    }

    /// The rate at which calls leave now, in requests a second, over this many of them.
    fn rate(&self, calls: u32) -> f64 {
        self.sends_in_turn(Outcome::Passed);
        let began = self.now();
        for _ in 0..calls {
            self.sends_in_turn(Outcome::Passed);
        }
        f64::from(calls) / (self.now() - began).as_secs_f64()
    }
}

const BARE: Outcome = Outcome::Throttled(None);

fn asked(seconds: u64) -> Outcome {
    Outcome::Throttled(Some(Duration::from_secs(seconds)))
}

#[test]
fn nothing_waits_where_nothing_is_known() {
    let bench = Bench::new(0.0);
    for _ in 0..1000 {
        bench.sends(Outcome::Passed);
    }
    bench.sends(Outcome::Failed);
    assert_eq!(bench.wait(), 0);
}

#[test]
fn a_bare_429_shuts_for_a_second_and_each_failing_probe_for_twice_as_long() {
    let bench = Bench::new(0.0);
    bench.sends(BARE);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(bench.wait(), seconds * 1000);
        bench.passes(seconds as u64 * 1000 - 1);
        assert_eq!(bench.wait(), 1);
        bench.passes(1);
        bench.sends(BARE);
    }
    bench.passes(30_000);
    bench.sends(Outcome::Passed);
    bench.sends(BARE);
    assert_eq!(bench.wait(), 1000, "it begins anew once the gate was open");
}

#[test]
fn one_probe_goes_and_opens_the_gate_for_all() {
    let bench = Bench::new(0.0);
    bench.sends(BARE);
    bench.passes(1000);
    let probe = bench.go();
    for _ in 0..10 {
        assert_eq!(bench.wait(), PROBE_LOOK.as_millis());
    }
    // Any answer but a 429 tells that the server takes requests again.
    probe.report(bench.now(), &Outcome::Passed);
    for _ in 0..10 {
        assert_eq!(bench.wait(), 0);
    }
}

#[test]
fn a_probe_that_is_lost_leaves_its_place_to_the_next() {
    let bench = Bench::new(0.0);
    bench.sends(BARE);
    bench.passes(1000);
    // One failed, one was cancelled and never reported.
    bench.sends(Outcome::Failed);
    drop(bench.go());
    let probe = bench.go();
    assert_eq!(bench.wait(), PROBE_LOOK.as_millis());
    probe.report(bench.now(), &BARE);
    assert_eq!(bench.wait(), 2000, "those that were lost do not double the time");
}

#[test]
fn late_429s_of_calls_that_had_left_are_no_news() {
    let bench = Bench::new(0.0);
    let early: Vec<_> = (0..5).map(|_| bench.go()).collect();
    let late = bench.go();
    for ticket in early {
        ticket.report(bench.now(), &BARE);
    }
    assert_eq!(bench.wait(), 1000);
    bench.passes(1000);
    bench.sends(BARE);
    assert_eq!(bench.wait(), 2000);
    late.report(bench.now(), &BARE);
    assert_eq!(bench.wait(), 2000);

    // Nor where the gate is open again.
    let bench = Bench::new(0.0);
    let late = bench.go();
    bench.sends(BARE);
    bench.passes(1000);
    bench.sends(Outcome::Passed);
    late.report(bench.now(), &asked(60));
    assert_eq!(bench.wait(), 0);
}

#[test]
fn what_the_server_asks_rules() {
    let within = |bench: &Bench, least: u128| {
        let wait = bench.wait();
        assert!((least..=least + least / 10).contains(&wait), "{wait} ms where {least} were asked");
    };
    let bench = Bench::new(0.0);
    let late = bench.go();
    let shorter = bench.go();
    bench.sends(asked(5));
    within(&bench, 5000);
    // Of several, the longest.
    late.report(bench.now(), &asked(20));
    shorter.report(bench.now(), &asked(2));
    within(&bench, 20_000);
    bench.passes(22_000);
    bench.sends(asked(3));
    within(&bench, 3000);
    bench.passes(3300);
    // The server that no longer says how long is waited for longer and longer.
    bench.sends(BARE);
    assert_eq!(bench.wait(), 4000);
}

#[test]
fn absurd_demands_are_bounded() {
    let bench = Bench::new(0.0);
    bench.sends(Outcome::Throttled(Some(Duration::ZERO)));
    assert_eq!(bench.wait(), 0);

    for seconds in [4000, u64::MAX / 1000, u64::MAX] {
        let bench = Bench::new(0.0);
        bench.sends(asked(seconds));
        assert_eq!(bench.wait(), LONGEST_SHUT.as_millis());
        bench.passes(3_600_000);
        bench.sends(Outcome::Passed);
        assert_eq!(bench.wait(), 0);
    }
}

#[test]
fn who_would_come_too_late_is_told_at_once() {
    let bench = Bench::new(0.0);
    bench.sends(asked(10));
    let deadline = bench.now() + Duration::from_secs(5);
    match bench.gate.pass(bench.now(), deadline, &mut None) {
        Passage::TooLate { wait, throttled: true } => assert!(wait >= Duration::from_secs(10)),
        _ => panic!("the gate is shut for longer than the call has"),
    }

    let bench = Bench::new(1.0);
    bench.sends(Outcome::Passed);
    assert_eq!(bench.wait(), 1000);
    let deadline = bench.now() + Duration::from_millis(1500);
    match bench.gate.pass(bench.now(), deadline, &mut None) {
        Passage::TooLate { wait, throttled: false } => assert_eq!(wait.as_millis(), 2000),
        _ => panic!("the third place is after the call's time"),
    }
    // Who is turned away takes no place.
    assert_eq!(bench.wait(), 2000);
}

#[test]
fn the_callers_limit_spaces_calls_evenly() {
    let bench = Bench::new(4.0);
    let waits: Vec<_> = (0..8).map(|_| bench.wait()).collect();
    assert_eq!(waits, [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
    // What was not used is not saved up.
    bench.passes(60_000);
    let waits: Vec<_> = (0..4).map(|_| bench.wait()).collect();
    assert_eq!(waits, [0, 250, 500, 750]);
}

#[test]
fn places_are_kept_and_a_429_makes_them_void() {
    let bench = Bench::new(4.0);
    let far = bench.now() + Duration::from_secs(3600);
    let mut place = None;
    let first = bench.go();
    assert!(matches!(bench.gate.pass(bench.now(), far, &mut place), Passage::Wait(_)));
    assert_eq!(bench.wait(), 500);
    bench.passes(100);
    // Asking again, woken early, it has the place that it had.
    match bench.gate.pass(bench.now(), far, &mut place) {
        Passage::Wait(until) => assert_eq!((until - bench.now()).as_millis(), 150),
        _ => panic!("its place is 150 ms away"),
    }
    first.report(bench.now(), &BARE);
    bench.passes(200);
    match bench.gate.pass(bench.now(), far, &mut place) {
        Passage::Wait(until) => assert_eq!((until - bench.now()).as_millis(), 800),
        _ => panic!("the gate is shut"),
    }
    assert!(place.is_none());
}

#[test]
fn places_that_are_given_back_are_taken_first() {
    let bench = Bench::new(1.0);
    let far = bench.now() + Duration::from_secs(3600);
    let mut places = [None; 5];
    for (second, place) in places.iter_mut().enumerate() {
        let passage = bench.gate.pass(bench.now(), far, place);
        assert_eq!(matches!(passage, Passage::Go(_)), second == 0);
    }
    for second in [3, 1, 2] {
        bench.gate.give_back(places[second]);
    }
    // Who went without one gives none back.
    bench.gate.give_back(places[0]);
    // Who would come too late even so takes none.
    match bench.gate.pass(bench.now(), bench.now() + Duration::from_secs(1), &mut None) {
        Passage::TooLate { wait, throttled: false } => assert_eq!(wait.as_millis(), 1000),
        _ => panic!("the first place is as late as the deadline"),
    }
    assert_eq!([bench.wait(), bench.wait()], [1000, 2000]);
    // One that nobody took in time is void.
    bench.passes(3500);
    assert_eq!([bench.wait(), bench.wait()], [1500, 2500]);
}

#[test]
fn after_a_429_the_line_begins_anew() {
    let bench = Bench::new(1.0);
    let far = bench.now() + Duration::from_secs(3600);
    let first = bench.go();
    let mut place = None;
    assert!(matches!(bench.gate.pass(bench.now(), far, &mut place), Passage::Wait(_)));
    for second in 2..20 {
        assert_eq!(bench.wait(), second * 1000);
    }
    first.report(bench.now(), &BARE);
    bench.gate.give_back(place);
    bench.passes(1000);
    bench.sends(Outcome::Passed);
    assert_eq!([bench.wait(), bench.wait()], [1000, 2000]);
}

#[test]
fn late_429s_let_no_second_probe_out() {
    let bench = Bench::new(0.0);
    let late: Vec<_> = (0..3).map(|_| bench.go()).collect();
    bench.sends(BARE);
    bench.passes(1000);
    let probe = bench.go();
    for ticket in late {
        ticket.report(bench.now(), &Outcome::Throttled(Some(Duration::ZERO)));
        assert_eq!(bench.wait(), PROBE_LOOK.as_millis());
    }
    probe.report(bench.now(), &Outcome::Passed);
    assert_eq!(bench.wait(), 0);
}

#[test]
fn a_forked_child_waits_for_nobody_of_its_parent() {
    let fork = |bench: &Bench| bench.gate.lock().generation = fork::generation().wrapping_sub(1);
    let bench = Bench::new(1.0);
    let _probe = {
        bench.sends(BARE);
        bench.passes(1000);
        bench.go()
    };
    assert_eq!(bench.wait(), PROBE_LOOK.as_millis());
    fork(&bench);
    bench.sends(Outcome::Passed);

    let bench = Bench::new(1.0);
    let waits: Vec<_> = (0..3).map(|_| bench.wait()).collect();
    assert_eq!(waits, [0, 1000, 2000]);
    fork(&bench);
    let waits: Vec<_> = (0..3).map(|_| bench.wait()).collect();
    assert_eq!(waits, [0, 1000, 2000]);
}

#[test]
fn the_learned_rate_starts_below_what_was_taken_and_comes_back_to_it() {
    let bench = Bench::new(0.0);
    bench.throttled_at(50);
    let near = |rate: f64, expected: f64| {
        assert!((rate / expected - 1.0).abs() < 0.03, "{rate} where {expected} was expected");
    };
    near(bench.rate(10), 50.0 * CUTS[0]);
    bench.passes(2000);
    near(bench.rate(10), 50.0);
    // It grows beyond, slowly first: three seconds after the bend by 15 %, six by more than the double.
    bench.passes(500);
    near(bench.rate(5), 50.0);
    bench.passes(2900);
    near(bench.rate(10), 50.0 * (1.0 + GROWTH));
    bench.passes(2800);
    let rate = bench.rate(10);
    assert!(rate > 100.0, "{rate}");
}

#[test]
fn calls_are_spaced_at_the_learned_rate_not_in_bursts() {
    let bench = Bench::new(0.0);
    bench.throttled_at(20);
    let waits: Vec<_> = (0..6).map(|_| bench.wait()).collect();
    for pair in waits.windows(2) {
        // 20 a second, less the cut.
        assert!((50..=53).contains(&(pair[1] - pair[0])), "{waits:?}");
    }
}

#[test]
fn a_429_soon_after_another_cuts_deeper() {
    let bench = Bench::new(0.0);
    bench.throttled_at(50);
    // Long enough to tell what the server takes.
    let mut before = bench.rate(75);
    for cut in CUTS {
        bench.sends_in_turn(BARE);
        bench.passes(1000);
        bench.sends(Outcome::Passed);
        let rate = bench.rate(10);
        assert!((rate / before / cut - 1.0).abs() < 0.08, "{rate} after {before}, with {cut}");
        before = bench.rate(65);
    }
    // One that comes after a good while does not.
    bench.passes(20_000);
    let before = bench.rate(40);
    bench.sends_in_turn(BARE);
    bench.passes(1000);
    bench.sends(Outcome::Passed);
    let rate = bench.rate(10);
    assert!((rate / before / CUTS[0] - 1.0).abs() < 0.08, "{rate} after {before}");
}

#[test]
fn what_was_learned_survives_a_quiet_time() {
    let bench = Bench::new(0.0);
    bench.throttled_at(50);
    // So long that the rate on paper has no bounds.
    bench.passes(3_600_000);
    for _ in 0..50 {
        bench.sends_in_turn(Outcome::Passed);
    }
    bench.sends(BARE);
    bench.passes(1000);
    bench.sends(Outcome::Passed);
    bench.passes(1000);
    let rate = bench.rate(20);
    assert!((40.0..=55.0).contains(&rate), "{rate}");
}

#[test]
fn the_slower_of_both_limits_rules_and_the_rate_never_ends() {
    let bench = Bench::new(10.0);
    for _ in 0..20 {
        bench.sends_in_turn(Outcome::Passed);
    }
    bench.sends_in_turn(BARE);
    bench.passes(1000);
    bench.sends(Outcome::Passed);
    bench.passes(200);
    assert!(bench.rate(5) < 10.0);
    bench.passes(600_000);
    let rate = bench.rate(20);
    assert!((9.9..=10.6).contains(&rate), "{rate}");

    // However often the server refuses.
    for _ in 0..100 {
        bench.passes(11_000);
        bench.sends(BARE);
        bench.passes(1000);
        bench.sends(Outcome::Passed);
    }
    assert!(bench.wait() <= 10_500, "{}", bench.wait());
}
