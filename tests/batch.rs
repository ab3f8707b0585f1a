//! Batches: every update has exactly one result, and the updates of each user are sent in order,
//! whatever happens.

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Batch, BatchOptions, Client, ErrorKind, Finished, Options};
use serde_json::json;

use common::sandbox::Sandbox;
use common::threads::batch_workers;

fn client(sandbox: &Sandbox, more: &serde_json::Value) -> Arc<Client> {
    client_with_key("sandbox-key", sandbox, more)
}

fn client_with_key(key: &str, sandbox: &Sandbox, more: &serde_json::Value) -> Arc<Client> {
    let mut options = json!({"base_url": sandbox.url, "proxy": ""});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(Client::new(key, &Options::from_json(&options.to_string()).unwrap()).unwrap())
}

fn batch(client: &Arc<Client>, concurrency: u32, queue_limit: u32) -> Batch {
    let options = json!({"concurrency": concurrency, "queue_limit": queue_limit}).to_string();
    Batch::new(client.clone(), &BatchOptions::from_json(&options).unwrap()).unwrap()
}

const USER: &str = r#"{"FirstName":"John"}"#;

/// Collects all results and asserts that each is reported once.
fn drain(batch: &Batch) -> HashMap<u64, commbox::Result<commbox::UpdateReply>> {
    let mut taken = HashMap::new();
    while let Some(Finished { tag, outcome }) = batch.next(Some(Duration::from_secs(30))).unwrap() {
        assert!(taken.insert(tag, outcome).is_none(), "{tag} came back twice");
    }
    taken
}

fn submit(batch: &Batch, tag: u64, user_id: i64) -> commbox::Result<()> {
    batch.submit(tag, user_id, USER.into(), None)
}

#[test]
fn every_update_has_one_result_and_users_keep_their_order() {
    let sandbox = Sandbox::start();
    let batch = batch(&client(&sandbox, &json!({})), 16, 64);
    let results = thread::scope(|scope| {
        let taker = scope.spawn(|| drain(&batch));
        for tag in 0..2_000_u64 {
            // Few users, so that most updates wait for an earlier one of the same user.
            let user_id = i64::try_from(tag * 7919 % 40 + 1).unwrap();
            batch.submit(tag, user_id, format!("{{\"Remarks\":\"{tag}\"}}"), None).unwrap();
        }
        batch.close().unwrap();
        taker.join().unwrap()
    });
    assert_eq!(results.len(), 2_000);
    assert!(results.values().all(Result::is_ok));

    let mut last: HashMap<String, u64> = HashMap::new();
    for request in sandbox.requests() {
        let tag: u64 = request.body.split('"').nth(5).unwrap().parse().unwrap();
        let before = last.insert(request.path, tag);
        assert!(before.is_none_or(|before| before < tag), "{tag} overtook {before:?}");
    }
    let stats = batch.stats().unwrap();
    assert_eq!(
        (stats.succeeded, stats.failed, stats.queued, stats.in_flight, stats.finished),
        (2_000, 0, 0, 0, 0)
    );
}

#[test]
fn updates_of_one_user_are_never_in_flight_together() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"delay_ms": 300}, {"delay_ms": 300}, {"delay_ms": 0}]).to_string());
    let batch = batch(&client(&sandbox, &json!({})), 8, 64);
    for tag in 0..2 {
        submit(&batch, tag, 1).unwrap();
    }
    submit(&batch, 2, 2).unwrap();
    batch.close().unwrap();
    assert_eq!(drain(&batch).len(), 3);
    let mut at: Vec<_> =
        sandbox.requests().iter().map(|request| (request.path.clone(), request.at_ms)).collect();
    at.sort();
    assert!(at[1].1 - at[0].1 >= 290, "{at:?}");
}

