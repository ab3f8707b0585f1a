//! Options as a JSON object: read key by key and checked, with all problems reported together.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{shown, Error, ErrorKind, Problems, Result};
use crate::headers::Headers;
use crate::json::{self, Members};
use crate::nearest::distance;

/// The maximum number of characters of an unknown key in a message. No option has a longer name.
const LONGEST_SHOWN: usize = 40;

/// Options that are read from a JSON object. An option that is missing or null keeps its default.
pub(crate) trait FromObject: Default {
    /// The names of all options.
    const KEYS: &'static [&'static str];

    /// The owner of the options, for messages.
    const WHOSE: &'static str;

    /// Returns the defaults.
    fn initial() -> Self {
        Self::default()
    }

    /// Returns the headers among the options, if this kind has any.
    fn headers(&mut self) -> Option<&mut Headers> {
        None
    }

    /// Sets the option of this name. The error describes what is expected.
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str>;

    /// Adds every option that is out of range.
    fn add_problems(&self, problems: &mut Problems);

    /// The name of the parameter that contains the options, for messages.
    const PARAMETER: &'static str = "options_json";

    /// Reads the options. The error contains every unknown key and every value of the wrong type or
    /// out of range. No value is quoted.
    fn read(text: &str) -> Result<Self> {
        let mut options = Self::initial();
        let mut problems = Problems::default();
        let members = Members::read(text).map_err(|why| {
            Error::new(ErrorKind::InvalidOptions, format!("{} {why}", Self::PARAMETER))
        })?;
        for (name, value) in &members.all {
            if !Self::KEYS.contains(&name.as_ref()) {
                unknown(&mut problems, name, Self::KEYS);
            } else if *value != "null" {
                if let Err(expected) = options.set(name, value) {
                    misfit(&mut problems, name, expected, value);
                }
            }
        }
        options.add_problems(&mut problems);
        problems.check(ErrorKind::InvalidOptions)?;
        Ok(options)
    }

    /// Checks the ranges of options that were set in Rust.
    fn check(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.add_problems(&mut problems);
        problems.check(ErrorKind::InvalidOptions)
    }
}

pub(crate) fn text(value: &str) -> Result<String, &'static str> {
    json::text(value).map(Into::into).ok_or("a string")
}

pub(crate) fn boolean(value: &str) -> Result<bool, &'static str> {
    serde_json::from_str(value).map_err(|_| "true or false")
}

pub(crate) fn millis(value: &str) -> Result<Duration, &'static str> {
    let millis = serde_json::from_str(value).map_err(|_| "a time in whole milliseconds")?;
    Ok(Duration::from_millis(millis))
}

pub(crate) fn count(value: &str) -> Result<u32, &'static str> {
    serde_json::from_str(value).map_err(|_| "a whole number, 0 or more")
}

pub(crate) fn check_bounds(
    problems: &mut Problems,
    name: &str,
    value: u128,
    bounds: &RangeInclusive<u64>,
) {
    let (least, most) = (*bounds.start(), *bounds.end());
    if value < least.into() || value > most.into() {
        problems.add(name, format!("must be from {least} to {most}"));
    }
}

/// The maximum of all durations: a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Checks that a duration is at least `least` and at most a day.
pub(crate) fn check_time(problems: &mut Problems, name: &str, time: Duration, least: Duration) {
    if time < least || time > LONGEST {
        problems.add(name, format!("must be from {} ms to 24 hours", least.as_millis()));
    }
}

/// Adds the problem of a value that has the wrong type, or is an invalid string.
pub(super) fn misfit(problems: &mut Problems, name: &str, expected: &str, value: &str) {
    let given = json::kind(value);
    let whole = expected.contains("whole") && given == "a number";
    match given {
        _ if whole && value.starts_with('-') => problems.add(name, "must not be negative"),
        _ if whole && value.contains(['.', 'e', 'E']) => {
            problems.add(name, format!("must be {expected}, not a fraction"))
        }
        _ if whole => problems.add(name, "is too large"),
        _ if given == expected => problems.add(name, json::NO_TEXT),
        _ => problems.add(name, format!("must be {expected}, not {given}")),
    }
}

/// Adds the problem of an unknown key, with the nearest option, if there is one.
pub(super) fn unknown(problems: &mut Problems, name: &str, keys: &[&str]) {
    // Names longer than any option are not similar to any, and comparing them takes long.
    let compared = if name.len() > LONGEST_SHOWN { &[] } else { keys };
    let nearest = compared.iter().map(|key| (distance(name, key), *key)).min();
    let message = match nearest {
        Some((distance, key)) if distance <= 1 + key.len() / 4 => {
            format!("is an unknown option; did you mean \"{key}\"?")
        }
        _ if problems.is_empty() => {
            format!("is an unknown option; the options are {}", keys.join(", "))
        }
        _ => "is an unknown option".to_owned(),
    };
    problems.add(&shown(name, LONGEST_SHOWN), message);
}
