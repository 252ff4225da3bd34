//! Where a client connects to: URLs of the few schemes that a client knows (RFC 3986; RFC 6455,
//! section 3).

use std::{fmt, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 16 * 1024;

/// A URL in its parts, as [`Builder::new`](super::Builder::new) understands it: for programs that
/// connect by themselves, or show where they connect to.
///
/// ```
/// use parlor::client::Url;
///
/// # fn main() -> Result<(), parlor::client::MalformedUrl> {
/// let url = Url::parse("ws://[::1]:8080/ws/tea?name=Ann")?;
/// assert_eq!((url.host(), url.port(), url.is_secure()), (Some("::1"), Some(8080), false));
/// assert_eq!((url.path(), url.host_header().as_str()), ("/ws/tea?name=Ann", "[::1]:8080"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Target);

impl fmt::Debug for Url {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Url")
            .field("secure", &self.0.secure)
            .field("place", &self.0.place)
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl Url {
    /// Takes a URL of at most 16 KiB apart.
    ///
    /// # Errors
    ///
    /// [`MalformedUrl`].
    pub fn parse(text: &str) -> Result<Self, MalformedUrl> {
        Target::parse(text).map(Self)
    }

    /// Whether TLS comes first: `wss:` and `https:`.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// The name, in lower case, or the address, an IPv6 address without its brackets; none of a
    /// Unix domain socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.0.place {
            Place::Host(host, _) => Some(host),
            Place::Unix(_) => None,
        }
    }

    /// The port, 80 or 443 where the URL has none; none of a Unix domain socket.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match &self.0.place {
            Place::Host(_, port) => Some(*port),
            Place::Unix(_) => None,
        }
    }

    /// Path and query as they stand in a request: at least `/`, percent-encoded where they must be.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The value of the header `Host` (RFC 9110, section 7.2).
    #[must_use]
    pub fn host_header(&self) -> String {
        self.0.host_header()
    }

    /// Whether it names a user or a password.
    #[must_use]
    pub const fn has_user(&self) -> bool {
        self.0.authorization.is_some()
    }
}

/// A URL that has been taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether TLS comes first.
    pub(crate) secure: bool,
    pub(crate) place: Place,
    /// The value of `Authorization` that user and password in the URL stand for.
    pub(crate) authorization: Option<String>,
    /// Path and query, as they stand in a request.
    pub(crate) path: String,
}

/// The other end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name or address (an IPv6 address without brackets, in lower case) and a port.
    Host(String, u16),
    /// A Unix domain socket.
    Unix(PathBuf),
}

/// Text that is not a URL that a client can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MalformedUrl {
    /// It is empty, over 16 KiB, or holds control characters.
    #[error("empty, too long, or with control characters")]
    Text,
    /// The scheme is not `ws`, `wss`, `http`, `https` or `ws+unix`.
    #[error("the scheme is not ws, wss, http, https or ws+unix")]
    Scheme,
    /// The host is missing or not ASCII letters, digits, `-`, `.`, `_` or an IPv6 address in
    /// brackets. Names in other scripts must be written in their `xn--` form.
    #[error("the host is missing or malformed")]
    Host,
    /// The port is not 1 to 65535.
    #[error("the port is not 1 to 65535")]
    Port,
    /// User or password is not percent-encoded UTF-8, or the user holds a colon.
    #[error("user or password is malformed")]
    User,
    /// A WebSocket URL has no fragment (RFC 6455, section 3).
    #[error("a WebSocket URL has no fragment")]
    Fragment,
    /// `ws+unix:` without the path of a socket.
    #[error("the path of the socket is missing")]
    SocketPath,
}

impl Target {
    /// Takes a URL apart.
    pub(crate) fn parse(url: &str) -> Result<Self, MalformedUrl> {
        if url.is_empty() || url.len() > URL_BYTES_MAX || url.chars().any(char::is_control) {
            return Err(MalformedUrl::Text);
        }
        let (scheme, rest) = url.split_once(':').ok_or(MalformedUrl::Scheme)?;
        let (secure, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            "ws+unix" => return Self::parse_unix(rest),
            _ => return Err(MalformedUrl::Scheme),
        };
        let rest = rest.strip_prefix("//").ok_or(MalformedUrl::Host)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(MalformedUrl::Host)?;
        let websocket = scheme.get(..1).is_some_and(|s| s.eq_ignore_ascii_case("w"));
        let path = path_of(path, websocket)?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = parse_host(host, default_port)?;
        Ok(Self {
            secure,
            place: Place::Host(host, port),
            authorization: user.map(basic).transpose()?.flatten(),
            path,
        })
    }

