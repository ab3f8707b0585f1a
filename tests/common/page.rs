//! The pages of the documentation, and their fenced code blocks.

use std::fs;
use std::path::Path;

pub fn read(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("the page is there")
}

/// Returns the section under a second-level heading.
pub fn section(page: &str, heading: &str) -> String {
    let text = read(page);
    let (_, rest) =
        text.split_once(&format!("\n## {heading}\n")).expect("the page has this section");
    rest.split("\n## ").next().expect("there is a first part").to_owned()
}

/// Returns the fenced code blocks of one language in a text.
pub fn blocks_in(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned()))
        .collect()
}

/// Returns the languages of the fenced blocks in a text, "" for a block without one.
pub fn languages(text: &str) -> Vec<String> {
    let mut is_code = false;
    let fences = text.lines().filter_map(|line| line.trim_start().strip_prefix("```"));
    let begins = fences.filter(|_| {
        is_code = !is_code;
        is_code
    });
    begins.map(str::to_owned).collect()
}

/// Returns the code blocks of a page, which must have some.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let found = blocks_in(&read(page), language);
    assert!(!found.is_empty(), "{page} has no block of {language}");
    found
}
