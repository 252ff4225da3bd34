//! Engine.IO: sessions over WebSocket and over long-polling, and from one to the other.
//!
//! What is said over a session is an [`Application`]'s business: Socket.IO, or plain messages. The
//! rules of the protocol are those of [`parlor_proto::engineio`]; here they meet the shard.

mod application;
mod embedded;
mod open;
mod plain;
mod registry;
mod request;
mod session;
mod sid;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use parlor_proto::{engineio::Options, websocket};

use crate::{
    metrics::Door,
    policy::{Checks, Cors},
};

pub(crate) use application::{Application, Applications, Forbidden, Opening, Port};
pub(crate) use open::open_polling;
pub(super) use open::{Refused, open_socket};
pub(crate) use plain::Verdict;
pub(crate) use registry::Registry;
pub(crate) use request::{
    Answer, Ask, Asked, Body, Follow, New, Reply, Request, Route, follow, may_open, route,
    session_of, unknown,
};
pub(crate) use sid::Sid;

/// A path that Engine.IO is spoken at, and what for.
pub(crate) struct Mount {
    /// The path, which begins and ends with a slash.
    pub(crate) path: Box<str>,
    /// How connections there are counted.
    pub(crate) door: Door,
    /// The settings of its sessions.
    pub(crate) options: Options,
    /// The name of the cookie that tells the id of a new session; none for none.
    pub(crate) cookie: Option<Box<str>>,
    /// Answers to GETs of at least so many bytes are compressed; none never.
    pub(crate) compress_from: Option<usize>,
    /// What pages of other origins are told, where the path says that itself.
    pub(crate) cors: Option<Arc<Cors>>,
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
    /// What sets the cookie of a new session.
    fn cookie_of(&self, sid: &str) -> Option<String> {
        let name = self.cookie.as_ref()?;
        Some(format!("{name}={sid}; Path=/; HttpOnly; SameSite=Lax"))
    }

    /// The bounds of WebSocket messages there.
    fn socket_options(&self, all: &websocket::Options) -> websocket::Options {
        let mut options = *all;
        options.limits.message_bytes_max = self.options.limits.payload_bytes_max;
        options
    }
}

/// Whether requests to a path are checked by the protocol there: where they come from, and how
/// long they are.
pub(crate) fn checks(mounts: &[Arc<Mount>], path: &str) -> Checks {
    match mount_at(mounts, path).map(|mount| mount.cors.is_some()) {
        Some(true) => Checks::TheirsWithHeaders,
        Some(false) => Checks::Theirs,
        None => Checks::Ours,
    }
}

/// The mount whose path a request's path begins with.
pub(crate) fn mount_at<'a>(mounts: &'a [Arc<Mount>], path: &str) -> Option<&'a Arc<Mount>> {
    mounts.iter().find(|mount| path.starts_with(&*mount.path))
}