    /// `ws+unix:/path/of/the/socket:/path?query`.
    fn parse_unix(rest: &str) -> Result<Self, MalformedUrl> {
        let rest = match rest.strip_prefix("//") {
            Some(rest) if rest.starts_with('/') => rest,
            _ => rest,
        };
        let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
        if socket.is_empty() {
            return Err(MalformedUrl::SocketPath);
        }
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return Err(MalformedUrl::SocketPath);
        }
        let socket = percent_decode_str(socket)
            .decode_utf8()
            .map_err(|_| MalformedUrl::SocketPath)?;
        Ok(Self {
            secure: false,
            place: Place::Unix(PathBuf::from(socket.as_ref())),
            authorization: None,
            path: path_of(path, true)?,
        })
    }

    /// The value of `Host`.
    pub(crate) fn host_header(&self) -> String {
        match &self.place {
            Place::Unix(_) => "localhost".to_owned(),
            Place::Host(host, port) => {
                let default = if self.secure { 443 } else { 80 };
                let host = bracketed(host);
                if *port == default {
                    host
                } else {
                    format!("{host}:{port}")
                }
            }
        }
    }

    /// Where a `Location` leads, seen from here. `None` where it leads nowhere that a redirect may:
    /// a redirect from the network to a local socket is among those.
    pub(crate) fn resolve(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        if has_scheme(location) {
            let target = Self::parse(location).ok()?;
            let leaves_machine =
                matches!(self.place, Place::Unix(_)) || !matches!(target.place, Place::Unix(_));
            return leaves_machine.then_some(target);
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.secure { "wss" } else { "ws" };
            return Self::parse(&format!("{scheme}://{rest}")).ok();
        }
        let own = self.path.split('?').next().unwrap_or_default();
        let path = if location.is_empty() {
            self.path.clone()
        } else if location.starts_with('/') {
            without_dots(location)
        } else if location.starts_with('?') {
            format!("{own}{location}")
        } else {
            let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{location}"))
        };
        Some(Self {
            path: path_of(&path, false).ok()?,
            ..self.clone()
        })
    }

    /// Whether what is meant for one may be told the other: same place, and not without TLS what
    /// was with it.
    pub(crate) fn trusts(&self, next: &Self) -> bool {
        self.place == next.place && (next.secure || !self.secure)
    }

    /// Adds a pair to the query.
    pub(crate) fn push_query(&mut self, key: &str, value: &str) {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let encode =
            |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let (key, value) = (encode(key), encode(value));
        self.path.push_str(&format!("{separator}{key}={value}"));
    }
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        let bytes = scheme.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// Path and query of a request: never empty, visible ASCII only.
fn path_of(text: &str, websocket: bool) -> Result<String, MalformedUrl> {
    let text = match text.split_once('#') {
        Some(_) if websocket => return Err(MalformedUrl::Fragment),
        Some((text, _)) => text,
        None => text,
    };
    let mut path = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        path.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(path)
}

fn parse_host(text: &str, default_port: u16) -> Result<(String, u16), MalformedUrl> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(MalformedUrl::Host)?;
        let address: std::net::Ipv6Addr = host.parse().map_err(|_| MalformedUrl::Host)?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => "",
            None => return Err(MalformedUrl::Host),
            Some(port) => port,
        };
        (address.to_string(), port)
    } else {
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(MalformedUrl::Host);
        }
        (host.to_ascii_lowercase(), port)
    };
    let port = match port {
        "" => default_port,
        port if port.bytes().all(|b| b.is_ascii_digit()) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(MalformedUrl::Port)?,
        _ => return Err(MalformedUrl::Port),
    };
    Ok((host, port))
}

/// Host names hold no colon; IPv6 addresses do.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// `Basic` authentication (RFC 7617); `None` where user and password are both empty.
fn basic(user: &str) -> Result<Option<String>, MalformedUrl> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decode = |text| {
        percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| MalformedUrl::User)
    };
    let (name, password) = (decode(name)?, decode(password)?);
    if name.contains(':') {
        return Err(MalformedUrl::User);
    }
    if name.is_empty() && password.is_empty() {
        return Ok(None);
    }
    let value = STANDARD.encode(format!("{name}:{password}"));
    Ok(Some(format!("Basic {value}")))
}

