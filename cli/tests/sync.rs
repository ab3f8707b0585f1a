//! Runs with a journal: rejects, resuming, changed rows, early ends, exit codes.

mod common;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{json, Value};

use common::{end, Folder, Sandbox};

struct Setting {
    sandbox: Sandbox,
    folder: Folder,
}

impl Setting {
    fn new() -> Self {
        Self { sandbox: Sandbox::start(), folder: Folder::new() }
    }

    fn sync(&self, args: &[&str]) -> Command {
        let mut sync = self.sandbox.commbox("sync");
        sync.args(args).current_dir(self.folder.path());
        sync
    }

    /// The values that were sent, in order.
    fn sent(&self) -> Vec<(i64, String)> {
        let updates = self.sandbox.updates().into_iter();
        updates
            .map(|(id, data)| (id, data["Remarks"].as_str().unwrap_or_default().to_owned()))
            .collect()
    }

    fn forget(&self) {
        assert_eq!(self.sandbox.post("/sandbox/reset", ""), 204);
    }
}

fn sent(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(id, value)| (*id, (*value).to_owned())).collect()
}

/// Rows of ids from 1 up.
fn table(rows: usize) -> String {
    let rows = (1..=rows).map(|row| format!("{row},value {row}\n"));
    std::iter::once("UserId,Remarks\n".to_owned()).chain(rows).collect()
}

fn failure(status: u16, description: &str) -> Value {
    let body =
        json!({"status": status, "description": description, "response_time": "t"}).to_string();
    json!({"status": status, "body": body})
}

