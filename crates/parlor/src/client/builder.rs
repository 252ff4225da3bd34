//! What a client is told before it connects.

use std::{fmt, time::Duration};

use parlor_proto::websocket::{
    Delivery, Limits, Options,
    deflate::{Mode, Policy},
};

use super::{
    ConnectError, Proxies, Socket,
    connect::{self, Io},
};

/// Makes connections: a [`Socket`] by [`Builder::connect`]. Nothing is checked before that.
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) protocols: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) handshake_timeout: Duration,
    pub(super) redirects_max: Option<usize>,
    pub(super) proxies: Proxies,
    pub(super) socket: Settings,
    #[cfg(feature = "tls")]
    pub(super) tls: super::tls::Settings,
}

/// What a [`Socket`] needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) options: Options,
    pub(super) deflate: Policy,
    pub(super) write_bytes_max: usize,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl fmt::Debug for Builder {
    /// Without the URL and the values of headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Builder")
            .field("headers", &names)
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Connections to a URL: `ws://host/path`, `wss://host/path`, the same as `http:` and
    /// `https:`, or `ws+unix:/path/of/the/socket:/path`. A user and password in it become
    /// `Authorization: Basic`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            protocols: Vec::new(),
            query: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            redirects_max: None,
            proxies: Proxies::none(),
            socket: Settings {
                options: Options {
                    limits: Limits {
                        message_bytes_max: 16 << 20,
                        message_fragments_max: 4096,
                    },
                    delivery: Delivery::Messages,
                    validate_utf8: true,
                    auto_pong: true,
                },
                deflate: Policy::default(),
                write_bytes_max: 256 << 10,
                ping_interval: Duration::from_secs(25),
                ping_timeout: Duration::from_secs(20),
                close_timeout: Duration::from_secs(5),
            },
            #[cfg(feature = "tls")]
            tls: super::tls::Settings::default(),
        }
    }

    /// Adds a header to the request. `Authorization` and `Cookie` do not follow a redirect to
    /// another host. Those that the handshake writes itself (`Host`, `Connection`, `Upgrade`,
    /// `Sec-WebSocket-…`, `Content-Length`, `Transfer-Encoding`, `TE`) make connecting fail with
    /// [`ConnectError::MisuseRequest`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The `Origin` header. Default: none, as programs that are not browsers have none.
    pub fn origin(self, origin: impl Into<String>) -> Self {
        self.header("Origin", origin)
    }

    /// Offers a subprotocol, after those offered before. What the server chose is told by
    /// [`Socket::protocol`]. Default: none.
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// Adds a pair to the URL's query, percent-encoded.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    /// How long it may take from looking up the name to the end of the handshake; begins anew with
    /// each redirect. Of the addresses of a name (16 at most, both families in turn) the next one is
    /// tried where one fails or does not answer for 250 ms. Default: 10 s.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Whether to go where a server redirects to, up to 10 times. Default: no, and a redirect is
    /// [`ConnectError::Refused`].
    pub const fn follow_redirects(self, follow: bool) -> Self {
        self.redirects_max(if follow { Some(REDIRECTS_MAX) } else { None })
    }

    /// The most redirects to follow; `None` to follow none, which is the default, and not to call
    /// it an error of its own.
    pub const fn redirects_max(mut self, max: Option<usize>) -> Self {
        self.redirects_max = max;
        self
    }

    /// The proxies to connect through. Default: none, whatever the environment says;
    /// [`Proxies::from_environment`] asks it.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Whether permessage-deflate is offered (RFC 7692). Default: yes, each message compressed by
    /// itself where it has 1024 bytes or more; [`Builder::deflate_policy`] says more.
    pub const fn deflate(self, deflate: bool) -> Self {
        let mode = if deflate { Mode::Shared } else { Mode::Off };
        self.deflate_policy(Policy::new(mode))
    }

    /// How messages are compressed.
    pub const fn deflate_policy(mut self, policy: Policy) -> Self {
        self.socket.deflate = policy;
        self
    }

    /// The longest message to take in, in bytes after inflation; a longer one fails the connection
    /// with 1009. 0 turns the limit off. Default: 16 MiB.
    pub const fn message_bytes_max(mut self, max: usize) -> Self {
        self.socket.options.limits.message_bytes_max = max;
        self
    }

    /// The most unsent bytes before [`Socket::send`] waits. One message may always be unsent,
    /// however long. Default: 256 KiB.
    pub const fn write_bytes_max(mut self, max: usize) -> Self {
        self.socket.write_bytes_max = max;
        self
    }

    /// After how much silence the server is asked by a ping whether it is there. Zero never asks.
    /// Default: 25 s.
    pub const fn ping_interval(mut self, interval: Duration) -> Self {
        self.socket.ping_interval = interval;
        self
    }

    /// How long a pinged server has to say anything at all; after that
    /// [`SocketError::LimitSilence`](super::SocketError::LimitSilence). Default: 20 s.
    pub const fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.socket.ping_timeout = timeout;
        self
    }

    /// How long the server has to finish the close handshake and to close. Default: 5 s.
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.socket.close_timeout = timeout;
        self
    }

    /// Roots, client certificates and everything else about TLS.
    /// Default: TLS 1.2 and 1.3, the roots of the system (or those that `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name) and no client certificate.
    #[cfg(feature = "tls")]
    pub fn tls_config(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.tls.config = Some(config);
        self
    }

    /// The name that the server's certificate is checked for, and that is told to it (SNI).
    /// Default: the host of the URL.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// Connects and does the WebSocket handshake.
    ///
    /// Cancel-safe: dropped before it is done, it leaves nothing behind but a closed connection.
    ///
    /// # Errors
    ///
    /// Any [`ConnectError`].
    pub async fn connect(&self) -> Result<Socket, ConnectError> {
        connect::websocket(self).await
    }

    /// Does the WebSocket handshake on a connection that is there: a tunnel, a pipe in a test. The
    /// URL gives the `Host` header and the path; proxies, TLS and redirects play no part.
    ///
    /// # Errors
    ///
    /// Any [`ConnectError`] but those of connecting.
    pub async fn connect_over(&self, stream: impl Io + 'static) -> Result<Socket, ConnectError> {
        connect::websocket_over(self, Box::new(stream)).await
    }
}

/// As many redirects as are followed where nothing is said.
const REDIRECTS_MAX: usize = 10;
