//! Models of servers, each with its own way to count the requests that it accepts.

use std::collections::VecDeque;
use std::time::Duration;

use super::flow::Outcome;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Accepted,
    /// A 429, and its `Retry-After` as the client parses it.
    Refused(Option<Duration>),
    /// A 503.
    Failed,
    /// Nothing listens.
    Unreachable,
}

impl Answer {
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Accepted => Outcome::Accepted { exhausted: None },
            Self::Refused(asked) => Outcome::Throttled { asked, policy: None },
            Self::Failed => Outcome::Failed { asked: None, timed_out: false },
            Self::Unreachable => Outcome::Failed { asked: None, timed_out: false },
        }
    }
}

pub trait Server: Send {
    /// Answers a request that arrives now.
    fn answer(&mut self, now: Duration) -> Answer;
}

/// A token bucket with a rate and a burst. nginx's `limit_req` is equivalent, with a burst that is
/// one lower and a clock in milliseconds.
pub struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, tokens: burst, at: Duration::ZERO }
    }
}

impl Server for Bucket {
    fn answer(&mut self, now: Duration) -> Answer {
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.rate).min(self.burst);
        self.at = now;
        if self.tokens < 1.0 {
            return Answer::Refused(None);
        }
        self.tokens -= 1.0;
        Answer::Accepted
    }
}

/// nginx's `limit_req`: its clock has a resolution of one millisecond.
pub struct Nginx(pub Bucket);

impl Server for Nginx {
    fn answer(&mut self, now: Duration) -> Answer {
        self.0.answer(Duration::from_millis(now.as_millis() as u64))
    }
}

/// Accepts up to `limit` requests in any second.
pub struct Sliding {
    limit: usize,
    taken: VecDeque<Duration>,
}

impl Sliding {
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: VecDeque::new() }
    }
}

impl Server for Sliding {
    fn answer(&mut self, now: Duration) -> Answer {
        while self.taken.front().is_some_and(|at| *at + Duration::from_secs(1) <= now) {
            self.taken.pop_front();
        }
        if self.taken.len() >= self.limit {
            return Answer::Refused(None);
        }
        self.taken.push_back(now);
        Answer::Accepted
    }
}

/// What a server sends as `Retry-After`.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    Nothing,
    /// Always this number of seconds.
    Seconds(u64),
    /// The rest of the window, in whole seconds, rounded up.
    Rest,
    /// The rest of the window, rounded down, as it is in a date.
    Date,
}

/// Accepts up to `limit` requests in each window of the server's clock.
pub struct Fixed {
    window: Duration,
    limit: u64,
    says: Says,
    number: u128,
    taken: u64,
}

impl Fixed {
    pub fn new(window: Duration, limit: u64, says: Says) -> Self {
        Self { window, limit, says, number: 0, taken: 0 }
    }
}

impl Server for Fixed {
    fn answer(&mut self, now: Duration) -> Answer {
        let number = now.as_nanos() / self.window.as_nanos();
        if number != self.number {
            (self.number, self.taken) = (number, 0);
        }
        if self.taken < self.limit {
            self.taken += 1;
            return Answer::Accepted;
        }
        let rest = self.window.as_secs_f64() * (number + 1) as f64 - now.as_secs_f64();
        Answer::Refused(match self.says {
            Says::Nothing => None,
            Says::Seconds(seconds) => Some(Duration::from_secs(seconds)),
            Says::Rest => Some(Duration::from_secs_f64(rest.ceil())),
            Says::Date => Some(Duration::from_secs_f64(rest.floor())),
        })
    }
}

/// A server that is unreachable, or fails, between two points in time.
pub struct Down<S> {
    pub server: S,
    pub from: Duration,
    pub to: Duration,
    pub answer: Answer,
}

impl<S: Server> Server for Down<S> {
    fn answer(&mut self, now: Duration) -> Answer {
        match (self.from..self.to).contains(&now) {
            true => self.answer,
            false => self.server.answer(now),
        }
    }
}

/// A server that is replaced by another one at some time.
pub struct Then<A, B> {
    pub first: A,
    pub at: Duration,
    pub second: B,
}

impl<A: Server, B: Server> Server for Then<A, B> {
    fn answer(&mut self, now: Duration) -> Answer {
        match now < self.at {
            true => self.first.answer(now),
            false => self.second.answer(now),
        }
    }
}

pub struct Free;

impl Server for Free {
    fn answer(&mut self, _: Duration) -> Answer {
        Answer::Accepted
    }
}
