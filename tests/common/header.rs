//! The C header: its text, and the functions that it declares.

use std::fs;
use std::path::Path;

pub fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/commbox.h"))
        .expect("the header is there")
}

/// Returns the names of the functions that the header declares, in order.
pub fn functions() -> Vec<String> {
    let header = text();
    let lines = header.lines().filter(|line| !line.starts_with([' ', '*', '/', '#']));
    let names = lines.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next());
    names.filter(|name| name.starts_with("commbox_")).map(str::to_owned).collect()
}
