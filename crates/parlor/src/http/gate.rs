//! The gate between the socket and hyper.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Accepted;
use super::body::BodyScan;
use super::exchange::{End, Exchange};
use crate::front::{self, HeadScan};
use crate::policy::{Checks, Refusal};

/// The I/O that hyper sees: the bytes of one faultless message at a time, and nothing behind it
/// until its response is out.
///
/// A head that is refused or claimed is never shown: hyper reads the end of the connection instead
/// and finishes, and the [`Exchange`] says why. That can only happen while no response is under
/// way, so the refusal that is written afterwards stands in its place.
pub(super) struct Gate {
    stream: TcpStream,
    /// Bytes read and not yet shown to hyper.
    buffer: BytesMut,
    /// So many of them may be shown.
    cleared: usize,
    stage: Stage,
    /// When the other end closed its side.
    ended: Option<Instant>,
    /// When bytes of the response under way last left.
    written: Option<Instant>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    context: Rc<super::Context>,
    exchange: Rc<Exchange>,
}

/// What the next byte from the socket belongs to.
#[derive(Debug)]
enum Stage {
    /// A head.
    Head(HeadStage),
    /// The body of the request that was let through, due by `deadline`.
    Body { scan: BodyScan, deadline: Instant },
    /// The request is complete; a next one may wait in the buffer until its response is out.
    Response,
    /// Nothing more is shown.
    Shut,
}

/// How far a head is.
#[derive(Debug)]
struct HeadStage {
    scan: HeadScan,
    /// The length at which the unfinished head is next looked at for a fault. It doubles, so that
    /// a head that trickles in is not parsed once per byte.
    fault_check_len: usize,
    blank_bytes: usize,
    deadline: Instant,
    /// True where the deadline is that of a silent connection: no byte of a head has come.
    is_silent: bool,
}

impl Gate {
    /// Begins with the first head of a connection.
    pub(super) fn new(
        accepted: Accepted,
        context: Rc<super::Context>,
        exchange: Rc<Exchange>,
    ) -> Self {
        let deadline = accepted.since + context.limits.head_timeout;
        let buffer = BytesMut::from(accepted.read);
        Self {
            stream: accepted.stream,
            stage: Stage::Head(HeadStage::new(deadline, buffer.is_empty())),
            buffer,
            cleared: 0,
            ended: None,
            written: None,
            read_timer: None,
            write_timer: None,
            context,
            exchange,
        }
    }

    /// The socket, the bytes read and not shown, and whether the other end has closed its side.
    pub(super) fn into_parts(self) -> (TcpStream, Bytes, bool) {
        (self.stream, self.buffer.freeze(), self.ended.is_some())
    }

    /// Clears what the bytes in the buffer allow.
    fn advance(&mut self) -> io::Result<()> {
        match &mut self.stage {
            Stage::Head(_) => self.advance_head(),
            Stage::Body { scan, .. } => match scan.follow(&self.buffer) {
                Ok(here) => {
                    self.cleared = here;
                    if scan.is_done() {
                        self.stage = Stage::Response;
                    }
                }
                Err(refusal) => return Err(self.fail_body(refusal)),
            },
            Stage::Response if self.exchange.is_idle() => {
                let now = Instant::now();
                let limits = &self.context.limits;
                let silent = self.buffer.is_empty();
                let timeout = if silent {
                    limits.idle_timeout
                } else {
                    limits.head_timeout
                };
                self.stage = Stage::Head(HeadStage::new(now + timeout, silent));
                self.advance_head();
            }
            Stage::Response | Stage::Shut => {}
        }
        Ok(())
    }