/// Removes `.` and `..` segments (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let mut result = format!("/{}", kept.join("/"));
    if let Some(query) = query {
        result.push('?');
        result.push_str(query);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn urls_are_taken_apart() {
        for (url, secure, name, port, path, header) in [
            ("ws://a", false, "a", 80, "/", "a"),
            (
                "WSS://A.example/x?y=z",
                true,
                "a.example",
                443,
                "/x?y=z",
                "a.example",
            ),
            ("http://a:8080?q", false, "a", 8080, "/?q", "a:8080"),
            (
                "https://[::1]:9/ä b",
                true,
                "::1",
                9,
                "/%C3%A4%20b",
                "[::1]:9",
            ),
            ("ws://a:443", false, "a", 443, "/", "a:443"),
            ("ws://a:", false, "a", 80, "/", "a"),
        ] {
            let target = host(url);
            assert_eq!(target.secure, secure, "{url}");
            assert_eq!(target.place, Place::Host(name.to_owned(), port), "{url}");
            assert_eq!(target.path, path, "{url}");
            assert_eq!(target.host_header(), header, "{url}");
        }
        let unix = host("ws+unix:/tmp/a%20b.sock:/x?y");
        assert_eq!(unix.place, Place::Unix(PathBuf::from("/tmp/a b.sock")));
        assert_eq!(unix.path, "/x?y");
        assert_eq!(host("ws+unix:///tmp/s").path, "/");
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        for (url, expected) in [
            ("", MalformedUrl::Text),
            ("ws://a/\n", MalformedUrl::Text),
            ("a", MalformedUrl::Scheme),
            ("ftp://a", MalformedUrl::Scheme),
            ("ws:a", MalformedUrl::Host),
            ("ws://", MalformedUrl::Host),
            ("ws://ä", MalformedUrl::Host),
            ("ws://[::1", MalformedUrl::Host),
            ("ws://[a]", MalformedUrl::Host),
            ("ws://a:0", MalformedUrl::Port),
            ("ws://a:65536", MalformedUrl::Port),
            ("ws://a:+1", MalformedUrl::Port),
            ("ws://%ff@a", MalformedUrl::User),
            ("ws://a%3ab@a", MalformedUrl::User),
            ("ws://a#b", MalformedUrl::Fragment),
            ("ws+unix:", MalformedUrl::SocketPath),
            ("ws+unix:/s:x", MalformedUrl::SocketPath),
        ] {
            assert_eq!(Target::parse(url), Err(expected), "{url}");
        }
        assert!(Target::parse("http://a#b").is_ok());
    }

    #[test]
    fn users_become_basic_authentication() {
        for (url, expected) in [
            (
                "ws://Aladdin:open%20sesame@a",
                Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ),
            ("ws://a@b", Some("Basic YTo=")),
            ("ws://@b", None),
            ("ws://b", None),
        ] {
            assert_eq!(host(url).authorization.as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_url_of_a_socket_has_no_host_and_secrets_are_not_shown() {
        let url = Url::parse("ws+unix:/tmp/s:/x").unwrap();
        assert_eq!((url.host(), url.port(), url.path()), (None, None, "/x"));
        let url = Url::parse("wss://ann:geheim@a").unwrap();
        assert!(url.has_user() && url.is_secure());
        assert!(!format!("{url:?}").contains("geheim"));
    }

    #[test]
    fn redirects_are_resolved() {
        let base = host("ws://a:1/b/c?d");
        for (location, expected) in [
            ("/x", "ws://a:1/x"),
            ("x", "ws://a:1/b/x"),
            ("../x?y", "ws://a:1/x?y"),
            ("../../..", "ws://a:1/"),
            ("./", "ws://a:1/b/"),
            ("?q", "ws://a:1/b/c?q"),
            ("", "ws://a:1/b/c?d"),
            ("//c", "ws://c/"),
            ("wss://c/d#e", "wss://c/d"),
            ("http://c", "http://c"),
        ] {
            assert_eq!(base.resolve(location), Some(host(expected)), "{location}");
        }
        assert_eq!(base.resolve("ws+unix:/etc/s"), None);
        assert_eq!(base.resolve("javascript:1"), None);
        let unix = host("ws+unix:/s:/a");
        assert_eq!(unix.resolve("/b"), Some(host("ws+unix:/s:/b")));
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let base = host("wss://a/");
        assert!(base.trusts(&host("wss://a/b")));
        assert!(!base.trusts(&host("ws://a:443/b")));
        assert!(!base.trusts(&host("wss://a:8443/b")));
        assert!(!base.trusts(&host("wss://b/")));
        assert!(host("ws://a:443").trusts(&host("wss://a/")));
    }

    #[test]
    fn queries_grow() {
        let mut target = host("ws://a/b");
        target.push_query("name", "Ann & Bo");
        target.push_query("x", "1");
        assert_eq!(target.path, "/b?name=Ann%20%26%20Bo&x=1");
    }
}
