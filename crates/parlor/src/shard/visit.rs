//! Clients whose request came to a server of the embedder's, which hands them over.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use parlor_hub::MemberKey;
use rustix::fd::OwnedFd;
use tokio::sync::oneshot;

use super::{
    Shard,
    connections::{Answered, Stream},
    life::millis,
};
use crate::{
    door,
    front::{Framing, Head},
    metrics::End,
    policy::Refusal,
};

/// A request for an upgrade that somebody else has read and will answer.
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
        if self.draining.is_some() || count > self.settings.connections_max {
            return;
        }
        let Visit {
            method,
            target,
            minor_version,
            headers,
            peer,
            answer,
        } = visit;
        let Ok(key) = self.connections.insert_visitor(answer) else {
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
        if !door::takes_visits(&settings.door, &head) {
            let refusal = Refusal::new(404, "not found");
            self.connections.send(key, &refusal.to_response(), 1);
            return self.end(key, End::Peer);
        }
        match self.open_from(key, &head, &settings.visit_policy, Some(peer)) {
            Some(opened) => self.admit(key, opened, &mut []),
            None => self.end(key, End::Peer),
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
