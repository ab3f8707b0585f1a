//! Checks the fields of a user: their names, types and lengths.

use std::mem;

use crate::error::{shown, Problems};
use crate::json::{self, Members};
use crate::nearest::{is_same, nearest};
use crate::options::{Options, UnknownFields};
use crate::user::fields::{self, CONTENT, DATA, FIELDS};

/// The maximum number of characters of an unknown name in a message.
const LONGEST_SHOWN: usize = 40;

/// The options for checking users.
pub(crate) struct Rules {
    pub(super) validate: bool,
    pub(super) unknown: UnknownFields,
    pub(super) custom: Option<Vec<String>>,
}

impl Rules {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            validate: options.validate,
            unknown: options.unknown_fields,
            custom: options.custom_fields.clone(),
        }
    }

    fn custom(&self) -> impl Iterator<Item = &str> + Clone {
        self.custom.iter().flatten().map(String::as_str)
    }
}

pub(super) fn check_user(user: &Members<'_>, rules: &Rules, problems: &mut Problems) {
    let mut seen = [false; FIELDS.len()];
    let mut content_seen = false;
    for (name, value) in &user.all {
        let name = name.as_ref();
        let seen = match FIELDS.iter().zip(&mut seen).find(|((field, _), _)| *field == name) {
            Some(((field, limit), seen)) => {
                let fits = |limit| value.len() <= limit + 2;
                // A string without escapes is valid, and has no more characters than bytes. So few
                // strings need a full check.
                if !(user.is_plain && value.starts_with('"') && limit.is_none_or(fits)) {
                    check_text(field, *limit, value, problems);
                }
                seen
            }
            None if name == CONTENT => {
                if !value.starts_with('{') {
                    problems.add(CONTENT, format!("must be an object, not {}", json::kind(value)));
                } else if rules.custom.is_some() {
                    check_content(value, rules, problems);
                }
                &mut content_seen
            }
            None => {
                check_unknown(name, rules, problems);
                continue;
            }
        };
        if mem::replace(seen, true) {
            problems.add(name, "appears more than once");
        }
    }
}

/// Rejects a name that the API does not document, or that is a misspelt documented name.
fn check_unknown(name: &str, rules: &Rules, problems: &mut Problems) {
    let message = match nearest(name, known()) {
        // At the top level, `data` is the wrapper, so it must not appear here.
        Some(DATA) if name == DATA => "is inside \"data\"; wrap the user once".to_owned(),
        Some(known) if is_same(name, known) => format!("must be written \"{known}\""),
        Some(known) => format!("is not a field of a user; did you mean \"{known}\"?"),
        None => match rules.custom().find(|custom| is_same(name, custom)) {
            Some(custom) => format!("is a custom field; put \"{custom}\" inside \"{CONTENT}\""),
            None if rules.unknown == UnknownFields::Allow => return,
            None if problems.is_empty() => {
                let fields: Vec<_> = fields::names().collect();
                format!(
                    "is not a field of a user ({}): put custom fields inside \"{CONTENT}\", or set {{unknown_fields}} to \
                     \"allow\"",
                    fields.join(", ")
                )
            }
            None => "is not a field of a user".to_owned(),
        },
    };
    problems.add(&shown(name, LONGEST_SHOWN), message);
}

/// Checks that the custom fields exist in the account.
fn check_content(content: &str, rules: &Rules, problems: &mut Problems) {
    let members = match Members::read(content) {
        Ok(members) => members,
        Err(why) => return problems.add(CONTENT, why),
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, _) in &members.all {
        let path = || format!("{CONTENT}.{}", shown(name, LONGEST_SHOWN));
        if !rules.custom().any(|custom| custom == name) {
            let message = match nearest(name, rules.custom()) {
                Some(custom) if is_same(name, custom) => format!("must be written \"{custom}\""),
                Some(custom) => format!("is not a custom field; did you mean \"{custom}\"?"),
                None => "is not a custom field: {custom_fields} does not have it".to_owned(),
            };
            problems.add(&path(), message);
        } else if seen.contains(&name.as_ref()) {
            problems.add(&path(), "appears more than once");
        } else {
            seen.push(name);
        }
    }
}

/// Returns every known name except the caller's custom fields.
fn known() -> impl Iterator<Item = &'static str> + Clone {
    fields::names().chain([DATA])
}

fn check_text(field: &str, limit: Option<usize>, raw: &str, problems: &mut Problems) {
    if raw == "null" {
        return;
    }
    if !raw.starts_with('"') {
        return problems.add(field, format!("must be a string or null, not {}", json::kind(raw)));
    }
    let Some(text) = json::text(raw) else {
        return problems.add(field, json::NO_TEXT);
    };
    if let Some(limit) = limit.filter(|limit| text.len() > *limit) {
        let length = text.chars().count();
        if length > limit {
            problems.add(field, format!("is {length} characters long; the limit is {limit}"));
        }
    }
}
