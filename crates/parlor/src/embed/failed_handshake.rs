//! A handshake that failed, and who is told.

use std::{fmt, sync::Arc};

use super::{Head, Refusal};

/// A request for a door or an endpoint that was refused before any handler was asked: it is no
/// faultless upgrade, comes from an origin that may not connect, or there is no room for it.
#[derive(Debug)]
pub struct FailedHandshake {
    head: Head,
    status: u16,
    reason: Box<str>,
}

impl FailedHandshake {
    pub(crate) fn new(head: Head, status: u16, reason: &str) -> Self {
        Self {
            head,
            status,
            reason: reason.into(),
        }
    }

    /// The request.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The HTTP status that it gets.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Who is told of failed handshakes, and may answer them otherwise.
#[derive(Clone)]
pub(crate) struct OnFailed(Arc<Hook>);

type Hook = dyn Fn(&FailedHandshake) -> Option<Refusal> + Send + Sync;

impl OnFailed {
    pub(crate) fn new(
        hook: impl Fn(&FailedHandshake) -> Option<Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn tell(&self, failed: &FailedHandshake) -> Option<Refusal> {
        (self.0)(failed)
    }
}

impl fmt::Debug for OnFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnFailed").finish_non_exhaustive()
    }
}
