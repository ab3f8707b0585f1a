//! Encodes a flow as numbers that the processes of a group share. Numbers that are read are never
//! trusted.

use std::time::Duration;

use super::curve::{Curve, SLOWEST};
use super::{Flow, Moment, Pause, Why};

/// The number of words that a flow needs.
pub(crate) const WORDS: usize = 40;

/// No moment can be further ahead than this: the longest pause is an hour.
const AHEAD: Duration = Duration::from_secs(2 * 3600);

const NONE: u64 = u64::MAX;

impl Flow {
    /// Encodes what the processes of a group share: everything except the caller's limit and the
    /// random state.
    pub(crate) fn to_words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        let mut writer = Writer(words.iter_mut());
        let curve = self.curve;
        writer.put(curve.is_some().into());
        let curve = curve.unwrap_or(Curve {
            ceiling: 0.0,
            cut: 0.0,
            since: Moment::ZERO,
            strikes: 0,
            rough: false,
        });
        writer.put(curve.ceiling.to_bits());
        writer.put(curve.cut.to_bits());
        writer.moment(curve.since);
        writer.put(curve.strikes.into());
        writer.put(curve.rough.into());
        writer.put(match self.pause.map(|pause| pause.why) {
            None => 0,
            Some(Why::Throttled) => 1,
            Some(Why::Outage) => 2,
        });
        let pause = self.pause.unwrap_or(Pause {
            why: Why::Outage,
            until: Moment::ZERO,
            length: 0.0,
            probe: None,
        });
        writer.moment(pause.until);
        writer.put(pause.length.to_bits());
        writer.optional(pause.probe);
        for word in [self.epoch, self.version] {
            writer.put(word);
        }
        for moment in [self.next, self.paused_at, self.resumed] {
            writer.moment(moment);
        }
        writer.optional(self.ramp);
        writer.optional(self.refused_since);
        writer.put(self.failures.into());
        writer.moment(self.failing_since);
        writer.put(self.lost_probes.into());
        writer.moment(self.slowest);
        writer.put(self.taken.tenth);
        for count in self.taken.counts {
            writer.put(count.into());
        }
        words
    }

    /// Takes over the state that another process of the group stored. Returns false if it is
    /// invalid.
    pub(crate) fn take_words(&mut self, words: &[u64; WORDS], now: Moment) -> bool {
        match Self::read(self.clone(), words, now) {
            Some(flow) => {
                *self = flow;
                true
            }
            None => false,
        }
    }

    fn read(mut flow: Self, words: &[u64; WORDS], now: Moment) -> Option<Self> {
        let mut reader = Reader { words: words.iter(), latest: now.saturating_add(AHEAD) };
        let has_curve = reader.flag()?;
        let curve = Curve {
            ceiling: reader.float(0.0, 1e9)?,
            cut: reader.float(0.0, 1.0)?,
            since: reader.moment()?,
            strikes: reader.small()?,
            rough: reader.flag()?,
        };
        flow.curve = has_curve.then_some(curve);
        if has_curve && (curve.ceiling < SLOWEST || curve.cut < 0.1) {
            return None;
        }
        let why = match reader.get()? {
            0 => None,
            1 => Some(Why::Throttled),
            2 => Some(Why::Outage),
            _ => return None,
        };
        let (until, length, probe) =
            (reader.moment()?, reader.float(0.0, 7200.0)?, reader.optional()?);
        flow.pause = why.map(|why| Pause { why, until, length, probe });
        (flow.epoch, flow.version) = (reader.count()?, reader.count()?);
        (flow.next, flow.paused_at, flow.resumed) =
            (reader.moment()?, reader.moment()?, reader.moment()?);
        (flow.ramp, flow.refused_since) = (reader.optional()?, reader.optional()?);
        (flow.failures, flow.failing_since, flow.lost_probes) =
            (reader.small()?, reader.moment()?, reader.small()?);
        flow.slowest = reader.moment().filter(|slowest| *slowest <= AHEAD)?;
        flow.taken.tenth =
            reader.get().filter(|tenth| u128::from(*tenth) <= (now + AHEAD).as_millis() / 100)?;
        for count in &mut flow.taken.counts {
            *count = reader.small()?;
        }
        Some(flow)
    }
}

