//! Servers with rate limits, and senders that find the rate at which they may send.
//!
//! Most tests run in simulated time: the servers and networks are models (`storm/`), and the
//! senders use the library's own code, which is included here. The other tests use real servers,
//! for a short time. To print the figures as a table:
//!
//! ```text
//! cargo test --release --test storm -- --nocapture figures
//! ```

mod faults;
#[allow(dead_code, unused_imports)]
#[path = "../src/delivery/flow/mod.rs"]
mod flow;
#[path = "storm/nginx.rs"]
mod nginx;
#[path = "storm/processes.rs"]
mod processes;
#[path = "storm/real.rs"]
mod real;
#[path = "storm/servers.rs"]
mod servers;
#[path = "storm/simulated.rs"]
mod simulated;

use std::time::Duration;

use servers::{Answer, Bucket, Down, Fixed, Free, Nginx, Says, Server, Sliding, Then};
use simulated::{play, Plan, Storm};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

type Make = fn() -> Box<dyn Server>;

/// A kind of server: its constructor, and the minimum time that it needs to accept a number of
/// updates.
struct Kind {
    name: &'static str,
    ideal: fn(f64) -> f64,
    make: Make,
}

fn minute(accepted: f64) -> f64 {
    // 3,000 per minute. The last window does not have to be complete.
    60.0 * ((accepted / 3000.0).ceil() - 1.0)
}

fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            name: "nginx limit_req, 50 a second",
            ideal: |accepted| accepted / 50.0,
            make: || Box::new(Nginx(Bucket::new(50.0, 1.0))),
        },
        Kind {
            name: "bucket of 100 a second, burst 20",
            ideal: |accepted| (accepted - 20.0) / 100.0,
            make: || Box::new(Bucket::new(100.0, 20.0)),
        },
        Kind {
            name: "bucket of 200 a second, burst 200",
            ideal: |accepted| (accepted - 200.0) / 200.0,
            make: || Box::new(Bucket::new(200.0, 200.0)),
        },
        Kind {
            name: "200 in any second",
            ideal: |accepted| accepted / 200.0,
            make: || Box::new(Sliding::new(200)),
        },
        Kind {
            name: "3,000 a minute, says nothing",
            ideal: minute,
            make: || Box::new(Fixed::new(seconds(60), 3000, Says::Nothing)),
        },
        Kind {
            name: "3,000 a minute, Retry-After: 0",
            ideal: minute,
            make: || Box::new(Fixed::new(seconds(60), 3000, Says::Seconds(0))),
        },
        Kind {
            name: "3,000 a minute, Retry-After: 1",
            ideal: minute,
            make: || Box::new(Fixed::new(seconds(60), 3000, Says::Seconds(1))),
        },
        Kind {
            name: "3,000 a minute, Retry-After: the rest",
            ideal: minute,
            make: || Box::new(Fixed::new(seconds(60), 3000, Says::Rest)),
        },
        Kind {
            name: "3,000 a minute, Retry-After: a date",
            ideal: minute,
            make: || Box::new(Fixed::new(seconds(60), 3000, Says::Date)),
        },
    ]
}

/// Returns the sets of senders. Each set sends `updates`, a large number.
fn senders(updates: usize) -> Vec<(&'static str, Vec<Plan>)> {
    let of = |processes: usize| vec![Plan::batch(updates / processes); processes];
    let mut late = of(8);
    let mut leaving = of(8);
    for plan in late.iter_mut().take(2) {
        plan.joins = seconds(10);
    }
    for plan in leaving.iter_mut().take(2) {
        plan.leaves = Some(seconds(5));
    }
    let grouped = vec![Plan { grouped: true, ..Plan::batch(updates / 8) }; 8];
    vec![
        ("1 process", of(1)),
        ("4 processes", of(4)),
        ("8 processes", of(8)),
        ("8, of which 2 join after 10 s", late),
        ("8, of which 2 leave after 5 s", leaving),
        ("8 of a rate_group", grouped),
    ]
}

