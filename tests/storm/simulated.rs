//! Senders and servers in simulated time. The senders use the library's own code.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::flow::{Budget, Flow, Moment, Slot, Ticket, Turn};
use super::servers::{Answer, Server};

/// A process that sends updates through one client.
#[derive(Clone)]
pub struct Plan {
    pub updates: usize,
    pub workers: usize,
    pub joins: Duration,
    /// The process ends at this time, even if updates remain.
    pub leaves: Option<Duration>,
    /// Whether it shares the group's state.
    pub grouped: bool,
    /// The maximum number of retries after a transient failure outside of an outage. During an
    /// outage, a batch does not retry an update.
    pub max_retries: u32,
}

impl Plan {
    pub fn batch(updates: usize) -> Self {
        Self {
            updates,
            workers: 8,
            joins: Duration::ZERO,
            leaves: None,
            grouped: false,
            max_retries: 3,
        }
    }
}

/// The result of a storm.
#[derive(Debug, Default)]
pub struct Storm {
    /// How long each process took, counted from when it joined.
    pub took: Vec<f64>,
    /// When all of them had finished.
    pub end: f64,
    pub lost: usize,
    /// When each request was sent, when the server answered it, and the answer.
    pub requests: Vec<(f64, f64, Answer)>,
}

impl Storm {
    pub fn refused(&self) -> f64 {
        let refused = self
            .requests
            .iter()
            .filter(|(_, _, answer)| matches!(answer, Answer::Refused(_)))
            .count();
        refused as f64 / self.requests.len() as f64
    }

    /// Returns how many requests were accepted, and when the last one was.
    pub fn accepted(&self) -> (usize, f64) {
        let accepted = self.requests.iter().filter(|(_, _, answer)| *answer == Answer::Accepted);
        accepted.fold((0, 0.0_f64), |(count, last), (_, at, _)| (count + 1, last.max(*at)))
    }

    pub fn spread(&self) -> f64 {
        let most = self.took.iter().copied().fold(0.0, f64::max);
        most / self.took.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Returns the number of accepted requests per second in this interval.
    pub fn rate(&self, from: f64, to: f64) -> f64 {
        let within = |at: f64| (from..to).contains(&at);
        let accepted = self
            .requests
            .iter()
            .filter(|(_, at, answer)| *answer == Answer::Accepted && within(*at));
        accepted.count() as f64 / (to - from)
    }
}

enum Event {
    Wake,
    Arrive(Ticket, Moment, u32),
    Back(Ticket, Answer, u32),
    Retry(u32),
}

struct Sender {
    plan: Plan,
    /// The index of its own flow, or of the group's.
    flow: usize,
    slot: Option<Slot>,
    wakes: Option<Moment>,
    budget: Budget,
    left: usize,
    /// Updates to retry now, each as the number of its previous retries. They are sent before new
    /// ones.
    again: Vec<u32>,
    busy: usize,
    finished: usize,
    lost: usize,
    ended: Option<Moment>,
}

pub struct World<'a> {
    now: Moment,
    server: &'a mut dyn Server,
    flows: Vec<Flow>,
    senders: Vec<Sender>,
    events: BinaryHeap<Reverse<(Moment, u64)>>,
    details: HashMap<u64, (usize, Event)>,
    count: u64,
    dice: u64,
    storm: Storm,
}

/// The one-way latency to the server, without its random part.
const WAY: Duration = Duration::from_micros(2_000);

/// How often a process of a group checks whether another process's probe request has finished.
const GROUP_LOOK: Duration = Duration::from_millis(20);

/// The clock does not start at zero.
const START: Moment = Duration::from_secs(100_000);

pub fn play(server: &mut dyn Server, plans: &[Plan], limit: f64, seed: u64) -> Storm {
    let mut world = World {
        now: START,
        server,
        flows: vec![Flow::new(limit, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).ramp(START)],
        senders: Vec::new(),
        events: BinaryHeap::new(),
        details: HashMap::new(),
        count: 0,
        dice: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1,
        storm: Storm::default(),
    };
    for (index, plan) in plans.iter().enumerate() {
        let flow = if plan.grouped { 0 } else { world.flows.len() };
        if !plan.grouped {
            world.flows.push(Flow::new(limit, seed * 1000 + 7919 * index as u64 + 1));
        }
        world.senders.push(Sender {
            plan: plan.clone(),
            flow,
            slot: None,
            wakes: None,
            budget: Budget::default(),
            left: plan.updates,
            again: Vec::new(),
            busy: 0,
            finished: 0,
            lost: 0,
            ended: None,
        });
        world.at(START + plan.joins, index, Event::Wake);
    }
    world.run();
    world.storm
}

