//! The requests of a session that goes over polling.

use parlor_proto::engineio::{Content, ErrorCode, Form, PollId};
use tokio::sync::oneshot;

use super::{
    super::request::{Answer, Asked, Body, Reply, refusal, respond},
    Engine,
};
use crate::door::Turn;

impl Engine {
    /// Does what a request asks for.
    pub(super) fn asked(&mut self, asked: Asked, turn: &mut Turn<'_>) {
        let now = self.in_time(turn.now);
        match asked {
            Asked::Poll { id, form, answer } => self.poll(id, form, answer, now),
            Asked::Post {
                content,
                body,
                answer,
            } => self.post(content, body, answer, turn),
            Asked::Body { body, answer } => self.post_body(body, answer, turn),
            Asked::Gone(id) => {
                let id = PollId(id);
                self.session.poll_aborted(id, &self.mount.options, now);
            }
            Asked::Cut => {
                // One whose body was whole is taken in, whether or not its answer is heard.
                let plain = self.plain.as_mut();
                if plain.is_some_and(|plain| plain.content.take().is_some()) {
                    self.session.post_aborted(&self.mount.options, now);
                }
            }
        }
    }

    /// A GET came in.
    fn poll(&mut self, id: u64, form: Form, answer: oneshot::Sender<Answer>, now: u64) {
        let id = PollId(id);
        let polled = self.session.poll(id, form, &self.mount.options, now);
        match (polled, &mut self.plain) {
            (Ok(()), Some(plain)) => plain.wait(id, answer),
            (Ok(()), None) => respond(answer, refusal(ErrorCode::BadRequest)),
            (Err(code), _) => respond(answer, refusal(code)),
        }
    }

    /// The head of a POST came in.
    fn post(
        &mut self,
        content: Content,
        body: Option<Body>,
        answer: oneshot::Sender<Answer>,
        turn: &mut Turn<'_>,
    ) {
        let now = self.in_time(turn.now);
        if let Err(code) = self.session.post_begin(&self.mount.options, now) {
            return respond(answer, refusal(code));
        }
        if let Some(plain) = &mut self.plain {
            plain.content = Some(content);
        }
        match body {
            Some(body) => self.post_body(body, answer, turn),
            // A client that has gone is told of by itself.
            None => drop(answer.send(Answer::SendBody)),
        }
    }

    /// The body of a POST is there, or will not come.
    fn post_body(&mut self, body: Body, answer: oneshot::Sender<Answer>, turn: &mut Turn<'_>) {
        let now = self.in_time(turn.now);
        let options = self.mount.options;
        let content = self.plain.as_mut().and_then(|plain| plain.content.take());
        let reply = match body {
            Body::TooLarge => {
                self.session.post_too_large(&options, now);
                Reply::too_large()
            }
            Body::Cut => {
                self.session.post_aborted(&options, now);
                refusal(ErrorCode::BadRequest)
            }
            Body::Whole(body) => {
                let content = content.unwrap_or(Content::Text);
                match self.take_payload(content, &body, now, turn) {
                    Ok(()) => Reply::ok(),
                    Err(code) => refusal(code),
                }
            }
        };
        respond(answer, reply);
    }

    /// Takes in the packets of a POST.
    fn take_payload(
        &mut self,
        content: Content,
        body: &[u8],
        now: u64,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        let options = self.mount.options;
        let mut payload = self.session.post_end(content, body, &options, now)?;
        while let Some(data) = self.session.receive(&mut payload, &options, now)? {
            self.hand_over(&data, turn);
        }
        Ok(())
    }
}
