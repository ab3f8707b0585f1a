//! Reports the state of the line: to the log when requests are paused or resume, and in statistics.

use crate::delivery::flow::{Moment, Why};
use crate::delivery::line::{Line, State};
use crate::error::millis;
use crate::log::{Event, LogLevel};
use crate::stats::{LineState, LineStats};

impl Line {
    /// Returns the present state.
    pub(crate) fn stats(&self) -> LineStats {
        let (mut paused, mut pace, mut learned, mut moment) = (None, None, None, Moment::ZERO);
        self.locked(&mut |state, now| {
            let flow = &state.flow;
            (paused, pace, learned, moment) =
                (flow.paused(), flow.rate(now), flow.learned(now), now);
        });
        LineStats {
            state: match paused {
                None => LineState::Open,
                Some((Why::Throttled, _)) => LineState::Throttled,
                Some((Why::Outage, _)) => LineState::Outage,
            },
            requests_per_second: pace,
            learned_requests_per_second: learned,
            probe_in_ms: paused.map(|(_, until)| millis(until.saturating_sub(moment))),
        }
    }

    /// Logs that requests were paused or have resumed. The caller must not hold any lock.
    pub(super) fn emit(&self) {
        if !self.log.is_on() {
            return;
        }
        let mut news = None;
        self.locked(&mut |state, now| news = state.news(now));
        if let Some((level, event)) = news {
            self.log.emit(level, || event);
        }
    }
}

impl State {
    /// Returns the event for a change of the pause that has not been logged yet.
    fn news(&mut self, now: Moment) -> Option<(LogLevel, Event)> {
        let paused = self.flow.paused();
        match (self.told, paused) {
            (None, None) => None,
            (Some((told, _)), Some((why, _))) if told == why => None,
            (told, Some((why, until))) => {
                self.told = Some((why, told.map_or(now, |(_, since)| since)));
                let probe = millis(until.saturating_sub(now));
                let failures = self.flow.failing().1;
                Some(match why {
                    Why::Throttled => {
                        let sentence =
                            format!("the server throttles: requests are paused, with a probe request in {probe} ms");
                        let event = Event::new("throttled", sentence).with("probe_in_ms", probe);
                        (
                            LogLevel::Warning,
                            event.with("learned_requests_per_second", self.flow.learned(now)),
                        )
                    }
                    Why::Outage => {
                        let sentence = format!(
                            "outage: the last {failures} requests failed, and requests are paused, with a probe request \
                             in {probe} ms"
                        );
                        let event = Event::new("outage_began", sentence).with("failures", failures);
                        (LogLevel::Error, event.with("probe_in_ms", probe))
                    }
                })
            }
            (Some((told, since)), None) => {
                self.told = None;
                let (lasted, pace) = (millis(now.saturating_sub(since)), self.flow.rate(now));
                let rate = pace.map_or(String::new(), |pace| format!(" at {pace:.1} a second"));
                let after = if told == Why::Outage { "outage" } else { "throttled" };
                let event =
                    Event::new("resumed", format!("requests resume{rate}, after {lasted} ms"));
                let event = event.with("after", after).with("paused_ms", lasted);
                Some((LogLevel::Info, event.with("requests_per_second", pace)))
            }
        }
    }
}
