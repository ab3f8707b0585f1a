//! How long calls wait for the server or the rate limit, and what ends their waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant};

use super::{asked, call, eventually, line, waiting, watch, ACCEPTED, THROTTLED};
use crate::delivery::flow::Outcome;
use crate::delivery::line::{Held, Line, Patience};
use crate::delivery::park::Canceller;
use crate::delivery::watch::{Stop, Watch};
use crate::fork;

/// Cancels the remaining calls if the test fails; otherwise they would block it.
struct AtLast<'a>(&'a Canceller);

impl Drop for AtLast<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[test]
fn a_call_fails_at_once_if_a_pause_exceeds_its_deadline() {
    let line = line(0.0);
    let canceller = Canceller::default();
    // Send one request, so that the others wait for the slot after a 429.
    call(&line, 1, asked(3)).unwrap();
    thread::scope(|scope| {
        let began = Instant::now();
        let waits = scope.spawn(|| {
            let watch = watch(20_000, &canceller);
            let mut place = line.enter(2, &watch);
            line.depart(&mut place, &watch, None)
                .map(|departure| departure.report(Instant::now(), asked(60), false, None))
        });
        eventually("the first waits", || waiting(&line) == 1);
        let late = scope.spawn(|| {
            let watch = watch(40_000, &canceller);
            let mut place = line.enter(3, &watch);
            line.depart(&mut place, &watch, None)
                .map(|departure| departure.report(Instant::now(), ACCEPTED, true, None))
                .unwrap_err()
        });
        eventually("both wait", || waiting(&line) == 2);
        // A call that is made now and cannot meet its deadline fails at once.
        let watch = watch(1_000, &canceller);
        let mut place = line.enter(4, &watch);
        assert!(matches!(
            line.depart(&mut place, &watch, None).err(),
            Some(Held::Throttled { .. })
        ));
        assert!(began.elapsed() < Duration::from_millis(1500));
        waits.join().unwrap().unwrap();
        match late.join().unwrap() {
            Held::Throttled { wait } => assert!(wait > Duration::from_secs(50), "{wait:?}"),
            held => panic!("{held:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    });
}

#[test]
fn an_outage_reports_its_failures_and_the_wait_for_the_next_probe() {
    let line = line(0.0);
    let failed = Outcome::Failed { asked: Some(Duration::from_secs(30)), timed_out: false };
    for _ in 0..8 {
        call(&line, 1, failed).unwrap();
    }
    let canceller = Canceller::default();
    let watch = watch(5_000, &canceller);
    let mut place = line.enter(1, &watch);
    match line.depart(&mut place, &watch, None).err() {
        Some(Held::Outage { failures: 8, wait, .. }) => {
            assert!(wait > Duration::from_secs(25), "{wait:?}")
        }
        held => panic!("{held:?}"),
    }
    assert!(line.is_outage());
}

#[test]
fn four_thousand_waiting_calls_use_no_processor_time_and_can_be_cancelled() {
    let line = line(0.0);
    call(&line, 1, asked(600)).unwrap();
    let canceller = Canceller::default();
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..4000 {
            let (line, canceller, ended) = (&line, &canceller, &ended);
            let body = move || {
                let watch = watch(3_600_000, canceller);
                let mut place = line.enter(100 + number, &watch);
                let outcome = line.depart(&mut place, &watch, None).err();
                assert_eq!(outcome, Some(Held::Stopped(Stop::Cancelled)));
                ended.fetch_add(1, Ordering::SeqCst);
            };
            thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, body).unwrap();
        }
        let _at_last = AtLast(&canceller);
        eventually("all wait", || waiting(&line) == 4000);
        thread::sleep(Duration::from_millis(200));
        // Other tests use the processor too, so only the quietest second counts.
        let mut used = f64::INFINITY;
        for _ in 0..12 {
            let (began, before) = (Instant::now(), processor_time());
            thread::sleep(Duration::from_secs(1));
            used =
                used.min((processor_time() - before).as_secs_f64() / began.elapsed().as_secs_f64());
            if used < 0.02 {
                break;
            }
        }
        println!("4,000 waiting threads use {:.2} % of a processor", used * 100.0);
        assert!(used < 0.02 || cfg!(not(target_os = "linux")), "{used}");
        let cancelled = Instant::now();
        canceller.cancel();
        while ended.load(Ordering::SeqCst) < 4000 {
            thread::sleep(Duration::from_micros(200));
            assert!(cancelled.elapsed() < Duration::from_secs(120));
        }
        println!("a cancel ended them in {:?}", cancelled.elapsed());
    });
    assert_eq!(waiting(&line), 0);
}

/// Returns the time that this process has used, in user space and in the kernel.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn a_slow_callback_does_not_block_other_calls() {
    let line = line(1.0);
    call(&line, 1, ACCEPTED).unwrap();
    let canceller = Canceller::default();
    let (inside, entered) = mpsc::channel();
    let ends = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let until = ends.clone();
        let interrupt = Arc::new(move || {
            let _ = inside.send(());
            while !until.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            false
        });
        let slow = scope.spawn(|| {
            // The slot is a second away, so the callback is invoked before.
            let watch = Watch::new(Duration::from_secs(60), canceller.clone(), Some(interrupt));
            let mut place = line.enter(2, &watch);
            line.depart(&mut place, &watch, None)
                .map(|departure| departure.report(Instant::now(), ACCEPTED, true, None))
                .unwrap();
        });
        entered.recv_timeout(Duration::from_secs(10)).unwrap();
        call(&line, 3, ACCEPTED).unwrap();
        ends.store(true, Ordering::SeqCst);
        slow.join().unwrap();
    });
}

