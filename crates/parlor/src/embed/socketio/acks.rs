//! Acknowledgements that the server waits for.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot};

use super::{Args, ArgsError, command::Answer};
use crate::embed::SendError;

/// Why there is no acknowledgement.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The event was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It did not come in time.
    #[error("no acknowledgement in time")]
    Timeout,
    /// The client has gone, or more acknowledgements are awaited than may be (1,024 a socket).
    #[error("the client has gone")]
    Disconnected,
    /// It is not of the type that was wanted.
    #[error(transparent)]
    Args(#[from] ArgsError),
}

/// Not all clients have acknowledged an event in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{missing} of the clients have not acknowledged")]
#[non_exhaustive]
pub struct PartialAcks {
    /// What the others have answered.
    pub answers: Vec<Args>,
    /// How many have not. At least 1.
    pub missing: usize,
}

/// Waits for one acknowledgement. The event was sent when this was made.
pub(super) async fn wait_for<T: DeserializeOwned>(
    sent: Result<oneshot::Receiver<Answer>, SendError>,
    timeout: Option<Duration>,
) -> Result<T, AckError> {
    let answered = sent?;
    // The shard notes the time too; this is for one that is gone.
    let answer = match timeout {
        Some(timeout) => tokio::time::timeout(timeout, answered)
            .await
            .map_err(|_| AckError::Timeout)?,
        None => answered.await,
    };
    let answer = answer.map_err(|_| AckError::Disconnected)?;
    Ok(answer.ok_or(AckError::Timeout)?.parse()?)
}

/// Gathers the acknowledgements of one event.
#[derive(Debug)]
pub(crate) struct Collector {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Shards that have not said how many clients they have sent it to.
    shards: usize,
    expected: usize,
    answers: Vec<Args>,
}

impl Collector {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            state: Mutex::new(State {
                shards,
                expected: 0,
                answers: Vec::new(),
            }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard has sent the event to so many clients.
    pub(crate) fn sent(&self, clients: usize) {
        let mut state = self.state();
        state.shards = state.shards.saturating_sub(1);
        state.expected += clients;
        drop(state);
        self.changed.notify_one();
    }

    /// A client has acknowledged it.
    pub(crate) fn answered(&self, args: Args) {
        self.state().answers.push(args);
        self.changed.notify_one();
    }

    fn is_done(&self) -> bool {
        let state = self.state();
        state.shards == 0 && state.answers.len() >= state.expected
    }

    /// Waits for all, or until the time is up.
    pub(super) async fn gather(&self, timeout: Duration) -> Result<Vec<Args>, PartialAcks> {
        let all = async {
            while !self.is_done() {
                self.changed.notified().await;
            }
        };
        let in_time = tokio::time::timeout(timeout, all).await.is_ok();
        let mut state = self.state();
        let answers = std::mem::take(&mut state.answers);
        let missing = state.expected.saturating_sub(answers.len());
        if in_time || (missing == 0 && state.shards == 0) {
            return Ok(answers);
        }
        Err(PartialAcks {
            answers,
            missing: missing.max(1),
        })
    }
}
