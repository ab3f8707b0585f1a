//! The body of an answer, which may be cut off.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Why a connection ends without a complete answer.
#[derive(Debug)]
pub enum Fault {
    /// The client disconnected in the middle of its request.
    Gone,
    /// The script asks for a connection reset.
    Reset,
    /// The script asks for a body that is cut off.
    Cut,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "the client went away",
            Self::Reset => "reset by script",
            Self::Cut => "cut by script",
        })
    }
}

impl std::error::Error for Fault {}

/// A body: whole, chunked, or cut off.
pub struct Payload {
    bytes: Bytes,
    /// The value of `Content-Length`; `None` sends the body chunked.
    announced: Option<u64>,
    next: Step,
}

/// What the connection receives when it polls next.
#[derive(PartialEq)]
enum Step {
    Data { cut: bool },
    Flush,
    BreakOff,
    End,
}

impl Payload {
    /// Creates the body `bytes`: without `Content-Length` if `chunked`, and cut off after `cut`
    /// bytes.
    pub fn new(bytes: Bytes, chunked: bool, cut: Option<usize>) -> Self {
        let announced = (!chunked).then_some(bytes.len() as u64);
        let sent = cut.map_or(bytes.len(), |cut| cut.min(bytes.len()));
        Self { announced, next: Step::Data { cut: cut.is_some() }, bytes: bytes.slice(..sent) }
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::new(text.into(), false, None)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.next {
            Step::Data { cut } => {
                self.next = if cut { Step::Flush } else { Step::End };
                let bytes = std::mem::take(&mut self.bytes);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // On an error hyper drops what it has buffered. Returning pending once makes it write
            // that first.
            Step::Flush => {
                self.next = Step::BreakOff;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Step::BreakOff => Poll::Ready(Some(Err(Fault::Cut))),
            Step::End => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next == Step::End || self.announced == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
