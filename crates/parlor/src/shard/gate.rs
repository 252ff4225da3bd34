//! Connections about whose request the embedder decides, which may take its time.

use std::{rc::Rc, sync::Arc};

use parlor_hub::MemberKey;
use tokio::{sync::oneshot, task::AbortHandle, time::timeout};

use super::{
    Mail, Shard,
    calls::watched,
    connections::{APART, Answered, BUSY, Stage},
};
use crate::{
    door::{Kept, Opened, Undecided},
    embed::engineio::Ruling,
    metrics::{End, Refused},
    policy::Refusal,
};

/// A connection whose request waits. Where this is dropped, nobody is asked any more.
#[derive(Debug)]
pub(crate) struct Waiting {
    request: Kept,
    /// What came behind it.
    rest: Box<[u8]>,
    task: AbortHandle,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What has been decided about a connection.
#[derive(Debug)]
pub(crate) struct Ruled {
    key: MemberKey,
    ruling: Ruling,
    /// Where the answer goes, if a server of the embedder's gives it.
    answer: Option<oneshot::Sender<Answered>>,
}

impl Shard {
    /// Waits for the embedder. The connection is not read meanwhile: what came behind the request
    /// is kept, at most what one read brings, and the rest stays with the system.
    pub(super) fn begin_waiting(&mut self, key: MemberKey, undecided: Undecided, rest: &[u8]) {
        let Undecided { judging, request } = undecided;
        let limit = self.settings.head_timeout;
        let mut answer = self.connections.lend_answer(key);
        let mailbox = Arc::clone(&self.mailboxes[usize::from(self.id.0)]);
        let link = Arc::clone(self.local.link());
        let running = Rc::clone(&self.judging);
        let task = tokio::task::spawn_local(async move {
            let judged = watched(judging, &link);
            let ruling = tokio::select! {
                judged = timeout(limit, judged) => match judged {
                    Ok(ruling) => ruling.unwrap_or(Ruling::Panic),
                    Err(_) => Ruling::Late,
                },
                () = gone(&mut answer) => Ruling::Gone,
            };
            drop(running);
            let ruled = Ruled {
                key,
                ruling,
                answer,
            };
            // A shard that cannot be woken has ended, and its connections with it.
            let _ = mailbox.post(&mut vec![Mail::Ruled(Box::new(ruled))], 0);
        });
        self.connections.wheel.clear(key.slot);
        self.connections.hot[key.slot as usize].flags |= BUSY;
        self.connections.cold[key.slot as usize].stage = Stage::Undecided(Box::new(Waiting {
            request,
            rest: rest.into(),
            task: task.abort_handle(),
        }));
    }

    /// The embedder has decided: the request is looked at again.
    pub(super) fn take_ruling(&mut self, ruled: Ruled) {
        let Ruled {
            key,
            ruling,
            answer,
        } = ruled;
        let Some(waiting) = self.end_waiting(key) else {
            return;
        };
        match ruling {
            Ruling::Gone => return self.end_gone(key),
            Ruling::Panic => {
                tracing::error!("a hook panicked");
                self.connections.counters.panicked();
            }
            _ => {}
        }
        let settings = Arc::clone(&self.settings);
        let policy = match answer {
            Some(answer) => {
                self.connections.return_answer(key, answer);
                &settings.visit_policy
            }
            None => &settings.policy,
        };
        let peer = Some(waiting.request.peer);
        let opened = waiting
            .request
            .with_head(|head| self.open_from(key, head, (policy, Some(ruling)), peer));
        match opened {
            // Whom the embedder is asked about is nobody's but this shard's.
            None | Some(Opened::Elsewhere(_)) => return self.end(key, End::Broken),
            Some(opened) => self.admit(key, opened, &mut waiting.rest.to_vec()),
        }
        if self.connections.is_current(key) {
            self.list_ready(key);
        }
    }

    /// A client has gone, or wants nothing any more, while the embedder decides.
    pub(super) fn end_gone(&mut self, key: MemberKey) {
        self.connections.counters.refused(Refused::Gone);
        self.end(key, End::Peer);
    }

    /// The server stops while the embedder decides.
    pub(super) fn refuse_waiting(&mut self, key: MemberKey) {
        drop(self.end_waiting(key));
        self.connections.counters.refused(Refused::Late);
        if self.connections.hot[key.slot as usize].flags & APART != 0 {
            // Whoever was to write the answer is told so.
            return self.end(key, End::ShuttingDown);
        }
        let refusal = Refusal::new(503, "server is stopping");
        self.connections.send(key, &refusal.to_response(), 1);
        self.linger(key, End::ShuttingDown);
        if self.connections.is_current(key) {
            self.list_ready(key);
        }
    }

    /// Whether a connection waits for the embedder.
    pub(super) fn is_undecided(&self, key: MemberKey) -> bool {
        let stage = &self.connections.cold[key.slot as usize].stage;
        matches!(stage, Stage::Undecided(_))
    }

    fn end_waiting(&mut self, key: MemberKey) -> Option<Box<Waiting>> {
        if !self.connections.is_current(key) {
            return None;
        }
        let stage = &mut self.connections.cold[key.slot as usize].stage;
        match std::mem::replace(stage, Stage::Head(None)) {
            Stage::Undecided(waiting) => {
                self.connections.hot[key.slot as usize].flags &= !BUSY;
                Some(waiting)
            }
            other => {
                *stage = other;
                None
            }
        }
    }
}

/// Waits until whoever wants the answer has gone; for ever where that shows otherwise.
async fn gone(answer: &mut Option<oneshot::Sender<Answered>>) {
    match answer {
        Some(answer) => answer.closed().await,
        None => std::future::pending().await,
    }
}
