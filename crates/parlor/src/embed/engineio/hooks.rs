//! What an embedder decides and hears of requests to Engine.IO.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::HeaderMap;
use parlor_proto::engineio::{ErrorCode, Transport};

use super::{
    super::{BoxError, Head},
    traffic::OnTraffic,
};

/// What an embedder decides and hears of the requests at one path of Engine.IO; given to
/// [`Builder::engineio_hooks`](crate::Builder::engineio_hooks).
///
/// ```
/// use parlor::{Server, engineio::Hooks, socketio::SocketIo};
///
/// /// Asks whoever knows.
/// async fn is_signed_in(session: Option<&str>) -> bool {
///     // …
/// #   session.is_some()
/// }
///
/// let io = SocketIo::new();
/// let _ = io.of("/");
/// let hooks = Hooks::new()
///     .allow_request(|head| async move {
///         match is_signed_in(head.cookie("session")).await {
///             true => Ok(()),
///             false => Err("sign in first".to_owned()),
///         }
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
/// **Waiting.** What decides, [`allow_origin`](Self::allow_origin),
/// [`allow_request`](Self::allow_request) and [`generate_id`](Self::generate_id), returns a future.
/// One that is ready at once costs no wait. For others the client waits, at most
/// [`head_timeout`](crate::Config::head_timeout) (over polling so long for its origin, and again
/// for the rest): then it gets 503, and the future is dropped. It is dropped too where the client
/// goes meanwhile, and where the server stops. At most
/// [`connections_max`](crate::Config::connections_max) requests wait; one more gets 503. Who asks
/// for a WebSocket is not read meanwhile.
///
/// **Blocking.** All of it runs on the threads of connections, and inside
/// [`Server::router`](crate::Server::router) on those of the application: what blocks belongs into
/// [`tokio::task::spawn_blocking`]. What adds headers or hears of refusals is called while an
/// answer is made, and must not wait.
///
/// **Panics.** A closure or a future that panics ends the request or the connection, with 500, and
/// nothing else.
#[derive(Default)]
#[must_use = "hooks do nothing until a server has them"]
pub struct Hooks {
    origin: Option<Arc<AllowOrigin>>,
    allow: Option<Arc<AllowRequest>>,
    generate: Option<Arc<GenerateId>>,
    initial: Option<Box<Headers>>,
    headers: Option<Box<Headers>>,
    error: Option<Box<OnError>>,
    pub(super) traffic: Option<Box<OnTraffic>>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type AllowOrigin = dyn Fn(String) -> Boxed<bool> + Send + Sync;
type AllowRequest = dyn Fn(Arc<Head>) -> Boxed<Result<(), String>> + Send + Sync;
type GenerateId = dyn Fn(Arc<Head>) -> Boxed<Result<String, BoxError>> + Send + Sync;
type Headers = dyn Fn(&Head, &mut HeaderMap) + Send + Sync;
type OnError = dyn Fn(&RequestError) + Send + Sync;

/// What hooks say in time about a request.
pub(crate) type Judging = Boxed<Ruling>;

/// What hooks are asked about a request.
#[derive(Debug)]
pub(crate) struct Case {
    /// The request, where it may open a session.
    pub(crate) opens: Option<Arc<Head>>,
    /// Where it comes from, if nothing else lets that in.
    pub(crate) origin: Option<String>,
    /// Whether a session that is allowed would get as far as to need an id.
    pub(crate) needs_id: bool,
}

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Ruling {
    /// It may come in, as a session with this id where the embedder makes them.
    Admit(Option<String>),
    /// Its origin may not.
    Origin,
    /// It may not, for this reason.
    Forbid(String),
    /// There is no id for it.
    NoId(BoxError),
    /// That was not said in time.
    Late,
    /// A closure has panicked.
    Panic,
    /// The client has gone meanwhile.
    Gone,
}

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
    pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(Arc<Head>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.allow = Some(Arc::new(move |head| Box::pin(allow(head))));
        self
    }

    /// Lets pages of further origins in, by polling and by WebSocket: asked with the `Origin` of a
    /// request where neither the policy of all doors nor
    /// [`Cors::origins`](crate::config::Cors::origins) admits it. Without a word of it in the
    /// settings, cross-origin headers are those of [`Cors::default`](crate::config::Cors). As with
    /// a function in npm `cors`, the origin that is let in is told, with `Vary: Origin`; where that
    /// setting is [`CorsOrigins::Any`](crate::config::CorsOrigins::Any), nothing is asked.
    ///
    /// It is asked for every request over polling and every preflight, so it should remember what
    /// it has found out. An origin is up to the page's browser: other clients say what they like.
    ///
    /// ```
    /// use std::future::ready;
    ///
    /// use parlor::engineio::Hooks;
    ///
    /// let hooks = Hooks::new().allow_origin(|origin| {
    ///     let host = origin.strip_prefix("https://").unwrap_or_default();
    ///     ready(host == "example.com" || host.ends_with(".example.com"))
    /// });
    /// # let _ = hooks;
    /// ```
    pub fn allow_origin<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.origin = Some(Arc::new(move |origin| Box::pin(allow(origin))));
        self
    }

    /// Makes the ids of sessions, 1 to 128 letters, digits, `-`, `.`, `_` and `~`. Whoever knows
    /// the id of a session can speak as its client, so nobody may be able to guess one; without
    /// this hook ids have 104 random bits.
    ///
    /// An error, any other character and an id that another session at the same path has are
    /// refused with 400, code 3. Each id costs its length and some 100 bytes more in a table that
    /// all shards share, as long as the session lives.
    pub fn generate_id<F, Fut>(mut self, generate: F) -> Self
    where
        F: Fn(Arc<Head>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        self.generate = Some(Arc::new(move |head| Box::pin(generate(head))));
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

    /// Whether somebody is asked about requests that may open a session.
    pub(crate) const fn judges_openings(&self) -> bool {
        self.allow.is_some() || self.generate.is_some()
    }

    /// Whether somebody is asked about origins.
    pub(crate) const fn judges_origins(&self) -> bool {
        self.origin.is_some()
    }

    /// Asks about a request: first where it comes from, then whether it may open a session, then
    /// under which id. `None` where there is nothing to ask.
    pub(crate) fn judge(&self, case: Case) -> Option<Judging> {
        let Case {
            opens,
            origin,
            needs_id,
        } = case;
        let origin = self.origin.clone().zip(origin);
        let opens = opens.filter(|_| self.judges_openings());
        if origin.is_none() && opens.is_none() {
            return None;
        }
        let allow = self.allow.clone();
        let generate = self.generate.clone().filter(|_| needs_id);
        Some(Box::pin(async move {
            if let Some((allow, origin)) = origin
                && !allow(origin).await
            {
                return Ruling::Origin;
            }
            let Some(head) = opens else {
                return Ruling::Admit(None);
            };
            if let Some(allow) = allow
                && let Err(reason) = allow(Arc::clone(&head)).await
            {
                return Ruling::Forbid(reason);
            }
            match generate {
                Some(generate) => match generate(head).await {
                    Ok(id) => Ruling::Admit(Some(id)),
                    Err(error) => Ruling::NoId(error),
                },
                None => Ruling::Admit(None),
            }
        }))
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
