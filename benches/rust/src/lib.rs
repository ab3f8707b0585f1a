//! The code that the contestants in Rust share: the command line, the threads, the clock, and
//! parsing the reply.

use std::env;
use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::CertificateDer;

pub const API_KEY: &str = "my-api-key";
pub const USER_ID: i64 = 94_382_332;

/// The command line of a contestant.
pub struct Work {
    pub url: String,
    pub ca_file: String,
    pub threads: usize,
    pub body: String,
    warmup: usize,
    calls: usize,
}

impl Work {
    pub fn endpoint(&self) -> String {
        format!("{}/users/{USER_ID}", self.url)
    }

    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error>> {
        if self.ca_file.is_empty() {
            return Ok(Vec::new());
        }
        Ok(CertificateDer::pem_file_iter(&self.ca_file)?.collect::<Result<_, _>>()?)
    }
}

type Reply = Result<String, Box<dyn Error>>;

/// Opens a client, makes the calls with it on all threads, and prints the figures.
pub fn run<C: Sync>(
    open: impl FnOnce(&Work) -> Result<C, Box<dyn Error>>,
    update: impl Fn(&C, &Work) -> Reply + Sync,
) -> ExitCode {
    match measure(open, update) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure<C: Sync>(
    open: impl FnOnce(&Work) -> Result<C, Box<dyn Error>>,
    update: impl Fn(&C, &Work) -> Reply + Sync,
) -> Result<(), Box<dyn Error>> {
    let [url, ca_file, threads, warmup, calls, body]: [String; 6] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: URL CA_FILE THREADS WARMUP CALLS BODY")?;
    let mut work = Work {
        url,
        ca_file,
        threads: threads.parse()?,
        body,
        warmup: warmup.parse()?,
        calls: calls.parse()?,
    };
    work.calls /= work.threads;
    let work = &work;

    let began = Instant::now();
    let client = &open(work)?;
    let opened = began.elapsed();

    // Passed four times: when all have warmed up, when the clock is running, when all have
    // finished, and when the figures are recorded.
    let barrier = &Barrier::new(work.threads + 1);
    let call = &|| match update(client, work).and_then(|reply| confirm(&reply)) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{error}");
            false
        }
    };
    let work_off = move || {
        let (mut succeeded, mut answered_at) = (0, 0.0);
        for number in 0..work.warmup {
            succeeded += usize::from(call());
            if number == 0 {
                answered_at =
                    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64());
            }
        }
        barrier.wait();
        barrier.wait();
        let mut times = Vec::with_capacity(work.calls);
        for _ in 0..work.calls {
            let began = Instant::now();
            succeeded += usize::from(call());
            times.push(began.elapsed());
        }
        barrier.wait();
        barrier.wait();
        (succeeded, answered_at, times)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..work.threads).map(|_| scope.spawn(work_off)).collect();
        barrier.wait();
        let processor = processor_time();
        let began = Instant::now();
        barrier.wait();
        barrier.wait();
        let seconds = began.elapsed().as_secs_f64();
        let processor = processor_time() - processor;
        let (peak, resident) = (memory("VmHWM:"), memory("VmRSS:"));
        barrier.wait();

        let (mut succeeded, mut answered_at, mut times) = (0, 0.0, Vec::new());
        for worker in workers {
            let (done, at, mut took) = worker.join().map_err(|_| "a thread panicked")?;
            succeeded += done;
            answered_at = at;
            times.append(&mut took);
        }
        times.sort_unstable();
        let at = |percent: usize| {
            times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        println!(
            "{{\"succeeded\": {succeeded}, \"opened_us\": {:.3}, \"answered_at\": {answered_at:.6}, \
             \"seconds\": {seconds:.6}, \"processor_seconds\": {:.6}, \"median_us\": {:.3}, \"p99_us\": {:.3}, \
             \"peak_kb\": {peak}, \"resident_kb\": {resident}}}",
            opened.as_secs_f64() * 1e6,
            processor.as_secs_f64(),
            at(50),
            at(99),
        );
        Ok(())
    })
}

fn confirm(reply: &str) -> Result<(), Box<dyn Error>> {
    let fields: serde_json::Value = serde_json::from_str(reply)?;
    if fields["status"] != "200" || fields["data"]["Id"] != USER_ID {
        return Err(format!("not the reply that was expected: {reply}").into());
    }
    Ok(())
}

fn processor_time() -> Duration {
    // SAFETY: the structure consists of plain numbers, for which zeros are valid, and getrusage()
    // fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000))
        .sum()
}

/// Returns a line of /proc/self/status in KiB: VmHWM is the peak since the program was loaded,
/// VmRSS the current value.
pub fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
