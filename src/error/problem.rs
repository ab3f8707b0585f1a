//! What is wrong with one option or field.

use std::fmt;

use serde::Serialize;

/// A problem of one option or field. Its text is the path followed by the message.
///
/// # Examples
///
/// ```
/// use commbox::Options;
///
/// let error = Options::from_json(r#"{"max_retries": 101}"#).err().unwrap();
/// assert_eq!(error.problems()[0].to_string(), "max_retries must be from 0 to 100");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    path: String,
    message: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// Returns the key of the option or the name of the field; empty if the problem concerns the
    /// whole.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = commbox::Options::from_json(r#"{"proxi": ""}"#).err().unwrap();
    /// assert_eq!(error.problems()[0].path(), "proxi");
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong, in words that follow the path. The names of other options are in
    /// braces: `must be at least {retry_base_ms}`.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = commbox::Options::from_json(r#"{"max_retries": 101}"#).err().unwrap();
    /// assert_eq!(error.problems()[0].message(), "must be from 0 to 100");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{} ", self.path)?;
        }
        f.write_str(&self.message.replace(['{', '}'], ""))
    }
}

/// Returns a name for messages: at most `most` characters, with invisible ones escaped.
pub(crate) fn shown(name: &str, most: usize) -> String {
    name.chars().take(most).flat_map(char::escape_debug).collect()
}
