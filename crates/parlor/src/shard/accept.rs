//! Accepting: one shard owns the listeners and deals the sockets out.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use mio::{Interest, Token, unix::SourceFd};
use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd},
    io::Errno,
    net::SocketFlags,
};

use super::{
    addresses::{Addresses, Place},
    life::millis,
    poll::PollSet,
};
use crate::metrics::{Counters, Refused};

/// Sockets accepted in one turn, at most.
const ACCEPTS_PER_TURN: usize = 256;
/// How soon a listener that met the descriptor limit is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(20);
/// The log tells at most once in so many milliseconds that connections are refused.
const TOLD_MS: u64 = 60_000;
/// The token of listener 0; the others follow downwards.
const FIRST_TOKEN: usize = usize::MAX - 1;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n\
    content-length: 0\r\nconnection: close\r\n\r\n";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\n\
    content-length: 0\r\nconnection: close\r\n\r\n";

/// A socket that was accepted, with its place among those of its address where that is limited.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(super) socket: OwnedFd,
    pub(super) place: Option<Box<Place>>,
}

/// The listeners of the server.
#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// Given up to accept, and so refuse, one more connection when descriptors run out.
    reserve: Option<OwnedFd>,
    /// The limit of each address, if there is one.
    addresses: Option<Arc<Addresses>>,
    /// When the log was last told that connections are refused: milliseconds of the shard's clock.
    told: Option<u64>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    /// There may be connections to accept: said by the poll set, or not all were taken.
    ready: bool,
    /// When the last accept met the descriptor limit: milliseconds of the shard's clock.
    exhausted: Option<u64>,
}

impl Acceptor {
    /// Watches the listeners. They are made non-blocking.
    pub(super) fn new(
        listeners: Vec<TcpListener>,
        poll: &PollSet,
        addresses: Option<Arc<Addresses>>,
    ) -> io::Result<Self> {
        for (index, listener) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            // Accepted sockets inherit it, which saves a call for each.
            rustix::net::sockopt::set_tcp_nodelay(listener, true)?;
            let descriptor = listener.as_raw_fd();
            let token = Token(FIRST_TOKEN - index);
            poll.registry()
                .register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        }
        let reserve = listeners.first().map(reserve).transpose()?;
        let listeners = listeners
            .into_iter()
            .map(|socket| Listener {
                socket,
                ready: false,
                exhausted: None,
            })
            .collect();
        Ok(Self {
            listeners,
            reserve,
            addresses,
            told: None,
        })
    }

    /// Notes an event. False where the token is no listener's.
    pub(super) fn notice(&mut self, token: Token) -> bool {
        let listener = FIRST_TOKEN
            .checked_sub(token.0)
            .and_then(|i| self.listeners.get_mut(i));
        listener.map(|listener| listener.ready = true).is_some()
    }

    /// Whether some listener has more to accept.
    pub(super) fn is_ready(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.ready && listener.exhausted.is_none())
    }

    /// Whether a listener waits for descriptors.
    pub(super) fn is_exhausted(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.exhausted.is_some())
    }

    /// Accepts what waits, as many as a turn may. `room` says how many may come in; the others are
    /// refused with 503, and those whose address has too many already with 429.
    pub(super) fn accept(
        &mut self,
        now: u64,
        room: usize,
        counters: &mut Counters,
    ) -> Vec<Newcomer> {
        let mut newcomers = Vec::new();
        let mut budget = ACCEPTS_PER_TURN;
        let mut trouble = None;
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            while budget > 0 && listener.ready && listener.exhausted.is_none() {
                budget -= 1;
                match accept(&listener.socket) {
                    Ok(socket) if newcomers.len() < room => {
                        match place(self.addresses.as_ref(), &socket) {
                            Ok(place) => newcomers.push(Newcomer { socket, place }),
                            Err(()) => {
                                trouble = Some("connections_per_address_max is reached");
                                note_refusal(&socket, Refused::AddressLimit, counters);
                                refuse(&socket, TOO_MANY);
                            }
                        }
                    }
                    Ok(socket) => {
                        trouble = Some("connections_max is reached");
                        note_refusal(&socket, Refused::Limit, counters);
                        refuse(&socket, FULL);
                    }
                    Err(Errno::AGAIN) => listener.ready = false,
                    Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                        trouble = Some(shortage(errno));
                        listener.exhausted = Some(now);
                        self.refuse_with_reserve(index, counters);
                        break;
                    }
                    // The peer is gone before it was accepted; others may wait.
                    Err(_) => {}
                }
            }
        }
        if let Some(reason) = trouble {
            self.tell(now, reason);
        }
        newcomers
    }

    /// Tells the operator that clients are sent away, but not for each of them.
    fn tell(&mut self, now: u64, reason: &'static str) {
        if self.told.is_none_or(|told| now >= told + TOLD_MS) {
            self.told = Some(now);
            tracing::warn!(reason, "connections are refused");
        }
    }

    /// Out of descriptors: closes the spare one, so that those who wait hear a 503 and not
    /// silence.
    fn refuse_with_reserve(&mut self, index: usize, counters: &mut Counters) {
        let listener = &self.listeners[index].socket;
        for _ in 0..ACCEPTS_PER_TURN {
            drop(self.reserve.take());
            let refused = accept(listener).map(|socket| {
                counters.refused(Refused::Limit);
                refuse(&socket, FULL);
            });
            self.reserve = reserve(listener).ok();
            if refused.is_err() || self.reserve.is_none() {
                break;
            }
        }
    }

    /// Lets listeners that met the descriptor limit a while ago try again.
    pub(super) fn retry(&mut self, now: u64) {
        for listener in &mut self.listeners {
            if listener
                .exhausted
                .is_some_and(|met| now >= met + millis(RETRY))
            {
                listener.exhausted = None;
            }
        }
        if self.reserve.is_none()
            && let Some(listener) = self.listeners.first()
        {
            self.reserve = reserve(&listener.socket).ok();
        }
    }
}

