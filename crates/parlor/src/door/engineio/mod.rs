//! Engine.IO: sessions over WebSocket and over long-polling, and from one to the other.
//!
//! What is said over a session is an [`Application`]'s business: Socket.IO, or plain messages. The
//! rules of the protocol are those of [`parlor_proto::engineio`]; here they meet the shard.

mod application;
mod open;
mod registry;
mod session;
mod sid;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use parlor_proto::{engineio::Options, websocket};

use crate::metrics::Door;

pub(crate) use application::{Application, Applications, Forbidden, Opening, Port};
pub(super) use open::{Refused, open_socket};
pub(crate) use registry::Registry;

/// A path that Engine.IO is spoken at, and what for.
pub(crate) struct Mount {
    /// The path, which begins and ends with a slash.
    pub(crate) path: Box<str>,
    /// How connections there are counted.
    pub(crate) door: Door,
    /// The settings of its sessions.
    pub(crate) options: Options,
    /// Compression on WebSocket.
    pub(crate) deflate: websocket::deflate::Policy,
    /// Makes what runs over each session.
    pub(crate) applications: Box<dyn Applications>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Mount {
    /// The bounds of WebSocket messages there.
    fn socket_options(&self, all: &websocket::Options) -> websocket::Options {
        let mut options = *all;
        options.limits.message_bytes_max = self.options.limits.payload_bytes_max;
        options
    }
}

/// The mount whose path a request's path begins with.
pub(crate) fn mount_at<'a>(mounts: &'a [Arc<Mount>], path: &str) -> Option<&'a Arc<Mount>> {
    mounts.iter().find(|mount| path.starts_with(&*mount.path))
}
