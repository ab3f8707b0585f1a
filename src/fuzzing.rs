//! Gives the fuzz targets (`fuzz/`) access to private functions. It exists only in their builds and
//! in those of the tests.

use std::borrow::Cow;

use crate::batch::BatchOptions;
use crate::delivery::advice::Advice;
use crate::error::Result;
use crate::options::settings::Settings;
use crate::options::{CallOptions, Options, UnknownFields};
use crate::reply::{self, UpdateReply};
use crate::transport::Reply;
use crate::user::{self, Rules};

/// Returns the body to send for `user_json`.
pub fn body(user_json: &str, validate: bool) -> Result<Cow<'_, str>> {
    let options = Options { validate, unknown_fields: UnknownFields::Allow, ..Options::default() };
    user::body(user_json, &Rules::new(&options))
}

/// Checks a user if every name must be known: those of the API, and one custom field.
pub fn check_strictly(user_json: &str) -> Result<()> {
    let options =
        Options { custom_fields: Some(vec!["VIP_Status".to_owned()]), ..Options::default() };
    user::body(user_json, &Rules::new(&options)).map(drop)
}

/// Sets an option as text.
pub fn set_option(key: &str, value: &str) -> Result<()> {
    let mut settings = Settings::default();
    settings.set(key, value)?;
    // Read it as each kind of options, together with the defaults, whether it belongs to that kind
    // or not.
    let _ = (
        settings.read::<Options>(),
        settings.read::<BatchOptions>(),
        settings.read::<CallOptions>(),
    );
    Ok(())
}

/// Interprets a reply.
pub fn interpret(status: u16, body: Vec<u8>, complete: bool) -> Result<UpdateReply> {
    reply::interpret(Reply {
        status,
        advice: Advice::default(),
        encoding: None,
        request_id: None,
        body,
        complete,
    })
}

#[cfg(test)]
#[path = "../fuzz/checks/mod.rs"]
mod checks;

/// Replays the fuzzer's corpus and its former crashes, without the fuzzer.
#[cfg(test)]
mod replay {
    use super::checks;
    use std::fs;
    use std::path::Path;

    fn replay(target: &str, check: fn(&[u8])) {
        let directory =
            |kind: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
        let mut inputs: Vec<_> = ["corpus", "regressions"]
            .iter()
            .filter_map(|kind| directory(kind).read_dir().ok())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(inputs.len() > 10, "{target} has an empty corpus");
        for input in inputs {
            // If the check panics, this shows the input.
            eprintln!("{}", input.display());
            check(&fs::read(&input).unwrap());
        }
    }

    #[test]
    fn body() {
        replay("body", checks::body::check);
    }

    #[test]
    fn reply() {
        replay("reply", checks::reply::check);
    }

    #[test]
    fn options() {
        replay("options", checks::options::check);
    }

    #[test]
    fn call() {
        replay("call", checks::call::check);
    }
}
