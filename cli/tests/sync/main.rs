//! Runs with a journal: rejects, resuming, changed rows, early ends, exit codes.

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod journal;
mod rejects;
mod rows;

use std::process::Command;

use common::{Folder, Sandbox};
use serde_json::{json, Value};

struct Setting {
    sandbox: Sandbox,
    folder: Folder,
}

impl Setting {
    fn new() -> Self {
        Self { sandbox: Sandbox::start(), folder: Folder::new() }
    }

    fn sync(&self, args: &[&str]) -> Command {
        let mut sync = self.sandbox.commbox("sync");
        sync.args(args).current_dir(self.folder.path());
        sync
    }

    /// The values that were sent, in order.
    fn sent(&self) -> Vec<(i64, String)> {
        let updates = self.sandbox.updates().into_iter();
        updates
            .map(|(id, data)| (id, data["Remarks"].as_str().unwrap_or_default().to_owned()))
            .collect()
    }

    fn forget(&self) {
        assert_eq!(self.sandbox.post("/sandbox/reset", ""), 204);
    }
}

fn sent(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(id, value)| (*id, (*value).to_owned())).collect()
}

/// Rows of ids from 1 up.
fn table(rows: usize) -> String {
    let rows = (1..=rows).map(|row| format!("{row},value {row}\n"));
    std::iter::once("UserId,Remarks\n".to_owned()).chain(rows).collect()
}

fn failure(status: u16, description: &str) -> Value {
    let body =
        json!({"status": status, "description": description, "response_time": "t"}).to_string();
    json!({"status": status, "body": body})
}
