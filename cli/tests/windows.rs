//! Ctrl-C in a Windows console.

#![cfg(windows)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use windows_sys::Win32::System::Console::{
    AllocConsole, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler, CTRL_C_EVENT,
};

use common::{end, Ended, Folder, Sandbox};

const ROWS: usize = 1000;

#[test]
fn ctrl_c_ends_a_run_gracefully() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    let rows: String = (1..=ROWS).map(|row| format!("{row},a\n")).collect();
    let file = folder.write("קובץ.csv", format!("UserId,Remarks\n{rows}"));
    // SAFETY: it takes no arguments. A console may exist already.
    unsafe { AllocConsole() };
    let mut sync = sandbox.commbox("sync");
    sync.arg(&file).args(["--rate", "50/s", "--output", "json"]);
    let mut child =
        sync.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !(line.contains("\"progress\"") && !line.contains("\"confirmed\":0,")) {
        line.clear();
        assert!(stdout.read_line(&mut line).expect("it prints") > 0, "it ended");
    }
    // SAFETY: without a function, it makes this process ignore the event that the next call sends
    // to all processes of the console.
    unsafe { SetConsoleCtrlHandler(None, 1) };
    // SAFETY: it takes only numbers.
    let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0) };
    assert_ne!(sent, 0, "{}", std::io::Error::last_os_error());
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).expect("it prints text");
    let told = Ended::of(&child.wait_with_output().expect("it ends"));
    let told = Ended { stdout: printed, ..told };
    let printed = told.ends(130);
    assert!(printed.contains("Stopped in good order") && printed.contains("--resume"), "{printed}");
    let confirmed = told.event("finished")["confirmed"].as_u64().expect("a count");
    assert!(confirmed > 0 && confirmed < ROWS as u64, "{printed}");
}

#[test]
fn paths_may_contain_hebrew_letters() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("לקוחות")).expect("it can be made");
    let file = folder.write("לקוחות/חדשים.csv", "UserId,FirstName\n7,דנה\n");
    let mut sync = sandbox.commbox("sync");
    end(sync.arg(&file)).ends(0);
    assert_eq!(sandbox.user(7)["FirstName"], "דנה");
    assert!(folder.has("לקוחות/חדשים.csv.journal"));
}
