//! The summary at the end of a run: counts by reason, and the next command to run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::collect::{Counts, Stop};
use super::progress::shown;
use crate::failure::{Exit, Result};
use crate::journal::{Journal, Run};
use crate::rejects::Rejects;
use crate::ui::Ui;
use crate::units::{counted, grouped};

pub struct Told<'a> {
    pub run: &'a Run,
    pub journal: &'a Journal,
    pub path: &'a Path,
    pub rejects: &'a [Rejects],
    pub counts: &'a Counts,
    pub stop: Option<&'a Stop>,
    pub elapsed: Duration,
    pub files: &'a [PathBuf],
    pub own_journal: bool,
}

impl Told<'_> {
    pub fn exit(&self) -> Result<Exit> {
        let failed = self.journal.failed(self.run)?;
        let Counts { confirmed, unreachable, failed: now, .. } = self.counts;
        Ok(match self.stop {
            Some(Stop::Signal(exit)) => *exit,
            Some(Stop::KeyRejected) => Exit::KeyRejected,
            Some(Stop::Unreachable(_)) => Exit::Unreachable,
            Some(Stop::Errors(_)) => Exit::Failed,
            None if *confirmed == 0 && *now > 0 && unreachable == now => Exit::Unreachable,
            None if failed > 0 => Exit::Failed,
            None => Exit::Done,
        })
    }

    pub fn print(&self, ui: Ui) -> Result<()> {
        let failed = self.journal.failed(self.run)?;
        let by_code = self.journal.failed_by_code(self.run)?;
        let counts = self.counts;
        let seconds = self.elapsed.as_secs_f64();
        let rejects: Vec<_> =
            self.rejects.iter().map(Rejects::path).filter(|path| path.exists()).collect();
        let next = self.next(failed, &rejects);
        ui.event(&json!({
            "event": "finished", "run": self.run.id, "complete": self.stop.is_none(),
            "confirmed": counts.confirmed, "failed": failed, "unsent": counts.unsent,
            "confirmed_earlier": counts.earlier, "unchanged": counts.unchanged,
            "outdated": counts.outdated, "superseded": counts.superseded, "empty": counts.empty,
            "failed_by_code": by_code.iter().map(|(code, count, _)| (code.to_string(), *count))
                .collect::<std::collections::BTreeMap<_, _>>(),
            "elapsed_ms": (seconds * 1000.0).round(),
            "rejects": rejects.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            "next": next,
        }));
        let rate = counts.confirmed as f64 / seconds.max(0.001);
        let mut text = format!(
            "{} confirmed in {} ({rate:.0}/s)",
            counted(counts.confirmed, "row"),
            shown(seconds)
        );
        for (count, what) in [
            (counts.earlier, "confirmed earlier"),
            (counts.unchanged, "unchanged, not sent"),
            (counts.outdated, "not sent: a newer row of the user was confirmed"),
            (counts.superseded, "not sent: a later row of the user follows"),
            (counts.empty, "without a field, not sent"),
        ] {
            if count > 0 {
                text.push_str(&format!("\n{} {what}", grouped(count)));
            }
        }
        if failed > 0 {
            text.push_str(&format!("\n{} failed:", grouped(failed)));
            for (code, count, message) in by_code {
                text.push_str(&format!("\n  {} × {code}: {message}", grouped(count)));
            }
        }
        match self.stop {
            None => {}
            Some(Stop::Signal(_)) => {
                text.push_str("\nStopped in good order; the journal is written.")
            }
            Some(Stop::KeyRejected) => text.push_str("\nStopped: the server rejects the API key."),
            Some(Stop::Unreachable(why)) => text.push_str(&format!("\nStopped, no answer: {why}")),
            Some(Stop::Errors(why)) => text.push_str(&format!("\nStopped: {why}.")),
        }
        for path in rejects {
            text.push_str(&format!("\nRejects: {}", path.display()));
        }
        if let Some(next) = next {
            text.push_str(&format!("\nNext, with the same options: {next}"));
        }
        if ui.is_quiet() && self.exit()? != Exit::Done {
            ui.words(&text);
        }
        ui.print(&text);
        Ok(())
    }

    /// Returns the next command to run.
    fn next(&self, failed: u64, rejects: &[&Path]) -> Option<String> {
        let journal = match self.own_journal {
            true => format!(" --journal {}", quoted(self.path)),
            false => String::new(),
        };
        if self.stop.is_some() {
            let files: Vec<_> = self.files.iter().map(|file| quoted(file)).collect();
            return Some(format!("commbox sync {}{journal} --resume", files.join(" ")));
        }
        let files: Vec<_> = rejects.iter().map(|file| quoted(file)).collect();
        (failed > 0 && !files.is_empty())
            .then(|| format!("mend the rejects, then commbox sync {}{journal}", files.join(" ")))
    }
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "._-/\\:".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        return text;
    }
    if cfg!(windows) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
