//! The time at which the server wants to be asked again.

use std::time::{Duration, SystemTime};

use commbox::{Delivery, ErrorKind};

use crate::faults::{client, millis, Fault, Server};
use crate::{call, LATE};

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    let date = |ahead| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(ahead));
    for status in [429, 503] {
        // A date has whole seconds, so that of three ahead is more than two ahead.
        // The pause after the first 429 is up to a second and a half.
        let most = if status == 429 { 1500 } else { 1100 };
        for (ahead, least, most) in [(None, 1000, most), (Some(3), 2000, 3300)] {
            let text = ahead.map_or("1".to_owned(), date);
            let server = Server::script([Fault::status(status).header("Retry-After", &text)]);
            let (result, took) = call(&client(&server, |_| {}));
            result.unwrap();
            assert!(
                took >= millis(least) && took <= millis(most) + LATE,
                "{status}, {text}: {took:?}"
            );
        }
        // One that is past is never less than the backoff: after the first 429 that is a second and
        // a half at most.
        for text in ["0", &date(0)] {
            let server = Server::script([Fault::status(status).header("Retry-After", text)]);
            let (result, took) = call(&client(&server, |_| {}));
            result.unwrap();
            let (least, most) = if status == 429 { (1000, 1500) } else { (0, 1) };
            assert!(
                took >= millis(least) && took <= millis(most) + LATE,
                "{status}, {text}: {took:?}"
            );
        }
    }
    // The server's clock goes its own way.
    for hours in [-24, -1, 1, 24_i64] {
        let now = if hours < 0 {
            SystemTime::now() - Duration::from_secs(hours.unsigned_abs() * 3600)
        } else {
            SystemTime::now() + Duration::from_secs(hours.unsigned_abs() * 3600)
        };
        let [now, then] = [now, now + Duration::from_secs(2)].map(httpdate::fmt_http_date);
        let server =
            Server::script([Fault::status(429).header("Date", &now).header("Retry-After", &then)]);
        let (result, took) = call(&client(&server, |_| {}));
        result.unwrap();
        assert!(took >= millis(2000) && took <= millis(2200) + LATE, "{hours} h: {took:?}");
    }
}

#[test]
fn retry_after_beyond_the_deadline_fails_at_once_and_is_reported() {
    for (text, seconds) in [("7200", 7200), ("99999999999999999999999999", u64::MAX / 1000)] {
        for status in [429, 503] {
            let server = Server::start(move || Fault::status(status).header("Retry-After", text));
            let client = client(&server, |_| {});
            let (result, took) = call(&client);
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Http(status), 1));
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
            assert!(took <= LATE, "{took:?}");
            if status == 429 {
                // The next call finds the gate shut, and asks nobody.
                let (result, took) = call(&client);
                let error = result.unwrap_err();
                assert_eq!(
                    (error.kind(), error.delivery()),
                    (ErrorKind::Throttled, Delivery::NotSent)
                );
                assert!(
                    error.retry_after() > Some(Duration::from_secs(60)),
                    "{:?}",
                    error.retry_after()
                );
                assert!(took <= LATE, "{took:?}");
                assert_eq!(server.seen().len(), 1);
            }
        }
    }
}

#[test]
fn an_invalid_retry_after_is_ignored() {
    for text in ["-5", "soon", "1.5", "", "Fri, 99 Foo 2026 10:00:00 GMT"] {
        let server = Server::script([Fault::status(503).header("Retry-After", text)]);
        let (result, took) = call(&client(&server, |_| {}));
        result.unwrap();
        assert!(took <= LATE, "{text}: {took:?}");
    }
}
