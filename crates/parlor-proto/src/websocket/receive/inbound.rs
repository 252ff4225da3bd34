//! A message that comes in: checked, inflated and put together as its bytes arrive.

use std::ops::Range;

use super::super::deflate::Inflater;
use super::super::frame::OpCode;
use super::super::utf8::Validator;
use super::super::{Connection, Delivery, Error, Input, Kind, Limits, Options, Scratch};
use super::{Found, Frame, Place};

/// A message of which the end has not come in.
#[derive(Debug)]
pub(super) struct Inbound {
    kind: Kind,
    compressed: bool,
    /// A piece of it was handed over.
    delivered: bool,
    fragments: u32,
    /// What its frames have declared so far.
    wire_bytes: u64,
    /// What it has so far, inflated.
    bytes: u64,
    /// The same bytes, unless they were handed over.
    buffer: Vec<u8>,
    utf8: Validator,
    /// Without context takeover, a stream for this message alone.
    inflater: Option<Box<Inflater>>,
}

/// Checks a message's first frame against the limits.
pub(super) fn admit_first(len: u64, compressed: bool, limits: &Limits) -> Result<(), Error> {
    if len > wire_bytes_max(compressed, limits) {
        return Err(Error::LimitMessageBytes {
            bytes: len,
            bytes_max: limits.message_bytes_max,
        });
    }
    Ok(())
}

/// The most that the frames of a message may declare together.
///
/// Deflate makes some data longer: by an eighth where all literals have nine bits, by five bytes a
/// block where they are stored. Twice that is room for any encoder, and a bound for a stream of
/// empty blocks that never make a byte.
const fn wire_bytes_max(compressed: bool, limits: &Limits) -> u64 {
    let max = limits.message_bytes_max as u64;
    match (max, compressed) {
        (0, _) => u64::MAX,
        (max, false) => max,
        (max, true) => max.saturating_add(max / 4).saturating_add(64),
    }
}

impl Inbound {
    fn new(kind: Kind, compressed: bool, len: u64) -> Self {
        Self {
            kind,
            compressed,
            delivered: false,
            fragments: 1,
            wire_bytes: len,
            bytes: 0,
            buffer: Vec::new(),
            utf8: Validator::default(),
            inflater: None,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buffer.capacity() + self.inflater.as_ref().map_or(0, |_| Inflater::BYTES_MAX)
    }

    /// Counts one more frame, and checks it against the limits.
    pub(super) fn admit(&mut self, len: u64, limits: &Limits) -> Result<(), Error> {
        self.fragments = self.fragments.saturating_add(1);
        let fragments_max = limits.message_fragments_max;
        if fragments_max > 0 && self.fragments > fragments_max {
            return Err(Error::LimitMessageFragments { fragments_max });
        }
        self.wire_bytes = self.wire_bytes.saturating_add(len);
        admit_first(self.wire_bytes, self.compressed, limits)
    }

    /// Counts and checks bytes of the message, inflated.
    fn check(&mut self, piece: &[u8], options: &Options) -> Result<(), Error> {
        let bytes_max = options.limits.message_bytes_max;
        let room = if bytes_max == 0 {
            u64::MAX
        } else {
            (bytes_max as u64).saturating_sub(self.bytes)
        };
        let fits = usize::try_from(room).map_or(piece, |room| piece.get(..room).unwrap_or(piece));
        self.bytes += fits.len() as u64;
        if self.kind == Kind::Text && options.validate_utf8 {
            self.utf8.push(fits).map_err(|_| Error::MalformedUtf8)?;
        }
        if fits.len() < piece.len() {
            return Err(Error::LimitMessageBytes {
                bytes: self.bytes + 1,
                bytes_max,
            });
        }
        Ok(())
    }

    /// Checks that text does not end inside a character.
    fn check_end(&mut self, options: &Options) -> Result<(), Error> {
        if self.kind == Kind::Text && options.validate_utf8 {
            self.utf8.finish().map_err(|_| Error::MalformedUtf8)?;
        }
        Ok(())
    }
}

impl Connection {
    /// The next part of a text, binary or continuation frame.
    pub(super) fn data(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'_>,
        options: &Options,
        scratch: &mut Scratch,
    ) -> Result<Option<Found>, Error> {
        let earlier = self
            .partial
            .as_mut()
            .and_then(|partial| partial.message.take());
        let range = frame.take(input);
        let fin = frame.header.flags.fin && frame.remaining() == 0;
        let message = match earlier {
            Some(message) => message,
            None => {
                let kind = kind(frame.header.opcode)?;
                Inbound::new(kind, frame.header.flags.rsv1, frame.header.len)
            }
        };
        if frame.remaining() > 0 {
            self.partial.get_or_insert_default().frame = Some(frame);
        }
        let part = Part {
            range,
            fin,
            ends_with: frame.header.flags.fin.then(|| frame.remaining()),
        };
        self.part(message, part, (input, options), scratch)
    }

