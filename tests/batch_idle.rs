//! A batch that stays open without updates. After the idle timeout, its threads end and its
//! connections are closed. The next update is sent like the first one.

#![cfg(target_os = "linux")]

mod common;
mod faults;

use std::sync::Arc;
use std::time::Duration;

use commbox::{Batch, BatchOptions, Client, Options};
use serde_json::json;

use common::sandbox::Sandbox;
use common::threads::batch_workers;
use faults::eventually_within;

/// Long enough for very slow machines.
const PATIENCE: Duration = Duration::from_secs(60);

fn collect(batch: &Batch, count: usize) {
    for _ in 0..count {
        batch.next(Some(PATIENCE)).unwrap().unwrap().outcome.unwrap();
    }
}

#[test]
fn threads_and_connections_end_after_the_idle_timeout_and_restart() {
    let sandbox = Sandbox::start();
    sandbox.script(&serde_json::Value::from(vec![json!({"delay_ms": 300}); 8]).to_string());
    let options =
        json!({"base_url": sandbox.url, "proxy": "", "idle_timeout_ms": 1500}).to_string();
    let client =
        Arc::new(Client::new("sandbox-key", &Options::from_json(&options).unwrap()).unwrap());
    let batch = Batch::new(client.clone(), &BatchOptions::default()).unwrap();

    for user in 1..=8 {
        batch.submit(0, user, "{}".into(), None).unwrap();
    }
    eventually_within(PATIENCE, "all eight are in flight", || {
        batch.stats().unwrap().in_flight == 8 || sandbox.requests().len() == 8
    });
    collect(&batch, 8);
    assert!(client.stats().connections_opened > 1);
    eventually_within(PATIENCE, "the threads end", || batch_workers() == 0);
    assert_eq!(client.stats().connections_open, 0);

    // Again, with updates that wait for an earlier one of the same user. Idle threads must not lose
    // them.
    for user in [1, 1, 1, 2] {
        batch.submit(0, user, "{}".into(), None).unwrap();
    }
    collect(&batch, 4);
    eventually_within(PATIENCE, "the threads end again", || batch_workers() == 0);
    assert_eq!(client.stats().connections_open, 0);
    batch.close().unwrap();
    assert!(batch.next(Some(PATIENCE)).unwrap().is_none());
}
