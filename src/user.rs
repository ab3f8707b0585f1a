//! Builds a user. The modules have the documented fields, their checks, and the body of a request.

mod body;
mod check;
mod fields;

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::nearest::nearest;
use crate::user::fields::{CONTENT, DATA};

pub(crate) use body::{body, joined};
pub(crate) use check::Rules;

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
        fields::names()
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
        nearest(name, fields::names())
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

    #[test]
    fn a_user_escapes_values_and_overrides_earlier_ones() {
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
