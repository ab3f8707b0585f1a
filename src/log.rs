//! The log: reports the events of a client to the program.
//!
//! An event is reported when it happens, on the thread of the call that it belongs to, with no lock
//! held. If no log is set, a call only checks that. An event contains names, numbers and error
//! messages, but no secret and no value from the program: no API key, no value of a header, no
//! field of a user.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::fork;

/// The level of an event. A log with a level receives its events and those of the levels before it.
///
/// # Examples
///
/// ```
/// use commbox::LogLevel;
///
/// assert!(LogLevel::Error < LogLevel::Debug);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogLevel {
    /// Events that need a person: the API key was rejected, an outage began.
    Error = 1,
    /// Failed calls and throttling.
    Warning = 2,
    /// Retries, and the end of a pause.
    Info = 3,
    /// Calls, requests, connections, DNS lookups, the trust store, the proxy.
    Debug = 4,
    /// Reused connections.
    Trace = 5,
}

impl LogLevel {
    /// Returns the level for a number from 1 to 5.
    pub(crate) fn of_number(number: i32) -> Option<Self> {
        let all = [Self::Error, Self::Warning, Self::Info, Self::Debug, Self::Trace];
        all.into_iter().find(|level| *level as i32 == number)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A callback for events: it receives the level of an event, the event as a JSON object, and the
/// event as a sentence.
///
/// # Examples
///
/// ```
/// use commbox::{LogCallback, LogLevel};
/// use std::sync::Arc;
///
/// let log: LogCallback = Arc::new(|level, _json, sentence| {
///     if level == LogLevel::Error {
///         eprintln!("{sentence}");
///     }
/// });
/// ```
pub type LogCallback = Arc<dyn Fn(LogLevel, &str, &str) + Send + Sync>;

/// The log of a client.
#[derive(Default)]
pub(crate) struct Log {
    /// The highest level that is reported; 0 while the log is off.
    level: AtomicU8,
    sink: RwLock<Option<LogCallback>>,
    calls: AtomicU64,
    /// Whether the rejection of the present API key has been reported.
    key_rejected: AtomicBool,
}

thread_local! {
    /// Whether this thread is running a log callback. Calls that the callback makes are not logged.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

impl Log {
    /// Reports events up to `level` to `sink` from now on.
    pub(crate) fn set(&self, sink: Option<(LogLevel, LogCallback)>) {
        let level = sink.as_ref().map_or(0, |(level, _)| *level as u8);
        let sink = sink.map(|(_, sink)| sink);
        let _former = fork::held(|| {
            let mut current = self.sink.write().unwrap_or_else(PoisonError::into_inner);
            self.level.store(level, Relaxed);
            std::mem::replace(&mut *current, sink)
        });
        self.key_rejected.store(false, Relaxed);
    }

    /// Returns whether any event is reported.
    pub(crate) fn is_on(&self) -> bool {
        self.level.load(Relaxed) > 0
    }

    /// Begins the events of a call, or continues those of the call with this number. Returns `None`
    /// while the log is off.
    pub(crate) fn call(&self, number: Option<u64>) -> Option<Trace<'_>> {
        let call = || number.unwrap_or_else(|| self.calls.fetch_add(1, Relaxed) + 1);
        self.is_on().then(|| Trace { log: self, call: call() })
    }

    /// Reports an event that concerns the client and not a single call.
    pub(crate) fn emit(&self, level: LogLevel, event: impl FnOnce() -> Event) {
        if level as u8 <= self.level.load(Relaxed) {
            self.pass_on(level, None, event());
        }
    }

    /// Records that the server rejected or accepted the API key. A rejection is reported only once.
    pub(crate) fn key_is(&self, rejected: bool) {
        if self.key_rejected.load(Relaxed) != rejected
            && self.key_rejected.swap(rejected, Relaxed) != rejected
            && rejected
        {
            self.emit(LogLevel::Error, || {
                let what = "the server rejected the API key (401); calls fail until it is replaced or accepted again";
                Event::new("key_rejected", what)
            });
        }
    }

    #[cold]
    fn pass_on(&self, level: LogLevel, call: Option<u64>, event: Event) {
        struct InCallback;
        impl Drop for InCallback {
            fn drop(&mut self) {
                IN_CALLBACK.set(false);
            }
        }

        let sink = fork::held(|| self.sink.read().unwrap_or_else(PoisonError::into_inner).clone());
        if let Some(sink) = sink.filter(|_| !IN_CALLBACK.replace(true)) {
            let _in_callback = InCallback;
            let told = Told { level, call, event: &event };
            sink(level, &serde_json::to_string(&told).unwrap_or_default(), &told.to_string());
        }
    }
}

/// The log, for the events of one call.
#[derive(Clone, Copy)]
pub(crate) struct Trace<'a> {
    log: &'a Log,
    call: u64,
}

impl Trace<'_> {
    pub(crate) fn number(self) -> u64 {
        self.call
    }

