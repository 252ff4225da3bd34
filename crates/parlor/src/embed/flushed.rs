//! What was sent on its way to the system.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use super::SendError;

/// Ready when the system has taken what was sent before; made by
/// [`Member::flushed`](super::Member::flushed). [`SendError::Closed`] where the connection has
/// ended before that. Cancel-safe: dropping it changes nothing.
#[derive(Debug)]
pub struct Flushed(oneshot::Receiver<()>);

impl Flushed {
    pub(super) const fn new(answer: oneshot::Receiver<()>) -> Self {
        Self(answer)
    }
}

impl Future for Flushed {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.map_err(|_| SendError::Closed))
    }
}
