//! Connections whose bytes do not go through a socket of the poll set: their request came to a
//! server of the embedder's.

use std::{
    collections::hash_map::Entry,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use parlor_hub::MemberKey;
use rustix::fd::{AsFd, OwnedFd};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

use super::{APART, Connections, PLAIN, Read, Stage, token};
use crate::{
    door::CloseReason,
    metrics::Door,
    shard::{
        addresses::Place,
        mailbox::{Mail, Mailbox},
    },
};

/// Where the bytes of such a connection go.
pub(crate) enum Wire {
    /// The first of them are the answer to the request, which somebody else writes.
    Answer(oneshot::Sender<Answered>),
    /// Nowhere yet: the answer is being written.
    Nowhere,
    /// Into a stream that is not a socket of ours.
    Stream(Box<Pipe>),
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The connection that it is for.
    pub(crate) key: MemberKey,
    /// HTTP/1.1.
    pub(crate) bytes: Vec<u8>,
    /// They are only a head, behind which the connection's own bytes come.
    pub(crate) goes_on: bool,
}

/// What carries bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A stream that is used like a socket that does not block.
pub(crate) struct Pipe {
    stream: Pin<Box<dyn Stream>>,
    alarm: Arc<Alarm>,
    waker: Waker,
    /// Our side ends behind what was written.
    ending: bool,
}

/// Tells the shard that a stream can go on.
struct Alarm {
    /// Whose it is, which may change.
    key: Mutex<MemberKey>,
    mailbox: Arc<Mailbox>,
    told: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.told.swap(true, Ordering::AcqRel) {
            // A shard that cannot be woken has ended, and its connections with it.
            let key = *self.key.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.mailbox.post(&mut vec![Mail::Ready(key)], 0);
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "Answer",
            Self::Nowhere => "Nowhere",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> Read {
        let mut buffer = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        match self.stream.as_mut().poll_read(&mut cx, &mut buffer) {
            Poll::Pending => Read::Empty,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                Read::Bytes(buffer.filled().len())
            }
            Poll::Ready(_) => Read::End,
        }
    }

    /// Writes until the stream takes no more; then it says when it does again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.stream.as_mut().poll_write(&mut cx, rest) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => written += count?,
            }
        }
        self.go_on()?;
        Ok(written)
    }

    /// Flushes, and ends our side where that is due, as far as it comes at once.
    fn go_on(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        let flushed = self.stream.as_mut().poll_flush(&mut cx)?;
        if flushed.is_ready() && self.ending {
            let _ended = self.stream.as_mut().poll_shutdown(&mut cx)?;
        }
        Ok(())
    }
}