#[test]
fn a_newer_update_does_not_overtake_a_retry() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"status": 503}, {"status": 503}]).to_string());
    let batch = batch(&client(&sandbox, &json!({"retry_base_ms": 50, "retry_cap_ms": 50})), 8, 64);
    for tag in 0..2_u64 {
        batch.submit(tag, 1, format!("{{\"Remarks\":\"{tag}\"}}"), None).unwrap();
    }
    batch.close().unwrap();
    assert!(drain(&batch).values().all(Result::is_ok));
    let bodies: Vec<_> = sandbox.requests().into_iter().map(|request| request.body).collect();
    let sent: Vec<_> = bodies.iter().map(|body| body.split('"').nth(5).unwrap()).collect();
    assert_eq!(sent, ["0", "0", "0", "1"]);
    assert_eq!(batch.stats().unwrap().retried, 2);
}

#[test]
fn submit_blocks_while_the_queue_is_full_and_next_until_a_result() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"delay_ms": 600}]).to_string());
    let batch = batch(&client(&sandbox, &json!({})), 1, 1);
    assert_eq!(batch.next(Some(Duration::ZERO)).err().unwrap().kind(), ErrorKind::Timeout);
    submit(&batch, 1, 1).unwrap();
    submit(&batch, 2, 2).unwrap();
    // One update is in flight, one is pending.
    let began = Instant::now();
    let error = batch.submit(3, 3, USER.into(), Some(Duration::from_millis(100))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!((100..200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    // Uncollected results also count towards the limit.
    assert_eq!(batch.next(None).unwrap().unwrap().tag, 1);
    assert!(began.elapsed() >= Duration::from_millis(400));
    submit(&batch, 3, 3).unwrap();
    batch.close().unwrap();
    let closed = submit(&batch, 4, 4).unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::InvalidArgument);
    assert_eq!(drain(&batch).into_keys().collect::<HashSet<_>>(), HashSet::from([2, 3]));
    assert!(batch.next(None).unwrap().is_none());
}

#[test]
fn an_invalid_update_is_reported_as_its_result() {
    let sandbox = Sandbox::start();
    let batch = batch(&client(&sandbox, &json!({})), 4, 64);
    batch.submit(1, 0, USER.into(), None).unwrap();
    batch.submit(2, 1, "{".into(), None).unwrap();
    batch.submit(3, 1, "{\"firstname\":\"x\"}".into(), None).unwrap();
    submit(&batch, 4, 1).unwrap();
    batch.close().unwrap();
    let results = drain(&batch);
    let kind = |tag| results[&tag].as_ref().err().map(commbox::Error::kind);
    assert_eq!(kind(1), Some(ErrorKind::InvalidArgument));
    assert_eq!(
        (kind(2), kind(3), kind(4)),
        (Some(ErrorKind::InvalidUser), Some(ErrorKind::InvalidUser), None)
    );
    let stats = batch.stats().unwrap();
    assert_eq!((stats.succeeded, stats.failed), (1, 3));
    assert_eq!(stats.failed_by_code.into_iter().collect::<Vec<_>>(), [(-4, 2), (-1, 1)]);
}

#[test]
fn a_rejected_key_stops_the_batch_and_no_result_is_lost() {
    let sandbox = Sandbox::start();
    let batch = batch(&client_with_key("wrong", &sandbox, &json!({})), 2, 1000);
    let accepted = (0..500_u64)
        .take_while(|tag| submit(&batch, *tag, i64::try_from(*tag).unwrap() + 1).is_ok())
        .count();
    let results = drain(&batch);
    assert_eq!(results.len(), accepted);
    let unauthorized = results
        .values()
        .filter(|outcome| matches!(outcome, Err(error) if error.kind() == ErrorKind::Http(401)));
    let refused = unauthorized.count();
    assert!((1..=2).contains(&refused), "{refused}");
    let rest: Vec<_> = results.values().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(
        rest.iter().filter(|error| error.kind() == ErrorKind::Cancelled).count()
            == accepted - refused
    );
    let error = submit(&batch, 1, 1).unwrap_err();
    assert!(error.kind() == ErrorKind::Cancelled && error.to_string().contains("401"), "{error}");
    assert_eq!(sandbox.requests().len(), refused);
}

#[test]
fn a_cancelled_batch_returns_unsent_updates_and_finishes_the_rest() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"delay_ms": 500}, {"delay_ms": 500}]).to_string());
    let batch = batch(&client(&sandbox, &json!({})), 2, 100);
    for tag in 0..50 {
        submit(&batch, tag, i64::try_from(tag).unwrap() + 1).unwrap();
    }
    thread::sleep(Duration::from_millis(150));
    batch.cancel().unwrap();
    let results = drain(&batch);
    assert_eq!(results.len(), 50);
    assert_eq!(results.values().filter(|outcome| outcome.is_ok()).count(), 2);
    assert_eq!(sandbox.requests().len(), 2);
}

