//! The requests of a session that goes over polling.

use parlor_proto::engineio::{Content, Data, ErrorCode, Form, Payload, PollId};
use tokio::sync::oneshot;

use super::{
    super::{
        plain::Taking,
        request::{Answer, Asked, Body, Reply, refusal, respond},
    },
    Engine,
};
use crate::door::{Turn, pace::Pace};

/// Of a POST so many bytes are taken in within a turn, like those that are read from a socket. The
/// rest waits for the next turns, so that other members of the shard are heard in between.
const PART_BYTES: usize = 64 * 1024;

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
                if self.is_watched() {
                    self.watch_post(content, &body, turn.tools);
                }
                match self.session.post_end(content, &body, &options, now) {
                    Ok(payload) => return self.take_in(payload, answer, turn),
                    Err(code) => refusal(code),
                }
            }
        };
        respond(answer, reply);
    }

    /// Whether a POST has been taken in only in part.
    pub(super) fn is_taking(&self) -> bool {
        self.plain
            .as_ref()
            .is_some_and(|plain| plain.taking.is_some())
    }

    /// Takes in the next part of a POST.
    pub(super) fn take_on(&mut self, turn: &mut Turn<'_>) {
        let has_ended = self.cause().is_some();
        let Some(plain) = &mut self.plain else {
            return;
        };
        if has_ended {
            return plain.drop_rest(ErrorCode::UnknownSid);
        }
        if let Some(taking) = plain.taking.take() {
            self.take_in(taking.payload, taking.answer, turn);
        }
    }

    /// Takes in what a turn may of a POST, and answers it after its end.
    fn take_in(
        &mut self,
        mut payload: Payload<'_>,
        answer: oneshot::Sender<Answer>,
        turn: &mut Turn<'_>,
    ) {
        let reply = match (self.take_part(&mut payload, turn), &mut self.plain) {
            (Ok(false), Some(plain)) => {
                let payload = payload.into_owned();
                plain.taking = Some(Box::new(Taking { payload, answer }));
                return;
            }
            (Ok(true), _) => Reply::ok(),
            (Ok(false), None) => refusal(ErrorCode::BadRequest),
            (Err(code), _) => refusal(code),
        };
        respond(answer, reply);
    }

    /// Takes in some packets of a POST. True where that was all.
    fn take_part(
        &mut self,
        payload: &mut Payload<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<bool, ErrorCode> {
        let now = self.in_time(turn.now);
        let options = self.mount.options;
        let mut pace = Pace::new(turn);
        payload.grant(PART_BYTES);
        while let Some(data) = self.session.receive(payload, &options, now)? {
            let len = match &data {
                Data::Text(text) => text.len(),
                Data::Binary(bytes) => bytes.len(),
            };
            self.hand_over(&data, turn);
            if pace.is_over(len, turn) {
                return Ok(false);
            }
        }
        Ok(!payload.is_paused())
    }
}
