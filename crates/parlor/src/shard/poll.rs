//! The shard's own poll set, awaited as one descriptor of the tokio runtime.
//!
//! Ten thousand sockets registered with tokio cost a `ScheduledIo` each and a pointer chase per
//! event. Here they are registered with a poll set of the shard, and tokio knows only that set.

use std::{io, os::fd::BorrowedFd, time::Duration};

use mio::{Events, Interest, Registry, Token, unix::SourceFd};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fd::AsRawFd,
    io::Errno,
};
use tokio::io::unix::AsyncFd;

/// Events taken from the kernel in one turn. More wait for the next turn.
const EVENTS_PER_TURN: usize = 1024;

/// A `mio` poll set inside a tokio runtime.
#[derive(Debug)]
pub(crate) struct PollSet {
    poll: AsyncFd<mio::Poll>,
}

impl PollSet {
    /// Makes an empty set. Must be called inside a tokio runtime with I/O.
    #[expect(
        deprecated,
        reason = "the replacement is unsafe to call; the poll set owns its descriptor and keeps \
                  it for as long as it is registered, which is all that is asked"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: AsyncFd::new(mio::Poll::new()?)?,
        })
    }

    /// An empty event buffer of the size that [`PollSet::poll`] fills.
    pub(crate) fn events() -> Events {
        Events::with_capacity(EVENTS_PER_TURN)
    }

    /// The registry, for wakers and listeners.
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.get_ref().registry()
    }

    /// Watches a socket for bytes to read, edge-triggered.
    pub(crate) fn watch(&self, socket: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        self.registry()
            .register(&mut SourceFd(&descriptor), token, Interest::READABLE)
    }

    /// Watches for room to write as well: asked for only after a write fell short.
    pub(crate) fn watch_writes(&self, socket: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        self.registry().reregister(
            &mut SourceFd(&descriptor),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Stops watching, for a socket that lives on elsewhere. Closing a socket needs no call.
    pub(crate) fn forget(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        self.registry().deregister(&mut SourceFd(&descriptor))
    }

    /// Takes what is ready now, without waiting.
    pub(crate) fn poll(&mut self, events: &mut Events) -> io::Result<()> {
        loop {
            match self.poll.get_mut().poll(events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Keeps the thread until something is ready, or for a time that is too short for a timer.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        let time = Timespec::try_from(time).unwrap_or_default();
        let mut set = [PollFd::new(&self.poll, PollFlags::IN)];
        match rustix::event::poll(&mut set, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether `events` was filled to its capacity, so that more may be waiting.
    pub(crate) fn filled(events: &Events) -> bool {
        events.iter().count() >= EVENTS_PER_TURN
    }

    /// Waits until something is ready and takes it. Cancel-safe.
    pub(crate) async fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        loop {
            let mut guard = self.poll.readable_mut().await?;
            guard.get_inner_mut().poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(());
            }
            guard.clear_ready();
        }
    }
}
