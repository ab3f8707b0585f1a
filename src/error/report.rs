//! All details of an error as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::error::delivery::Delivery;
use crate::error::problem::Problem;
use crate::error::Error;

impl Error {
    /// Returns all details as the JSON object that `commbox_last_error_json()` documents.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert!(error.to_json().starts_with(r#"{"code":404,"name":"not_found","#));
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let report = Report {
            code: self.kind.code(),
            name: self.kind.name(),
            message: &self.message,
            http_status: self.http_status(),
            description: self.description(),
            response_time: self.response_time(),
            request_id: self.request_id(),
            retry_after_ms: self.retry_after().map(millis),
            attempts: self.attempts,
            elapsed_ms: millis(self.elapsed),
            delivery: self.delivery,
            response: self.response(),
            problems: &self.problems,
        };
        // The fields are only strings and numbers, so this cannot fail.
        serde_json::to_string(&report).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    code: i32,
    name: &'a str,
    message: &'a str,
    http_status: Option<u16>,
    description: Option<&'a str>,
    response_time: Option<&'a str>,
    request_id: Option<&'a str>,
    retry_after_ms: Option<u64>,
    attempts: u32,
    elapsed_ms: u64,
    delivery: Delivery,
    response: Option<&'a str>,
    problems: &'a [Problem],
}

/// Returns whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind::ErrorKind;

    #[test]
    fn json_has_all_members_and_absent_ones_are_null() {
        let error = Error::new(ErrorKind::Timeout, "too late").with_delivery(Delivery::Unknown);
        assert_eq!(
            error.to_json(),
            r#"{"code":-7,"name":"timeout","message":"too late","http_status":null,"description":null,"response_time":null,"request_id":null,"retry_after_ms":null,"attempts":0,"elapsed_ms":0,"delivery":"unknown","response":null,"problems":[]}"#
        );
        let error = Error::problem(ErrorKind::InvalidOptions, "proxy", "is none");
        assert!(error
            .to_json()
            .ends_with(r#","problems":[{"path":"proxy","message":"is none"}]}"#));
    }
}
