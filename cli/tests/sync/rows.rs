//! Which rows are sent: those that changed, and the last one of a user.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::end;
use crate::{sent, Setting};

#[test]
fn unchanged_rows_are_skipped() {
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
fn unchanged_rows_are_sent_if_a_later_row_may_have_been_delivered() {
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
fn only_the_last_row_of_a_user_is_sent_by_default() {
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
