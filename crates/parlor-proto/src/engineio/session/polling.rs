//! The half of a session that goes over HTTP.

use std::collections::VecDeque;

use super::upgrade::Attempt;
use super::{
    CloseCause, Content, Data, DecodeError, ErrorCode, Form, Message, Options, Output, PacketType,
    Payload, PollId, Session, State, Text, Version,
};
use crate::engineio::payload::{self, OutPacket, Response};

/// What each packet that waits is charged besides its data, in bytes.
const PACKET_BYTES: usize = 64;

/// GETs, POSTs and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Polling {
    pending: Option<(PollId, Form)>,
    /// A GET asked for base64, so all are answered so: some clients say it once.
    base64: bool,
    /// A POST is being read, or taken in.
    reading: bool,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    pub(super) attempt: Option<Attempt>,
}

#[derive(Debug)]
struct Waiting {
    packet: OutPacket,
    compress: bool,
}

impl Session {
    /// A GET came in. It is answered by an [`Output::Respond`], now or later; one that was refused
    /// is answered by the caller. Once a GET asked for base64, later ones are answered so too.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadRequest`] where a GET is pending already (the session ends, and the first
    /// one is told) or the session is on WebSocket; [`ErrorCode::UnknownSid`] where it has ended.
    pub fn poll(
        &mut self,
        id: PollId,
        form: Form,
        options: &Options,
        now: u64,
    ) -> Result<(), ErrorCode> {
        self.handle_timeout(options, now);
        let polling = self.on_polling()?;
        if polling.pending.is_some() {
            self.end(CloseCause::PollOverlap, options);
            return Err(ErrorCode::BadRequest);
        }
        polling.base64 |= form.base64;
        let base64 = polling.base64;
        polling.pending = Some((id, Form { base64, ..form }));
        Ok(())
    }

    /// The client of a pending GET is gone. That ends the session, unless the GET has been
    /// answered in between.
    pub fn poll_aborted(&mut self, id: PollId, options: &Options, now: u64) {
        self.handle_timeout(options, now);
        let Some(polling) = &mut self.polling else {
            return;
        };
        if polling.pending.is_some_and(|(pending, _)| pending == id) {
            polling.pending = None;
            self.end(CloseCause::PollAborted, options);
        }
    }

    /// The head of a POST came in.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadRequest`] where another POST is not taken in (the session ends) or the
    /// session is on WebSocket; [`ErrorCode::UnknownSid`] where it has ended.
    pub fn post_begin(&mut self, options: &Options, now: u64) -> Result<(), ErrorCode> {
        self.handle_timeout(options, now);
        let polling = self.on_polling()?;
        if polling.reading {
            self.end(CloseCause::PostOverlap, options);
            return Err(ErrorCode::BadRequest);
        }
        polling.reading = true;
        Ok(())
    }

    /// The body of a POST is over the limit: the session ends, and the caller answers 413.
    pub fn post_too_large(&mut self, options: &Options, now: u64) {
        self.handle_timeout(options, now);
        if self.on_polling().is_ok() {
            self.end(CloseCause::PostTooLarge, options);
        }
    }

    /// The body of a POST will not come, because its client is gone: the session ends.
    pub fn post_aborted(&mut self, options: &Options, now: u64) {
        self.handle_timeout(options, now);
        if self.on_polling().is_ok() {
            self.end(CloseCause::PostAborted, options);
        }
    }

