//! The documentation: what README.md shows works as it stands, and docs/command.md names every flag.

mod common;

use std::fs;
use std::path::Path;

use common::{bare, end, Folder, Sandbox};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(path).expect("the page is there")
}

/// The first block of a language.
fn block(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).expect("there is a block");
    rest.split_once("```").expect("it ends").0.to_owned()
}

/// A text whose numbers of seconds and rates are left out.
fn without_times(text: &str) -> String {
    text.lines()
        .map(|line| line.split(" in ").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_file_of_the_readme_is_sent_as_it_stands() {
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
fn the_options_file_is_taken_as_it_stands() {
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
