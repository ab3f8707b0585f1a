//! What a column of a file can be mapped to.

use crate::input::body::push_text;

/// The object of custom fields, and the prefix of their names.
pub(super) const CONTENT: &str = "Content";

/// A field of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// Whether it is a member of `Content`.
    pub custom: bool,
    pub name: String,
    /// The name as JSON.
    pub json: String,
}

impl Field {
    pub(super) fn new(name: &str, custom: bool) -> Self {
        let mut json = String::new();
        push_text(&mut json, name);
        Self { custom, name: name.to_owned(), json }
    }

    /// Returns the name for messages.
    pub fn shown(&self) -> String {
        if self.custom {
            format!("{CONTENT}.{}", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// What a column is mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Id,
    Field(Field),
    Skipped,
    /// The row's position in an earlier run.
    Origin,
    /// The column has no name, so its cells must be empty.
    Unnamed,
    /// The object of custom fields, in JSON.
    Content,
}

/// A column that no rule covers, and the field that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    pub suggestion: Option<String>,
}
