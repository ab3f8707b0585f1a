//! Options that are set one by one, each as text, so that programs need not build JSON.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::batch::BatchOptions;
use crate::error::{ErrorKind, Problems, Result};
use crate::headers::Headers;
use crate::options::object::{misfit, unknown, FromObject};
use crate::options::{CallOptions, Options};

/// The prefix of the option for a header.
const HEADER: &str = "headers.";

/// Options of a client, a batch or a call. Each is checked when it is set. Their combination is
/// checked when they are used.
#[derive(Default)]
pub(crate) struct Settings {
    /// The keys, and their values as JSON.
    values: Vec<(&'static str, Zeroizing<String>)>,
    headers: Headers,
}

impl Settings {
    /// Sets an option, and replaces a value that was set before. Text is given without quotes.
    /// `headers.NAME` sets one header.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let mut problems = Problems::default();
        if let Some(name) = key.strip_prefix(HEADER) {
            let mut one = Headers::new();
            one.set(name, value);
            one.add_problems(&mut problems);
            problems.check(ErrorKind::InvalidOptions)?;
            self.headers.set(name, value);
            return Ok(());
        }
        let json = judge::<Options>(key, value)
            .or_else(|| judge::<BatchOptions>(key, value))
            .or_else(|| judge::<CallOptions>(key, value));
        let Some((known, json)) = json.transpose()? else {
            let keys: Vec<_> = [Options::KEYS, BatchOptions::KEYS].concat();
            unknown(&mut problems, key, &keys);
            return problems.check(ErrorKind::InvalidOptions);
        };
        self.values.retain(|(other, _)| *other != known);
        self.values.push((known, json));
        Ok(())
    }

    /// Returns the options of one kind. Options that belong only to another kind are an error.
    pub(crate) fn read<T: FromObject>(&self) -> Result<T> {
        let mut problems = Problems::default();
        let mut options = T::initial();
        for (key, json) in &self.values {
            if !T::KEYS.contains(key) {
                problems.add(key, format!("is not an option of {}", T::WHOSE));
            } else if let Err(expected) = options.set(key, json) {
                misfit(&mut problems, key, expected, json);
            }
        }
        if !self.headers.is_empty() {
            match options.headers() {
                Some(headers) => headers.extend(&self.headers),
                None => problems.add("headers", format!("are not an option of {}", T::WHOSE)),
            }
        }
        options.add_problems(&mut problems);
        problems.check(ErrorKind::InvalidOptions)?;
        Ok(options)
    }
}

/// Returns the JSON of a value if `key` is an option of this kind, or what is wrong with the value.
/// Returns `None` for other keys.
fn judge<T: FromObject>(
    key: &str,
    value: &str,
) -> Option<Result<(&'static str, Zeroizing<String>)>> {
    let known = *T::KEYS.iter().find(|known| **known == key)?;
    let mut scratch = T::default();
    // A string needs no quotes, and neither does one of several words.
    let is_text = scratch
        .set(key, "0")
        .is_err_and(|expected| expected == "a string" || expected.starts_with('"'));
    let json = Zeroizing::new(if is_text {
        serde_json::Value::from(value).to_string()
    } else {
        value.to_owned()
    });
    let mut problems = Problems::default();
    if let Err(expected) = scratch.set(key, &json) {
        match serde_json::from_str::<&RawValue>(&json) {
            Ok(_) => misfit(&mut problems, key, expected, &json),
            Err(_) => problems.add(key, format!("must be {expected}")),
        }
    } else {
        // Other options may be set later, so combinations of options are not checked here.
        let mut all = Problems::default();
        scratch.add_problems(&mut all);
        all.into_iter()
            .filter(|problem| problem.path().starts_with(key) && !problem.message().contains('{'))
            .for_each(|problem| problems.add(problem.path(), problem.message()));
    }
    Some(problems.check(ErrorKind::InvalidOptions).map(|()| (known, json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(values: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        values.iter().for_each(|(key, value)| settings.set(key, value).unwrap());
        settings
    }

    #[test]
    fn strings_need_no_quotes_and_other_values_are_json() {
        let settings = settings(&[
            ("base_url", "http://[::1]:1"),
            ("user_agent", "\"quoted\" 7"),
            ("total_timeout_ms", "1"),
            ("total_timeout_ms", "300"),
            ("validate", "false"),
            ("max_requests_per_second", "0.5"),
            ("retry_base_ms", "9000"),
            ("retry_cap_ms", "9000"),
            ("headers", r#"{"X-A": "1", "X-B": "1"}"#),
            ("headers.X-B", "2"),
            ("proxy", ""),
        ]);
        let options: Options = settings.read().unwrap();
        assert_eq!(
            (options.base_url.as_str(), options.user_agent.as_deref()),
            ("http://[::1]:1", Some("\"quoted\" 7"))
        );
        assert_eq!((options.total_timeout.as_millis(), options.validate), (300, false));
        assert_eq!(options.proxy.as_deref(), Some(""));
        assert_eq!(options.headers.to_bytes(&Headers::new()).as_slice(), b"\r\nX-A: 1\r\nX-B: 2");
    }

    #[test]
    fn an_invalid_option_is_reported_when_it_is_set() {
        let mut settings = Settings::default();
        for (key, value, why) in [
            ("max_retrys", "1", "max_retrys is an unknown option; did you mean \"max_retries\"?"),
            ("max_retries", "canary", "max_retries must be a whole number, 0 or more"),
            ("max_retries", "-1", "max_retries must not be negative"),
            ("max_retries", "101", "max_retries must be from 0 to 100"),
            ("total_timeout_ms", "0", "total_timeout_ms must be from 1 ms to 24 hours"),
            ("validate", "1", "validate must be true or false, not a number"),
            ("concurrency", "0", "concurrency must be from 1 to 256"),
            ("headers", "canary", "headers must be an object of strings"),
            (
                "headers",
                r#"{"Host": "canary"}"#,
                "headers.Host is reserved; the library sets it, or the connection needs it",
            ),
            (
                "headers.X-A",
                "canary\n",
                "headers.X-A has a value with a character at byte 6 that is not visible ASCII",
            ),
        ] {
            let error = settings.set(key, value).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::InvalidOptions, why)
            );
        }
        assert!(settings.read::<Options>().is_ok(), "none of them was taken");
    }

    #[test]
    fn options_of_another_kind_and_invalid_combinations_are_reported_when_used() {
        let all = settings(&[("concurrency", "4"), ("max_retries", "1"), ("headers.X-A", "b")]);
        assert_eq!(
            all.read::<Options>().unwrap_err().to_string(),
            "concurrency is not an option of a client"
        );
        assert_eq!(
            all.read::<BatchOptions>().unwrap_err().to_string(),
            "max_retries is not an option of a batch; headers are not an option of a batch"
        );
        let error = settings(&[("retry_base_ms", "9000")]).read::<Options>().unwrap_err();
        assert_eq!(error.to_string(), "retry_cap_ms must be at least retry_base_ms");
        let call: CallOptions =
            settings(&[("max_retries", "1"), ("headers.X-A", "b")]).read().unwrap();
        assert!(call.max_retries == Some(1) && !call.headers.is_empty());
    }
}
