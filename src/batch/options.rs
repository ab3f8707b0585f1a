//! What a batch can be told.

use crate::error::{ErrorKind, Problems, Result};
use crate::json::Members;
use crate::options::{boolean, check, count, misfit, unknown};

const KEYS: [&str; 3] = ["concurrency", "queue_limit", "stop_on_unauthorized"];

/// What a [`Batch`](crate::Batch) can be told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchOptions {
    /// How many updates are under way at a time: 1 to 256, default 8.
    pub concurrency: u32,
    /// How many updates may wait to be sent, and how many finished ones to be taken back: 1 to 1,000,000, default 1024.
    pub queue_limit: u32,
    /// Stop at the first 401: what was not sent comes back as cancelled. On by default.
    pub stop_on_unauthorized: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { concurrency: 8, queue_limit: 1024, stop_on_unauthorized: true }
    }
}

impl BatchOptions {
    /// Reads a JSON object of options; what it does not name keeps its default, and so does what is null.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions), naming everything that is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut options = Self::default();
        let mut problems = Problems::default();
        for (name, value) in &Members::options(text)?.0 {
            if *value == "null" && KEYS.contains(&name.as_ref()) {
                continue;
            }
            let taken = match name.as_ref() {
                "concurrency" => count(value).map(|count| options.concurrency = count),
                "queue_limit" => count(value).map(|count| options.queue_limit = count),
                "stop_on_unauthorized" => boolean(value).map(|stop| options.stop_on_unauthorized = stop),
                _ => {
                    unknown(&mut problems, name, &KEYS);
                    continue;
                }
            };
            if let Err(expected) = taken {
                misfit(&mut problems, name, expected, value);
            }
        }
        options.add_problems(&mut problems);
        problems.check(ErrorKind::InvalidOptions)?;
        Ok(options)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.add_problems(&mut problems);
        problems.check(ErrorKind::InvalidOptions)
    }

    fn add_problems(&self, problems: &mut Problems) {
        check(problems, "concurrency", self.concurrency.into(), &(1..=256));
        check(problems, "queue_limit", self.queue_limit.into(), &(1..=1_000_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_everything_wrong_is_named() {
        let json = r#"{"concurrency":256,"queue_limit":1,"stop_on_unauthorized":false}"#;
        let options = BatchOptions::from_json(json).unwrap();
        assert_eq!((options.concurrency, options.queue_limit, options.stop_on_unauthorized), (256, 1, false));
        let why =
            BatchOptions::from_json(r#"{"concurency":1,"concurrency":257,"queue_limit":0,"stop_on_unauthorized":1}"#);
        assert_eq!(
            why.unwrap_err().to_string(),
            "\"concurency\" is no option; did you mean \"concurrency\"?; stop_on_unauthorized must be true or false, not \
             a number; concurrency must be from 1 to 256; queue_limit must be from 1 to 1000000"
        );
        assert_eq!(BatchOptions::from_json(r#"{"concurrency":null}"#).unwrap().concurrency, 8);
    }
}
