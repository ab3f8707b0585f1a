//! The files of rejects.

use serde_json::{json, Value};

use crate::common::end;
use crate::{failure, sent, table, Setting};

#[test]
fn corrected_rejects_are_sent_but_never_overwrite_a_newer_row() {
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
fn rejects_of_a_json_file_are_json() {
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
fn rejects_of_an_earlier_run_are_moved_aside() {
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
fn an_invalid_row_prevents_sending_unless_it_may_be_rejected() {
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
fn several_files_are_one_run_with_separate_rejects() {
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