#[test]
fn one_update_can_be_cancelled() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"delay_ms": 5000}]).to_string());
    let batch = batch(&client(&sandbox, &json!({})), 1, 100);
    for tag in 0..4 {
        submit(&batch, tag, 1).unwrap();
    }
    thread::sleep(Duration::from_millis(150));
    let began = Instant::now();
    batch.cancel_tag(2).unwrap();
    batch.cancel_tag(0).unwrap();
    batch.close().unwrap();
    let results = drain(&batch);
    let kinds: Vec<_> =
        (0..4).map(|tag| results[&tag].as_ref().err().map(commbox::Error::kind)).collect();
    assert_eq!(kinds, [Some(ErrorKind::Cancelled), None, Some(ErrorKind::Cancelled), None]);
    assert!(began.elapsed() < Duration::from_millis(500));
}

#[test]
fn an_early_cancel_is_not_lost() {
    let sandbox = Sandbox::start();
    let script: Vec<_> = (0..300).map(|_| json!({"delay_ms": 3000})).collect();
    sandbox.script(&json!(script).to_string());
    let batch = batch(&client(&sandbox, &json!({})), 4, 1000);
    let began = Instant::now();
    for tag in 0..300 {
        submit(&batch, tag, i64::try_from(tag).unwrap() + 1).unwrap();
        batch.cancel_tag(tag).unwrap();
    }
    batch.close().unwrap();
    let results = drain(&batch);
    let cancelled = |outcome: &commbox::Result<commbox::UpdateReply>| {
        outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled)
    };
    assert!(results.len() == 300 && results.values().all(cancelled), "{results:?}");
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[test]
fn a_dropped_batch_leaves_no_thread() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"delay_ms": 5000}, {"delay_ms": 5000}]).to_string());
    let batch = batch(&client(&sandbox, &json!({})), 2, 10);
    for tag in 0..12 {
        submit(&batch, tag, i64::try_from(tag).unwrap() + 1).unwrap();
    }
    thread::sleep(Duration::from_millis(150));
    assert_two_workers();
    assert_eq!(batch.stats().unwrap().in_flight, 2);
    drop(batch);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(sandbox.requests().len(), 2);
}

/// On Linux, asserts that at least two worker threads exist. This is only a lower bound, because
/// other tests of this program have batches too. Only Linux provides the names of threads.
fn assert_two_workers() {
    assert!(cfg!(not(target_os = "linux")) || batch_workers() >= 2);
}

#[test]
fn throttling_does_not_count_towards_the_timeout() {
    let sandbox = Sandbox::start();
    sandbox.script(&json!([{"status": 429, "headers": {"Retry-After": "1"}}]).to_string());
    let batch = batch(&client(&sandbox, &json!({"total_timeout_ms": 500})), 4, 100);
    for tag in 0..20 {
        submit(&batch, tag, i64::try_from(tag).unwrap() + 1).unwrap();
    }
    batch.close().unwrap();
    let results = drain(&batch);
    assert!(results.values().all(Result::is_ok), "{results:?}");
}
