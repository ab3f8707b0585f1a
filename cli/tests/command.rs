//! The commands other than `sync`: one update, the sandbox, the diagnosis and completions. Also, no
//! output contains secrets.

mod common;

use std::time::Instant;

use serde_json::{json, Value};

use common::{bare, end, end_with_input, Folder, Sandbox};

#[test]
fn update_prints_the_reply_or_the_error() {
    let sandbox = Sandbox::start();
    let update = |args: &[&str]| end(sandbox.commbox("update").args(args));
    let told = update(&["7", "FirstName=John", "Content.VIP=8=9", "Remarks=", "--null", "Phone2"]);
    told.ends(0);
    let reply: Value = serde_json::from_str(&told.stdout).expect("the reply as it came");
    assert_eq!(reply["data"]["Id"], 7);
    let expected = json!({
        "Id": 7, "FirstName": "John", "Phone2": null, "Remarks": "", "Content": {"VIP": "8=9"},
    });
    assert_eq!(sandbox.user(7), expected);
    let event = update(&["7", "FirstName=Jo", "--output", "json"]).event("updated");
    assert_eq!((&event["attempts"], &event["reply"]["status"]), (&json!(1), &json!(200)));

    let mut from_input = sandbox.commbox("update");
    let input = br#"{"Email": "a@example.com", "Content": {"N": 12345678901234567890}}"#;
    end_with_input(from_input.args(["7", "--json", "-"]), input).ends(0);
    assert_eq!(sandbox.user(7)["Email"], "a@example.com");

    for (args, code, why) in [
        (&["7", "firstname=canary"] as &[&str], 2, "firstname must be written \"FirstName\""),
        (&["0", "FirstName=canary"], 2, "user_id must be 1 or more"),
        (&["7", "canary"], 2, "NAME=VALUE"),
        (&["7"], 2, "no field is given"),
        (&["7", "--json", "missing.json"], 2, "missing.json"),
        (&["7", "FirstName=a", "--total-timeout", "0"], 2, "--total-timeout must be"),
    ] {
        let printed = update(args).ends(code);
        assert!(printed.contains(why) && !printed.contains("canary"), "{args:?}: {printed}");
    }
    let body = json!({"status": 400, "description": "no", "response_time": "t"}).to_string();
    sandbox.script(&json!([{"status": 400, "body": body}, {"status": 401}]));
    let told = update(&["7", "FirstName=a", "--output", "json"]);
    assert!(told.ends(1).contains("The server: no"));
    assert_eq!(told.event("failed")["code"], 400);
    update(&["7", "FirstName=a"]).ends(3);
}

#[test]
fn the_sandbox_throttles_like_a_server() {
    let sandbox = Sandbox::start_with(&["--limit", "50/s", "--burst", "5"]);
    let folder = Folder::new();
    let rows: String = (1..=60).map(|row| format!("{row},a\n")).collect();
    let file = folder.write("a.csv", format!("UserId,Remarks\n{rows}"));
    let began = Instant::now();
    let mut sync = sandbox.commbox("sync");
    let told = end(sync.arg(&file).args(["--output", "json"]));
    told.ends(0);
    assert_eq!(told.event("finished")["confirmed"], 60);
    assert!(began.elapsed().as_secs_f64() > 1.0, "55 rows above the burst take a second and more");
    assert!(sandbox.updates().len() > 60, "some were throttled");
}

#[test]
fn diagnose_examines_the_https_sandbox() {
    let folder = Folder::new();
    let pem = folder.path().join("ca.pem");
    let sandbox = Sandbox::start_with(&["--tls", pem.to_str().expect("UTF-8")]);
    let mut diagnose = sandbox.commbox("diagnose");
    let printed = end(&mut diagnose).ends(4);
    for part in ["DNS lookup", "connect", "certificate  0:", "TLS          failed", "--ca-file"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let told = end(diagnose.arg("--ca-file").arg(&pem));
    let printed = told.ends(0);
    assert!(printed.contains("TLS          TLSv1") && printed.contains("clock"), "{printed}");
    let told = end(diagnose.args(["--output", "json"]));
    told.ends(0);
    let report: Value = serde_json::from_str(&told.stdout).expect("the library's report");
    assert_eq!(report["tls"]["trusted"], true);
    let printed = end(bare().args(["diagnose", "--base-url", "http://127.0.0.1:9"])).ends(4);
    assert!(printed.contains("the server cannot be reached"), "{printed}");
}

#[test]
fn help_manual_and_completions_are_printed() {
    let printed = end(bare().arg("--version")).ends(0);
    assert_eq!(printed.trim(), format!("commbox {}", env!("CARGO_PKG_VERSION")));
    let help = end(bare().arg("--help")).ends(0);
    for part in ["update", "sync", "check", "diagnose", "sandbox", "journal", "Exit codes: 0"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(end(bare().args(["completions", shell])).ends(0).contains("accept-suggestions"));
    }
    assert!(end(bare().arg("man")).ends(0).starts_with(".ie"));
    end(&mut bare()).ends(2);
    end(bare().args(["sync", "a.csv", "--max-errors", "x"])).ends(2);
}

#[test]
fn output_contains_no_secrets() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    folder.write("a.csv", "UserId,FirstName\n7,canary-value\n8,canary-value\n");
    folder.write("commbox.toml", "[client.headers]\nX-Gateway = \"canary-header\"\n");
    let no = json!({"status": 500, "body": "{\"status\":500,\"description\":\"canary-server\"}"});
    for output in ["text", "json"] {
        for command in ["sync", "update", "check", "diagnose"] {
            sandbox.post("/sandbox/reset", "");
            sandbox.script(&json!([no, no, no, no]));
            let mut run = sandbox.commbox(command);
            match command {
                "update" => run.args(["7", "FirstName=canary-value"]),
                "diagnose" => &mut run,
                _ => run.arg("a.csv"),
            };
            if command == "sync" {
                run.args(["--max-retries", "0"]);
            }
            run.args(["--output", output]).current_dir(folder.path());
            run.env("COMMBOX_API_KEY", "canary-key");
            // A proxy with a password, from the environment. Nothing listens there.
            run.env("COMMBOX_PROXY", "http://canary-user:canary-password@127.0.0.1:9");
            run.env("COMMBOX_RETRY_BASE", "1ms").env("COMMBOX_RETRY_CAP", "1ms");
            run.env("COMMBOX_OUTAGE_TIMEOUT", "200ms").env("COMMBOX_TOTAL_TIMEOUT", "2s");
            let told = end(&mut run);
            let printed = format!("{}{}", told.stdout, told.stderr);
            assert!(!printed.contains("canary"), "{command}, {output}: {printed}");
            run.env("COMMBOX_PROXY", "");
            let told = end(&mut run);
            let printed = format!("{}{}", told.stdout, told.stderr);
            let own_words = printed.replace("canary-server", "");
            assert!(!own_words.contains("canary"), "{command}, {output}: {printed}");
        }
    }
    let journal = std::fs::read(folder.path().join("a.csv.journal")).expect("it is there");
    let text = String::from_utf8_lossy(&journal);
    assert!(!text.contains("canary"), "the journal holds what it must not");
}
