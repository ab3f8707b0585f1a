//! A batch that stays open without updates. After the idle timeout, its threads end and its
//! connections are closed. The next update is sent like the first one.

#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Batch, BatchOptions, Client, Options};
use serde_json::json;

use common::sandbox::Sandbox;

/// Long enough for very slow machines.
const PATIENCE: Duration = Duration::from_secs(60);

fn workers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "commbox-batch").count()
}

fn collect(batch: &Batch, count: usize) {
    for _ in 0..count {
        batch.next(Some(PATIENCE)).unwrap().unwrap().outcome.unwrap();
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
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
    wait_for("all eight are in flight", || {
        batch.stats().unwrap().in_flight == 8 || sandbox.requests().len() == 8
    });
    collect(&batch, 8);
    assert!(client.stats().connections_opened > 1);
    wait_for("the threads end", || workers() == 0);
    assert_eq!(client.stats().connections_open, 0);

    // Again, with updates that wait for an earlier one of the same user. Idle threads must not lose
    // them.
    for user in [1, 1, 1, 2] {
        batch.submit(0, user, "{}".into(), None).unwrap();
    }
    collect(&batch, 4);
    wait_for("the threads end again", || workers() == 0);
    assert_eq!(client.stats().connections_open, 0);
    batch.close().unwrap();
    assert!(batch.next(Some(PATIENCE)).unwrap().is_none());
}
