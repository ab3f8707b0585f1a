//! Options as a JSON object: read key by key, held to their bounds, with all that is wrong told at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{shown, Error, ErrorKind, Problems, Result};
use crate::headers::Headers;
use crate::json::{self, Members};
use crate::nearest::distance;

/// So many characters of an unknown key are shown; no option has a longer one.
const LONGEST_SHOWN: usize = 40;

/// Options that are read from a JSON object. What it does not name keeps its default, and so does what is null.
pub(crate) trait FromObject: Default {
    /// The names of all of them.
    const KEYS: &'static [&'static str];

    /// Who has them, in messages.
    const WHOSE: &'static str;

    /// What is not set.
    fn initial() -> Self {
        Self::default()
    }

    /// The headers among them, if there may be any.
    fn headers(&mut self) -> Option<&mut Headers> {
        None
    }

    /// Takes the value of one of the keys; an error tells what it must be.
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str>;

    /// Adds everything that is out of bounds.
    fn add_problems(&self, problems: &mut Problems);

    /// What the text of them is called in messages.
    const PARAMETER: &'static str = "options_json";

    /// Reads them, or names every unknown key and every value that is not of its kind or out of bounds. No value is
    /// quoted.
    fn read(text: &str) -> Result<Self> {
        let mut options = Self::initial();
        let mut problems = Problems::default();
        let members = Members::read(text)
            .map_err(|why| Error::new(ErrorKind::InvalidOptions, format!("{} {why}", Self::PARAMETER)))?;
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

    /// Checks every bound, for options that were put together in Rust.
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

pub(crate) fn check_bounds(problems: &mut Problems, name: &str, value: u128, bounds: &RangeInclusive<u64>) {
    let (least, most) = (*bounds.start(), *bounds.end());
    if value < least.into() || value > most.into() {
        problems.add(name, format!("must be from {least} to {most}"));
    }
}

/// The longest of all times: a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A time may be up to a day.
pub(crate) fn check_time(problems: &mut Problems, name: &str, time: Duration, least: Duration) {
    if time < least || time > LONGEST {
        problems.add(name, format!("must be from {} ms to 24 hours", least.as_millis()));
    }
}

/// Adds that a value is of the wrong kind, or a string that is no text.
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

/// Adds that a key is not an option, with the nearest one where there is one.
pub(super) fn unknown(problems: &mut Problems, name: &str, keys: &[&str]) {
    // Names longer than any option are far from all, and take long to compare.
    let compared = if name.len() > LONGEST_SHOWN { &[] } else { keys };
    let nearest = compared.iter().map(|key| (distance(name, key), *key)).min();
    let message = match nearest {
        Some((distance, key)) if distance <= 1 + key.len() / 4 => {
            format!("is an unknown option; did you mean \"{key}\"?")
        }
        _ if problems.is_empty() => format!("is an unknown option; the options are {}", keys.join(", ")),
        _ => "is an unknown option".to_owned(),
    };
    problems.add(&shown(name, LONGEST_SHOWN), message);
}
