//! Joins that were asked for.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use parlor_hub::Refused;
use tokio::sync::oneshot;

use super::super::RoomError;

/// Joins that were asked for; see [`Socket::join`](super::Socket::join) and
/// [`Socket::join_rooms`](super::Socket::join_rooms).
#[derive(Debug, Default)]
pub struct Entering {
    first: Option<Answer>,
    rest: Vec<Answer>,
}

type Answer = oneshot::Receiver<Result<(), Refused>>;

impl Entering {
    pub(super) const fn new(answer: Answer) -> Self {
        Self {
            first: Some(answer),
            rest: Vec::new(),
        }
    }

    /// And those.
    pub(super) fn and(&mut self, others: Self) {
        let mut answers = others.first.into_iter().chain(others.rest);
        if self.first.is_none() {
            self.first = answers.next();
        }
        self.rest.extend(answers);
    }
}

impl IntoFuture for Entering {
    type Output = Result<(), RoomError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Waits until the socket is in the room: [`RoomError::Refused`] where the room does not take
    /// it or cannot be one, [`RoomError::Closed`] where the socket has gone.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            for answer in self.first.into_iter().chain(self.rest) {
                let answer = answer.await.map_err(|_| RoomError::Closed)?;
                answer.map_err(RoomError::Refused)?;
            }
            Ok(())
        })
    }
}