    pub(crate) fn emit(self, level: LogLevel, event: impl FnOnce() -> Event) {
        if level as u8 <= self.log.level.load(Relaxed) {
            self.log.pass_on(level, Some(self.call), event());
        }
    }
}

/// An event.
pub(crate) struct Event {
    name: &'static str,
    sentence: String,
    members: Vec<(&'static str, Value)>,
}

impl Event {
    pub(crate) fn new(name: &'static str, sentence: impl Into<String>) -> Self {
        Self { name, sentence: sentence.into(), members: Vec::new() }
    }

    /// Adds a member. `None` becomes null.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }
}

/// An event in the form in which it is reported.
struct Told<'a> {
    level: LogLevel,
    call: Option<u64>,
    event: &'a Event,
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.event.name)?;
        map.serialize_entry("level", self.level.name())?;
        if let Some(call) = self.call {
            map.serialize_entry("call", &call)?;
        }
        for (name, value) in &self.event.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl fmt::Display for Told<'_> {
    /// Writes the event as a sentence on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = self.call {
            write!(f, "call {call}: ")?;
        }
        let is_plain = |character: &char| !character.is_control();
        self.event
            .sentence
            .chars()
            .map(|character| if is_plain(&character) { character } else { ' ' })
            .try_for_each(|character| f.write_char(character))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn kept(log: &Log, level: LogLevel) -> Arc<Mutex<Vec<String>>> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        log.set(Some((
            level,
            Arc::new(move |_, json, sentence| {
                sink.lock().unwrap().push(format!("{json} {sentence}"));
            }),
        )));
        lines
    }

    #[test]
    fn events_up_to_the_chosen_level_are_logged() {
        let log = Log::default();
        assert!(log.call(None).is_none());
        let lines = kept(&log, LogLevel::Info);
        let trace = log.call(None).unwrap();
        trace.emit(LogLevel::Info, || {
            Event::new("retry", "a\nline").with("wait_ms", 7).with("none", None::<u64>)
        });
        trace.emit(LogLevel::Debug, || unreachable!());
        log.emit(LogLevel::Warning, || Event::new("throttled", "it throttles"));
        log.set(None);
        log.emit(LogLevel::Error, || unreachable!());
        assert_eq!(
            *lines.lock().unwrap(),
            [
                r#"{"event":"retry","level":"info","call":1,"wait_ms":7,"none":null} call 1: a line"#,
                r#"{"event":"throttled","level":"warning"} it throttles"#
            ]
        );
    }

    #[test]
    fn a_rejected_key_is_logged_once_until_it_is_accepted() {
        let log = Log::default();
        let lines = kept(&log, LogLevel::Error);
        for rejected in [false, true, true, false, true] {
            log.key_is(rejected);
        }
        assert_eq!(lines.lock().unwrap().len(), 2);
    }

    #[test]
    fn events_from_within_a_log_callback_are_not_logged() {
        let log = Arc::new(Log::default());
        let count = Arc::new(AtomicU64::new(0));
        let (again, counted) = (log.clone(), count.clone());
        log.set(Some((
            LogLevel::Trace,
            Arc::new(move |_, _, _| {
                counted.fetch_add(1, Relaxed);
                again.emit(LogLevel::Error, || Event::new("within", ""));
            }),
        )));
        log.emit(LogLevel::Error, || Event::new("first", ""));
        log.emit(LogLevel::Error, || Event::new("second", ""));
        assert_eq!(count.load(Relaxed), 2);
    }
}
