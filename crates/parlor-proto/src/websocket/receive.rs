//! The receiving half of a connection.
//!
//! A frame that lies whole in the input, and is a whole plain message, is unmasked and checked where
//! it lies and needs no memory. Everything else goes through [`Partial`], which is made when the
//! input ends inside something and freed when that is complete.

mod inbound;

use std::ops::Range;

use super::connection::{ControlPayload, Phase};
use super::frame::{self, Flags, HEADER_BYTES_MAX, Header, OpCode};
use super::{
    CloseCode, Connection, Delivery, Error, Event, Input, Kind, Options, Role, Scratch, close, utf8,
};

use inbound::Inbound;

/// What has begun to come in.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// The front of a header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
    /// What there is of a control frame's payload.
    control: Option<Box<ControlPayload>>,
    /// The message that is incomplete.
    message: Option<Inbound>,
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self
                .control
                .as_ref()
                .map_or(0, |_| size_of::<ControlPayload>())
            + self.message.as_ref().map_or(0, Inbound::heap_bytes)
    }
}

/// A frame whose header is known.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    /// How much of the payload was taken before.
    taken: u64,
}

impl Frame {
    const fn remaining(&self) -> u64 {
        self.header.len.saturating_sub(self.taken)
    }

    /// Takes what the input has of the payload and unmasks it.
    #[inline]
    fn take(&mut self, input: &mut Input<'_>) -> Range<usize> {
        let range = input.take(usize::try_from(self.remaining()).unwrap_or(usize::MAX));
        if let Some(key) = self.header.mask {
            frame::apply_mask(input.slice_mut(range.clone()), key, self.taken);
        }
        self.taken += range.len() as u64;
        range
    }
}

/// An [`Event`] before it borrows.
enum Found {
    Message {
        kind: Kind,
        compressed: bool,
        place: Place,
    },
    Fragment {
        kind: Kind,
        first: bool,
        fin: bool,
        place: Place,
    },
    Ping(Place),
    Pong(Place),
    Close {
        code: Option<CloseCode>,
        place: Place,
    },
}

/// Where a payload lies.
enum Place {
    Input(Range<usize>),
    /// All of the scratch's message.
    Message,
    /// The front of the scratch's chunk.
    Chunk(usize),
}

impl Place {
    fn get<'a>(&self, input: &'a Input<'_>, scratch: &'a Scratch) -> &'a [u8] {
        match self {
            Self::Input(range) => input.slice(range.clone()),
            Self::Message => &scratch.message,
            Self::Chunk(len) => scratch.chunk.get(..*len).unwrap_or_default(),
        }
    }
}

impl Found {
    #[inline]
    fn event<'a>(self, input: &'a Input<'_>, scratch: &'a Scratch) -> Event<'a> {
        match self {
            Self::Message {
                kind,
                compressed,
                place,
            } => Event::Message {
                kind,
                payload: place.get(input, scratch),
                compressed,
            },
            Self::Fragment {
                kind,
                first,
                fin,
                place,
            } => Event::Fragment {
                kind,
                payload: place.get(input, scratch),
                first,
                fin,
            },
            Self::Ping(place) => Event::Ping(place.get(input, scratch)),
            Self::Pong(place) => Event::Pong(place.get(input, scratch)),
            Self::Close { code, place } => {
                let reason = place.get(input, scratch).get(2..).unwrap_or_default();
                Event::Close {
                    code,
                    reason: std::str::from_utf8(reason).unwrap_or_default(),
                }
            }
        }
    }
}