#[test]
fn rejects_are_mended_and_sent_again_but_never_over_a_newer_row() {
    let all = Setting::new();
    let original = "\u{feff}UserId;Remarks;Content.City\r\n1;\"old; one\";Haifa\r\n2;b;\r\n3;c\r\n";
    all.folder.write("a.csv", original);
    all.sandbox.script(&json!([failure(400, "no such city"), failure(400, "too old")]));
    let told = end(&mut all.sync(&["a.csv", "--concurrency", "1"]));
    let printed = told.ends(1);
    for part in ["1 row confirmed", "2 failed:", "2 × 400", "a.csv.rejects.csv"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let rejects = all.folder.read("a.csv.rejects.csv");
    let mut lines = rejects.lines();
    let head =
        "\u{feff}commbox_code;commbox_message;commbox_delivery;commbox_attempts;commbox_sequence;\
                UserId;Remarks;Content.City";
    assert_eq!(lines.next(), Some(head));
    let first = lines.next().expect("there is a row");
    assert!(first.starts_with("400;") && first.contains("(the server: no such city)"), "{first}");
    assert!(first.contains(";answered;1;") && first.ends_with(";1;\"old; one\";Haifa"), "{first}");

    // The next night user 1 gets newer values. Yesterday's reject must not replace them.
    all.folder.write("b.csv", "UserId,Remarks\n1,new one\n");
    end(&mut all.sync(&["b.csv", "--journal", "a.csv.journal"])).ends(0);
    all.forget();
    all.folder.write("a.csv.rejects.csv", rejects.replace(";2;b;", ";2;mended;"));
    let told = end(&mut all.sync(&["a.csv.rejects.csv"]));
    assert!(told.ends(0).contains("1 not sent: a newer row of the user was confirmed"));
    assert_eq!(all.sent(), sent(&[(2, "mended")]));
    assert!(!all.folder.has("a.csv.rejects.csv.rejects.csv"));
}

#[test]
fn rejects_of_json_are_json() {
    let all = Setting::new();
    all.folder.write(
        "a.jsonl",
        "{\"UserId\": 1,\n\"Remarks\": \"a\"}\n{\"UserId\": 2, \"Remarks\": \"b\"}\n",
    );
    // A row in two lines is no JSON Lines; the array has it.
    all.folder.write(
        "a.json",
        "[{\"UserId\": 1,\n\"Remarks\": \"a\"}, {\"UserId\": 2, \"Remarks\": \"b\"}]",
    );
    end(&mut all.sync(&["a.jsonl"])).ends(2);
    all.sandbox.script(&json!([failure(404, "who")]));
    end(&mut all.sync(&["a.json", "--concurrency", "1"])).ends(1);
    let rejects = all.folder.read("a.json.rejects.jsonl");
    let read: Value = serde_json::from_str(rejects.trim_end()).expect("one object");
    assert_eq!(
        (&read["commbox_code"], &read["UserId"], &read["Remarks"]),
        (&json!(404), &json!(1), &json!("a"))
    );
    all.forget();
    end(&mut all.sync(&["a.json.rejects.jsonl"])).ends(0);
    assert_eq!(all.sent(), sent(&[(1, "a")]));
}

#[test]
fn resuming_sends_the_rest_with_what_is_unknown_first() {
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
fn rejects_of_a_former_run_are_put_aside() {
    let all = Setting::new();
    all.folder.write("a.csv", table(2));
    all.sandbox.script(&json!([failure(400, "")]));
    let told = end(&mut all.sync(&["a.csv", "--quiet"]));
    told.ends(1);
    assert!(told.stdout.is_empty() && told.stderr.contains("1 failed:"), "{}", told.stderr);
    let rejects = all.folder.read("a.csv.rejects.csv");
    let told = end(&mut all.sync(&["a.csv", "--quiet"]));
    assert_eq!(told.ends(0), "");
    assert_eq!(all.folder.read("a.csv.rejects.csv.old"), rejects);
    assert!(!all.folder.has("a.csv.rejects.csv"));
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
fn unchanged_rows_are_left_out() {
    let all = Setting::new();
    all.folder.write("a.csv", "UserId,Remarks,Content.City\n1,a,x\n2,b,y\n3,c,z\n");
    let changed = ["--journal", "nightly.journal", "--changed-only"];
    let nightly = |file| end(&mut all.sync(&[&[file], changed.as_slice()].concat()));
    nightly("a.csv").ends(0);
    all.forget();
    // The columns lie otherwise, the order of rows is another, and one value is new.
    all.folder.write("b.csv", "Content.City,UserId,Remarks\nz,3,c\ny,2,new\nx,1,a\n");
    assert!(nightly("b.csv").ends(0).contains("2 unchanged, not sent"));
    assert_eq!(all.sent(), sent(&[(2, "new")]));
    all.forget();
    nightly("a.csv").ends(0);
    assert_eq!(all.sent(), sent(&[(2, "b")]), "what it was before counts as a change");
    let why = end(&mut all.sync(&["a.csv", "--changed-only", "--duplicates", "all"])).ends(2);
    assert!(why.contains("--changed-only needs the last row"), "{why}");
}

/// A row that may have been delivered makes its user's last confirmed values doubtful.
#[test]
fn unchanged_rows_are_sent_if_another_may_have_been_delivered_since() {
    let all = Setting::new();
    let nightly = |remarks: &str| {
        all.folder.write("a.csv", format!("UserId,Remarks\n7,{remarks}\n8,same\n"));
        let mut sync = all.sync(&["a.csv", "--changed-only", "--max-retries", "0"]);
        sync.args(["--concurrency", "1"]);
        sync
    };
    end(&mut nightly("a")).ends(0);
    // No answer comes: a stale connection is tried twice.
    let reset = json!({"reset": true});
    all.sandbox.script(&json!([reset, reset]));
    let printed = end(&mut nightly("b")).ends(4);
    assert!(printed.contains("1 failed"), "{printed}");
    all.forget();
    end(&mut nightly("a")).ends(0);
    assert_eq!(all.sent(), sent(&[(7, "a")]));

    all.forget();
    all.sandbox.script(&json!([{"own": true, "delay_ms": 60_000}]));
    let mut killed = nightly("c").spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while all.sent().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    killed.kill().expect("it can be killed");
    killed.wait().expect("it ends");
    all.forget();
    end(&mut nightly("a")).ends(0);
    assert_eq!(all.sent(), sent(&[(7, "a")]));
    all.forget();
    end(&mut nightly("a")).ends(0);
    assert_eq!(all.sent(), sent(&[]), "now it is known");
}

#[test]
fn the_last_row_of_a_user_counts_unless_all_are_wanted() {
    let all = Setting::new();
    all.folder.write("a.csv", "UserId,Remarks\n1,a\n2,b\n1,c\n");
    let printed = end(&mut all.sync(&["a.csv", "--concurrency", "1"])).ends(0);
    assert!(printed.contains("1 row left out for a later one of the same user"), "{printed}");
    assert_eq!(all.sent(), sent(&[(2, "b"), (1, "c")]));
    all.forget();
    end(&mut all.sync(&["a.csv", "--duplicates", "all", "--concurrency", "1"])).ends(0);
    assert_eq!(all.sent(), sent(&[(1, "a"), (2, "b"), (1, "c")]));
    let why = end(&mut all.sync(&["a.csv", "--duplicates", "error"])).ends(2);
    assert!(why.contains("rows 1 and 3") && why.contains("nothing was sent"), "{why}");
}

#[test]
fn wrong_rows_keep_all_back_unless_they_are_to_be_rejected() {
    let all = Setting::new();
    all.folder.write("a.csv", "UserId,Remarks,Email\n1,a,\n0,b,\n3,c,\n");
    let why = end(&mut all.sync(&["a.csv"])).ends(2);
    assert!(why.contains("1 wrong row of 3 rows; nothing was sent"), "{why}");
    assert!(all.sent().is_empty());
    for option in ["--reject-invalid", "--no-check"] {
        all.forget();
        let printed = end(&mut all.sync(&["a.csv", "--concurrency", "1", option])).ends(1);
        assert!(printed.contains("2 rows confirmed") && printed.contains("1 failed"), "{printed}");
        assert_eq!(all.sent(), sent(&[(1, "a"), (3, "c")]));
        let rejects = all.folder.read("a.csv.rejects.csv");
        let last = rejects.lines().last().expect("there is a row");
        assert!(last.starts_with("-4,") && last.ends_with(",0,b,"), "{rejects}");
        assert!(last.contains("must be from 1"), "{rejects}");
    }
}

#[test]
fn a_run_ends_early_where_going_on_is_of_no_use() {
    let all = Setting::new();
    all.folder.write("a.csv", table(300));
    let bad: Vec<_> = (0..1000).map(|_| failure(400, "")).collect();
    let cases: [(&[&str], u64, u64); 3] =
        [(&[], 100, 250), (&["--max-errors", "5"], 5, 150), (&["--max-errors", "50%"], 100, 250)];
    for (options, least, most) in cases {
        all.forget();
        all.sandbox.script(&json!(bad));
        let told = end(&mut all.sync(&[&["a.csv", "--output", "json"], options].concat()));
        let printed = told.ends(1);
        let finished = told.event("finished");
        let failed = finished["failed"].as_u64().expect("a count");
        assert!((least..=most).contains(&failed), "{options:?}: {printed}");
        assert_eq!((&finished["complete"], &finished["confirmed"]), (&json!(false), &json!(0)));
        assert_eq!(finished["next"], "commbox sync a.csv --resume");
        assert_eq!(
            told.events().iter().filter(|event| event["event"] == "failed").count() as u64,
            failed
        );
    }
    all.forget();
    let printed = end(&mut all.sync(&["a.csv", "--resume"])).ends(0);
    assert!(printed.contains("300 rows confirmed"), "{printed}");
}

#[test]
fn a_rejected_key_and_a_server_that_is_not_there_have_codes_of_their_own() {
    let all = Setting::new();
    all.folder.write("a.csv", table(200));
    let printed = end(all.sync(&["a.csv"]).env("COMMBOX_API_KEY", "canary")).ends(3);
    assert!(printed.contains("the server rejects the API key"), "{printed}");
    assert!(
        printed.contains("commbox sync a.csv --resume") && !printed.contains("canary"),
        "{printed}"
    );
    let nobody =
        ["--base-url", "http://127.0.0.1:9", "--outage-timeout", "1s", "--retry-base", "1ms"];
    let nobody = [nobody.as_slice(), &["--retry-cap", "1ms", "--max-retries", "1"]].concat();
    let printed = end(&mut all.sync(&[&["a.csv"], nobody.as_slice()].concat())).ends(4);
    assert!(printed.contains("commbox sync a.csv --resume"), "{printed}");
    let mut update = all.sandbox.commbox("update");
    end(update
        .args(["7", "FirstName=John"])
        .args(nobody.iter().filter(|word| !word.starts_with("--outage") && **word != "1s")))
    .ends(4);
    end(&mut all.sync(&["a.csv", "--resume"])).ends(0);
    assert_eq!(all.sandbox.user(200)["Remarks"], "value 200");

    let none = all.sync(&["a.csv"]).env_remove("COMMBOX_API_KEY").output().expect("it starts");
    assert_eq!(none.status.code(), Some(2));
    end(&mut all.sync(&["missing.csv"])).ends(2);
    end(&mut all.sync(&["a.csv", "--canary"])).ends(2);
    fs::write(all.folder.path().join("key"), "sandbox-key\n").expect("it can be written");
    end(all.sync(&["a.csv", "--api-key-file", "key"]).env_remove("COMMBOX_API_KEY")).ends(0);
}

#[test]
fn two_runs_on_one_journal_are_refused() {
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
fn a_journal_shows_runs_and_failed_rows_and_exports_them() {
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

#[test]
fn several_files_are_one_run_with_rejects_of_their_own() {
    let all = Setting::new();
    all.folder.write("a.csv", "UserId,Remarks\n1,a\n2,b\n");
    all.folder.write("b.tsv", "Remarks\tid\nc\t1\nd\t3\n");
    all.sandbox.script(&json!([{"own": true}, {"own": true}, failure(400, "")]));
    end(&mut all.sync(&["a.csv", "b.tsv", "--concurrency", "1"])).ends(1);
    assert_eq!(all.sent(), sent(&[(2, "b"), (1, "c"), (3, "d")]));
    assert!(!all.folder.has("a.csv.rejects.csv"));
    let rejects = all.folder.read("b.tsv.rejects.csv");
    assert!(rejects.trim_end().ends_with("d\t3"), "{rejects}");
    let resumed = end(&mut all.sync(&["a.csv", "b.tsv", "--resume"]));
    assert!(resumed.ends(0).contains("1 row confirmed"));
}

/// A folder of its own with little room, in a namespace of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_nothing_that_is_journalled_is_lost() {
    let all = Setting::new();
    let room = all.folder.path().join("room");
    fs::create_dir(&room).expect("it can be made");
    let file = all.folder.write("a.csv", table(20_000));
    let commbox = std::path::PathBuf::from(env!("CARGO_BIN_EXE_commbox"));
    // What is journalled is copied out, for the room goes with the namespace.
    let script = "mount -t tmpfs -o size=1600k none room && cd room && \
                  \"$1\" sync \"$2\" --journal j --quiet --concurrency 32; code=$?; \
                  cp j ../j; cp j-wal ../j-wal 2>/dev/null; exit $code";
    let mut shell = Command::new("unshare");
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
