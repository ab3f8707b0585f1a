//! How the server handles one request: a reply, and the steps in which it is sent or withheld.

use std::time::Duration;

/// How much of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The head, and whatever part of the body arrived with it.
    Head,
    Half,
    All,
}

/// The position up to which the reply is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    MidHead,
    Head,
    MidBody,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Continues to read the request. If it is complete, reads the next one.
    Read(Share),
    Wait(Duration),
    /// Sends the reply from the current position to this place, in one piece.
    SendTo(Place),
    /// Sends the rest of the reply, one byte at a time, with this pause after each.
    Drip(Duration),
    /// Sends this text repeatedly, with this pause after each, until the client closes the
    /// connection.
    Endless(&'static str, Duration),
    /// Shuts down the sending side, and reads until the client closes too.
    Fin,
    /// Resets the connection.
    Reset,
    /// Does nothing more until the client closes the connection.
    Hold,
}

/// In the texts, `{id}` is replaced with the user's id, and `{length}` with the body's length.
#[derive(Clone, Debug)]
pub struct Fault {
    pub head: String,
    pub body: String,
    /// Sent together with the body, but not counted in its length.
    pub tail: String,
    pub steps: Vec<Step>,
}

impl Fault {
    /// A correct response, sent in these steps.
    pub fn new(steps: &[Step]) -> Self {
        Self::status(200).steps(steps)
    }

    /// A correct response. The connection stays open.
    pub fn good() -> Self {
        Self::status(200)
    }

    /// A response with this status.
    pub fn status(status: u16) -> Self {
        Self {
            head: format!(
                "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {{length}}\r\n\r\n"
            ),
            body: format!(
                r#"{{"status":{status},"description":"d","response_time":"12.5 ms","data":{{"Id":{{id}}.0}}}}"#
            ),
            tail: String::new(),
            steps: vec![Step::Read(Share::All), Step::SendTo(Place::End)],
        }
    }

    pub fn steps(mut self, steps: &[Step]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    /// Appends these steps.
    pub fn then(mut self, steps: &[Step]) -> Self {
        self.steps.extend_from_slice(steps);
        self
    }

    /// Waits before the response.
    pub fn after(mut self, wait: Duration) -> Self {
        self.steps.insert(1, Step::Wait(wait));
        self
    }

    pub fn head(mut self, head: &str) -> Self {
        self.head = head.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.insert_str(self.head.len() - 2, &format!("{name}: {value}\r\n"));
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }

    pub fn tail(mut self, tail: &str) -> Self {
        self.tail = tail.into();
        self
    }

    /// Returns whether the server reads anything at all.
    pub fn reads(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Read(_) | Step::Fin))
    }

    /// Returns the bytes of the reply, and a function that maps places to positions in it.
    pub(super) fn reply(&self, user_id: i64) -> (Vec<u8>, impl Fn(Place) -> usize) {
        let body = self.body.replace("{id}", &user_id.to_string());
        let head = self.head.replace("{length}", &body.len().to_string());
        let (head_length, body_length) = (head.len(), body.len());
        let bytes = [head, body, self.tail.clone()].concat().into_bytes();
        let end = bytes.len();
        let place = move |place| match place {
            Place::MidHead => head_length / 2,
            Place::Head => head_length,
            Place::MidBody => head_length + body_length / 2,
            Place::End => end,
        };
        (bytes, place)
    }
}
