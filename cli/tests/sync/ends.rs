//! Runs that end early, and exit codes.

use std::fs;

use serde_json::json;

use crate::common::end;
use crate::{failure, table, Setting};

#[test]
fn a_run_ends_early_if_continuing_is_useless() {
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
fn a_rejected_key_and_an_unreachable_server_have_their_own_exit_codes() {
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
