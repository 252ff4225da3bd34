//! Connections as streams and sinks, for those who would rather pull messages than be called.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};

use super::{BoxError, Connect, Disconnect, Flushed, Handler, Member, Message, Refusal, SendError};

/// An endpoint that gives each connection to a task of its own, as a [`Socket`].
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use parlor::{Server, Sockets};
///
/// let echo = Sockets::new(|mut socket| async move {
///     while let Some(message) = socket.next().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// });
/// let server = Server::builder().endpoint("/echo", echo).build()?;
/// # Ok::<(), parlor::BuildError>(())
/// ```
///
/// The task runs on the thread of the connection's shard. It costs more than a [`Handler`]: a task
/// and a queue for each connection, and a wake-up for each message.
///
/// When the closure's future is done the connection is closed with 1000. If it panics, that is
/// counted as a panic of a handler, and the connection is closed with 1011.
#[must_use = "an endpoint does nothing until a server has it"]
pub struct Sockets<F> {
    serve: F,
}

impl<F> fmt::Debug for Sockets<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}

impl<F, Fut> Sockets<F>
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    /// Serves each connection with this closure. The request is at [`Member::head`].
    pub const fn new(serve: F) -> Self {
        Self { serve }
    }
}

/// The other end of a [`Socket`]: it feeds the messages in.
#[derive(Debug)]
#[expect(unnameable_types, reason = "the state of a handler that needs no name")]
pub struct Feed {
    messages: mpsc::Sender<Message>,
    ending: Arc<OnceLock<Disconnect>>,
}

impl<F, Fut> Handler for Sockets<F>
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    type State = Feed;

    async fn connect(&self, connect: &mut Connect) -> Result<Feed, Refusal> {
        connect.keep_head();
        let (messages, incoming) = mpsc::channel(MESSAGES_MAX);
        let ending = Arc::new(OnceLock::new());
        let socket = Socket {
            member: connect.member().clone(),
            messages: incoming,
            flushing: None,
            ending: Arc::clone(&ending),
        };
        tokio::spawn((self.serve)(socket));
        Ok(Feed { messages, ending })
    }

    async fn message(&self, feed: &mut Feed, _: &Member, message: Message) -> Result<(), BoxError> {
        // A socket that is dropped closes the connection; what still comes is for nobody.
        let _ = feed.messages.send(message).await;
        Ok(())
    }

    async fn disconnect(&self, feed: Feed, _: &Member, disconnect: Disconnect) {
        // Told once, before the stream ends.
        let _ = feed.ending.set(disconnect);
    }
}

/// A connection as a [`Stream`] and a [`Sink`] of messages, or by [`Socket::into_bytes`] as
/// [`AsyncRead`] and [`AsyncWrite`].
///
/// The stream ends when the connection does; up to 16 messages wait in it, and behind them what
/// waits for a [`Handler`], after which the client is not read. The sink takes messages until 64 KiB
/// wait that the client's socket has not taken, so that a slow client slows the sender and is not
/// cut for it.
///
/// Dropping the socket closes the connection with 1000 behind what was sent. What the
/// [`member`](Socket::member) can do, such as joining rooms, works beside it.
#[derive(Debug)]
pub struct Socket {
    member: Member,
    messages: mpsc::Receiver<Message>,
    flushing: Option<Flushed>,
    ending: Arc<OnceLock<Disconnect>>,
}

impl Socket {
    /// The member that the connection is.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// How the connection ended: known once the stream has.
    #[must_use]
    pub fn disconnect(&self) -> Option<&Disconnect> {
        self.ending.get()
    }

    /// The next message, `None` at the end. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// Sends a message as soon as so little waits that it may. Cancel-safe: a message is sent whole
    /// or not at all.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.member.send(message)
    }

    /// The connection as a stream of bytes. Each write becomes a binary message of at most 64 KiB;
    /// messages of either kind are read, their bounds are lost.
    #[must_use]
    pub const fn into_bytes(self) -> ByteSocket {
        ByteSocket {
            socket: self,
            rest: Bytes::new(),
        }
    }

    /// Ready when something may be sent.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.member.buffered_bytes() < BUFFERED_BYTES_MAX {
            self.flushing = None;
            let open = self.member.is_open();
            return Poll::Ready(open.then_some(()).ok_or(SendError::Closed));
        }
        self.poll_flushed(cx)
    }

    /// Ready when the system has taken everything.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.flushing.is_none() {
            match self.member.flushed() {
                Ok(flushed) => self.flushing = Some(flushed),
                Err(SendError::Full) => {
                    // The shard empties its queue before it runs this task again.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let Some(flushing) = &mut self.flushing else {
            return Poll::Ready(Ok(()));
        };
        let flushed = ready!(Pin::new(flushing).poll(cx));
        self.flushing = None;
        Poll::Ready(flushed)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.member.count_panic();
            self.member.close(INTERNAL_ERROR, "internal error");
        } else {
            self.member.close(NORMAL, "");
        }
    }
}

impl Stream for Socket {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(cx)
    }
}

impl Sink<Message> for Socket {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.member.send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_flushed(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let flushed = match self.member.is_open() {
            true => ready!(self.poll_flushed(cx)),
            false => Ok(()),
        };
        self.member.close(NORMAL, "");
        Poll::Ready(flushed)
    }
}

/// A connection as a stream of bytes in both directions; from [`Socket::into_bytes`].
///
/// Reading ends when the connection does. Shutting it down closes the connection with 1000.
#[derive(Debug)]
pub struct ByteSocket {
    socket: Socket,
    /// Of the message that was read in part.
    rest: Bytes,
}

impl AsyncRead for ByteSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.socket.messages.poll_recv(cx)) {
                Some(Message::Text(text)) => self.rest = text.into(),
                Some(Message::Binary(bytes)) => self.rest = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = usize::min(self.rest.len(), buffer.remaining());
        buffer.put_slice(self.rest.get(..count).unwrap_or_default());
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.socket.poll_room(cx)).map_err(broken)?;
        let count = usize::min(bytes.len(), BUFFERED_BYTES_MAX);
        let message = bytes.get(..count).unwrap_or_default();
        match self.socket.member.send(message) {
            Ok(()) => Poll::Ready(Ok(count)),
            Err(SendError::Full) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flushed(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(broken)
    }
}

fn broken(error: SendError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

/// Messages that wait in a socket.
const MESSAGES_MAX: usize = 16;
/// Bytes that may wait to be sent; the longest message that a write becomes.
const BUFFERED_BYTES_MAX: usize = 64 * 1024;
/// RFC 6455, section 7.4.1.
const NORMAL: u16 = 1000;
const INTERNAL_ERROR: u16 = 1011;