#[test]
fn a_new_rate_limit_applies_to_waiting_calls() {
    let line = line(0.001);
    call(&line, 1, ACCEPTED).unwrap();
    let canceller = Canceller::default();
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let watch = watch(2_000_000, &canceller);
            let mut place = line.enter(2, &watch);
            line.depart(&mut place, &watch, None)
                .map(|departure| departure.report(Instant::now(), ACCEPTED, true, None))
                .is_ok()
        });
        eventually("it waits", || waiting(&line) == 1);
        line.set_limit(1000.0);
        assert!(waits.join().unwrap());
    });
}

#[test]
fn a_forked_child_does_not_wait_for_the_probe_of_its_parent() {
    let fork =
        |line: &Line| line.state.lock().unwrap().generation = fork::generation().wrapping_sub(1);
    let line = line(0.0);
    call(&line, 1, THROTTLED).unwrap();
    let canceller = Canceller::default();
    let watch = watch(60_000, &canceller);
    let mut place = line.enter(1, &watch);
    let _probe = line.depart(&mut place, &watch, None).unwrap();
    fork(&line);
    call(&line, 1, ACCEPTED).unwrap();
}

#[test]
fn waiting_extends_the_deadline_of_a_patient_update() {
    let line = line(2.0);
    call(&line, 1, ACCEPTED).unwrap();
    let canceller = Canceller::default();
    let patience = Patience { throttled: Duration::from_secs(60), outage: Duration::from_secs(60) };
    let watch = watch(300, &canceller);
    let before = watch.deadline();
    let mut place = line.enter(2, &watch);
    let began = Instant::now();
    drop(line.depart(&mut place, &watch, Some(patience)).unwrap());
    let (waited, extended) = (began.elapsed(), watch.deadline() - before);
    assert!(waited >= Duration::from_millis(400), "{waited:?}");
    assert!(extended <= waited && extended >= waited.mul_f64(0.9), "{extended:?} of {waited:?}");
}

#[test]
fn a_patient_update_fails_after_the_throttle_timeout() {
    let patience =
        Patience { throttled: Duration::from_millis(1500), outage: Duration::from_secs(3600) };
    let line = line(0.0);
    let canceller = Canceller::default();
    call(&line, 1, THROTTLED).unwrap();
    let began = Instant::now();
    let held = loop {
        let watch = watch(60_000, &canceller);
        let mut place = line.enter(2, &watch);
        match line.depart(&mut place, &watch, Some(patience)) {
            Ok(departure) => departure.report(Instant::now(), THROTTLED, false, None),
            Err(held) => break held,
        }
    };
    assert!(matches!(held, Held::Throttled { .. }), "{held:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
