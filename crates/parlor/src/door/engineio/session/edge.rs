//! A session's beginning and end.

use parlor_proto::{engineio::CloseCause, websocket::CloseCode};

use super::Engine;

/// When the client of a new session is told that it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// When the shard says so, some 50 microseconds after its request was answered.
    Soon,
    /// At this time: milliseconds of the shard's clock.
    At(u64),
}

/// What a session has that begins or ends.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// When its client is told that it is open, where that is not done.
    pub(super) begins: Option<Begins>,
    /// Why it has ended.
    pub(super) cause: Option<CloseCause>,
    /// The application knows that it has ended.
    pub(super) told: bool,
    /// Its end has been counted, and its member has stayed.
    pub(super) kept: bool,
    /// What a WebSocket is closed with, where that is not nothing.
    pub(super) goodbye: Option<(CloseCode, &'static str)>,
}

impl Engine {
    pub(super) fn edge(&mut self) -> &mut Edge {
        self.edge.get_or_insert_default()
    }

    /// When its client is to be told that it is open, where that is not done.
    pub(super) fn begins(&self) -> Option<Begins> {
        self.edge.as_ref()?.begins
    }

    /// Why it has ended.
    pub(super) fn cause(&self) -> Option<CloseCause> {
        self.edge.as_ref()?.cause
    }

    /// Whether the application knows that it has ended.
    pub(super) fn is_told(&self) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.told)
    }

    pub(super) fn goodbye(&self) -> Option<(CloseCode, &'static str)> {
        self.edge.as_ref()?.goodbye
    }
}
