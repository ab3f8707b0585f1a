//! Every fault, and the outcome of a call that meets it.

use std::time::Duration;

use commbox::{Delivery, ErrorKind};

use super::fault::{Fault, Place, Share, Step};

use Delivery::{Answered, NotSent, Unknown};
use ErrorKind::{BadResponse, Connection, Http, Timeout};

/// A factor for all durations: other platforms are tested in an emulator, if at all.
pub const SLOWNESS: u32 =
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) { 1 } else { 5 };

/// The timeout of one attempt in the tests that play the table.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3 * SLOWNESS as u64);

/// A body that is too large for a socket's buffers.
pub const LARGE: usize = 8 << 20;

pub struct Row {
    pub name: String,
    pub fault: Fault,
    /// The approximate length of the user's body.
    pub bytes: usize,
    /// How the call fails, and the deliveries that it may report. `None` if the update is
    /// delivered.
    pub fails: Option<(ErrorKind, &'static [Delivery])>,
    /// The maximum duration of the call.
    pub within: Duration,
}

impl Row {
    fn new(
        name: impl Into<String>,
        fault: Fault,
        fails: Option<(ErrorKind, &'static [Delivery])>,
    ) -> Self {
        // Allows for other load on the machine.
        let noise = Duration::from_secs(3) * SLOWNESS;
        let waits = fault.steps.iter().map(|step| match step {
            Step::Wait(time) => *time,
            _ => Duration::ZERO,
        });
        let within = match fails {
            Some((Timeout, _)) => ATTEMPT_TIMEOUT + noise,
            _ => waits.sum::<Duration>() + noise,
        };
        Self { name: name.into(), fault, bytes: 10, fails, within }
    }

    fn large(mut self) -> Self {
        self.bytes = LARGE;
        self.within += Duration::from_millis(2000);
        self
    }

    /// Returns whether the failure is transient, so that the call may be retried.
    pub fn is_transient(&self) -> bool {
        matches!(self.fails, Some((Connection | Timeout | Http(429 | 500 | 502 | 503 | 504), _)))
    }
}

pub fn rows() -> Vec<Row> {
    [slow(), broken_off(), odd(), wrong(), statuses()].into_iter().flatten().collect()
}

fn slow() -> Vec<Row> {
    use Step::{Drip, Endless, Hold, Read, SendTo, Wait};
    const MOMENT: Step = Wait(Duration::from_millis(100));
    const ALL: Step = Read(Share::All);
    const END: Step = SendTo(Place::End);
    let second = Duration::from_secs(1);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let late = |name, steps: &[Step]| Row::new(name, Fault::new(steps), None);
    let never = |name, fault| Row::new(name, fault, Some((Timeout, &[Unknown])));
    vec![
        late("late to read", &[MOMENT, ALL, END]),
        late("late to reply", &[ALL, MOMENT, END]),
        late("late within the head", &[ALL, SendTo(Place::MidHead), MOMENT, END]),
        late("late after the head", &[ALL, SendTo(Place::Head), MOMENT, END]),
        late("late within the body", &[ALL, SendTo(Place::MidBody), MOMENT, END]),
        late("late to read a large request", &[Read(Share::Half), MOMENT, ALL, END]).large(),
        never("never reads", Fault::new(&[Hold])),
        never("never reads a large request", Fault::new(&[Read(Share::Head), Hold])).large(),
        never("never replies", Fault::new(&[ALL, Hold])),
        never("never ends the head", Fault::new(&[ALL, SendTo(Place::MidHead), Hold])),
        never("never sends the body", Fault::new(&[ALL, SendTo(Place::Head), Hold])),
        never("never ends the body", Fault::new(&[ALL, SendTo(Place::MidBody), Hold])),
        never("one byte a second", Fault::new(&[ALL, Drip(second)])),
        never(
            "one byte of the body a second",
            Fault::new(&[ALL, SendTo(Place::Head), Drip(second)]),
        ),
        never(
            "a chunk now and then, for ever",
            Fault::new(&[
                ALL,
                SendTo(Place::Head),
                Endless("1\r\n \r\n", Duration::from_millis(50)),
            ])
            .head(chunked),
        ),
        never(
            "a line of the head now and then, for ever",
            Fault::new(&[
                ALL,
                SendTo(Place::Head),
                Endless("X-More: 1\r\n", Duration::from_millis(50)),
            ])
            .head("HTTP/1.1 200 OK\r\n"),
        ),
    ]
}

/// Every way to end a connection, at every place.
fn broken_off() -> Vec<Row> {
    use Step::{Read, SendTo};
    let mut rows = Vec::new();
    for (end, how) in [(Step::Reset, "reset"), (Step::Fin, "closed")] {
        let lost = |place: &str, steps: &[Step]| {
            let deliveries: &[Delivery] =
                if place == "on accept" { &[NotSent, Unknown] } else { &[Unknown] };
            let fault = Fault::new(steps).then(std::slice::from_ref(&end));
            Row::new(format!("{how} {place}"), fault, Some((Connection, deliveries)))
        };
        rows.push(lost("on accept", &[]));
        rows.push(lost("after half of the request", &[Read(Share::Half)]).large());
        rows.push(lost("after the request", &[Read(Share::All)]));
        for (place, to) in [("within the head", Place::MidHead), ("after the head", Place::Head)] {
            rows.push(lost(place, &[Read(Share::All), SendTo(to)]));
        }
        rows.push(lost("within the body", &[Read(Share::All), SendTo(Place::MidBody)]));
        let delivered = Fault::good().then(std::slice::from_ref(&end));
        rows.push(Row::new(format!("{how} after the reply"), delivered, None));
    }
    rows
}

/// Replies that are unusual but correct.
fn odd() -> Vec<Row> {
    let ok = |name, fault| Row::new(name, fault, None);
    let plain = Fault::good().head;
    let id = r#"{"status":200,"data":{"Id":{id}.0}}"#;
    vec![
        ok("a good reply", Fault::good()),
        ok("a good reply to a large request", Fault::good()).large(),
        ok(
            "the connection is not kept",
            Fault::good().header("Connection", "close").then(&[Step::Fin]),
        ),
        ok(
            "100 Continue first",
            Fault::good().head(&format!("HTTP/1.1 100 Continue\r\n\r\n{plain}")),
        ),
        ok(
            "103 Early Hints first",
            Fault::good().head(&format!("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n{plain}")),
        ),
        ok("status 199 first", Fault::good().head(&format!("HTTP/1.1 199 What\r\n\r\n{plain}"))),
        ok(
            "HTTP/1.0 without a length",
            Fault::good().head("HTTP/1.0 200 OK\r\n\r\n").then(&[Step::Fin]),
        ),
        ok(
            "HTTP/1.1 without a length",
            Fault::good().head("HTTP/1.1 200 OK\r\n\r\n").then(&[Step::Fin]),
        ),
        ok(
            "no reason in the status line",
            Fault::good().head("HTTP/1.1 200\r\nContent-Length: {length}\r\n\r\n"),
        ),
        ok(
            "chunks, with an extension and a trailer",
            Fault::good()
                .head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                // The length of this chunk in hexadecimal, where the id has nine digits.
                .body(&format!(
                    "{:x};a=b\r\n{id}\r\n0\r\nX-Trailer: t\r\n\r\n",
                    id.len() - "{id}".len() + 9
                )),
        ),
        ok("two replies at once", Fault::good().tail(&two_replies())),
    ]
}

/// A second reply, without a request.
fn two_replies() -> String {
    let body = r#"{"status":200,"data":{"Id":1.0}}"#;
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn wrong() -> Vec<Row> {
    use Step::{Endless, Fin, Hold, Read, Reset, SendTo};
    let none = Duration::ZERO;
    let (all, head) = (Read(Share::All), SendTo(Place::Head));
    let bad = |name, fault, delivery| Row::new(name, fault, Some((BadResponse, delivery)));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n";
    // Valid chunks in a chunked reply, arbitrary data in any other.
    let chunks = format!("100\r\n{:256}\r\n", "").repeat(10).leak();
    let early = || Fault::status(400).steps(&[Read(Share::Head), SendTo(Place::End)]);
    vec![
        bad(
            "an endless head",
            Fault::new(&[all.clone(), head.clone(), Endless("X-Filler: filler\r\n", none)])
                .head("HTTP/1.1 200 OK\r\n"),
            &[Unknown],
        ),
        bad(
            "an endless line in the head",
            Fault::new(&[all.clone(), head.clone(), Endless("filler filler ", none)])
                .head("HTTP/1.1 200 OK\r\nX-Filler: "),
            &[Unknown],
        ),
        bad(
            "chunks that never end their first line",
            Fault::new(&[all.clone(), head.clone(), Endless("10\n                \n", none)])
                .head(chunked),
            &[Unknown],
        ),
        bad(
            "an endless body in chunks",
            Fault::new(&[all.clone(), head.clone(), Endless(chunks, none)]).head(chunked),
            &[Answered],
        ),
        bad(
            "a body of more than 1 MiB",
            Fault::new(&[all.clone(), head.clone(), Endless(chunks, none)]).head(large),
            &[Answered],
        ),
        Row::new(
            "a length that is too long",
            Fault::good().head("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").then(&[Fin]),
            Some((Connection, &[Unknown])),
        ),
        bad(
            "a length that is too short",
            Fault::good().head("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"),
            &[Answered],
        ),
        bad(
            "a length that is none",
            Fault::good().head("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
            &[Unknown],
        ),
        bad("chunks that are none", Fault::good().head(chunked).tail("\r\n"), &[Unknown]),
        bad("another protocol", Fault::good().head("220 mail.example ESMTP ready\r\n"), &[Unknown]),
        bad("bytes that are no text", Fault::good().head("\u{fffd}\u{1}\u{2}\r\n\r\n"), &[Unknown]),
        bad(
            "no content",
            Fault::good().head("HTTP/1.1 204 No Content\r\n\r\n").body(""),
            &[Answered],
        ),
        bad("a page", Fault::good().body("<html>welcome</html>"), &[Answered]),
        bad(
            "a status of two digits",
            Fault::good().head("HTTP/1.1 20 OK\r\nContent-Length: {length}\r\n\r\n"),
            &[Unknown],
        ),
        Row::new(
            "an early reply, the rest of the request read",
            early().then(&[all]),
            Some((Http(400), &[Answered])),
        )
        .large(),
        Row::new(
            "an early reply, the rest of the request left",
            early().then(&[Hold]),
            Some((Http(400), &[Answered])),
        )
        .large(),
        Row::new(
            "an early reply, and reset while the request is sent",
            early().then(&[Reset]),
            Some((Http(400), &[Answered])),
        )
        .large(),
        Row::new(
            "half an early reply, and reset while the request is sent",
            Fault::status(400).steps(&[Read(Share::Head), SendTo(Place::MidBody), Reset]),
            Some((Connection, &[Unknown])),
        )
        .large(),
    ]
}

fn statuses() -> Vec<Row> {
    [302, 400, 401, 403, 404, 418, 500, 501, 502, 503, 504, 999]
        .map(|status| {
            // A redirect to itself would be followed forever.
            let fault = Fault::status(status).header("Location", "/users/1");
            Row::new(format!("status {status}"), fault, Some((Http(status), &[Answered])))
        })
        .into()
}
