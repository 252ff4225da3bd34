//! What the gate, the service and the connection know of the request under way.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::policy::Refusal;

/// The state of one connection, shared by the three parts of its one task.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    stage: Cell<Stage>,
    fault: Cell<Option<Refusal>>,
    end: Cell<End>,
    reader: RefCell<Option<Waker>>,
}

/// Where the exchange of one request and its response stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No request is under way, and every response has left hyper's buffer.
    #[default]
    Idle,
    /// A request was let through.
    Requested,
    /// Its response is complete in hyper's buffer.
    Answered,
}

/// Why the gate lets no further request through.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It did not say: the other end closed, or hyper did.
    #[default]
    Closed,
    /// The next head, or its lateness, is refused; nothing of it reached hyper.
    Refused(Refusal),
    /// A door claims the next request, whose head has this many bytes.
    Claimed(usize),
}

impl Exchange {
    /// The gate lets a request through.
    pub(super) fn begin(&self) {
        self.stage.set(Stage::Requested);
    }

    /// Whether no request is under way. Then whatever the connection writes next stands behind
    /// every earlier response.
    pub(super) fn is_idle(&self) -> bool {
        self.stage.get() == Stage::Idle
    }

    /// Everything buffered has been written.
    pub(super) fn flushed(&self) {
        if self.stage.get() == Stage::Answered {
            self.stage.set(Stage::Idle);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

    /// The gate cannot go on before the response is out: wake this reader then.
    pub(super) fn wake_when_idle(&self, reader: &Waker) {
        self.reader.replace(Some(reader.clone()));
    }

    /// The body of the request broke a rule; this is the answer, whatever the handler says.
    pub(super) fn set_fault(&self, refusal: Refusal) {
        self.fault.set(Some(refusal));
    }

    /// The answer that a broken body asks for.
    pub(super) fn fault(&self) -> Option<Refusal> {
        self.fault.get()
    }

    /// The gate lets nothing more through.
    pub(super) fn set_end(&self, end: End) {
        self.end.set(end);
    }

    /// Why it does not.
    pub(super) fn end(&self) -> End {
        self.end.get()
    }
}

/// A response body that tells the exchange when hyper has taken all of it.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    exchange: Rc<Exchange>,
}

impl TrackedBody {
    pub(super) fn new(body: Body, exchange: Rc<Exchange>) -> Self {
        Self { body, exchange }
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        // hyper drops a body when it has put the end of it into its buffer, or gives up on the
        // connection; in both cases this response adds nothing more.
        self.exchange.stage.set(Stage::Answered);
    }
}

impl hyper::body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
