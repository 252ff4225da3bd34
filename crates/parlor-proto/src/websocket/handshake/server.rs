//! The server's side: is this request an upgrade, and what to answer.

use thiserror::Error;

use super::super::deflate::{self, Agreement, MalformedExtensions, Mode, Policy};
use super::header;

/// The request's head, as any HTTP parser gives it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, H> {
    /// The method, as it stands in the request line.
    pub method: &'a str,
    /// The `1` of `HTTP/1.1`.
    pub minor_version: u8,
    /// All headers in order: name in any case, value with or without the spaces around it.
    pub headers: H,
}

/// Checks that a request is an upgrade to WebSocket version 13 (RFC 6455, section 4.2.1).
///
/// Time grows with the length of the headers. Who may connect (path, `Origin`, credentials, limits)
/// is the caller's to check.
///
/// # Errors
///
/// The [`Refusal`] to answer with; the first one in the order of its variants.
pub fn validate<'a, H>(request: Request<'a, H>) -> Result<Upgrade<'a>, Refusal>
where
    H: IntoIterator<Item = (&'a str, &'a [u8])>,
{
    let head = Head::read(request.headers);
    if request.method != "GET" {
        return Err(Refusal::Method);
    }
    if !head.has_upgrade && !head.connection {
        return Err(Refusal::UpgradeRequired);
    }
    if request.minor_version == 0 {
        return Err(Refusal::HttpVersion);
    }
    if head.hosts != 1 {
        return Err(Refusal::Host);
    }
    if !head.upgrade {
        return Err(Refusal::Upgrade);
    }
    if !head.connection {
        return Err(Refusal::Connection);
    }
    if head.body {
        return Err(Refusal::Body);
    }
    let key = head.key.only().and_then(key).ok_or(Refusal::Key)?;
    match head.version.only() {
        None | Some(b"") => return Err(Refusal::VersionMissing),
        Some(b"13") => {}
        Some(_) => return Err(Refusal::Version),
    }
    let protocols = protocols(&head.protocols).ok_or(Refusal::Protocol)?;
    // The grammar is checked in any case; what is offered is looked at when it is negotiated.
    deflate::negotiate(head.extensions.iter().copied(), &Policy::new(Mode::Off))?;
    Ok(Upgrade {
        key,
        protocols,
        extensions: head.extensions,
    })
}

/// A header that must stand once.
#[derive(Default)]
enum Single<'a> {
    #[default]
    Missing,
    Once(&'a [u8]),
    Doubled,
}

impl<'a> Single<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Missing => Self::Once(value),
            Self::Once(_) | Self::Doubled => Self::Doubled,
        };
    }

    const fn only(&self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Missing | Self::Doubled => None,
        }
    }
}

/// What a handshake needs of the headers.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one question to the headers"
)]
struct Head<'a> {
    hosts: usize,
    has_upgrade: bool,
    upgrade: bool,
    connection: bool,
    body: bool,
    key: Single<'a>,
    version: Single<'a>,
    protocols: Vec<&'a [u8]>,
    extensions: Vec<&'a [u8]>,
}

impl<'a> Head<'a> {
    fn read(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            let value = header::trim(value);
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("host") {
                head.hosts += 1;
            } else if is("upgrade") {
                head.has_upgrade = true;
                head.upgrade |= header::lists(value, "websocket");
            } else if is("connection") {
                head.connection |= header::lists(value, "upgrade");
            } else if is("content-length") {
                head.body |= value != b"0";
            } else if is("transfer-encoding") {
                head.body = true;
            } else if is("sec-websocket-key") {
                head.key.add(value);
            } else if is("sec-websocket-version") {
                head.version.add(value);
            } else if is("sec-websocket-protocol") {
                head.protocols.push(value);
            } else if is("sec-websocket-extensions") {
                head.extensions.push(value);
            }
        }
        head
    }
}

/// 16 bytes in base64: 22 characters and two of padding. The bits that the last character has too
/// many are not looked at, as other servers do not.
fn key(value: &[u8]) -> Option<&str> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = value.strip_suffix(b"==")?;
    if digits.len() == 22 && digits.iter().all(is_base64) {
        std::str::from_utf8(value).ok()
    } else {
        None
    }
}

/// All subprotocols, where each is a token and none stands twice.
fn protocols<'a>(values: &[&'a [u8]]) -> Option<Vec<&'a str>> {
    let mut protocols = Vec::new();
    for value in values {
        header::tokens(value, |token| protocols.push(token))?;
    }
    let mut sorted = protocols.clone();
    sorted.sort_unstable();
    sorted.is_sorted_by(|a, b| a < b).then_some(protocols)
}

/// A good request for an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    key: &'a str,
    protocols: Vec<&'a str>,
    extensions: Vec<&'a [u8]>,
}

impl<'a> Upgrade<'a> {
    /// The value of `Sec-WebSocket-Accept`.
    #[must_use]
    pub fn accept_key(&self) -> String {
        header::accept_key(self.key.as_bytes())
    }

    /// The subprotocols that the client offers, in its order of preference; tokens, none twice.
    #[must_use]
    pub fn protocols(&self) -> &[&'a str] {
        &self.protocols
    }

    /// The values of its `Sec-WebSocket-Extensions` headers; their grammar is checked.
    #[must_use]
    pub fn extensions(&self) -> &[&'a [u8]] {
        &self.extensions
    }

