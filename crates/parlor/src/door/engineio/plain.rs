//! What a session has while it goes over polling.

use parlor_proto::{
    engineio::{Content, ErrorCode, Payload, PollId, Response},
    websocket::Connection,
};
use tokio::sync::oneshot;

use super::request::{Answer, Reply, refusal, respond};

/// The requests of one session that are not answered, and the WebSocket that is tried.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// The GET that is pending.
    pending: Option<(PollId, oneshot::Sender<Answer>)>,
    /// The id that the first answer tells in a cookie.
    pub(super) cookie: Option<String>,
    /// What the body is of the POST that is being read.
    pub(super) content: Option<Content>,
    /// The POST that is being taken in.
    pub(super) taking: Option<Box<Taking>>,
    /// The WebSocket that the session may go on over.
    pub(super) trial: Option<Connection>,
    /// What becomes of it.
    pub(super) verdict: Verdict,
}

/// A POST of which a part has been taken in.
#[derive(Debug)]
pub(super) struct Taking {
    /// The rest of it: no more than the longest body of a POST.
    pub(super) payload: Payload<'static>,
    /// Where it is answered, once all of it has been taken in.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What becomes of the WebSocket that a session tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried on, if there is one.
    #[default]
    Wait,
    /// The session goes on over it.
    Adopt,
    /// It is closed.
    Drop,
}

impl Plain {
    /// A GET waits for its answer.
    pub(super) fn wait(&mut self, id: PollId, answer: oneshot::Sender<Answer>) {
        self.pending = Some((id, answer));
    }

    /// Answers the GET that waits.
    pub(super) fn respond(&mut self, id: PollId, response: Response) {
        if let Some((_, answer)) = self.pending.take_if(|(pending, _)| *pending == id) {
            let mut reply = Reply::of_poll(response);
            reply.cookie = self.cookie.take();
            respond(answer, reply);
        }
    }

    /// Drops what has not been taken in of a POST, and says so.
    pub(super) fn drop_rest(&mut self, code: ErrorCode) {
        if let Some(taking) = self.taking.take() {
            respond(taking.answer, refusal(code));
        }
    }
}
