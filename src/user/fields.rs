//! The fields of a user.

/// The fields of a user and the vendor's limits, in characters (schema `User_Info`). `None` means
/// no limit.
pub(super) const FIELDS: [(&str, Option<usize>); 7] = [
    ("UniqueId", Some(50)),
    ("FirstName", Some(100)),
    ("LastName", Some(100)),
    ("Email", Some(255)),
    ("Phone1", Some(100)),
    ("Phone2", Some(100)),
    ("Remarks", None),
];

/// The object of custom fields.
pub(super) const CONTENT: &str = "Content";

/// The member that wraps a user in the request.
pub(super) const DATA: &str = "data";

/// Returns the names of the fields. `Content` is the last.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    FIELDS.iter().map(|(name, _)| *name).chain([CONTENT])
}
