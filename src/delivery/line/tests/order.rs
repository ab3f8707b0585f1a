//! The order in which calls leave: that in which they came, and one at a time for a user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::{call, eventually, line, watch, ACCEPTED};
use crate::delivery::line::Ready;
use crate::delivery::park::Canceller;
use crate::delivery::watch::Stop;

#[test]
fn calls_are_sent_in_the_order_in_which_they_were_made() {
    let line = line(50.0);
    call(&line, 1, ACCEPTED).unwrap();
    let (left, order) = mpsc::channel();
    thread::scope(|scope| {
        for number in 0..20 {
            let (line, left) = (&line, left.clone());
            scope.spawn(move || {
                let canceller = Canceller::default();
                let watch = watch(60_000, &canceller);
                let mut place = line.enter(100 + number, &watch);
                let departure = line.depart(&mut place, &watch, None).unwrap();
                left.send(number).unwrap();
                departure.report(Instant::now(), ACCEPTED, true, None);
            });
            eventually("it waits, or has left", || {
                line.held(|state| state.next_number) == number as u64 + 2
            });
            thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(order.try_iter().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}

#[test]
fn calls_for_one_user_wait_for_each_other_and_others_do_not() {
    let line = line(0.0);
    let canceller = Canceller::default();
    let first = watch(60_000, &canceller);
    let place = line.enter(7, &first);
    line.wait_for_turn(&place, &first).unwrap();
    let (left, order) = mpsc::channel();
    thread::scope(|scope| {
        for number in 0..5_u64 {
            let (line, left) = (&line, left.clone());
            scope.spawn(move || {
                let watch = watch(60_000, &Canceller::default());
                let mut place = line.enter(7, &watch);
                line.wait_for_turn(&place, &watch).unwrap();
                let departure = line.depart(&mut place, &watch, None).unwrap();
                // Send while in flight: after the report, the next call may be faster.
                left.send(number).unwrap();
                departure.report(Instant::now(), ACCEPTED, true, None);
            });
            eventually("it has its place", || line.held(|state| state.next_number) == number + 2);
            thread::sleep(Duration::from_millis(5));
        }
        call(&line, 8, ACCEPTED).unwrap();
        assert!(order.try_recv().is_err());
        drop(place);
    });
    assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_call_that_times_out_does_not_change_the_order_of_the_others() {
    let line = line(0.0);
    let canceller = Canceller::default();
    let first = watch(60_000, &canceller);
    let place = line.enter(7, &first);
    thread::scope(|scope| {
        let gives_up = scope.spawn(|| {
            let watch = watch(300, &canceller);
            let place = line.enter(7, &watch);
            line.wait_for_turn(&place, &watch)
        });
        eventually("it has its place", || line.held(|state| state.next_number) == 2);
        let next = scope.spawn(|| call(&line, 7, ACCEPTED));
        assert_eq!(gives_up.join().unwrap(), Err(Stop::Late));
        assert!(!next.is_finished());
        drop(place);
        next.join().unwrap().unwrap();
    });
}

struct Told(AtomicBool);

impl Ready for Told {
    fn ready(&self, _: u64) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn batch_updates_and_calls_for_one_user_share_one_order() {
    let line = line(0.0);
    let canceller = Canceller::default();
    let told = Arc::new(Told(AtomicBool::new(false)));
    let told: [Arc<Told>; 3] =
        [told, Arc::new(Told(AtomicBool::new(false))), Arc::new(Told(AtomicBool::new(false)))];
    let weak = |index: usize| -> Weak<dyn Ready> {
        let ready: Arc<dyn Ready> = told[index].clone();
        Arc::downgrade(&ready)
    };
    let is_told = |index: usize| told[index].0.load(Ordering::SeqCst);

    let watch = watch(60_000, &canceller);
    let call = line.enter(7, &watch);
    let (update, free) = line.enter_update(7, &weak(0));
    assert!(!free && !is_told(0));
    let (cancelled, free) = line.enter_update(7, &weak(1));
    assert!(!free);
    let (last, free) = line.enter_update(7, &weak(2));
    assert!(!free);
    assert!(line.enter_update(8, &weak(1)).1);
    drop(call);
    assert!(is_told(0) && !is_told(1));
    drop(cancelled);
    assert!(!is_told(1) && !is_told(2));
    drop(update);
    assert!(!is_told(1) && is_told(2));
    drop(last);
    assert!(line.enter_update(7, &weak(0)).1);
    assert!(line.held(|state| state.turns.is_empty()));
}

#[test]
fn a_freed_batch_does_not_block_other_calls() {
    let line = line(0.0);
    let canceller = Canceller::default();
    let watch = watch(1_000, &canceller);
    let place = line.enter(7, &watch);
    let gone: Arc<dyn Ready> = Arc::new(Told(AtomicBool::new(false)));
    let (update, _) = line.enter_update(7, &Arc::downgrade(&gone));
    drop(gone);
    let next = thread::scope(|scope| {
        let next = scope.spawn(|| call(&line, 7, ACCEPTED));
        eventually("it has its place", || line.held(|state| state.next_number) == 3);
        drop(place);
        next.join().unwrap()
    });
    next.unwrap();
    drop(update);
    assert!(line.held(|state| state.turns.is_empty()));
}

#[test]
fn a_nested_call_for_the_same_user_does_not_wait_for_the_outer_call() {
    let line = line(0.0);
    let canceller = Canceller::default();
    let watch = watch(5_000, &canceller);
    let outer = line.enter(7, &watch);
    let inner = line.enter(7, &watch);
    line.wait_for_turn(&inner, &watch).unwrap();
    drop(inner);
    drop(outer);
}
