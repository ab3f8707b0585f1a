//! Signals, and the output on a terminal.

#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use common::{end, Ended, Folder, Sandbox};

const ROWS: usize = 2000;

struct Setting {
    sandbox: Sandbox,
    folder: Folder,
}

impl Setting {
    fn new() -> Self {
        let folder = Folder::new();
        let rows: String = (1..=ROWS).map(|row| format!("{row},a\n")).collect();
        folder.write("a.csv", format!("UserId,Remarks\n{rows}"));
        Self { sandbox: Sandbox::start(), folder }
    }

    fn sync(&self) -> Command {
        let mut sync = self.sandbox.commbox("sync");
        sync.arg("a.csv").current_dir(self.folder.path());
        sync
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
}

/// Starts a long run and waits until it sends requests.
fn started(setting: &Setting) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut sync = setting.sync();
    sync.args(["--rate", "100/s", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = sync.spawn().expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("\"started\"") {
        line.clear();
        assert!(stdout.read_line(&mut line).expect("it prints") > 0, "it ended");
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while setting.sandbox.updates().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    (child, stdout)
}

fn ended(child: Child, mut stdout: BufReader<std::process::ChildStdout>) -> Ended {
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).expect("it prints text");
    let ended = Ended::of(&child.wait_with_output().expect("it ends"));
    Ended { stdout: printed, ..ended }
}

#[test]
fn a_signal_ends_a_run_gracefully() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let setting = Setting::new();
        let (child, stdout) = started(&setting);
        signal(&child, name);
        let told = ended(child, stdout);
        let printed = told.ends(code);
        assert!(
            printed.contains("--resume") && printed.contains("Stopped in good order"),
            "{printed}"
        );
        let finished = told.event("finished");
        let confirmed = finished["confirmed"].as_u64().expect("a count");
        assert!(confirmed > 0 && finished["failed"] == 0, "{printed}");
        assert_eq!(
            setting.sandbox.updates().len() as u64,
            confirmed,
            "what was in flight is written"
        );
        let mut resume = setting.sync();
        let resumed = end(resume.args(["--resume", "--output", "json"]));
        resumed.ends(0);
        assert_eq!(resumed.event("finished")["confirmed_earlier"], confirmed);
        assert_eq!(setting.sandbox.updates().len(), ROWS, "nothing was sent twice");
    }
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_the_journal_intact() {
    let setting = Setting::new();
    setting.sandbox.script(&json!(vec![json!({"own": true, "delay_ms": 30_000}); 8]));
    let (child, stdout) = started(&setting);
    let began = Instant::now();
    signal(&child, "INT");
    thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");
    ended(child, stdout).ends(130);
    assert!(began.elapsed() < Duration::from_secs(20), "the answers take 30 s");
    setting.sandbox.post("/sandbox/reset", "");
    end(setting.sync().args(["--resume", "--quiet"])).ends(0);
    assert_eq!(setting.sandbox.updates().len(), ROWS);
}

/// Runs a command on its own terminal.
#[cfg(target_os = "linux")]
fn on_terminal(setting: &Setting, arguments: &str) -> String {
    let mut script = Command::new("script");
    let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_commbox"));
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("COMMBOX_BASE_URL", &setting.sandbox.url).env("COMMBOX_API_KEY", common::API_KEY);
    script.env("TERM", "xterm").env("COLUMNS", "120");
    script.current_dir(setting.folder.path()).stdin(Stdio::null());
    let output = script.output().expect("script(1) starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn a_progress_bar_is_shown_only_on_a_terminal() {
    let setting = Setting::new();
    let shown = on_terminal(&setting, "sync a.csv --rate 1000/s");
    assert!(shown.contains("/2000 rows, ") && shown.contains(" failed, at most 1000/s"), "{shown}");
    assert!(shown.contains("ETA ") && shown.contains('\u{1b}'), "{shown}");
    assert!(shown.contains("2,000 rows confirmed in"), "{shown}");
    setting.sandbox.script(&json!(vec![json!({"status": 503}); 10]));
    let shown =
        on_terminal(&setting, "sync a.csv --retry-base 1ms --retry-cap 1ms --concurrency 1");
    assert!(shown.contains("server down for ") && shown.contains(" s, next probe in "), "{shown}");
    let told = end(setting.sync().arg("--rate").arg("1000/s"));
    let printed = told.ends(0);
    assert!(!printed.contains('\u{1b}') && !printed.contains("ETA"), "{printed}");
}
