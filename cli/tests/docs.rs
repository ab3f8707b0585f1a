//! The documentation: the examples in README.md and docs/command.md work unchanged, and every flag
//! is documented.

mod common;

use std::fs;
use std::path::Path;

use common::{bare, end, Folder, Sandbox};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(path).expect("the page is there")
}

/// Returns the first block of a language.
fn block(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).expect("there is a block");
    rest.split_once("```").expect("it ends").0.to_owned()
}

/// Returns a shell that runs the lines of a block and finds the command.
fn shell(lines: &str) -> std::process::Command {
    let mut shell = std::process::Command::new("sh");
    let folder = Path::new(env!("CARGO_BIN_EXE_commbox")).parent().expect("it is in a folder");
    let mut path = folder.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    for (name, _) in std::env::vars() {
        if name.starts_with("COMMBOX_") || name.to_lowercase().ends_with("_proxy") {
            shell.env_remove(name);
        }
    }
    shell.args(["-ec", lines]).env("PATH", path);
    shell
}

/// Returns the blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Removes durations and rates from a text.
fn without_times(text: &str) -> String {
    text.lines()
        .map(|line| line.split(" in ").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_file_of_the_readme_is_sent() {
    let readme = page("README.md");
    let sandbox = Sandbox::start_with(&["--api-key", "my-api-key"]);
    let folder = Folder::new();
    folder.write("customers.csv", block(&readme, "csv"));
    let session = block(&readme, "console");
    let mut lines = session.lines();
    assert_eq!(lines.next(), Some("$ export COMMBOX_API_KEY=my-api-key"));
    let command = lines.next().and_then(|line| line.strip_prefix("$ commbox ")).expect("a command");
    let mut run = bare();
    run.args(command.split(' ')).current_dir(folder.path());
    run.env("COMMBOX_API_KEY", "my-api-key").env("COMMBOX_BASE_URL", &sandbox.url);
    let told = end(&mut run);
    told.ends(0);
    let shown: Vec<_> = lines.collect();
    assert_eq!(without_times(&told.stdout), without_times(&shown.join("\n")));
    assert_eq!(sandbox.user(94_382_333)["Email"], "dana@example.com");
}

#[test]
fn the_documented_options_file_is_accepted() {
    let folder = Folder::new();
    folder.write("commbox.toml", block(&page("docs/command.md"), "toml"));
    let mut table = b"Customer number;E-mail;Town;Notes\r\n7;d@example.com;".to_vec();
    table.extend([0xe7, 0xe9, 0xf4, 0xe4]);
    folder.write("a.csv", [table.as_slice(), b";x\r\n"].concat());
    let printed = end(bare().args(["check", "a.csv"]).current_dir(folder.path())).ends(0);
    for part in ["windows-1255", "Content.City", "Content.Source, the same for all", "left out"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}

#[test]
#[cfg(unix)]
fn the_documented_shell_commands_work() {
    let [try_it, script] = &blocks(&page("docs/command.md"), "sh")[..] else {
        panic!("docs/command.md has other blocks")
    };
    // On a free port. The shell's sandbox ends together with the shell.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = free.local_addr().expect("it has an address").port().to_string();
    drop(free);
    assert_eq!(try_it.matches("8080").count(), 2, "{try_it}");
    let lines = try_it.replace("8080", &port).replace(
        "&\n",
        "> address &\ntrap \"kill $!\" EXIT\nuntil [ -s address ]; do sleep 0.05; done\n",
    );
    let folder = Folder::new();
    let told = end(shell(&lines).current_dir(folder.path())).ends(0);
    assert!(told.contains("94382332"), "{told}");

    let sandbox = Sandbox::start();
    let begin = "export COMMBOX_BASE_URL\n";
    let lines =
        format!("{begin}{}", script.replace("curl ", "curl --fail --silent --noproxy '*' "));
    let mut reset = shell(&lines);
    let first = lines.split("# Forgets").next().expect("there is a first part").to_owned();
    let mut scripted = shell(&first);
    end(scripted.env("COMMBOX_BASE_URL", &sandbox.url)).ends(0);
    let update = || sandbox.commbox("update").args(["7", "FirstName=John"]).output();
    assert!(update().expect("it starts").status.success(), "a 429 and a reset are retried");
    assert_eq!(sandbox.updates().len(), 3);
    let told = end(shell(&first).env("COMMBOX_BASE_URL", &sandbox.url)).ends(0);
    assert!(told.contains("FirstName"), "{told}");
    end(reset.env("COMMBOX_BASE_URL", &sandbox.url)).ends(0);
    assert_eq!((sandbox.updates().len(), sandbox.user(7)), (0, serde_json::json!({"Id": 7})));
}

#[test]
fn every_flag_is_documented() {
    let manual = page("docs/command.md");
    for command in ["update", "sync", "check", "diagnose", "sandbox", "journal"] {
        let help = end(bare().args([command, "--help"])).ends(0);
        let flags = help.split_whitespace().filter(|word| word.starts_with("--"));
        for flag in flags.map(|flag| flag.trim_end_matches([',', '.', ';', ')', ']'])) {
            assert!(
                flag == "--help" || manual.contains(flag),
                "{command} {flag} is not documented"
            );
        }
    }
}
