//! Ends the command with `kill -9` at random moments, while the server has faults. No row may be
//! lost, no row may be sent again after its confirmation was written to the journal, and each user
//! must end with the last values in the file.

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{json, Value};

use common::{end, Folder, Sandbox};

/// In each of two storms.
const KILLS: usize = 100;
const ROWS: usize = 1500;
const USERS: i64 = 400;

/// A request for this user marks a kill in the sandbox's record.
const MARKER: i64 = 999_999;

/// Deterministic random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Returns the confirmed updates in the journal: the last row of each user.
fn journalled(path: &Path) -> HashMap<i64, i64> {
    if !path.exists() {
        return HashMap::new();
    }
    let journal = Connection::open(path).expect("the journal opens");
    let Ok(mut query) = journal.prepare("SELECT id, sequence & 0xffffffffff FROM users") else {
        // The process was killed before it created the tables.
        return HashMap::new();
    };
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it answers");
    rows.collect::<Result<_, _>>().expect("it is whole")
}

fn storm(duplicates: &str, retries: &str, seed: u64) {
    let mut random = Random(seed);
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    let ids: Vec<i64> = (0..ROWS).map(|_| 1 + random.below(USERS as u64) as i64).collect();
    let mut text = String::from("UserId,Remarks\n");
    for (row, id) in ids.iter().enumerate() {
        text.push_str(&format!("{id},{row}\n"));
    }
    let file = folder.write("rows.csv", text);
    let journal = folder.path().join("rows.csv.journal");
    let faults: Vec<Value> = (0..ROWS / 2)
        .map(|_| match random.below(20) {
            0 => json!({"reset": true}),
            1 => json!({"status": 503}),
            2 => json!({"own": true, "delay_ms": 10}),
            _ => json!({"own": true}),
        })
        .collect();
    sandbox.script(&Value::from(faults));

    let sync = |resume: bool| {
        let mut command = sandbox.commbox("sync");
        command.arg(&file).args(["--duplicates", duplicates, "--max-retries", retries]);
        command.args(["--retry-base", "1ms", "--retry-cap", "5ms"]);
        if resume {
            command.arg("--resume");
        }
        command.current_dir(folder.path());
        command
    };
    let mut confirmed = Vec::new();
    let (mut began, mut progress, mut longest) = (false, 0, 60_000);
    for kill in 0..KILLS {
        let mut command = sync(began);
        command.args(["--rate", "400/s", "--output", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        // Kill at any moment, or after the first rows were sent.
        if kill % 2 == 0 {
            let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
            let _ = stdout.lines().map_while(Result::ok).find(|line| line.contains("\"started\""));
        }
        thread::sleep(Duration::from_micros(random.below(longest)));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let now = journalled(&journal);
        if confirmed.last().is_none_or(|before| *before == now) {
            // The machine is slow: give the runs more time to make progress.
            longest = (longest * 5 / 4).min(2_000_000);
        } else {
            progress += 1;
            longest = (longest * 3 / 4).max(10_000);
        }
        confirmed.push(now);
        // The faults affect this request too. The sandbox records it, whatever the response.
        let marker = format!("{{\"data\":{{\"Remarks\":\"{kill}\"}}}}");
        while sandbox.try_post(&format!("/users/{MARKER}"), &marker) != Some(200) {}
        // Once the journal contains the run, the next one resumes it.
        began = began || is_begun(&journal);
    }
    assert!(progress >= 10, "seed {seed}: {progress} runs came forward");
    let done = (0..20).any(|_| end(sync(began).arg("--quiet")).code == Some(0));
    assert!(done, "seed {seed}: {}", end(&mut sync(true)).ends(0));

    let mut last = HashMap::new();
    for (row, id) in ids.iter().enumerate() {
        last.insert(*id, row as i64);
    }
    assert_eq!(journalled(&journal), last, "seed {seed}");
    let mut sent = vec![0_u32; ROWS];
    // Updates that were confirmed before a kill must not be sent again after it.
    let mut before: &HashMap<i64, i64> = &HashMap::new();
    for (id, data) in sandbox.updates() {
        let row: i64 = data["Remarks"].as_str().expect("a text").parse().expect("a number");
        if id == MARKER {
            before = &confirmed[row as usize];
            continue;
        }
        let again = before.get(&id).is_some_and(|confirmed| *confirmed >= row);
        assert!(!again, "seed {seed}: row {row} was sent again");
        sent[row as usize] += 1;
    }
    for (id, row) in &last {
        assert_eq!(sandbox.user(*id)["Remarks"], row.to_string(), "seed {seed}: user {id}");
        assert!(sent[*row as usize] > 0, "seed {seed}: row {row} was not sent");
    }
    if duplicates == "all" {
        assert!(sent.iter().all(|times| *times > 0), "seed {seed}: a row was not sent");
    }
}

fn is_begun(path: &Path) -> bool {
    let journal = Connection::open(path).expect("the journal opens");
    journal
        .query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0))
        .is_ok_and(|runs| runs > 0)
}

#[test]
fn last_rows_survive_kills() {
    storm("last", "0", 7);
}

#[test]
fn all_rows_survive_kills() {
    storm("all", "30", 11);
}