    /// What of the offers `policy` agrees to.
    #[must_use]
    pub fn deflate(&self, policy: &Policy) -> Option<Agreement> {
        deflate::negotiate(self.extensions.iter().copied(), policy).unwrap_or(None)
    }

    /// Appends the 101 response (RFC 6455, section 4.2.2).
    ///
    /// # Errors
    ///
    /// Any [`ResponseMisuse`]; then nothing is appended.
    pub fn respond(&self, answer: Answer<'_>, out: &mut Vec<u8>) -> Result<(), ResponseMisuse> {
        if answer
            .protocol
            .is_some_and(|protocol| !self.protocols.contains(&protocol))
        {
            return Err(ResponseMisuse::Protocol);
        }
        for (name, value) in answer.headers {
            check_header(name, value)?;
        }
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        header::write(out, "Sec-WebSocket-Accept", &self.accept_key());
        if let Some(protocol) = answer.protocol {
            header::write(out, "Sec-WebSocket-Protocol", protocol);
        }
        if let Some(agreement) = answer.deflate {
            header::write(out, "Sec-WebSocket-Extensions", &agreement.response_value());
        }
        for (name, value) in answer.headers {
            header::write(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// What a server chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// One of [`Upgrade::protocols`], or none.
    pub protocol: Option<&'a str>,
    /// What [`Upgrade::deflate`] agreed to.
    pub deflate: Option<Agreement>,
    /// Headers to add.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Whether a header may stand in [`Answer::headers`].
///
/// # Errors
///
/// [`ResponseMisuse::HeaderName`] or [`ResponseMisuse::HeaderValue`].
pub fn check_header(name: &str, value: &str) -> Result<(), ResponseMisuse> {
    if !header::is_free_name(name) {
        return Err(ResponseMisuse::HeaderName);
    }
    if !header::is_value(value) {
        return Err(ResponseMisuse::HeaderValue);
    }
    Ok(())
}

/// What an [`Answer`] may not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseMisuse {
    /// A subprotocol that the client did not offer (RFC 6455, section 4.2.2).
    #[error("the client did not offer this subprotocol")]
    Protocol,
    /// A header name that is not a token, or that the handshake itself writes.
    #[error("this header name cannot be added")]
    HeaderName,
    /// A header value with a control character.
    #[error("a header value with a control character")]
    HeaderValue,
}

/// Why a request is not upgraded, and with it the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 405: a method other than GET.
    #[error("Invalid HTTP method")]
    Method,
    /// 426: a plain GET.
    #[error("Upgrade Required")]
    UpgradeRequired,
    /// 505: an upgrade in HTTP/1.0.
    #[error("An upgrade needs HTTP/1.1")]
    HttpVersion,
    /// 400: no `Host`, or more than one.
    #[error("Missing or doubled Host header")]
    Host,
    /// 400: `Upgrade` does not name `websocket`.
    #[error("Invalid Upgrade header")]
    Upgrade,
    /// 400: `Connection` does not name `upgrade`.
    #[error("Invalid Connection header")]
    Connection,
    /// 400: the request has a body.
    #[error("An upgrade request has no body")]
    Body,
    /// 400: `Sec-WebSocket-Key` is not there once, with 16 bytes in base64.
    #[error("Missing or invalid Sec-WebSocket-Key header")]
    Key,
    /// 400: `Sec-WebSocket-Version` is missing or doubled.
    #[error("Missing or doubled Sec-WebSocket-Version header")]
    VersionMissing,
    /// 426: another version than 13.
    #[error("Only WebSocket version 13 is spoken here")]
    Version,
    /// 400: `Sec-WebSocket-Protocol` is not a list of tokens, or names one twice.
    #[error("Invalid Sec-WebSocket-Protocol header")]
    Protocol,
    /// 400: `Sec-WebSocket-Extensions` does not follow the grammar.
    #[error("Invalid Sec-WebSocket-Extensions header")]
    Extensions,
}

impl From<MalformedExtensions> for Refusal {
    fn from(_: MalformedExtensions) -> Self {
        Self::Extensions
    }
}

impl Refusal {
    /// The HTTP status: 400, 405, 426 or 505.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::UpgradeRequired | Self::Version => 426,
            Self::HttpVersion => 505,
            _ => 400,
        }
    }

    /// The headers that belong to the status.
    #[must_use]
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET")],
            Self::UpgradeRequired => &[("Upgrade", "websocket")],
            Self::Version => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            _ => &[],
        }
    }

    /// Appends a whole HTTP/1.1 response that ends the connection: the status, its headers, and the
    /// error's text as a plain body.
    pub fn respond(self, out: &mut Vec<u8>) {
        let reason = match self.status() {
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        };
        let body = self.to_string();
        let upgrades = self.headers().iter().any(|(name, _)| *name == "Upgrade");
        // A sender of Upgrade names it in Connection (RFC 9110, section 7.8).
        let connection = if upgrades { "Upgrade, close" } else { "close" };
        out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status()).as_bytes());
        header::write(out, "Connection", connection);
        for (name, value) in self.headers() {
            header::write(out, name, value);
        }
        header::write(out, "Content-Type", "text/plain; charset=utf-8");
        header::write(out, "Content-Length", &body.len().to_string());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body.as_bytes());
    }
}
