//! Settings of Socket.IO.

use std::time::Duration;

use super::EngineIo;

/// How Socket.IO is served; see [`Config::socketio`](super::Config::socketio).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketIo {
    /// Whether it is served without code. Default: yes, where the built-in doors are open.
    pub served: bool,
    /// The path that clients ask for; it begins with a slash. Without one at its end clients may
    /// leave that out too (`addTrailingSlash: false`). Default: `/socket.io/`.
    pub path: String,
    /// The sessions below it.
    pub engine: EngineIo,
    /// Whether a sender hears its own `message`. Default: yes.
    pub echo: bool,
    /// How long a client may be without a namespace; then it is closed. Default: 45 s.
    pub connect_timeout: Duration,
    /// How long the session of a client that has lost its connection is kept, with its rooms and
    /// up to 1,024 events or 1 MiB that it misses; zero keeps none. With it each event has its
    /// place as one more argument, and is encoded for each client alone. Default: zero.
    pub recovery: Duration,
    /// Whether a client that comes back within [`recovery`](Self::recovery) is let in without being
    /// asked about again: what the [middleware] of the namespace has found out lies in the socket's
    /// data. With `false` middleware decides anew, with [`is_recovered`] true and rooms and data as
    /// they were; a refusal is the client's `connect_error`, and the session is kept for another try.
    /// Only who embeds the server has middleware, so there is no key for it in a file. Default: yes.
    ///
    /// [middleware]: crate::socketio::Namespace::middleware
    /// [`is_recovered`]: crate::socketio::Socket::is_recovered
    pub recovery_skips_middleware: bool,
    /// The namespaces that there are. Default: none named, so that there is any.
    pub namespaces: Vec<String>,
}

impl Default for SocketIo {
    fn default() -> Self {
        Self {
            served: true,
            path: "/socket.io/".to_owned(),
            engine: EngineIo::default(),
            echo: true,
            connect_timeout: Duration::from_secs(45),
            recovery: Duration::ZERO,
            recovery_skips_middleware: true,
            namespaces: Vec::new(),
        }
    }
}
