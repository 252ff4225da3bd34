//! Bodies of requests that somebody else reads, within our bounds.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::policy::Refusal;

/// A body that ends with an error where it is too long or too slow.
pub(super) struct Upload {
    body: Body,
    /// It may have so many bytes more.
    left: u64,
    timeout: Duration,
    /// Made when nothing is there to be read.
    timer: Option<Pin<Box<Sleep>>>,
    fault: Fault,
}

/// What was wrong with a body.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<OnceLock<Refusal>>);

impl Fault {
    /// The answer that it asks for, whatever the handler says.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.0.get().copied()
    }
}

impl Upload {
    /// Bounds a body: 413 past `bytes_max`, at once where its length is announced; 408 where it is
    /// not there in whole when it has been waited for so long.
    pub(super) fn new(body: Body, bytes_max: u64, timeout: Duration) -> (Self, Fault) {
        let fault = Fault::default();
        let upload = Self {
            left: bytes_max,
            timeout,
            timer: None,
            fault: fault.clone(),
            body,
        };
        if upload.body.size_hint().lower() > bytes_max {
            upload.set_fault(Refusal::BODY_TOO_LARGE);
        }
        (upload, fault)
    }

    fn set_fault(&self, refusal: Refusal) -> axum::Error {
        // The first one counts.
        let _ = self.fault.0.set(refusal);
        axum::Error::new(io::Error::new(io::ErrorKind::InvalidData, refusal.text))
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.fault.refusal().is_some() {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(end) => return Poll::Ready(end),
            Poll::Pending => {
                let timeout = self.timeout;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
                return timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Some(Err(self.set_fault(Refusal::TIMEOUT))));
            }
        };
        let len = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(len) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(self.set_fault(Refusal::BODY_TOO_LARGE)))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