    fn advance_head(&mut self) {
        let Stage::Head(head) = &mut self.stage else {
            return;
        };
        // A server should pass over an empty line before a request (RFC 9112, section 2.2).
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            head.blank_bytes += 2;
        }
        if head.blank_bytes > BLANK_BYTES_MAX {
            return self.shut(End::Refused(Refusal::bad_request(
                "blank lines before the request",
            )));
        }
        if self.buffer.is_empty() || *self.buffer == *b"\r" {
            return;
        }
        if head.is_silent {
            head.is_silent = false;
            head.deadline = Instant::now() + self.context.limits.head_timeout;
        }
        if let Some(end) = head.scan.end(&self.buffer) {
            self.finish_head(end);
            return;
        }
        let limits = &self.context.limits.head;
        if self.buffer.len() >= head.fault_check_len.min(limits.head_bytes_max) {
            head.fault_check_len = self.buffer.len() * 2;
            if let Some(refusal) = front::early_fault(&self.buffer, limits) {
                self.shut(End::Refused(refusal));
            }
        }
    }

    /// Refuses the complete head, hands it to a door, or lets it through.
    fn finish_head(&mut self, end: usize) {
        let limits = &self.context.limits;
        let mut fields = front::fields();
        let bytes = self.buffer.get(..end).unwrap_or_default();
        let head = match front::read_head(bytes, &limits.head, &mut fields) {
            Ok(head) => head,
            Err(refusal) => return self.shut(End::Refused(refusal)),
        };
        if (self.context.claims)(&head) {
            return self.shut(End::Claimed(end));
        }
        let bytes_max = match (self.context.site.checks)(head.path()) {
            Checks::Theirs | Checks::TheirsWithHeaders => u64::MAX,
            Checks::Ours => limits.body_bytes_max,
        };
        self.stage = match BodyScan::new(head.framing, bytes_max) {
            Ok(Some(scan)) => Stage::Body {
                scan,
                deadline: Instant::now() + limits.body_timeout,
            },
            Ok(None) => Stage::Response,
            Err(refusal) => return self.shut(End::Refused(refusal)),
        };
        self.cleared = end;
        self.written = None;
        self.exchange.begin();
    }

    /// Ready once the end of the client's side is to be taken for the end of the connection,
    /// though a response is under way.
    fn poll_half_closed(&mut self, ended: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let limits = &self.context.limits;
        let deadline = match self.written {
            Some(written) => written.max(ended) + limits.write_timeout,
            None => ended + limits.half_close_grace,
        };
        poll_timer(&mut self.read_timer, deadline, cx)
    }

    fn shut(&mut self, end: End) {
        self.exchange.set_end(end);
        self.stage = Stage::Shut;
    }

    /// Ends the body with an error. The handler meets it where it reads, and the service answers
    /// with the refusal.
    fn fail_body(&mut self, refusal: Refusal) -> io::Error {
        self.exchange.set_fault(refusal);
        self.stage = Stage::Shut;
        io::Error::new(io::ErrorKind::InvalidData, refusal.text)
    }

    /// The other end has been silent for too long, or it has not.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = match &self.stage {
            Stage::Head(HeadStage { deadline, .. }) | Stage::Body { deadline, .. } => *deadline,
            Stage::Response | Stage::Shut => return Poll::Pending,
        };
        ready!(poll_timer(&mut self.read_timer, deadline, cx));
        match &self.stage {
            Stage::Head(head) if head.is_silent => self.shut(End::Closed),
            Stage::Head(_) => self.shut(End::Refused(Refusal::TIMEOUT)),
            Stage::Body { .. } => return Poll::Ready(Err(self.fail_body(Refusal::TIMEOUT))),
            Stage::Response | Stage::Shut => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once from the socket into the buffer.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            self.buffer.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => {
                    self.ended = Some(Instant::now());
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn show(&mut self, mut cursor: ReadBufCursor<'_>) {
        let here = self.cleared.min(cursor.remaining());
        cursor.put_slice(self.buffer.get(..here).unwrap_or_default());
        self.buffer.advance(here);
        self.cleared -= here;
        if self.buffer.is_empty() {
            // An idle connection keeps no buffer.
            self.buffer = BytesMut::new();
        }
    }
}

impl HeadStage {
    fn new(deadline: Instant, is_silent: bool) -> Self {
        Self {
            scan: HeadScan::new(),
            fault_check_len: 1,
            blank_bytes: 0,
            deadline,
            is_silent,
        }
    }
}

impl Read for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.cleared == 0 {
                this.advance()?;
            }
            if this.cleared > 0 {
                this.show(cursor);
                return Poll::Ready(Ok(()));
            }
            match this.stage {
                Stage::Shut => return Poll::Ready(Ok(())),
                Stage::Response => {
                    this.exchange.wake_when_idle(cx.waker());
                    // A next request waits its turn in the buffer. The read goes on a little, since
                    // it tells when the other end is gone.
                    let waits = !this.buffer.is_empty();
                    if waits && (this.ended.is_some() || this.buffer.len() >= READ_BYTES) {
                        return Poll::Pending;
                    }
                    if let Some(ended) = this.ended {
                        ready!(this.poll_half_closed(ended, cx));
                    }
                }
                Stage::Head(_) | Stage::Body { .. } => {}
            }
            if this.ended.is_some() {
                return Poll::Ready(Ok(()));
            }
            match this.poll_fill(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => ready!(this.poll_deadline(cx))?,
            }
        }
    }
}

impl Gate {
    /// Watches a write: the client may stall it only for so long.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_timer = None;
            self.written = Some(Instant::now());
            return result;
        }
        let deadline = match &self.write_timer {
            Some(timer) => timer.deadline(),
            None => Instant::now() + self.context.limits.write_timeout,
        };
        ready!(poll_timer(&mut self.write_timer, deadline, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Write for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(cx, result)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes its I/O only when its own buffer is empty, and a socket has none.
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper has written everything and is done. The socket is not: a refusal may follow, or a
        // door.
        Poll::Ready(Ok(()))
    }
}

/// Ready once `deadline` has passed. The timer is made when it is first needed, and kept.
fn poll_timer(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.as_mut().poll(cx)
}

/// How much is read from the socket at once, in bytes.
const READ_BYTES: usize = 4 * 1024;

/// Empty lines passed over before a request, in bytes.
const BLANK_BYTES_MAX: usize = 8;
