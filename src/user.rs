//! The request body: its structure, the limits of its fields, the check for misspelt names, and a
//! builder.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::error::{shown, Error, ErrorKind, Problems, Result};
use crate::failpoint;
use crate::json::{self, Members};
use crate::nearest::{is_same, nearest};
use crate::options::{Options, UnknownFields};

/// The fields of a user and the vendor's limits, in characters (schema `User_Info`). `None` means
/// no limit.
const FIELDS: [(&str, Option<usize>); 7] = [
    ("UniqueId", Some(50)),
    ("FirstName", Some(100)),
    ("LastName", Some(100)),
    ("Email", Some(255)),
    ("Phone1", Some(100)),
    ("Phone2", Some(100)),
    ("Remarks", None),
];

/// The object of custom fields.
const CONTENT: &str = "Content";

/// The maximum number of characters of an unknown name in a message.
const LONGEST_SHOWN: usize = 40;

/// The member that wraps a user in the request.
const DATA: &str = "data";

/// The options for checking users.
pub(crate) struct Rules {
    validate: bool,
    unknown: UnknownFields,
    custom: Option<Vec<String>>,
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

fn check_user(user: &Members<'_>, rules: &Rules, problems: &mut Problems) {
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
                let fields: Vec<_> =
                    FIELDS.iter().map(|(field, _)| *field).chain([CONTENT]).collect();
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
    FIELDS.iter().map(|(name, _)| *name).chain([CONTENT, DATA])
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

/// Builds the JSON of a user: fields, and custom fields in `Content`. It checks no limits; the call
/// that sends the user does.
///
/// # Examples
///
/// ```
/// let mut user = commbox::User::new();
/// user.set("FirstName", Some("John"))?;
/// user.set_custom("VIP_Status", Some("8"))?;
/// assert_eq!(user.to_json(), r#"{"data":{"FirstName":"John","Content":{"VIP_Status":"8"}}}"#);
/// # Ok::<(), commbox::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct User {
    fields: Fields,
    custom: Fields,
}

impl User {
    /// Returns the names of the fields that the API documents. `Content` is the last.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(commbox::User::field_names().any(|name| name == "FirstName"));
    /// ```
    pub fn field_names() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|(name, _)| *name).chain([CONTENT])
    }

    /// Returns the documented field of which `name` is a misspelling: one that differs from it in
    /// case, in blanks, `_` or `-`, or by at most two edits.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(commbox::User::nearest_field("first_name"), Some("FirstName"));
    /// assert_eq!(commbox::User::nearest_field("Street"), None);
    /// ```
    #[must_use]
    pub fn nearest_field(name: &str) -> Option<&'static str> {
        nearest(name, FIELDS.iter().map(|(name, _)| *name).chain([CONTENT]))
    }

    /// Creates a user without fields.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(commbox::User::new().to_json(), r#"{"data":{}}"#);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field; `None` is a JSON null. It replaces the value that was set before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`]: the name is empty, or is `Content`, whose fields
    /// [`set_custom`](Self::set_custom) sets.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut user = commbox::User::new();
    /// user.set("Phone1", Some("19175555555"))?;
    /// user.set("Remarks", None)?;
    /// assert!(user.set("Content", Some("{}")).is_err());
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        check_name(name)?;
        if name == CONTENT {
            let why = "name is \"Content\", which holds the custom fields; set each of them as a custom field";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        self.fields.set(name, value);
        Ok(())
    }

    /// Sets a custom field, a member of `Content`; `None` is a JSON null. It replaces the value
    /// that was set before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`]: the name is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut user = commbox::User::new();
    /// user.set_custom("VIP_Status", Some("8"))?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn set_custom(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        check_name(name)?;
        self.custom.set(name, value);
        Ok(())
    }

    /// Returns the body, `{"data": {…}}`, with the fields in the order in which they were first
    /// set.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut user = commbox::User::new();
    /// user.set("FirstName", Some("John"))?;
    /// assert_eq!(user.to_json(), r#"{"data":{"FirstName":"John"}}"#);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        // The members are only strings and nulls, so this cannot fail.
        let data = serde_json::to_string(self).unwrap_or_default();
        format!("{{\"{DATA}\":{data}}}")
    }
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.fields.0 {
            map.serialize_entry(name, value)?;
        }
        if !self.custom.0.is_empty() {
            map.serialize_entry(CONTENT, &self.custom)?;
        }
        map.end()
    }
}

impl fmt::Debug for User {
    /// Contains only the names, because the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("fields", &self.fields.names())
            .field("custom", &self.custom.names())
            .finish()
    }
}

