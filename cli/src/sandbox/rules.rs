//! The documented rules: what a call must contain, how it changes a user, and the text of the
//! reply.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

/// The documented limits of a user's fields, in characters.
const LIMITS: [(&str, usize); 7] = [
    ("UniqueId", 50),
    ("FirstName", 100),
    ("LastName", 100),
    ("Email", 255),
    ("Phone1", 100),
    ("Phone2", 100),
    ("Remarks", usize::MAX),
];

/// The object of custom fields.
const CONTENT: &str = "Content";

/// Fields by name. Every value keeps its original text.
type Fields = BTreeMap<String, Box<RawValue>>;

/// A user's record.
#[derive(Default, Serialize)]
pub struct User {
    #[serde(flatten)]
    fields: Fields,
    #[serde(rename = "Content", skip_serializing_if = "Fields::is_empty")]
    custom: Fields,
}

impl User {
    /// Adds and replaces the fields of an update.
    pub fn apply(&mut self, update: User) {
        self.fields.extend(update.fields);
        self.custom.extend(update.custom);
    }
}

/// Parses the update in the body of a request. Returns `None` if the API would reject it.
pub fn read_update(body: &[u8]) -> Option<User> {
    #[derive(Deserialize)]
    struct Request {
        data: Fields,
    }
    let Request { data: mut fields } = serde_json::from_slice(body).ok()?;
    let custom = match fields.remove(CONTENT) {
        Some(content) => serde_json::from_str(content.get()).ok()?,
        None => Fields::new(),
    };
    let fits = |(name, limit): (&str, usize)| match fields.get(name) {
        Some(value) => {
            let text: Option<Option<String>> = serde_json::from_str(value.get()).ok();
            text.is_some_and(|text| text.is_none_or(|text| text.chars().count() <= limit))
        }
        None => true,
    };
    LIMITS.into_iter().all(fits).then_some(User { fields, custom })
}

/// The envelope of a reply.
#[derive(Serialize)]
struct Envelope<'a, T> {
    status: u16,
    description: &'a str,
    response_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// The `data` of a reply.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(rename = "Id")]
    id: i64,
    #[serde(flatten)]
    user: Option<&'a User>,
}

/// Returns the documented reply for a status; empty if none is documented.
pub fn envelope(status: StatusCode, user_id: Option<i64>) -> String {
    let data = user_id.filter(|_| status == StatusCode::OK).map(|id| Data { id, user: None });
    describe(status).map_or_else(String::new, |description| write(status, description, data))
}

/// Returns the reply that shows a user.
pub fn show(id: i64, user: &User) -> String {
    write(StatusCode::OK, "Operation successful", Some(Data { id, user: Some(user) }))
}

fn write(status: StatusCode, description: &str, data: Option<Data>) -> String {
    let envelope = Envelope { status: status.as_u16(), description, response_time: now(), data };
    serde_json::to_string(&envelope).expect("strings, numbers and valid JSON serialise")
}

/// Returns the documented description of a status.
fn describe(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        200 => "Operation successful",
        400 => "Bad Request",
        401 => "Unauthorized access",
        404 => "Not found",
        429 => "Too Many Requests",
        500 => "Operation failed",
        _ => return None,
    })
}

/// Returns the time in the API's format: UTC with seven fractional digits.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let (date, (hour, minute, second, nanos)) = (now.date(), now.time().as_hms_nano());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{:07}Z", nanos / 100)
}
