//! Engine.IO: sessions over WebSocket and over long-polling, and from one to the other.
//!
//! What is said over a session is an [`Application`]'s business: Socket.IO, or plain messages. The
//! rules of the protocol are those of [`parlor_proto::engineio`]; here they meet the shard.

mod application;
mod denied;
mod embedded;
mod gate;
mod ids;
mod open;
mod plain;
mod registry;
mod request;
mod session;
mod sid;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
};

use http::{HeaderMap, request::Parts};
use parlor_proto::{
    engineio::{Options, Query},
    websocket,
};

use crate::{
    embed::{Head, engineio::Hooks},
    metrics::Door,
    policy::{Checks, Cors},
};

pub(crate) use crate::embed::engineio::{Judging, Ruling};
pub(crate) use application::{Application, Applications, Forbidden, Opening, Port};
pub(crate) use denied::Denied;
pub(crate) use gate::{Kept, Undecided};
pub(crate) use ids::Ids;
pub(crate) use open::open_polling;
pub(super) use open::{Refused, open_socket};
pub(crate) use plain::Verdict;
pub(crate) use registry::Registry;
pub(crate) use request::{
    Answer, Ask, Asked, Body, Follow, New, Reply, Request, Route, follow, may_open, route, unknown,
};
pub(crate) use sid::Sid;

/// A path that Engine.IO is spoken at, and what for.
pub(crate) struct Mount {
    /// The path, which begins with a slash, and mostly ends with one.
    pub(crate) path: Box<str>,
    /// How connections there are counted.
    pub(crate) door: Door,
    /// The settings of its sessions.
    pub(crate) options: Options,
    /// The cookie that tells the id of a new session; none for none.
    pub(crate) cookie: Option<SetCookie>,
    /// Answers to GETs of at least so many bytes are compressed; none never.
    pub(crate) compress_from: Option<usize>,
    /// What pages of other origins are told, where the path says that itself.
    pub(crate) cors: Option<Arc<Cors>>,
    /// Compression on WebSocket.
    pub(crate) deflate: websocket::deflate::Policy,
    /// What the embedder decides and hears.
    pub(crate) hooks: Hooks,
    /// The ids of sessions, where the embedder makes them.
    pub(crate) ids: Option<Ids>,
    /// How many sessions there are.
    pub(crate) clients: Arc<AtomicUsize>,
    /// Makes what runs over each session.
    pub(crate) applications: Box<dyn Applications>,
}

/// A cookie, but for its value.
#[derive(Debug)]
pub(crate) struct SetCookie {
    pub(crate) name: Box<str>,
    /// As they stand behind the value.
    pub(crate) attributes: Box<str>,
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
        let SetCookie { name, attributes } = self.cookie.as_ref()?;
        Some(format!("{name}={sid}{attributes}"))
    }

    /// The session that an id stands for, if there is one.
    fn sid_of(&self, id: &str) -> Option<Sid> {
        match &self.ids {
            Some(ids) => ids.find(id),
            None => Sid::parse(id),
        }
    }

    /// The session that a request target names, where it can be one of ours.
    pub(crate) fn session_of(&self, target: &str) -> Option<Sid> {
        let (_, query) = target.split_once('?')?;
        self.sid_of(Query::parse(query).sid()?)
    }

    /// What the embedder adds to the answer to a plain request.
    pub(crate) fn headers_for(&self, parts: &Parts, peer: SocketAddr) -> HeaderMap {
        if !self.hooks.adds_headers() {
            return HeaderMap::new();
        }
        let head = head_of(parts, peer);
        let is_initial = may_open(&head.target);
        self.hooks.headers(&head, is_initial)
    }

    /// Tells the embedder of a plain request that was refused.
    pub(crate) fn tell(&self, parts: &Parts, peer: SocketAddr, denied: Denied) {
        if self.hooks.hears_errors() {
            let head = head_of(parts, peer);
            self.hooks.tell(head, denied.code, denied.context);
        }
    }

    /// The bounds of WebSocket messages there.
    fn socket_options(&self, all: &websocket::Options) -> websocket::Options {
        let mut options = *all;
        options.limits.message_bytes_max = self.options.limits.payload_bytes_max;
        options
    }
}

fn head_of(parts: &Parts, peer: SocketAddr) -> Head {
    let target = parts.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
    Head::new(parts.method.as_str(), target, fields, peer)
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

/// The session of the mount at its path that a request target names.
pub(crate) fn session_at(mounts: &[Arc<Mount>], target: &str) -> Option<Sid> {
    let (path, _) = target.split_once('?')?;
    mount_at(mounts, path)?.session_of(target)
}

/// The mount whose path a request's path begins with.
pub(crate) fn mount_at<'a>(mounts: &'a [Arc<Mount>], path: &str) -> Option<&'a Arc<Mount>> {
    mounts.iter().find(|mount| {
        let rest = path.strip_prefix(&*mount.path);
        rest.is_some_and(|rest| {
            mount.path.ends_with('/') || rest.is_empty() || rest.starts_with('/')
        })
    })
}
