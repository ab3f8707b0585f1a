//! The body of a request: a user, checked and wrapped in `data`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Problems, Result};
use crate::failpoint;
use crate::json::Members;
use crate::user::check::{check_user, Rules};
use crate::user::fields::DATA;

/// Returns the body to send for `user_json`: unchanged if it is `{"data": …}`, or else wrapped in
/// such an object. Its content is never rewritten.
pub(crate) fn body<'a>(user_json: &'a str, rules: &Rules) -> Result<Cow<'a, str>> {
    failpoint::reach("check");
    let refuse = |why: String| Error::new(ErrorKind::InvalidUser, why);
    let (members, wrapped) = match Members::read_nested(user_json, DATA) {
        Ok(read) => read,
        // Without validation, any valid JSON may be sent as data.
        Err(_) if !rules.validate && serde_json::from_str::<&RawValue>(user_json).is_ok() => {
            return wrap(user_json)
        }
        Err(why) => return Err(refuse(format!("user_json {why}"))),
    };
    if rules.validate {
        let mut problems = Problems::default();
        match &wrapped {
            Some(data) => {
                check_wrapper(&members, &mut problems);
                match data {
                    Ok(user) => check_user(user, rules, &mut problems),
                    Err(why) => problems.add(DATA, why),
                }
            }
            None => check_user(&members, rules, &mut problems),
        }
        problems.check(ErrorKind::InvalidUser)?;
    }
    match wrapped {
        Some(_) => Ok(Cow::Borrowed(user_json)),
        None => wrap(user_json),
    }
}

fn wrap(user_json: &str) -> Result<Cow<'_, str>> {
    joined(&["{\"", DATA, "\":", user_json, "}"]).map(Cow::Owned)
}

/// Joins the parts into a text that contains a whole user. If it does not fit into memory, returns
/// an error instead of aborting the process.
pub(crate) fn joined(parts: &[&str]) -> Result<String> {
    let mut text = String::new();
    text.try_reserve_exact(parts.iter().map(|part| part.len()).sum()).map_err(|_| {
        Error::new(ErrorKind::InvalidUser, "user_json is too large for the available memory")
    })?;
    for part in parts {
        text.push_str(part);
    }
    Ok(text)
}

/// Rejects any member besides `data`, because it would be lost.
fn check_wrapper(members: &Members<'_>, problems: &mut Problems) {
    if members.all.len() > 1 {
        problems.add("", "\"data\" must be the only member; put every field inside \"data\", once");
    }
}

#[cfg(test)]
mod tests;
