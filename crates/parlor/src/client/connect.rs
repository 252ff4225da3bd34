//! From a URL to an open connection: dial, handshake, redirects.

use std::{io, net::SocketAddr, time::Duration};

use parlor_proto::websocket::handshake::{ClientRequest, ResponseError};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{
    Builder, ConnectError, Socket,
    http::{self, Head},
    socket::Agreed,
    url::{Place, Target},
};

/// A stream of bytes in both directions, such as a TCP connection, one with TLS, or a pipe.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) type BoxedIo = Box<dyn Io>;

/// Connects and does the handshake, wherever redirects lead.
pub(super) async fn websocket(builder: &Builder) -> Result<Socket, ConnectError> {
    let mut way = Way::new(builder)?;
    loop {
        let attempt = async {
            let io = dial(&way.target, builder).await?;
            upgrade(io, builder, &way).await
        };
        match limited(builder.handshake_timeout, attempt).await {
            Err(error) => way.redirect(builder, error)?,
            done => return done,
        }
    }
}

/// Does the handshake on a connection that is there.
pub(super) async fn websocket_over(builder: &Builder, io: BoxedIo) -> Result<Socket, ConnectError> {
    let way = Way::new(builder)?;
    limited(builder.handshake_timeout, upgrade(io, builder, &way)).await
}

/// Within the time that the handshake may take.
pub(super) async fn limited<T>(
    after: Duration,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(after, attempt)
        .await
        .unwrap_or(Err(ConnectError::LimitTime { after }))
}

/// Where the next attempt goes, and what it may tell there.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) target: Target,
    /// Whether this is still a place that credentials were meant for.
    trusted: bool,
    redirects: usize,
}

impl Way {
    pub(super) fn new(builder: &Builder) -> Result<Self, ConnectError> {
        let mut target = Target::parse(&builder.url)?;
        for (key, value) in &builder.query {
            target.push_query(key, value);
        }
        Ok(Self {
            target,
            trusted: true,
            redirects: 0,
        })
    }

    /// Goes where a refusal points to, or gives the error back.
    pub(super) fn redirect(
        &mut self,
        builder: &Builder,
        error: ConnectError,
    ) -> Result<(), ConnectError> {
        let ConnectError::Refused(refusal) = &error else {
            return Err(error);
        };
        let Some(redirects_max) = builder.redirects_max else {
            return Err(error);
        };
        if !matches!(refusal.status, 301 | 302 | 303 | 307 | 308) {
            return Err(error);
        }
        if self.redirects >= redirects_max {
            return Err(ConnectError::LimitRedirects { redirects_max });
        }
        let location = refusal.location.as_deref();
        let next = location
            .and_then(|location| self.target.resolve(location))
            .ok_or(ConnectError::MalformedRedirect)?;
        self.trusted &= self.target.trusts(&next);
        self.target = next;
        self.redirects += 1;
        Ok(())
    }

    /// The caller's headers, and those that stand for the URL's user.
    pub(super) fn headers<'a>(&'a self, builder: &'a Builder) -> Vec<(&'a str, &'a str)> {
        let secret = |name: &str| {
            ["authorization", "cookie"]
                .iter()
                .any(|secret| name.eq_ignore_ascii_case(secret))
        };
        let mut headers: Vec<(&str, &str)> = builder
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| self.trusted || !secret(name))
            .collect();
        // A header that was given wins over the URL.
        let given = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let Some(value) = self.target.authorization.as_deref().filter(|_| !given) {
            headers.push(("Authorization", value));
        }
        headers
    }
}

/// Opens the stream that a handshake can be done on.
pub(super) async fn dial(target: &Target, builder: &Builder) -> Result<BoxedIo, ConnectError> {
    // Known before anybody is asked: a session would otherwise try until a server is there.
    if target.secure && cfg!(not(feature = "tls")) {
        return Err(ConnectError::Unsupported { what: NO_TLS });
    }
    let (host, port) = match &target.place {
        Place::Unix(path) => return unix(path).await,
        Place::Host(host, port) => (host.as_str(), *port),
    };
    let io: BoxedIo = match builder.proxies.find(target.secure, host, port) {
        None => Box::new(tcp(host, port).await?),
        Some(proxy) => proxy.tunnel(host, port).await?,
    };
    if target.secure {
        return secure(io, host, builder).await;
    }
    Ok(io)
}

pub(super) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = tokio::net::lookup_host((host, port)).await?;
    let stream = race(in_turn(addresses), NEXT_ADDRESS, TcpStream::connect).await?;
    // Where nobody listens on a port of this machine that the system also gives to connections, an
    // attempt may be given just that port, and meet itself (RFC 9293, section 3.5). It would keep
    // the server that comes back from its port.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The first connection that is there: an address is tried when the one before it has failed, or
/// has not answered in time (RFC 8305, section 5), so that one of a network that is not reached does
/// not take the time of all.
async fn race<T: Send + 'static, F>(
    addresses: Vec<SocketAddr>,
    time: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut addresses = addresses.into_iter();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        let next = addresses.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(connect(address));
        }
        let wait = if is_last { Duration::MAX } else { time };
        match timeout(wait, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(error))) => last = io::Error::other(error),
            Ok(None) if is_last => return Err(last),
            Ok(None) | Err(_) => {}
        }
    }
}

