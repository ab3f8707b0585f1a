//! Reads the declarations of the header from its text.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Returns the current header, generated from the sources, without comments.
pub fn now() -> &'static str {
    static NOW: OnceLock<String> = OnceLock::new();
    NOW.get_or_init(make)
}

fn make() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut config = cbindgen::Config::from_file(format!("{root}/cbindgen.toml"))
        .expect("cbindgen.toml can be read");
    config.documentation = false;
    config.header = None;
    let mut text = Vec::new();
    let builder = cbindgen::Builder::new().with_crate(root).with_config(config);
    builder.generate().expect("src/ffi can be read").write(&mut text);
    String::from_utf8(text).expect("the header is text")
}

/// Returns the constants and their values, as written.
pub fn constants(header: &str) -> BTreeMap<&str, &str> {
    let defines = header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    defines.collect()
}

/// A C function: its name, its return type and the types of its parameters.
#[derive(Debug, PartialEq)]
pub struct Prototype<'a> {
    pub name: &'a str,
    pub returns: &'a str,
    pub takes: Vec<&'a str>,
}

/// Returns every function of the header.
pub fn prototypes(header: &str) -> Vec<Prototype<'_>> {
    let statements = header.split(';').filter_map(|statement| {
        // The text before a function consists of preprocessor lines and types.
        let start = statement.rfind("\n\n").map_or(0, |at| at + 2);
        let (before, takes) = statement[start..].strip_suffix(')')?.split_once('(')?;
        let (returns, name) = before.split_at(before.rfind([' ', '*'])? + 1);
        Some(Prototype { name, returns: returns.trim(), takes: parameters(takes) })
    });
    statements.collect()
}

fn parameters(list: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in list.bytes().chain([b',']).enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                found.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|parameter| *parameter != "void");
    found
}
