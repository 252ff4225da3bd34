//! What an embedder decides and hears of requests to Engine.IO.

use std::fmt;

use http::HeaderMap;
use parlor_proto::engineio::{ErrorCode, Transport};

use super::super::{BoxError, Head};

/// What an embedder decides and hears of the requests at one path of Engine.IO; given to
/// [`Builder::engineio_hooks`](crate::Builder::engineio_hooks).
///
/// ```
/// use parlor::{Server, engineio::Hooks, socketio::SocketIo};
///
/// let io = SocketIo::new();
/// let _ = io.of("/");
/// let hooks = Hooks::new()
///     .allow_request(|head| match head.cookie("session") {
///         Some(_) => Ok(()),
///         None => Err("sign in first".to_owned()),
///     })
///     .on_initial_headers(|_, headers| {
///         headers.insert("x-served-by", "node-1".parse().expect("a value"));
///     })
///     .on_connection_error(|error| eprintln!("{}: {}", error.code().code(), error.context()));
/// let server = Server::builder()
///     .socketio(&io)
///     .engineio_hooks("/socket.io/", hooks)
///     .build()?;
/// # Ok::<(), parlor::BuildError>(())
/// ```
///
/// The closures run on the threads of connections and must not wait. What takes time to decide
/// belongs into the [middleware of a namespace](crate::socketio::Namespace::middleware), or into a
/// layer around [`Server::router`](crate::Server::router), which may wait, and refuse or give the
/// request a header that a closure here reads. A closure that panics ends the request or the
/// connection, and nothing else.
#[derive(Default)]
#[must_use = "hooks do nothing until a server has them"]
pub struct Hooks {
    allow: Option<Box<Allow>>,
    generate: Option<Box<Generate>>,
    initial: Option<Box<Headers>>,
    headers: Option<Box<Headers>>,
    error: Option<Box<OnError>>,
}

type Allow = dyn Fn(&Head) -> Result<(), String> + Send + Sync;
type Generate = dyn Fn(&Head) -> Result<String, BoxError> + Send + Sync;
type Headers = dyn Fn(&Head, &mut HeaderMap) + Send + Sync;
type OnError = dyn Fn(&RequestError) + Send + Sync;

/// A request to Engine.IO that was refused before it reached a session.
#[derive(Debug)]
pub struct RequestError {
    head: Head,
    code: ErrorCode,
    context: Context,
}

/// What was wrong with a request, in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Context {
    /// The transport is missing, unknown or not served.
    Transport(Option<String>),
    /// There is no such session.
    Sid(Option<String>),
    /// A session is opened with GET only.
    Method,
    /// The session goes over another transport than the request.
    TransportMismatch {
        /// That of the request.
        transport: Transport,
        /// That of the session.
        previous: Transport,
    },
    /// The request is no handshake of a WebSocket though it should be, or does not fit the session
    /// otherwise.
    Handshake,
    /// [`Hooks::generate_id`] has failed, or has given an id that cannot be one or is in use.
    IdGeneration(String),
    /// The page behind the request may not come in, by the policy of all doors and the origins of
    /// this path. Which origin that is the request says: `error.head().header("origin")`.
    Origin,
    /// [`Hooks::allow_request`] has refused, with this text; without one there is no room, or the
    /// handler does not want the session.
    Forbidden(Option<String>),
    /// `EIO` is missing, or a revision that is not served.
    Protocol(Option<String>),
}

impl Hooks {
    /// Hooks that do nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides whether a request may open a session, behind the checks of the protocol and of the
    /// origin. The text of an error is told to the client: 403,
    /// `{"code":4,"message":"…"}`, or as plain text where it asked for a WebSocket.
    ///
    /// Of several calls the last one counts, here and below.
    pub fn allow_request(
        mut self,
        allow: impl Fn(&Head) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.allow = Some(Box::new(allow));
        self
    }

    /// Makes the ids of sessions, 1 to 128 letters, digits, `-`, `.`, `_` and `~`. Whoever knows
    /// the id of a session can speak as its client, so nobody may be able to guess one; without
    /// this hook ids have 104 random bits.
    ///
    /// An error, any other character and an id that another session at the same path has are
    /// refused with 400, code 3. Each id costs its length and some 100 bytes more in a table that
    /// all shards share, as long as the session lives.
    pub fn generate_id(
        mut self,
        generate: impl Fn(&Head) -> Result<String, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.generate = Some(Box::new(generate));
        self
    }

