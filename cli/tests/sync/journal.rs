//! The journal: resuming, its lock, what it shows, and a full disk.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use crate::common::end;
use crate::{common, failure, sent, table, Setting};

#[test]
fn resuming_sends_unknown_rows_first_and_then_the_rest() {
    let all = Setting::new();
    all.folder.write("a.csv", table(6));
    // Row 2 is refused, row 3 may have arrived (a stale connection is tried twice), row 4 is
    // refused.
    let reset = json!({"reset": true});
    let no = || failure(400, "");
    all.sandbox.script(&json!([{"own": true}, no(), reset, reset, no()]));
    let printed =
        end(&mut all.sync(&["a.csv", "--concurrency", "1", "--max-retries", "0"])).ends(1);
    assert!(printed.contains("3 rows confirmed") && printed.contains("3 failed"), "{printed}");
    assert_eq!(all.folder.read("a.csv.rejects.csv").lines().count(), 4);
    all.forget();
    // Another one goes wrong now.
    all.sandbox.script(&json!([{"own": true}, failure(400, "")]));
    let resume = ["a.csv", "--concurrency", "1", "--max-retries", "0", "--resume"];
    let told = end(&mut all.sync(&resume));
    let printed = told.ends(1);
    assert!(printed.contains("3 confirmed earlier") && printed.contains("1 failed"), "{printed}");
    assert_eq!(all.sent(), sent(&[(3, "value 3"), (2, "value 2"), (4, "value 4")]));
    let rejects = all.folder.read("a.csv.rejects.csv");
    assert!(rejects.lines().count() == 2 && rejects.trim_end().ends_with("2,value 2"), "{rejects}");
    end(&mut all.sync(&resume)).ends(0);
    assert!(!all.folder.has("a.csv.rejects.csv"), "nothing is rejected any more");
    all.forget();
    assert!(end(&mut all.sync(&resume)).ends(0).contains("6 confirmed earlier"));
    assert!(all.sent().is_empty());
}

#[test]
fn a_changed_file_is_not_resumed() {
    let all = Setting::new();
    all.folder.write("a.csv", table(2));
    let told = end(&mut all.sync(&["a.csv", "--resume"]));
    assert!(told.ends(2).contains("has no run to resume"));
    end(&mut all.sync(&["a.csv"])).ends(0);
    for (file, options) in [(table(3), vec![]), (table(2), vec!["--set", "Content.A=b"])] {
        all.folder.write("a.csv", file);
        let told = end(&mut all.sync(&[vec!["a.csv", "--resume"], options].concat()));
        assert!(told
            .ends(2)
            .contains("cannot resume run 1: the file, or what its columns become, has changed"));
    }
}

#[test]
fn a_second_run_on_the_same_journal_is_refused() {
    let all = Setting::new();
    all.folder.write("a.csv", table(2));
    let path = all.folder.path().join("a.csv.journal");
    end(&mut all.sync(&["a.csv"])).ends(0);
    let other = Connection::open(&path).expect("the journal opens");
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("it is free");
    let printed = end(&mut all.sync(&["a.csv"])).ends(2);
    assert!(printed.contains("in use by another run"), "{printed}");
    drop(other);
    end(&mut all.sync(&["a.csv"])).ends(0);
    all.folder.write(
        "a.csv.journal",
        "this is no journal, and it is long enough to be looked at.".repeat(20),
    );
    assert!(end(&mut all.sync(&["a.csv"])).ends(2).contains("is not a journal"));
}

#[test]
fn the_journal_shows_runs_and_failed_rows_and_exports_them() {
    let all = Setting::new();
    all.folder.write("a.csv", table(3));
    all.sandbox.script(&json!([{"own": true}, failure(404, "canary"), {"own": true}]));
    end(&mut all.sync(&["a.csv", "--concurrency", "1"])).ends(1);
    let show = |args: &[&str]| {
        let mut show = common::bare();
        end(show
            .args([&["journal", "a.csv.journal"], args].concat())
            .current_dir(all.folder.path()))
    };
    let printed = show(&[]).ends(0);
    for part in [
        "2 users confirmed",
        "run 1",
        "finished: 2 confirmed, 1 failed",
        "row 2  user 2  404  answered",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert_eq!(show(&["--output", "json"]).event("failed")["user_id"], 2);
    fs::remove_file(all.folder.path().join("a.csv.rejects.csv")).expect("it is there");
    show(&["--export", "out.csv", "--from", "a.csv"]).ends(0);
    all.forget();
    end(&mut all.sync(&["out.csv", "--journal", "a.csv.journal"])).ends(0);
    assert_eq!(all.sent(), sent(&[(2, "value 2")]));
    assert!(show(&["--export", "out.csv", "--from", "a.csv"]).ends(2).contains("exists already"));
}

/// A folder of its own with little room, in a namespace of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_no_journalled_row_is_lost() {
    let all = Setting::new();
    let room = all.folder.path().join("room");
    fs::create_dir(&room).expect("it can be made");
    let file = all.folder.write("a.csv", table(20_000));
    let commbox = std::path::PathBuf::from(env!("CARGO_BIN_EXE_commbox"));
    // What is journalled is copied out, for the room goes with the namespace.
    let script = "mount -t tmpfs -o size=1600k none room && cd room && \
                  \"$1\" sync \"$2\" --journal j --quiet --concurrency 32; code=$?; \
                  cp j ../j; cp j-wal ../j-wal 2>/dev/null; exit $code";
    let mut shell = std::process::Command::new("unshare");
    shell.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).args([&commbox, &file]);
    shell.current_dir(all.folder.path());
    shell.env("COMMBOX_BASE_URL", &all.sandbox.url).env("COMMBOX_API_KEY", common::API_KEY);
    let printed = end(&mut shell).ends(2);
    assert!(printed.contains("full"), "{printed}");
    let journal = Connection::open(all.folder.path().join("j")).expect("the journal opens");
    let confirmed = "SELECT count(*) FROM users";
    let confirmed: i64 =
        journal.query_row(confirmed, [], |row| row.get(0)).expect("the journal is whole");
    drop(journal);
    let answered = all.sandbox.updates().len() as i64;
    assert!(
        confirmed > 100 && answered == confirmed,
        "{confirmed} of {answered} are journalled: {printed}"
    );
    all.forget();
    let resumed =
        end(&mut all.sync(&["a.csv", "--journal", "j", "--resume", "--concurrency", "32"]));
    assert!(resumed.ends(0).contains(" confirmed earlier"));
    assert_eq!(all.sandbox.updates().len() as i64, 20_000 - confirmed);
}
