//! Clients whose request came to a server of the embedder's, which hands them over.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use parlor_hub::MemberKey;
use rustix::fd::OwnedFd;
use tokio::sync::oneshot;

use super::{
    Shard,
    addresses::Place,
    connections::{Answered, Stream},
    life::millis,
};
use crate::{
    door::Opened,
    front::{Framing, Head},
    metrics::{End, Refused},
};

/// An address has as many connections as it may.
#[derive(Debug)]
pub(super) struct AtLimit;

/// A request for a door that somebody else has read and will answer.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) minor_version: u8,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) peer: SocketAddr,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Answered>,
}

/// What carries the bytes of a client behind the answer to its request.
pub(crate) enum Arrival {
    /// A socket, and what was read from it behind the request.
    Socket(OwnedFd, Bytes),
    /// Any other stream.
    Stream(Box<dyn Stream>),
    /// Nothing: the client has gone.
    Nothing,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket(..) => "Socket",
            Self::Stream(_) => "Stream",
            Self::Nothing => "Nothing",
        })
    }
}

impl Shard {
    /// Lets the door at a request's path answer it.
    pub(super) fn visit(&mut self, visit: Visit) {
        // Where there is no answer the client is told that the server is busy.
        let boxes = self.mailboxes.iter();
        let count: usize = boxes.map(|mailbox| mailbox.connections()).sum();
        // This one is among them.
        if self.draining.is_some() {
            return;
        }
        if count > self.settings.connections_max {
            return self.connections.counters.refused(Refused::Limit);
        }
        let Visit {
            method,
            target,
            minor_version,
            headers,
            peer,
            answer,
        } = visit;
        let Ok(place) = self.place_of(peer.ip()) else {
            return self.connections.counters.refused(Refused::AddressLimit);
        };
        let Ok(key) = self.connections.insert_visitor(answer, place) else {
            return;
        };
        let due = self.connections.now + millis(self.settings.head_timeout);
        self.connections.wheel.set(key.slot, due);
        let headers: Vec<httparse::Header<'_>> = headers
            .iter()
            .map(|(name, value)| httparse::Header { name, value })
            .collect();
        let head = Head {
            method: &method,
            target: &target,
            minor_version,
            headers: &headers,
            used: 0,
            framing: Framing::None,
        };
        let settings = Arc::clone(&self.settings);
        match self.open_from(key, &head, (&settings.visit_policy, None), Some(peer)) {
            // Whoever has sent it here knows the shard of each session.
            None | Some(Opened::Elsewhere(_)) => self.end(key, End::Peer),
            Some(opened) => self.admit(key, opened, &mut []),
        }
    }

    /// A place among the connections of an address, for one that comes by no socket of ours. An
    /// address that nobody has told us has no limit.
    pub(super) fn place_of(&self, ip: IpAddr) -> Result<Option<Box<Place>>, AtLimit> {
        match &self.settings.addresses {
            Some(addresses) if !ip.is_unspecified() => {
                let place = addresses.take(ip).ok_or(AtLimit)?;
                Ok(Some(Box::new(place)))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// A visitor's answer is written; its bytes come and go from now on.
    pub(super) fn arrive(&mut self, key: MemberKey, arrival: Arrival) {
        if !self.connections.is_current(key) {
            return;
        }
        let read = match arrival {
            Arrival::Socket(socket, read) => {
                if let Err(error) = self.connections.attach_socket(key, socket) {
                    tracing::warn!(%error, "cannot watch a socket");
                    return self.end(key, End::Broken);
                }
                read
            }
            Arrival::Stream(stream) => {
                let mailbox = Arc::clone(&self.mailboxes[usize::from(self.id.0)]);
                self.connections.attach_stream(key, stream, mailbox);
                Bytes::new()
            }
            Arrival::Nothing => return self.end(key, End::Peer),
        };
        self.writable(key);
        if !read.is_empty() && self.connections.is_current(key) {
            self.connections.cold[key.slot as usize].heard = self.connections.now;
            self.received(key, &mut Vec::from(read));
        }
        if self.connections.is_current(key) {
            self.list_ready(key);
        }
    }

    /// A visitor's stream has something to read, or takes more.
    pub(super) fn stream_ready(&mut self, key: MemberKey) {
        if self.connections.is_current(key) && self.connections.wake_wire(key) {
            self.writable(key);
            if self.connections.is_current(key) {
                self.list_ready(key);
            }
        }
    }
}