/// Addresses of both families in turn, beginning with that of the first (RFC 8305, section 4), 16
/// at most.
fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.take(ADDRESSES_MAX).peekable();
    let first_is_v6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.is_ipv6() == first_is_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut sorted = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        sorted.extend(one.next());
        sorted.extend(other.next());
    }
    sorted
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<BoxedIo, ConnectError> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "as on the other systems")]
async fn unix(_: &std::path::Path) -> Result<BoxedIo, ConnectError> {
    Err(ConnectError::Unsupported {
        what: "Unix sockets on this system",
    })
}

#[cfg(feature = "tls")]
async fn secure(io: BoxedIo, host: &str, builder: &Builder) -> Result<BoxedIo, ConnectError> {
    super::tls::handshake(io, host, &builder.tls).await
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "as with the feature")]
async fn secure(_: BoxedIo, _: &str, _: &Builder) -> Result<BoxedIo, ConnectError> {
    Err(ConnectError::Unsupported { what: NO_TLS })
}

const NO_TLS: &str = "TLS without the feature `tls`";

async fn upgrade(mut io: BoxedIo, builder: &Builder, way: &Way) -> Result<Socket, ConnectError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let protocols: Vec<&str> = builder.protocols.iter().map(String::as_str).collect();
    let request = ClientRequest {
        host: &way.target.host_header(),
        target: &way.target.path,
        protocols: &protocols,
        deflate: builder.socket.deflate,
        headers: &way.headers(builder),
    };
    let mut out = Vec::new();
    let mut handshake = request
        .encode(random, &mut out)
        .map_err(|_| ConnectError::MisuseRequest)?;
    io.write_all(&out).await?;
    io.flush().await?;
    let mut read = Vec::new();
    let head = http::read_head(&mut io, &mut read).await?;
    if head.status != 101 {
        return Err(refused(&head, &read));
    }
    match handshake.receive(&read) {
        Ok(Some(accepted)) => {
            read.drain(..accepted.head_len.min(read.len()));
            let agreed = Agreed {
                protocol: accepted.protocol,
                deflate: accepted.deflate,
                headers: head.headers,
            };
            Ok(Socket::new(io, read, agreed, builder.socket))
        }
        Ok(None) => Err(ConnectError::MalformedResponse(ResponseError::Malformed)),
        Err(error) => Err(ConnectError::MalformedResponse(error)),
    }
}

/// What a server said instead of what was hoped for.
pub(super) fn refused(head: &Head, read: &[u8]) -> ConnectError {
    let text = read.get(head.len..).unwrap_or_default();
    let retry_after = head
        .value("retry-after")
        .and_then(|value| value.trim().parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)));
    ConnectError::Refused(Box::new(super::Refusal {
        status: head.status,
        location: head.value("location").map(str::to_owned),
        retry_after,
        text: String::from_utf8_lossy(text).into_owned(),
    }))
}

/// A day: what is longer is no hint but a mistake.
const RETRY_AFTER_SECONDS_MAX: u64 = 86_400;
/// How long an address has before the next one is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        for (found, sorted) in [
            (&[][..], &[][..]),
            (&["1.1.1.1:1", "2.2.2.2:1"], &["1.1.1.1:1", "2.2.2.2:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"],
            ),
            (&["1.1.1.1:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1"]),
        ] {
            let found = in_turn(found.iter().map(|text| address(text)));
            let sorted: Vec<SocketAddr> = sorted.iter().map(|text| address(text)).collect();
            assert_eq!(found, sorted);
        }
        let many = (0..100).map(|port| address(&format!("1.1.1.1:{port}")));
        assert_eq!(in_turn(many).len(), ADDRESSES_MAX);
    }

    /// Connects where each port says what becomes of it: 1 never answers, 2 refuses, 3 answers.
    /// Gives the port, and what was tried.
    async fn raced(ports: &[u16], time: Duration) -> (Result<u16, io::ErrorKind>, Vec<u16>) {
        let tried = Mutex::new(Vec::new());
        let addresses = ports.iter().map(|port| ([1, 1, 1, 1], *port).into());
        let connected = race(addresses.collect(), time, |address: SocketAddr| {
            let port = address.port();
            tried.lock().unwrap().push(port);
            async move {
                match port {
                    1 => std::future::pending().await,
                    2 => Err(io::ErrorKind::ConnectionRefused.into()),
                    _ => Ok(port),
                }
            }
        });
        let connected = connected.await.map_err(|error| error.kind());
        (connected, tried.into_inner().unwrap())
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_stops_no_other() {
        let refused = Err(io::ErrorKind::ConnectionRefused);
        // What needs no time is given so much that the test would not end.
        let (soon, never) = (Duration::from_millis(1), Duration::from_secs(86_400));
        for (ports, time, expected) in [
            (&[3, 1][..], never, (Ok(3), vec![3])),
            (&[2, 3], never, (Ok(3), vec![2, 3])),
            (&[2, 2], never, (refused, vec![2, 2])),
            (&[], never, (Err(io::ErrorKind::NotFound), vec![])),
            (&[1, 3], soon, (Ok(3), vec![1, 3])),
            (&[1, 2, 1, 3], soon, (Ok(3), vec![1, 2, 1, 3])),
        ] {
            assert_eq!(raced(ports, time).await, expected, "{ports:?}");
        }
    }
}