/// The time that each set of senders takes with each server, divided by the ideal time.
#[test]
fn every_set_of_senders_uses_every_server_well() {
    let mut bad = Vec::new();
    for kind in kinds() {
        for (who, plans) in senders(4000) {
            let times = over_seeds(3, |seed| {
                let storm = play((kind.make)().as_mut(), &plans, 0.0, seed);
                assert_eq!(storm.lost, 0, "{} with {who}", kind.name);
                let (accepted, end) = storm.accepted();
                let all_stay = plans.iter().all(|plan| plan.leaves.is_none());
                assert!(accepted == 4000 || !all_stay, "{} with {who}: {accepted}", kind.name);
                end / (kind.ideal)(accepted as f64)
            });
            println!(
                "{} with {who}: {:.2} times the ideal, {:.2} at worst",
                kind.name,
                times.median(),
                times.worst()
            );
            // Without a burst, the server rejects requests of other processes that arrive shortly
            // after a request of one process. The processes can only use part of the rate, unless
            // they share a rate_group.
            let is_crowded = kind.name.starts_with("nginx")
                && plans.len() > 1
                && !plans.iter().all(|plan| plan.grouped);
            if times.median() > if is_crowded { 8.0 } else { 1.8 } {
                bad.push((kind.name, who, times.median()));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// The sorted results of many storms.
struct Spread(Vec<f64>);

impl Spread {
    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    fn worst(&self) -> f64 {
        *self.0.last().unwrap()
    }
}

fn over_seeds(seeds: u64, figure: impl FnMut(u64) -> f64) -> Spread {
    let mut values: Vec<f64> = (1..=seeds).map(figure).collect();
    values.sort_by(f64::total_cmp);
    Spread(values)
}

/// Prints a figure beside its target, and asserts that its median is at most `bound`.
fn assert_median(what: &str, asked: &str, bound: f64, spread: &Spread) {
    println!("| {what} | {asked} | {:.3} | {:.3} |", spread.median(), spread.worst());
    assert!(spread.median() <= bound, "{what}: {} is more than {bound}", spread.median());
}

const SEEDS: u64 = 20;

#[test]
fn figures() {
    println!("| | asked for | median | worst of {SEEDS} |\n| --- | --- | --- | --- |");
    let many = |make: Make, plans: &[Plan]| -> Vec<Storm> {
        (1..=SEEDS).map(|seed| play(make().as_mut(), plans, 0.0, seed)).collect()
    };
    let of = |storms: &[Storm], figure: &dyn Fn(&Storm) -> f64| {
        over_seeds(SEEDS, |seed| figure(&storms[seed as usize - 1]))
    };
    let lost = |what: &str, storms: &[Storm]| {
        assert_median(&format!("{what}: lost"), "0", 0.0, &of(storms, &|storm| storm.lost as f64));
    };

    let what = "nginx limit_req 50/s without burst, 2,000 updates";
    let storms = many(|| Box::new(Nginx(Bucket::new(50.0, 1.0))), &[Plan::batch(2000)]);
    lost(what, &storms);
    let unused = of(&storms, &|storm| 1.0 - storm.rate(10.0, storm.accepted().1 - 0.5) / 50.0);
    assert_median(&format!("{what}: share of the rate not used after 10 s"), "0.15", 0.15, &unused);
    assert_median(&format!("{what}: share refused"), "0.05", 0.05, &of(&storms, &Storm::refused));

    let what = "sliding 200/s, 8 × 500";
    let storms = many(|| Box::new(Sliding::new(200)), &vec![Plan::batch(500); 8]);
    lost(what, &storms);
    assert_median(
        &format!("{what}: times the ideal"),
        "1.4",
        1.4,
        &of(&storms, &|storm| storm.end / 20.0),
    );
    assert_median(&format!("{what}: slowest ÷ fastest"), "1.8", 1.8, &of(&storms, &Storm::spread));
    assert_median(&format!("{what}: share refused"), "0.025", 0.025, &of(&storms, &Storm::refused));

    let what = "the same with rate_group";
    let grouped = Plan { grouped: true, ..Plan::batch(500) };
    let storms = many(|| Box::new(Sliding::new(200)), &vec![grouped; 8]);
    lost(what, &storms);
    assert_median(
        &format!("{what}: times the ideal"),
        "1.15",
        1.15,
        &of(&storms, &|storm| storm.end / 20.0),
    );
    assert_median(&format!("{what}: slowest ÷ fastest"), "1.1", 1.1, &of(&storms, &Storm::spread));
    assert_median(&format!("{what}: share refused"), "0.005", 0.005, &of(&storms, &Storm::refused));

    let what = "two of eight join 10 s late";
    let mut plans = vec![Plan::batch(500); 8];
    for plan in plans.iter_mut().take(2) {
        plan.joins = seconds(10);
    }
    let storms = many(|| Box::new(Sliding::new(200)), &plans);
    lost(what, &storms);
    assert_median(
        &format!("{what}: times the ideal"),
        "1.3",
        1.3,
        &of(&storms, &|storm| storm.end / 20.0),
    );

    let makes: [(&str, Make); 5] = [
        ("nothing", || Box::new(Fixed::new(seconds(60), 3000, Says::Nothing))),
        ("0", || Box::new(Fixed::new(seconds(60), 3000, Says::Seconds(0)))),
        ("1", || Box::new(Fixed::new(seconds(60), 3000, Says::Seconds(1)))),
        ("the rest", || Box::new(Fixed::new(seconds(60), 3000, Says::Rest))),
        ("a date", || Box::new(Fixed::new(seconds(60), 3000, Says::Date))),
    ];
    for (says, make) in makes {
        for processes in [1, 8] {
            let what = format!("3,000 a minute, Retry-After {says}, {processes} processes");
            let storms = many(make, &vec![Plan::batch(4000 / processes); processes]);
            lost(&what, &storms);
            assert_median(
                &format!("{what}: times the ideal"),
                "1.1",
                1.1,
                &of(&storms, &|storm| storm.end / 61.0),
            );
        }
    }

    for (name, answer) in [("unreachable", Answer::Unreachable), ("503", Answer::Failed)] {
        let what = format!("down for 60 s ({name}), batch of 20,000");
        let storms: Vec<_> = (1..=SEEDS)
            .map(|seed| {
                let mut server = Down { server: Free, from: seconds(1), to: seconds(61), answer };
                play(&mut server, &[Plan::batch(20_000)], 0.0, seed)
            })
            .collect();
        lost(&what, &storms);
        // The server receives the 8 requests that are in flight when it goes down. A probe is sent
        // at least every 4 s, so that the client detects within 5 s that the server is up again.
        let within = |storm: &Storm| {
            storm.requests.iter().filter(|(left, ..)| (1.0..61.0).contains(left)).count()
        };
        assert_median(
            &format!("{what}: requests in the minute"),
            "12",
            30.0,
            &of(&storms, &|storm| within(storm) as f64),
        );
        let missing = of(&storms, &|storm| 1.0 - storm.rate(66.0, 66.5) / storm.rate(0.2, 0.9));
        assert_median(&format!("{what}: share of the rate missing after 5 s"), "0", 0.1, &missing);
    }

    let what = "one process, bucket 200/s, burst 200";
    let storms = many(|| Box::new(Bucket::new(200.0, 200.0)), &[Plan::batch(5000)]);
    lost(what, &storms);
    assert_median(
        &format!("{what}: times the ideal"),
        "1.05",
        1.05,
        &of(&storms, &|storm| storm.end / 24.0),
    );
    assert_median(&format!("{what}: share refused"), "0.004", 0.004, &of(&storms, &Storm::refused));

    for rate in [1.0, 7.0, 20.0] {
        let freed = over_seeds(SEEDS, |seed| {
            let mut server = Then { first: Bucket::new(rate, 1.0), at: seconds(60), second: Free };
            let storm =
                play(&mut server, &[Plan { workers: 64, ..Plan::batch(20_000) }], 0.0, seed);
            let half_seconds = (120..400).find(|half| {
                storm.rate(f64::from(*half) / 2.0, f64::from(half + 1) / 2.0) >= 200.0
            });
            f64::from(half_seconds.unwrap_or(400)) / 2.0 - 60.0
        });
        assert_median(
            &format!("a limit of {rate}/s is gone: seconds until 200/s"),
            "25",
            25.0,
            &freed,
        );
    }
}
