//! The links of all pages: each refers to an existing file, and to an existing heading in it.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// All folders that contain pages.
const FOLDERS: [&str; 9] = [
    "",
    "docs",
    "benches",
    "bindings/python",
    "bindings/csharp",
    "bindings/csharp/CommBox",
    "bindings/csharp/CommBox.Extensions.Hosting",
    "tests/cases",
    "cli",
];

fn pages() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    let mut pages: Vec<_> = FOLDERS
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).expect("it is a folder"))
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() >= 30, "{pages:?}");
    pages
}

/// Returns a page's text without its fenced blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the anchors of a page's headings, as Markdown renderers generate them: letters, digits,
/// `-` and `_` in lower case. Spaces become `-`, and a repeated name gets a number.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut found = Vec::new();
    for line in prose(text).lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim();
        // Of a link, renderers show only the text.
        let title =
            title.split("](").map(|part| part.trim_start_matches('[')).next().unwrap_or_default();
        let kept =
            title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        let name: String = kept
            .flat_map(char::to_lowercase)
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let count = seen.entry(name.clone()).or_default();
        found.push(if *count == 0 { name } else { format!("{name}-{count}") });
        *count += 1;
    }
    found
}

/// Returns what is wrong with the links of a page.
fn broken(page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().expect("it is in a folder");
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let mut broken = Vec::new();
    for target in targets.filter(|target| !target.contains("://")) {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if file.is_empty() { page.to_owned() } else { folder.join(file) };
        let is_there = match anchor {
            "" => path.exists(),
            anchor => {
                let text =
                    if file.is_empty() { Ok(text.to_owned()) } else { fs::read_to_string(&path) };
                text.is_ok_and(|text| anchors(&text).iter().any(|name| name == anchor))
            }
        };
        if !is_there {
            broken.push(format!("{}: {target}", page.display()));
        }
    }
    broken
}

#[test]
fn links_lead_to_files_and_headings() {
    let read = |page: &PathBuf| broken(page, &fs::read_to_string(page).expect("it is text"));
    let broken: Vec<_> = pages().iter().flat_map(read).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_broken_link_is_found() {
    let page = Path::new(ROOT).join("docs/options.md");
    let check = |text: &str| broken(&page, text).len();
    assert_eq!(
        check(
            "# A `b`, c\n[a](c.md) [b](#a-b-c) [c](errors.md#codes) [d](https://example.com/x#y)"
        ),
        0
    );
    assert_eq!(check("# A\n# A\n[a](#a) [b](#a-1)"), 0);
    for text in [
        "[a](none.md)",
        "# A\n[a](#b)",
        "[a](errors.md#none)",
        "# A\n[a](#a-1)",
        "[a](none.md#codes)",
    ] {
        assert_eq!(check(text), 1, "{text}");
    }
    assert_eq!(check("```\n[a](none.md)\n# A\n```\n"), 0);
}

/// If no page links to a page, nobody finds it.
#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = common::page::read("README.md");
    let docs = Path::new(ROOT).join("docs");
    for page in pages().iter().filter(|page| page.parent() == Some(&docs)) {
        let name = page.file_name().expect("it has a name").to_string_lossy();
        assert!(readme.contains(&format!("(docs/{name})")), "{name}");
    }
}