    /// The body of a POST is there. Hand the result to [`Session::receive`] until it returns none;
    /// then the POST is answered with 200, `text/html`, `ok`. Until then another one overlaps it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadRequest`] for octets in version 4 and a body that cannot be read (the
    /// session ends), and where the session went on to WebSocket in between;
    /// [`ErrorCode::UnknownSid`] where it has ended.
    pub fn post_end<'a>(
        &mut self,
        content: Content,
        body: &'a [u8],
        options: &Options,
        now: u64,
    ) -> Result<Payload<'a>, ErrorCode> {
        self.handle_timeout(options, now);
        self.on_polling()?;
        if content == Content::Octets && self.version == Version::V4 {
            self.end(CloseCause::PostContent, options);
            return Err(ErrorCode::BadRequest);
        }
        let packets_max = options.limits.payload_packets_max;
        Payload::new(self.version, content, body, packets_max).map_err(|error| {
            self.end(error.into(), options);
            ErrorCode::BadRequest
        })
    }

    /// The next message of the application in a POST; none after the last one, and where the rest
    /// waits for a [grant](Payload::grant). After the end of the session the rest is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadRequest`] for a packet that cannot be read. The session has ended; what
    /// came before it was good.
    pub fn receive<'p>(
        &mut self,
        payload: &'p mut Payload<'_>,
        options: &Options,
        now: u64,
    ) -> Result<Option<Data<'p>>, ErrorCode> {
        loop {
            if self.state != State::Open {
                payload.stop();
            }
            let found = match payload.find() {
                Ok(Some(found)) => found,
                Ok(None) => {
                    if let Some(polling) = &mut self.polling {
                        polling.reading = payload.is_paused();
                    }
                    return Ok(None);
                }
                Err(error) => return Err(self.unreadable(error, options)),
            };
            if found.is_message() {
                let packet = payload.packet(&found);
                return match packet {
                    Ok(packet) => Ok(Some(packet.data)),
                    Err(error) => Err(self.unreadable(error, options)),
                };
            }
            match payload.packet(&found) {
                Ok(packet) => drop(self.accept(packet, options, now)),
                Err(error) => return Err(self.unreadable(error, options)),
            }
        }
    }

    fn unreadable(&mut self, error: DecodeError, options: &Options) -> ErrorCode {
        self.end(error.into(), options);
        ErrorCode::BadRequest
    }

    /// Answers a GET with what waits, if there are both.
    pub(super) fn flush(&mut self, options: &Options) {
        let packets_max = options.limits.response_packets_max;
        let Some(polling) = self.polling.as_mut().filter(|polling| polling.is_pending()) else {
            return;
        };
        match self.state {
            State::Open => self
                .outputs
                .extend(polling.respond(self.version, packets_max)),
            State::Closing if polling.waiting.len() < packets_max => {
                self.end(CloseCause::Forced, options);
            }
            State::Closing => self
                .outputs
                .extend(polling.respond(self.version, packets_max)),
            State::Closed => {}
        }
    }

    fn on_polling(&mut self) -> Result<&mut Polling, ErrorCode> {
        match (&mut self.polling, self.state) {
            (_, State::Closed) => Err(ErrorCode::UnknownSid),
            (None, _) => Err(ErrorCode::BadRequest),
            (Some(polling), _) => Ok(polling),
        }
    }
}

impl Polling {
    pub(super) const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) const fn buffered_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether a message may wait: always where nothing else does.
    pub(super) fn has_room(&self, message: &Message, bytes_max: usize) -> bool {
        let new = message.len().saturating_add(PACKET_BYTES);
        self.waiting.is_empty() || self.waiting_bytes.saturating_add(new) <= bytes_max
    }

    pub(super) fn push(&mut self, kind: PacketType, data: Message, compress: bool) {
        self.waiting_bytes = self
            .waiting_bytes
            .saturating_add(data.len().saturating_add(PACKET_BYTES));
        let packet = OutPacket { kind, data };
        self.waiting.push_back(Waiting { packet, compress });
    }

    /// The oldest packet that waits.
    pub(super) fn pop(&mut self) -> Option<(OutPacket, bool)> {
        let Waiting { packet, compress } = self.waiting.pop_front()?;
        self.waiting_bytes = self
            .waiting_bytes
            .saturating_sub(packet.data.len().saturating_add(PACKET_BYTES));
        Some((packet, compress))
    }

    /// Answers the pending GET with at most that many packets, if there are any.
    pub(super) fn respond(&mut self, version: Version, packets_max: usize) -> Option<Output> {
        if self.waiting.is_empty() {
            return None;
        }
        let (id, form) = self.pending.take()?;
        let mut packets = Vec::new();
        let mut compress = false;
        while packets.len() < packets_max.max(1) {
            let Some((packet, may)) = self.pop() else {
                break;
            };
            compress |= may;
            packets.push(packet);
        }
        let (body, content_type) = payload::encode(version, form, packets.iter());
        let response = Response {
            body,
            content_type,
            compress,
        };
        Some(Output::Respond { id, response })
    }

    /// Answers the pending GET with what waits, as far as it fits, and a last packet.
    pub(super) fn respond_last(
        &mut self,
        last: PacketType,
        version: Version,
        packets_max: usize,
    ) -> Option<Output> {
        self.waiting.truncate(packets_max.saturating_sub(1));
        self.push(last, Message::Text(Text::default()), false);
        self.respond(version, packets_max)
    }

    /// Answers the pending GET, with nothing where nothing waits.
    pub(super) fn respond_now(&mut self, version: Version, packets_max: usize) -> Option<Output> {
        if self.waiting.is_empty() && self.is_pending() {
            self.push(PacketType::Noop, Message::Text(Text::default()), false);
        }
        self.respond(version, packets_max)
    }

    /// Frees what nobody will ask for.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