/// The names and texts, in the order in which they were first set.
#[derive(Clone, Default)]
struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "name is empty; pass the field's Unique Name",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str, validate: bool) -> Result<Cow<'_, str>> {
        super::body(json, &Rules { validate, unknown: UnknownFields::Refuse, custom: None })
    }

    fn problem(json: &str) -> String {
        let error = body(json, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUser);
        error.to_string()
    }

    #[test]
    fn bare_is_wrapped_and_wrapped_stays() {
        assert_eq!(body("{ }", true).unwrap(), "{\"data\":{ }}");
        assert_eq!(body(" {\"data\" : {}}\n", true).unwrap(), " {\"data\" : {}}\n");
        assert_eq!(body(r#"{"d\u0061ta":{}}"#, true).unwrap(), r#"{"d\u0061ta":{}}"#);
    }

    #[test]
    fn limits_count_characters() {
        for (field, limit) in FIELDS {
            let user = |length| format!("{{\"{field}\":\"{}\"}}", "é".repeat(length));
            match limit {
                Some(limit) => {
                    assert!(body(&user(limit), true).is_ok());
                    let why =
                        format!("{field} is {} characters long; the limit is {limit}", limit + 1);
                    assert_eq!(problem(&user(limit + 1)), why);
                }
                None => assert!(body(&user(100_000), true).is_ok()),
            }
        }
        assert!(body(&format!("{{\"UniqueId\":\"{}\"}}", r"\ud83d\ude00".repeat(50)), true).is_ok());
    }

    #[test]
    fn all_problems_come_at_once() {
        let message = problem(
            r#"{"firstname":"canary","Email":7,"Content":[],"Remarks":"\ud800","Phone1":"1","Phone1":"2","Data":1}"#,
        );
        assert_eq!(
            message,
            "firstname must be written \"FirstName\"; Email must be a string or null, not a number; Content must \
             be an object, not an array; Remarks has a \\u escape that is not a character (half of a surrogate pair); Phone1 \
             appears more than once; Data must be written \"data\""
        );
        assert_eq!(problem("[]"), "user_json must be a JSON object, not an array");
        assert_eq!(problem(r#"{"data":"x"}"#), "data must be a JSON object, not a string");
        assert_eq!(
            problem(r#"{"data":{"data":1}}"#),
            "data is inside \"data\"; wrap the user once"
        );
        assert!(
            problem(r#"{"data":{},"Email":"x"}"#).starts_with("\"data\" must be the only member")
        );
        assert!(problem(r#"{"Email":"x"#).starts_with("user_json is not JSON: EOF"));
    }

    #[test]
    fn unknown_names_are_refused_unless_they_are_allowed() {
        let user = r#"{"FirstName":null,"LoyaltyTier":{"a":[1]},"VIP_Status":1}"#;
        assert_eq!(
            problem(user),
            "LoyaltyTier is not a field of a user (UniqueId, FirstName, LastName, Email, Phone1, Phone2, Remarks, Content): \
             put custom fields inside \"Content\", or set unknown_fields to \"allow\"; VIP_Status is not a field of a user"
        );
        let allow = |custom: Option<Vec<String>>| Rules {
            validate: true,
            unknown: UnknownFields::Allow,
            custom,
        };
        assert!(super::body(user, &allow(None)).is_ok());
        let custom = || Some(vec!["VIP_Status".into(), "Birth_Date".into()]);
        let told = |json: &str, rules: &Rules| super::body(json, rules).unwrap_err().to_string();
        assert_eq!(
            told(user, &allow(custom())),
            "VIP_Status is a custom field; put \"VIP_Status\" inside \"Content\""
        );
        assert!(super::body(r#"{"Content":{"VIP_Status":1,"Birth_Date":null}}"#, &allow(custom()))
            .is_ok());
        assert_eq!(
            told(
                r#"{"Content":{"vip_status":1,"BirthDat":1,"Other":1,"VIP_Status":1,"VIP_Status":1}}"#,
                &allow(custom())
            ),
            "Content.vip_status must be written \"VIP_Status\"; Content.BirthDat is not a custom field; did you mean \
             \"Birth_Date\"?; Content.Other is not a custom field: custom_fields does not have it; Content.VIP_Status \
             appears more than once"
        );
    }

    #[test]
    fn names_that_are_nearly_right_are_refused_even_if_unknown_ones_are_allowed() {
        let rules = Rules { validate: true, unknown: UnknownFields::Allow, custom: None };
        for (name, why) in [
            ("first_name", "first_name must be written \"FirstName\""),
            ("FirstName ", "FirstName  must be written \"FirstName\""),
            ("\u{feff}FirstName", "\\u{feff}FirstName must be written \"FirstName\""),
            ("\u{ff26}irstName", "\u{ff26}irstName must be written \"FirstName\""),
            ("FristName", "FristName is not a field of a user; did you mean \"FirstName\"?"),
            ("E-mail", "E-mail must be written \"Email\""),
            ("Contents", "Contents is not a field of a user; did you mean \"Content\"?"),
        ] {
            let json = serde_json::json!({ name: "canary" }).to_string();
            assert_eq!(super::body(&json, &rules).unwrap_err().to_string(), why);
            assert_eq!(problem(&json), why);
        }
    }

    #[test]
    fn unchecked_still_sends_only_json() {
        assert_eq!(body(r#"{"firstname":1}"#, false).unwrap(), r#"{"data":{"firstname":1}}"#);
        assert_eq!(body("[1]", false).unwrap(), r#"{"data":[1]}"#);
        assert!(body("[1", false).is_err());
    }

    #[test]
    fn builder_escapes_and_overrides() {
        let mut user = User::new();
        user.set("FirstName", Some("old")).unwrap();
        user.set("FirstName", Some("a\"\\\u{1}é")).unwrap();
        user.set("data", None).unwrap();
        user.set_custom("VIP_Status", Some("8")).unwrap();
        let json = user.to_json();
        assert_eq!(
            json,
            "{\"data\":{\"FirstName\":\"a\\\"\\\\\\u0001é\",\"data\":null,\"Content\":{\"VIP_Status\":\"8\"}}}"
        );
        assert!(user.set("", None).is_err() && user.set_custom("", None).is_err());
        assert!(user.set("Content", Some("x")).is_err());
        assert!(!format!("{user:?}").contains('é'));
    }
}