impl Connection {
    /// The next event, or `None` when the input is used up; what is incomplete is kept inside.
    ///
    /// Call it until it returns `None`. After a Close frame or an error the rest of the input is
    /// dropped and there are no more events.
    ///
    /// Memory grows with the bytes received, never with a length that a header declares, and is
    /// bounded by [`Limits::message_bytes_max`](super::Limits::message_bytes_max) for the message
    /// and about 50 KiB beside it.
    ///
    /// # Errors
    ///
    /// Any [`Error`], at the first byte that shows it, or at the end of the frame's header; then
    /// call [`Connection::fail`].
    #[inline]
    pub fn receive<'a>(
        &mut self,
        input: &'a mut Input<'_>,
        options: &Options,
        scratch: &'a mut Scratch,
    ) -> Result<Option<Event<'a>>, Error> {
        scratch.clear();
        if let Some(found) = self.whole_message(input, options)? {
            return Ok(Some(found.event(input, scratch)));
        }
        match self.step(input, options, scratch) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => Ok(Some(found.event(input, scratch))),
            Err(error) => Err(self.failed(error, input)),
        }
    }

    /// Takes notice that nothing more is received.
    #[cold]
    fn failed(&mut self, error: Error, input: &mut Input<'_>) -> Error {
        input.take(input.remaining());
        // After our Close frame there is nothing left to say.
        let sent = self.phase == Phase::CloseSent;
        self.stop_receiving(if sent { Phase::Closed } else { Phase::Failed });
        error
    }

    /// The hot path: a plain message in one frame that lies whole in the input. Anything else, good
    /// or bad, is left to [`Connection::step`].
    #[inline]
    fn whole_message(
        &mut self,
        input: &mut Input<'_>,
        options: &Options,
    ) -> Result<Option<Found>, Error> {
        if self.partial.is_some() || !matches!(self.phase, Phase::Open | Phase::CloseSent) {
            return Ok(None);
        }
        let Ok(Some((header, header_len))) = frame::decode_header(input.rest()) else {
            return Ok(None);
        };
        let kind = match header.opcode {
            OpCode::Text => Kind::Text,
            OpCode::Binary => Kind::Binary,
            _ => return Ok(None),
        };
        let present = (input.remaining() - header_len) as u64;
        if header.flags != Flags::FIN
            || header.mask.is_some() != (self.role == Role::Server)
            || header.len > present.min(inbound::message_bytes_max(options) as u64)
        {
            return Ok(None);
        }
        input.take(header_len);
        let range = Frame { header, taken: 0 }.take(input);
        if kind == Kind::Text
            && options.validate_utf8
            && !utf8::is_valid(input.slice(range.clone()))
        {
            return Err(self.failed(Error::MalformedUtf8, input));
        }
        let place = Place::Input(range);
        Ok(Some(match options.delivery {
            Delivery::Messages => Found::Message {
                kind,
                compressed: false,
                place,
            },
            Delivery::Fragments => Found::Fragment {
                kind,
                first: true,
                fin: true,
                place,
            },
        }))
    }

    fn step(
        &mut self,
        input: &mut Input<'_>,
        options: &Options,
        scratch: &mut Scratch,
    ) -> Result<Option<Found>, Error> {
        if !matches!(self.phase, Phase::Open | Phase::CloseSent) {
            input.take(input.remaining());
        }
        while !input.is_empty() {
            let Some(frame) = self.next_frame(input, options)? else {
                return Ok(None);
            };
            let found = if frame.header.opcode.is_control() {
                self.control(frame, input, options, scratch)?
            } else {
                self.data(frame, input, options, scratch)?
            };
            if self
                .partial
                .as_ref()
                .is_some_and(|partial| partial.is_empty())
            {
                self.partial = None;
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The frame that is in progress, or the next one as soon as its header is whole.
    fn next_frame(
        &mut self,
        input: &mut Input<'_>,
        options: &Options,
    ) -> Result<Option<Frame>, Error> {
        if let Some(frame) = self
            .partial
            .as_mut()
            .and_then(|partial| partial.frame.take())
        {
            return Ok(Some(frame));
        }
        let begun = self
            .partial
            .as_ref()
            .is_some_and(|partial| partial.header_len > 0);
        let header = if begun {
            self.finish_header(input)?
        } else if let Some((header, len)) = frame::decode_header(input.rest())? {
            input.take(len);
            Some(header)
        } else {
            self.finish_header(input)?
        };
        let Some(header) = header else {
            return Ok(None);
        };
        self.admit(&header, options)?;
        Ok(Some(Frame { header, taken: 0 }))
    }

    /// Moves bytes of a header out of the input until it is whole.
    fn finish_header(&mut self, input: &mut Input<'_>) -> Result<Option<Header>, Error> {
        let partial = self.partial.get_or_insert_default();
        while let Some(&byte) = input.rest().first() {
            input.take(1);
            if let Some(place) = partial.header.get_mut(usize::from(partial.header_len)) {
                *place = byte;
                partial.header_len += 1;
            }
            let bytes = partial
                .header
                .get(..usize::from(partial.header_len))
                .unwrap_or_default();
            if let Some((header, _)) = frame::decode_header(bytes)? {
                partial.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Whether this frame may stand here, and is within the limits as far as its header tells.
    fn admit(&mut self, header: &Header, options: &Options) -> Result<(), Error> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Error::ViolationMaskMissing),
            (Role::Client, Some(_)) => return Err(Error::ViolationMaskPresent),
            _ => {}
        }
        let message = self
            .partial
            .as_mut()
            .and_then(|partial| partial.message.as_mut());
        match header.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong if header.flags.rsv1 => {
                Err(Error::ViolationReservedBit)
            }
            OpCode::Close | OpCode::Ping | OpCode::Pong => Ok(()),
            OpCode::Continuation if header.flags.rsv1 => Err(Error::ViolationReservedBit),
            OpCode::Continuation => {
                let message = message.ok_or(Error::ViolationContinuation)?;
                message.admit(header.len, &options.limits)
            }
            OpCode::Text | OpCode::Binary => {
                if message.is_some() {
                    return Err(Error::ViolationInterleaved);
                }
                if header.flags.rsv1 && self.agreement.is_none() {
                    return Err(Error::ViolationReservedBit);
                }
                inbound::admit_first(header.len, header.flags.rsv1, &options.limits)
            }
        }
    }

    /// The next part of a control frame.
    fn control(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'_>,
        options: &Options,
        scratch: &mut Scratch,
    ) -> Result<Option<Found>, Error> {
        let range = frame.take(input);
        let complete = frame.remaining() == 0;
        let place = if complete && frame.taken == range.len() as u64 {
            if let Some(partial) = &mut self.partial {
                partial.control = None;
            }
            Place::Input(range)
        } else {
            let partial = self.partial.get_or_insert_default();
            let control = partial
                .control
                .get_or_insert_with(|| Box::new(ControlPayload::EMPTY));
            control.push(input.slice(range));
            if !complete {
                partial.frame = Some(frame);
                return Ok(None);
            }
            scratch.message.extend_from_slice(control.get());
            partial.control = None;
            Place::Message
        };
        let payload = place.get(input, scratch);
        Ok(Some(match frame.header.opcode {
            OpCode::Ping => {
                if options.auto_pong && self.phase == Phase::Open {
                    self.owe_pong(payload);
                }
                Found::Ping(place)
            }
            OpCode::Close => {
                let code = close::decode(payload, options.validate_utf8)?;
                self.echo = code;
                let answered = self.phase == Phase::CloseSent;
                self.stop_receiving(if answered {
                    Phase::Closed
                } else {
                    Phase::CloseReceived
                });
                Found::Close { code, place }
            }
            _ => Found::Pong(place),
        }))
    }

    /// One pong is enough for many pings (RFC 6455, section 5.5.3): the newest stays.
    fn owe_pong(&mut self, payload: &[u8]) {
        let pong = ControlPayload::new(payload);
        match &mut self.pong {
            Some(owed) => **owed = pong,
            None => self.pong = Some(Box::new(pong)),
        }
    }
}
