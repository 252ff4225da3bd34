//! A member on its way into a room.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use parlor_hub::{Gap, MessageId, Refused, RoomName};
use tokio::sync::oneshot;

use super::RoomError;

/// A join that was asked for. It takes place whether or not this is awaited; await it to know.
///
/// Cancel-safe: dropping it drops the answer, not the join. A refusal that nobody waits for is told
/// to [`Handler::error`](super::Handler::error).
#[derive(Debug)]
pub struct Joining(oneshot::Receiver<Result<Joined, Refused>>);

/// What a member that joined is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// The room.
    pub room: RoomName,
    /// Members in it, this one included.
    pub members: usize,
    /// The last message's id; its offset is 0 where nothing was said yet. The member hears what
    /// comes after it.
    pub last: MessageId,
    /// Where history was asked for that is not held in full.
    pub gap: Option<Gap>,
}

impl Joining {
    pub(super) const fn new(answer: oneshot::Receiver<Result<Joined, Refused>>) -> Self {
        Self(answer)
    }
}

impl Joined {
    pub(crate) const fn new(room: RoomName, joined: &parlor_hub::Joined) -> Self {
        Self {
            room,
            members: joined.members,
            last: joined.head,
            gap: joined.gap,
        }
    }
}

impl Future for Joining {
    type Output = Result<Joined, RoomError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(match answer {
            Ok(Ok(joined)) => Ok(joined),
            Ok(Err(reason)) => Err(RoomError::Refused(reason)),
            Err(_) => Err(RoomError::Closed),
        })
    }
}
