//! Whether an update reached the server.

use serde::Serialize;

/// Whether the update reached the server.
///
/// # Examples
///
/// ```
/// use commbox::Delivery;
///
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// let error = client.update_user_json(0, "{}").unwrap_err();
/// assert_eq!(error.delivery(), Delivery::NotSent);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// No byte of the request was sent.
    #[default]
    NotSent,
    /// The server may have processed the update: the request may have reached it, but no complete
    /// response was received.
    Unknown,
    /// The server answered.
    Answered,
}

impl Delivery {
    /// Returns the name in the error JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
        }
    }
}