impl Connections {
    /// A connection without a socket, whose first bytes are the answer to its request.
    pub(crate) fn insert_visitor(
        &mut self,
        answer: oneshot::Sender<Answered>,
        place: Option<Box<Place>>,
    ) -> io::Result<MemberKey> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.grow()?,
        };
        let hot = &mut self.hot[slot as usize];
        hot.flags |= APART;
        // No door has let it in yet.
        hot.door = Door::Http;
        let cold = &mut self.cold[slot as usize];
        cold.stage = Stage::Head(None);
        cold.heard = self.now;
        self.open += 1;
        if let Some(place) = place {
            self.places.insert(slot, place);
        }
        self.wires.insert(slot, Wire::Answer(answer));
        Ok(self.key(slot))
    }

    /// The answer is written, and the connection goes on through a socket.
    pub(crate) fn attach_socket(&mut self, key: MemberKey, socket: OwnedFd) -> io::Result<()> {
        self.poll.watch(socket.as_fd(), token(key))?;
        self.wires.remove(&key.slot);
        let hot = &mut self.hot[key.slot as usize];
        hot.flags &= !APART;
        hot.socket = Some(socket);
        Ok(())
    }

    /// The answer is written, and the connection goes on through a stream.
    pub(crate) fn attach_stream(
        &mut self,
        key: MemberKey,
        stream: Box<dyn Stream>,
        mailbox: Arc<Mailbox>,
    ) {
        let alarm = Arc::new(Alarm {
            key: Mutex::new(key),
            mailbox,
            told: AtomicBool::new(false),
        });
        let pipe = Pipe {
            stream: Box::into_pin(stream),
            waker: Waker::from(Arc::clone(&alarm)),
            alarm,
            ending: false,
        };
        self.wires.insert(key.slot, Wire::Stream(Box::new(pipe)));
    }

    /// Makes one connection's stream another's, to which nothing was told of it yet: it has to be
    /// looked at.
    pub(super) fn give_wire(&mut self, from: MemberKey, to: MemberKey) -> bool {
        let Some(Wire::Stream(pipe)) = self.wires.remove(&from.slot) else {
            return false;
        };
        *pipe
            .alarm
            .key
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = to;
        pipe.alarm.told.store(false, Ordering::Release);
        self.wires.insert(to.slot, Wire::Stream(pipe));
        true
    }

    /// A stream can go on. False where the connection has none.
    pub(crate) fn wake_wire(&mut self, key: MemberKey) -> bool {
        let Some(Wire::Stream(pipe)) = self.wires.get_mut(&key.slot) else {
            return false;
        };
        pipe.alarm.told.store(false, Ordering::Release);
        if pipe.go_on().is_err() {
            self.doom(key, CloseReason::Broken);
        }
        true
    }

    /// Takes away where the answer to a request goes, if somebody else writes it, until it is there.
    pub(crate) fn lend_answer(&mut self, key: MemberKey) -> Option<oneshot::Sender<Answered>> {
        let wire = self.wires.get_mut(&key.slot)?;
        match std::mem::replace(wire, Wire::Nowhere) {
            Wire::Answer(answer) => Some(answer),
            other => {
                *wire = other;
                None
            }
        }
    }

    /// Gives that back.
    pub(crate) fn return_answer(&mut self, key: MemberKey, answer: oneshot::Sender<Answered>) {
        self.wires.insert(key.slot, Wire::Answer(answer));
    }

    /// Gives the answer to a request to whoever writes it. What is left belongs behind it.
    pub(super) fn send_answer<'a>(&mut self, key: MemberKey, bytes: &'a [u8]) -> &'a [u8] {
        let Entry::Occupied(mut wire) = self.wires.entry(key.slot) else {
            return bytes;
        };
        if !matches!(wire.get(), Wire::Answer(_)) {
            return bytes;
        }
        let Wire::Answer(answer) = wire.insert(Wire::Nowhere) else {
            return bytes;
        };
        // Behind the head of an upgrade, and of an event stream, the connection's own bytes begin; a
        // refusal has a body.
        let streams = self.hot[key.slot as usize].door == Door::Sse;
        let goes_on = streams || bytes.starts_with(b"HTTP/1.1 101 ");
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        let end = head.filter(|_| goes_on).map_or(bytes.len(), |at| at + 4);
        let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        let answered = Answered {
            key,
            bytes: head.to_vec(),
            goes_on,
        };
        if answer.send(answered).is_err() {
            self.doom(key, CloseReason::Broken);
        }
        rest
    }

    pub(super) fn read_wire(&mut self, key: MemberKey, buffer: &mut [u8]) -> Read {
        match self.wires.get_mut(&key.slot) {
            Some(Wire::Stream(pipe)) => pipe.read(buffer),
            Some(Wire::Answer(_) | Wire::Nowhere) => Read::Empty,
            None if self.hot[key.slot as usize].flags & PLAIN != 0 => Read::Empty,
            None => Read::End,
        }
    }

    pub(super) fn send_wire(&mut self, key: MemberKey, bytes: &[u8]) -> Option<usize> {
        match self.wires.get_mut(&key.slot)? {
            Wire::Answer(_) | Wire::Nowhere => Some(0),
            Wire::Stream(pipe) => match pipe.write(bytes) {
                Ok(sent) => {
                    self.counters.sent(sent);
                    Some(sent)
                }
                Err(_) => {
                    self.doom(key, CloseReason::Broken);
                    None
                }
            },
        }
    }

    pub(super) fn shut_wire(&mut self, key: MemberKey) {
        if let Some(Wire::Stream(pipe)) = self.wires.get_mut(&key.slot) {
            pipe.ending = true;
            // A peer that is gone already needs no goodbye.
            let _ = pipe.go_on();
        }
    }
}