/// What the system has run out of.
fn shortage(errno: Errno) -> &'static str {
    match errno {
        Errno::MFILE | Errno::NFILE => "out of descriptors",
        _ => "out of memory for sockets",
    }
}

fn accept(listener: &TcpListener) -> Result<OwnedFd, Errno> {
    rustix::net::accept_with(
        listener.as_fd(),
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
    )
}

/// The place of a socket among those of its address, where that is limited; an error where there
/// is none left. A peer that is gone already needs none.
fn place(addresses: Option<&Arc<Addresses>>, socket: &OwnedFd) -> Result<Option<Box<Place>>, ()> {
    let Some(addresses) = addresses else {
        return Ok(None);
    };
    match peer(socket) {
        Some(peer) => addresses.take(peer.ip()).map(Box::new).map(Some).ok_or(()),
        None => Ok(None),
    }
}

fn peer(socket: &OwnedFd) -> Option<SocketAddr> {
    let peer = rustix::net::getpeername(socket).ok().flatten();
    peer.and_then(|peer| SocketAddr::try_from(peer).ok())
}

fn note_refusal(socket: &OwnedFd, reason: Refused, counters: &mut Counters) {
    counters.refused(reason);
    let peer = || peer(socket).map(tracing::field::display);
    tracing::debug!(
        peer = peer(),
        reason = reason.as_str(),
        "connection refused"
    );
}

/// Tells the client that there is no place, and closes.
fn refuse(socket: &OwnedFd, answer: &[u8]) {
    // A request that has come already is read, so that closing does not reset the answer away.
    let mut head = [0; 4096];
    let _ = rustix::net::send(socket, answer, rustix::net::SendFlags::NOSIGNAL);
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
    let _ = rustix::net::recv(socket, &mut head[..], rustix::net::RecvFlags::DONTWAIT);
}

/// A spare descriptor: one more name of the listener.
fn reserve(listener: &TcpListener) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(listener, 0)?)
}