impl World<'_> {
    fn at(&mut self, at: Moment, sender: usize, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count)));
        self.details.insert(self.count, (sender, event));
    }

    /// Schedules a process to wake up at `at`, unless it will wake up earlier.
    fn wake(&mut self, at: Moment, index: usize) {
        let sender = &mut self.senders[index];
        if sender.wakes.is_none_or(|wakes| wakes <= self.now || wakes > at) {
            sender.wakes = Some(at);
            self.at(at, index, Event::Wake);
        }
    }

    /// Returns a random duration of at most `most`.
    fn random(&mut self, most: Duration) -> Duration {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        most.mul_f64((self.dice >> 40) as f64 / (1_u64 << 24) as f64)
    }

    fn run(&mut self) {
        let end = START + Duration::from_secs(3600);
        while let Some(Reverse((at, number))) = self.events.pop() {
            let (index, event) = self.details.remove(&number).expect("each event is there once");
            self.now = at;
            assert!(at < end, "an hour is over");
            match event {
                Event::Wake => {}
                Event::Arrive(ticket, left, retries) => {
                    let answer = self.server.answer(at - START);
                    self.storm.requests.push((
                        (left - START).as_secs_f64(),
                        (at - START).as_secs_f64(),
                        answer,
                    ));
                    let back = at + WAY + self.random(WAY) / 2;
                    self.at(back, index, Event::Back(ticket, answer, retries));
                }
                Event::Back(ticket, answer, retries) => self.back(index, ticket, answer, retries),
                Event::Retry(retries) => self.senders[index].again.push(retries),
            }
            self.poke(index);
        }
        for sender in &self.senders {
            let ended = sender.ended.unwrap_or(self.now);
            self.storm.took.push((ended - START - sender.plan.joins).as_secs_f64());
            self.storm.end = self.storm.end.max((ended - START).as_secs_f64());
            self.storm.lost += sender.lost;
        }
    }

    fn back(&mut self, index: usize, ticket: Ticket, answer: Answer, retries: u32) {
        let now = self.now;
        let sender = &mut self.senders[index];
        let flow = &mut self.flows[sender.flow];
        flow.report(now, ticket, answer.outcome());
        match answer {
            Answer::Accepted => {
                sender.budget.success();
                sender.busy -= 1;
                sender.finished += 1;
            }
            Answer::Refused(_) => sender.again.push(retries),
            Answer::Failed | Answer::Unreachable => {
                if flow.paused().is_some() {
                    sender.again.push(retries);
                } else if retries < sender.plan.max_retries && sender.budget.take(false) {
                    let wait = self.random(Duration::from_millis(500 << retries));
                    self.at(now + wait, index, Event::Retry(retries + 1));
                } else {
                    sender.busy -= 1;
                    sender.lost += 1;
                }
            }
        }
        let sender = &mut self.senders[index];
        if sender.finished + sender.lost == sender.plan.updates {
            sender.ended.get_or_insert(now);
        }
    }

    /// Lets a process send as many requests as it may.
    fn poke(&mut self, index: usize) {
        let now = self.now;
        loop {
            let sender = &mut self.senders[index];
            let is_there = now >= START + sender.plan.joins
                && sender.plan.leaves.is_none_or(|leaves| now < START + leaves);
            let waits =
                !sender.again.is_empty() || (sender.left > 0 && sender.busy < sender.plan.workers);
            if !is_there || !waits {
                return;
            }
            match self.flows[sender.flow].ask(now, &mut sender.slot) {
                Turn::Go(ticket) => {
                    let retries = sender.again.pop().unwrap_or_else(|| {
                        sender.left -= 1;
                        sender.busy += 1;
                        0
                    });
                    let arrives = now + WAY + self.random(WAY) / 2;
                    self.at(arrives, index, Event::Arrive(ticket, now, retries));
                }
                Turn::Wait(until) => {
                    let late = self.random(Duration::from_micros(300));
                    self.wake(until + late, index);
                    return;
                }
                Turn::Probing(given_up) => {
                    // The other processes of a group are not notified. They poll.
                    let look = if sender.plan.grouped { now + GROUP_LOOK } else { given_up };
                    self.wake(look.min(given_up), index);
                    return;
                }
            }
        }
    }
}
