//! Shows the progress of a run: a bar on a terminal, lines elsewhere, events for programs.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use commbox::{Client, LineState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::ui::Ui;
use crate::units::grouped;

/// Interval between updates of the bar.
const DRAWN: Duration = Duration::from_millis(100);

/// Interval between events for programs.
const TOLD: Duration = Duration::from_secs(1);

/// Interval between lines if there is no terminal.
const PRINTED: Duration = Duration::from_secs(30);

/// The outcomes of the rows so far.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub confirmed: u64,
    pub failed: u64,
    /// Rows that need not be sent.
    pub left_out: u64,
}

pub struct Progress {
    ui: Ui,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    began: Instant,
    last: Instant,
    /// Since when the server has not answered.
    down_since: Option<Instant>,
}

impl Progress {
    pub fn new(ui: Ui, total: Option<u64>) -> Self {
        let now = Instant::now();
        let terminal = io::stderr().is_terminal() && !ui.is_quiet() && !ui.is_json();
        let bar = terminal.then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(total, target);
            let template = match total {
                Some(_) => "{wide_bar} {pos}/{len} rows, {msg}, ETA {eta}",
                None => "{spinner} {pos} rows, {msg}, {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { ui, total, bar, began: now, last: now, down_since: None }
    }

    /// Shows the progress if it is due.
    pub fn show(&mut self, client: &Client, counts: Counts) {
        let pause = match (&self.bar, self.ui.is_json()) {
            (Some(_), _) => DRAWN,
            (None, true) => TOLD,
            (None, false) => PRINTED,
        };
        if self.last.elapsed() < pause || self.ui.is_quiet() && !self.ui.is_json() {
            return;
        }
        self.last = Instant::now();
        let state = self.state(client);
        let Counts { confirmed, failed, left_out } = counts;
        let done = confirmed + failed + left_out;
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = (confirmed + failed) as f64 / seconds;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{rate:.0}/s, {} failed{state}", grouped(failed)));
        } else if self.ui.is_json() {
            self.ui.event(&json!({
                "event": "progress", "confirmed": confirmed, "failed": failed, "left_out": left_out,
                "total": self.total, "per_second": rate.round(),
                "state": state.trim_start_matches(", "),
            }));
        } else {
            let total =
                self.total.map_or_else(String::new, |total| format!(" of {}", grouped(total)));
            let eta = match self.total {
                Some(total) if rate > 0.0 && total > done => {
                    format!(", {} left", shown((total - done) as f64 / rate))
                }
                _ => String::new(),
            };
            let done = grouped(done);
            self.ui.words(&format!(
                "{done}{total} rows, {rate:.0}/s, {} failed{eta}{state}",
                grouped(failed)
            ));
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.ui.words(text)),
            None => self.ui.words(text),
        }
    }

    /// Removes the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn state(&mut self, client: &Client) -> String {
        let line = client.stats().line;
        let probe = line.probe_in_ms.map_or_else(String::new, |millis| {
            format!(", next probe in {} s", millis.div_ceil(1000))
        });
        if line.state != LineState::Outage {
            self.down_since = None;
        }
        match line.state {
            LineState::Outage => {
                let seconds = self.down_since.get_or_insert_with(Instant::now).elapsed().as_secs();
                format!(", server down for {seconds} s{probe}")
            }
            LineState::Throttled => format!(", rate limited, paused{probe}"),
            _ => match (line.learned_requests_per_second, line.requests_per_second) {
                (Some(rate), _) => format!(", rate limited, {rate:.0}/s"),
                (None, Some(rate)) => format!(", at most {rate:.0}/s"),
                (None, None) => String::new(),
            },
        }
    }
}

/// Formats a time for people.
pub fn shown(seconds: f64) -> String {
    match seconds {
        less if less < 10.0 => format!("{less:.1} s"),
        less if less < 120.0 => format!("{less:.0} s"),
        less if less < 7200.0 => format!("{:.0} min", less / 60.0),
        more => format!("{:.1} h", more / 3600.0),
    }
}