struct Writer<'a>(std::slice::IterMut<'a, u64>);

impl Writer<'_> {
    fn put(&mut self, value: u64) {
        if let Some(word) = self.0.next() {
            *word = value;
        }
    }

    fn moment(&mut self, moment: Moment) {
        self.put(u64::try_from(moment.as_nanos()).unwrap_or(NONE - 1));
    }

    fn optional(&mut self, moment: Option<Moment>) {
        match moment {
            Some(moment) => self.moment(moment),
            None => self.put(NONE),
        }
    }
}

struct Reader<'a> {
    words: std::slice::Iter<'a, u64>,
    latest: Moment,
}

impl Reader<'_> {
    fn get(&mut self) -> Option<u64> {
        self.words.next().copied()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.get()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.get()?).ok()
    }

    /// Reads a counter that is far from overflowing.
    fn count(&mut self) -> Option<u64> {
        self.get().filter(|count| *count < u64::MAX / 2)
    }

    fn float(&mut self, least: f64, most: f64) -> Option<f64> {
        Some(f64::from_bits(self.get()?)).filter(|value| (least..=most).contains(value))
    }

    fn moment(&mut self) -> Option<Moment> {
        Some(Moment::from_nanos(self.get()?)).filter(|moment| *moment <= self.latest)
    }

    fn optional(&mut self) -> Option<Option<Moment>> {
        let mut ahead = self.words.clone();
        if ahead.next() == Some(&NONE) {
            self.words = ahead;
            return Some(None);
        }
        self.moment().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, Turn};
    use super::*;

    const START: Moment = Duration::from_secs(100_000);

    /// Returns flows in many states.
    fn flows() -> Vec<Flow> {
        let mut flow = Flow::new(0.0, 7).ramp(START);
        let mut flows = vec![Flow::new(5.0, 3), flow.clone()];
        let mut now = START;
        for step in 0..400_u64 {
            now += Duration::from_millis(40);
            if let Turn::Go(ticket) = flow.ask(now, &mut None) {
                let outcome = match step % 40 {
                    7 | 8 | 31 => Outcome::Throttled { asked: None, policy: None },
                    15..=28 => Outcome::Failed { asked: None, timed_out: step % 3 == 0 },
                    _ => Outcome::Accepted { exhausted: None },
                };
                flow.report(now, ticket, outcome);
            }
            flows.push(flow.clone());
        }
        assert!(flows.iter().any(|flow| flow.paused().is_some_and(|(why, _)| why == Why::Outage)));
        flows
    }

    #[test]
    fn a_stored_flow_is_restored_unchanged() {
        for flow in flows() {
            let mut other = Flow::new(flow.limit, 0);
            assert!(other.take_words(&flow.to_words(), START + Duration::from_secs(20)));
            other.random_state = flow.random_state;
            assert_eq!(format!("{other:?}"), format!("{flow:?}"));
        }
    }

    #[test]
    fn corrupt_words_are_rejected_or_give_a_usable_flow() {
        let now = START + Duration::from_secs(20);
        let mut random_state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            random_state ^= random_state << 13;
            random_state ^= random_state >> 7;
            random_state ^= random_state << 17;
            random_state
        };
        let mut refused = 0;
        for flow in flows() {
            for word in 0..WORDS {
                let mut words = flow.to_words();
                words[word] = match random() % 6 {
                    0 => 0,
                    1 => u64::MAX,
                    2 => f64::NAN.to_bits(),
                    3 => f64::INFINITY.to_bits(),
                    4 => random() % 1000,
                    _ => random(),
                };
                let mut other = flow.clone();
                if !other.take_words(&words, now) {
                    assert_eq!(format!("{other:?}"), format!("{flow:?}"));
                    refused += 1;
                    continue;
                }
                let mut slot = None;
                if let Turn::Go(ticket) = other.ask(now, &mut slot) {
                    other.report(now, ticket, Outcome::Throttled { asked: None, policy: None });
                }
                assert!(other.paused().is_none_or(|(_, until)| until <= now + AHEAD));
                other.earliest(now, 10, now + Duration::from_secs(60));
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
