//! Unusual environments for the tests and for programs: other locales and time zones, a single
//! processor, few files, no IPv6, signals that `nohup` ignores, environment variables with
//! unexpected values, and paths with spaces and Hebrew letters.

#![cfg(target_os = "linux")]

mod common;
mod native;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::build::{command, compile, library, sandbox, Language};
use common::install::{bare, run, Folder, ROOT};
use common::sandbox::Sandbox;
use common::tools::has;
use serde_json::json;

/// Makes a call of each kind, under the conditions that this program was started with.
#[test]
fn calls_and_a_batch() {
    let sandbox = Sandbox::start();
    // Without IPv6, the system may still resolve the name to an IPv6 address.
    let url = sandbox.url.replace("127.0.0.1", "localhost");
    let options = json!({"base_url": url, "proxy": ""}).to_string();
    let client =
        commbox::Client::new("sandbox-key", &commbox::Options::from_json(&options).unwrap())
            .unwrap();
    client.update_user_json(1, r#"{"FirstName": "ב"}"#).unwrap();
    let output =
        native::program("call_once").args(["sandbox-key", &options, "2", "{}"]).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"0\n"), "{output:?}");
    let mut batch = compile(Language::Cpp, "cpp/batch.cpp", "conditions-batch");
    let output = batch.args([&url, "run", "300"]).env_remove("LD_LIBRARY_PATH").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(sandbox.requests().len() > 500);
}

/// Runs that test again, through a command that sets a condition and then runs its arguments.
fn assert_passes_under(condition: &[&str]) {
    let (program, arguments) = condition.split_first().expect("a condition is a command");
    if has(program, program) {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(env::current_exe().unwrap())
            .args(["--exact", "calls_and_a_batch"]);
        assert!(run(&mut command).contains("1 passed; 0 failed"));
    }
}

#[test]
fn another_locale_and_time_zone() {
    assert_passes_under(&["env", "LC_ALL=C", "LANGUAGE=he", "TZ=Asia/Jerusalem"]);
}

#[test]
fn one_processor() {
    assert_passes_under(&["taskset", "-c", "0"]);
}

#[test]
fn few_files() {
    assert_passes_under(&["sh", "-c", r#"ulimit -n 256 && exec "$0" "$@""#]);
}

#[test]
fn without_ipv6() {
    let off = r#"ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && exec "$0" "$@""#;
    if has("ip", "iproute2") {
        assert_passes_under(&["unshare", "--user", "--map-root-user", "--net", "sh", "-c", off]);
    }
}

#[test]
fn ignored_signals() {
    assert_passes_under(&["sh", "-c", r#"trap "" HUP INT QUIT && exec "$0" "$@""#]);
}

/// `make test` starts programs without the caller's variables that affect the library, and with no
/// signal ignored.
#[test]
fn every_suite_runs_in_the_same_environment() {
    if !has("python3", "python3") {
        return;
    }
    let shell = r#"trap "" HUP INT QUIT TERM && ulimit -Sn 64 && exec "$0" "$@""#;
    let report = "env; grep SigIgn /proc/self/status; ulimit -n";
    let mut command = bare("sh");
    command
        .args(["-c", shell, "python3"])
        .arg(Path::new(ROOT).join("tests/run.py"))
        .args(["sh", "-c", report]);
    let steering = [
        "HTTPS_PROXY",
        "https_proxy",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "COMMBOX_API_KEY",
        "COMMBOX_BASE_URL",
    ];
    let told =
        run(command.envs(steering.map(|name| (name, "elsewhere"))).env("OTHER", "elsewhere"));
    assert_eq!(told.matches("elsewhere").count(), 1, "{told}");
    let ignored = told
        .split("SigIgn:\t")
        .nth(1)
        .and_then(|rest| u64::from_str_radix(rest.lines().next()?, 16).ok());
    // The next two signals are reserved by the C library.
    assert_eq!(ignored.map(|signals| signals & 0x7fff_ffff), Some(0), "{told}");
    assert!(told.lines().last().and_then(|files| files.parse().ok()) > Some(64_u32), "{told}");
}

/// Uses the Makefile with existing build output, in a folder with an unusual name. There, `make
/// demo` compiles and runs the examples, and `make install` installs.
#[test]
fn a_path_with_blanks_and_hebrew_letters() {
    let folder = Folder::new("a path עם רווחים");
    let checkout = folder.folder("commbox");
    for tree in [
        "Makefile",
        "Cargo.toml",
        "LICENSE",
        "include",
        "examples",
        "packaging",
        "bindings/python/src",
    ] {
        let to = checkout.join(tree);
        fs::create_dir_all(to.parent().expect("it lies in the checkout"))
            .expect("a folder can be made");
        run(bare("cp").arg("-R").arg(Path::new(ROOT).join(tree)).arg(to));
    }
    let (release, debug) =
        (checkout.join("target/release"), checkout.join("target/debug/examples"));
    for folder in [&release, &debug] {
        fs::create_dir_all(folder).expect("a folder can be made");
    }
    for file in [library(), &library().with_extension("a")] {
        fs::copy(file, release.join(file.file_name().expect("it is a file")))
            .expect("it can be copied");
    }
    fs::copy(sandbox(), debug.join("sandbox")).expect("it can be copied");
    fs::copy(command(), checkout.join("target/debug/commbox")).expect("it can be copied");
    // Stands in for the Rust example that cargo would build here. Any program that updates the user
    // will do.
    let stand_in = "#!/bin/sh\nexec target/demo/update_user_c\n";
    fs::write(debug.join("update_user"), stand_in).expect("it can be written");
    run(bare("chmod").arg("+x").arg(debug.join("update_user")));

    let make = |goal: &[&str]| {
        let mut make = bare("make");
        make.args(["CARGO=true", "DOTNET=no-dotnet"]).args(goal).current_dir(&checkout);
        run(make.env("HTTPS_PROXY", "http://127.0.0.1:1").env("ALL_PROXY", "http://127.0.0.1:1"))
    };
    let told = make(&["demo"]);
    assert!(told.contains("Every language updated the record as it should."), "{told}");
    let prefix = folder.path().join("installed");
    make(&["install", &format!("DESTDIR={}", prefix.display()), "prefix=/usr"]);
    assert!(prefix.join("usr/include/commbox.hpp").is_file());
    make(&["nuget"]);
    assert!(checkout.join("bindings/csharp/CommBox/runtimes").is_dir());
}
