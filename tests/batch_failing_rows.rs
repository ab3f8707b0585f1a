//! Updates that the server rejects repeatedly while it accepts all others. They must not delay
//! other updates.

mod loopback;

use std::sync::Arc;
use std::time::{Duration, Instant};

use commbox::{Batch, BatchOptions, Client, Delivery, ErrorKind, Options};
use loopback::{listen, Http, Record};

/// Sends `rows` updates. The server fails those for which `fails` returns true. Returns the codes
/// of the failed updates by row, and the order of the requests.
fn send(
    rows: i64,
    concurrency: u32,
    fails: impl Fn(i64) -> bool + Send + Sync + 'static,
) -> (Vec<(u64, i32)>, Vec<i64>) {
    let requests = Record::new();
    let seen = requests.clone();
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            let row: i64 = request.path().trim_start_matches("/users/").parse().unwrap();
            seen.add(row);
            let status = if fails(row) { "503 Service Unavailable" } else { "200 OK" };
            let body = if fails(row) { "" } else { loopback::CONFIRMED };
            if http.answer_with(status, "", body).is_err() {
                return;
            }
        }
    });
    let mut options = Options::default();
    options.base_url = format!("http://127.0.0.1:{port}");
    options.proxy = Some(String::new());
    (options.retry_base, options.retry_cap) = (Duration::from_millis(1), Duration::from_millis(2));
    let mut batch_options = BatchOptions::default();
    batch_options.concurrency = concurrency;
    let batch =
        Batch::new(Arc::new(Client::new("key", &options).unwrap()), &batch_options).unwrap();
    for row in 1..=rows {
        batch.submit(row.unsigned_abs(), row, "{}".into(), None).unwrap();
    }
    batch.close().unwrap();
    let (mut failed, mut finished) = (Vec::new(), 0);
    let began = Instant::now();
    while let Some(result) = batch.next(Some(Duration::from_secs(60))).unwrap() {
        finished += 1;
        assert!(began.elapsed() < Duration::from_secs(300), "{finished} of {rows} have finished");
        if let Err(error) = result.outcome {
            assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::Http(503), Delivery::Answered)
            );
            assert!(error.attempts() >= 4, "{} attempts", error.attempts());
            failed.push((result.tag, error.kind().code()));
        }
    }
    assert_eq!(finished, rows);
    failed.sort_unstable();
    (failed, requests.all())
}

#[test]
fn one_failing_row_does_not_stop_a_batch_with_concurrency_1() {
    let (failed, requests) = send(40, 1, |row| row == 3);
    assert_eq!(failed, [(3, 503)]);
    // Other rows were tried, in order, before the batch treated the server as down.
    let mut others = requests.clone();
    others.retain(|row| *row != 3);
    assert_eq!(others, (1..=40).filter(|row| *row != 3).collect::<Vec<_>>());
    assert!(requests.len() <= 39 + 12, "{}", requests.len());
}

#[test]
fn as_many_failing_rows_as_the_concurrency_do_not_stop_a_batch() {
    // The first two rows fail, and then one in ten, but not the last one: a failure of the last
    // update alone might be an outage.
    let fails = |row| row <= 2 || row % 10 == 0 && row < 100;
    let (failed, requests) = send(120, 2, fails);
    let expected: Vec<_> =
        (1..=120).filter(|row| fails(*row)).map(|row| (row.unsigned_abs(), 503)).collect();
    assert_eq!(failed, expected);
    assert!(requests.len() <= 120 + 12 * expected.len(), "{}", requests.len());
}