    /// The next part of a message that is not whole and plain.
    fn part(
        &mut self,
        mut message: Inbound,
        part: Part,
        (input, options): (&Input<'_>, &Options),
        scratch: &mut Scratch,
    ) -> Result<Option<Found>, Error> {
        let fin = part.fin;
        let place = if message.compressed {
            self.inflate(&mut message, part, (input, options), scratch)?
        } else {
            message.keep(part, (input, options), scratch)?
        };
        let (kind, compressed, first) = (message.kind, message.compressed, !message.delivered);
        let shown = match (options.delivery, &place) {
            (Delivery::Messages, _) => fin,
            (Delivery::Fragments, place) => fin || !place.get(input, scratch).is_empty(),
        };
        if !fin {
            message.delivered |= shown;
            self.partial.get_or_insert_default().message = Some(message);
        }
        Ok(match options.delivery {
            _ if !shown => None,
            Delivery::Messages => Some(Found::Message {
                kind,
                compressed,
                place,
            }),
            Delivery::Fragments => Some(Found::Fragment {
                kind,
                first,
                fin,
                place,
            }),
        })
    }

    /// Inflates the next part of a compressed message.
    fn inflate(
        &mut self,
        message: &mut Inbound,
        part: Part,
        (input, options): (&Input<'_>, &Options),
        scratch: &mut Scratch,
    ) -> Result<Place, Error> {
        let takeover = self.receives_with_takeover();
        scratch.ready_chunk();
        let mut own = None;
        let inflater = if takeover {
            self.context
                .get_or_insert_default()
                .inflater
                .get_or_insert_with(Inflater::new)
        } else {
            let inflater = message
                .inflater
                .take()
                .unwrap_or_else(|| scratch.take_inflater());
            &mut **own.insert(inflater)
        };
        // What is handed over with this part goes where it is shown.
        let handed_over = part.fin || options.delivery == Delivery::Fragments;
        let mut buffer = if handed_over && message.buffer.is_empty() {
            std::mem::take(&mut scratch.message)
        } else {
            std::mem::take(&mut message.buffer)
        };
        let chunk = &mut scratch.chunk;
        let bytes_max = message_bytes_max(options);
        let mut piece = input.slice(part.range);
        let mut pending = 0;
        loop {
            append(
                &mut buffer,
                chunk.get(..pending).unwrap_or_default(),
                bytes_max,
            );
            let (made, result) = inflater.inflate(&mut piece, chunk);
            message.check(chunk.get(..made).unwrap_or_default(), options)?;
            result?;
            pending = made;
            if made < chunk.len() {
                break;
            }
        }
        if part.fin {
            inflater.finish(takeover)?;
            message.check_end(options)?;
            scratch.inflater = scratch.inflater.take().or(own);
        } else {
            message.inflater = own;
        }
        if handed_over && buffer.is_empty() {
            scratch.message = buffer;
            return Ok(Place::Chunk(pending));
        }
        append(
            &mut buffer,
            chunk.get(..pending).unwrap_or_default(),
            bytes_max,
        );
        *(if handed_over {
            &mut scratch.message
        } else {
            &mut message.buffer
        }) = buffer;
        Ok(Place::Message)
    }
}

/// What came in of a message in one go.
struct Part {
    /// Where it lies in the input.
    range: Range<usize>,
    /// The message ends with it.
    fin: bool,
    /// Where the message ends with this frame, how many bytes of the frame are still to come.
    ends_with: Option<u64>,
}

impl Inbound {
    /// Checks the next part of a plain message, and keeps it unless it is handed over.
    fn keep(
        &mut self,
        part: Part,
        (input, options): (&Input<'_>, &Options),
        scratch: &mut Scratch,
    ) -> Result<Place, Error> {
        let piece = input.slice(part.range.clone());
        self.check(piece, options)?;
        if part.fin {
            self.check_end(options)?;
        }
        if options.delivery == Delivery::Fragments {
            return Ok(Place::Input(part.range));
        }
        let rest = part.ends_with.and_then(|bytes| usize::try_from(bytes).ok());
        let whole = rest.and_then(|rest| (self.buffer.len() + piece.len()).checked_add(rest));
        append(
            &mut self.buffer,
            piece,
            whole.unwrap_or_else(|| message_bytes_max(options)),
        );
        if part.fin {
            scratch.message = std::mem::take(&mut self.buffer);
        }
        Ok(Place::Message)
    }
}

/// The kind that a message's first frame names.
const fn kind(opcode: OpCode) -> Result<Kind, Error> {
    match opcode {
        OpCode::Text => Ok(Kind::Text),
        OpCode::Binary => Ok(Kind::Binary),
        _ => Err(Error::ViolationContinuation),
    }
}

/// The limit, where 0 means none.
#[inline]
pub(super) const fn message_bytes_max(options: &Options) -> usize {
    match options.limits.message_bytes_max {
        0 => usize::MAX,
        max => max,
    }
}

/// Appends, growing by doubling up to `bytes_max`, which the whole will not pass.
fn append(buffer: &mut Vec<u8>, piece: &[u8], bytes_max: usize) {
    let needed = buffer.len().saturating_add(piece.len());
    if needed > buffer.capacity() {
        let doubled = buffer.capacity().saturating_mul(2).max(64).min(bytes_max);
        buffer.reserve_exact(doubled.max(needed) - buffer.len());
    }
    buffer.extend_from_slice(piece);
}