    /// Adds headers to the answer that opens a session: to its first GET, or to the handshake of
    /// its WebSocket. Those that say how an answer is delimited are left out.
    pub fn on_initial_headers(
        mut self,
        add: impl Fn(&Head, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.initial = Some(Box::new(add));
        self
    }

    /// Adds headers to every answer of a session, the first one included.
    pub fn on_headers(
        mut self,
        add: impl Fn(&Head, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.headers = Some(Box::new(add));
        self
    }

    /// Hears of requests that are refused before they reach a session.
    pub fn on_connection_error(
        mut self,
        hear: impl Fn(&RequestError) + Send + Sync + 'static,
    ) -> Self {
        self.error = Some(Box::new(hear));
        self
    }

    pub(crate) const fn allows_all(&self) -> bool {
        self.allow.is_none()
    }

    pub(crate) fn allow(&self, head: &Head) -> Result<(), String> {
        self.allow.as_ref().map_or(Ok(()), |allow| allow(head))
    }

    /// None where ids are not made here.
    pub(crate) fn generate(&self, head: &Head) -> Option<Result<String, BoxError>> {
        self.generate.as_ref().map(|generate| generate(head))
    }

    pub(crate) const fn generates(&self) -> bool {
        self.generate.is_some()
    }

    pub(crate) const fn adds_headers(&self) -> bool {
        self.initial.is_some() || self.headers.is_some()
    }

    /// What is to be added to an answer.
    pub(crate) fn headers(&self, head: &Head, is_initial: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let initial = self.initial.iter().filter(|_| is_initial);
        for add in initial.chain(&self.headers) {
            add(head, &mut headers);
        }
        for name in [
            http::header::CONTENT_LENGTH,
            http::header::TRANSFER_ENCODING,
            http::header::CONNECTION,
            http::header::UPGRADE,
        ] {
            headers.remove(name);
        }
        headers
    }

    pub(crate) const fn hears_errors(&self) -> bool {
        self.error.is_some()
    }

    pub(crate) fn tell(&self, head: Head, code: ErrorCode, context: Context) {
        if let Some(hear) = &self.error {
            hear(&RequestError {
                head,
                code,
                context,
            });
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl RequestError {
    /// The request.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text of the code, as clients know it.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        self.code.message()
    }

    /// What was wrong, in detail.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }
}

impl Context {
    /// The name that the reference implementation has for it: `TRANSPORT_MISMATCH`,
    /// `TRANSPORT_HANDSHAKE_ERROR`, `ID_GENERATION_ERROR` or `INVALID_ORIGIN`; the others have
    /// none. There the last one is, with code 3, an `Origin` that cannot stand in a header, which
    /// here no request gets past HTTP with.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::TransportMismatch { .. } => "TRANSPORT_MISMATCH",
            Self::Handshake => "TRANSPORT_HANDSHAKE_ERROR",
            Self::IdGeneration(_) => "ID_GENERATION_ERROR",
            Self::Origin => "INVALID_ORIGIN",
            _ => return None,
        })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |f: &mut fmt::Formatter<'_>, what: &str, value: &Option<String>| match value {
            Some(value) => write!(f, "{what} `{}`", value.escape_debug()),
            None => write!(f, "no {what}, or not one"),
        };
        match self {
            Self::Transport(transport) => said(f, "transport", transport),
            Self::Sid(sid) => said(f, "sid", sid),
            Self::Method => f.write_str("not GET"),
            Self::TransportMismatch {
                transport,
                previous,
            } => write!(f, "{} after {}", transport.as_str(), previous.as_str()),
            Self::Handshake => f.write_str("no handshake that fits"),
            Self::IdGeneration(reason) => write!(f, "no id: {reason}"),
            Self::Origin => f.write_str("the origin may not come in"),
            Self::Forbidden(Some(reason)) => write!(f, "refused: {reason}"),
            Self::Forbidden(None) => f.write_str("refused"),
            Self::Protocol(eio) => said(f, "EIO", eio),
        }
    }
}
