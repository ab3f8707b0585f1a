//! What the server does with one request: a reply, and the steps in which it is sent or not sent.

use std::time::Duration;

/// How much of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The head, and what of the body came along.
    Head,
    Half,
    All,
}

/// How far the reply is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    MidHead,
    Head,
    MidBody,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads on in the request, or the next one where it was read to its end.
    Read(Share),
    Wait(Duration),
    /// Sends the reply from where it is to this place, in one piece.
    SendTo(Place),
    /// Sends the rest of the reply, one byte at a time.
    Drip(Duration),
    /// Sends this again and again, so far apart, until the client is gone.
    Endless(&'static str, Duration),
    /// Ends the sending side, and reads on until the client closes too.
    Fin,
    /// Drops the connection without a word.
    Reset,
    /// Does nothing more until the client closes.
    Hold,
}

/// `{id}` stands for the id of the user, `{length}` for the length of the body.
#[derive(Clone, Debug)]
pub struct Fault {
    pub head: String,
    pub body: String,
    /// Comes after the body, in one piece with it, and does not count in its length.
    pub tail: String,
    pub steps: Vec<Step>,
}

impl Fault {
    /// A right answer in these steps.
    pub fn new(steps: &[Step]) -> Self {
        Self::status(200).steps(steps)
    }

    /// A right answer, and the connection stays open.
    pub fn good() -> Self {
        Self::status(200)
    }

    /// An answer with this status.
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

    /// The same with these steps after its own.
    pub fn then(mut self, steps: &[Step]) -> Self {
        self.steps.extend_from_slice(steps);
        self
    }

    /// The same after a while.
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

    /// Whether the server reads anything at all.
    pub fn reads(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Read(_) | Step::Fin))
    }

    /// The bytes of the reply, and where its places are.
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
