//! The server's side: is this request an upgrade, and what to answer.

use thiserror::Error;

use super::super::deflate::{Agreement, MalformedExtensions, Policy};

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

/// Checks that a request is an upgrade to WebSocket version 13.
///
/// # Errors
///
/// The [`Refusal`] to answer with.
pub fn validate<'a, H>(request: Request<'a, H>) -> Result<Upgrade<'a>, Refusal>
where
    H: IntoIterator<Item = (&'a str, &'a [u8])>,
{
    let _ = (
        request.method,
        request.minor_version,
        request.headers.into_iter().count(),
    );
    Err(Refusal::UpgradeRequired)
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
        self.key.to_owned()
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
        super::super::deflate::negotiate(self.extensions.iter().copied(), policy).unwrap_or(None)
    }

    /// Appends the 101 response.
    ///
    /// # Errors
    ///
    /// Any [`ResponseMisuse`]; then nothing is appended.
    pub fn respond(&self, answer: Answer<'_>, out: &mut Vec<u8>) -> Result<(), ResponseMisuse> {
        let _ = (answer, out);
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
    #[error("the method must be GET")]
    Method,
    /// 426: a plain GET.
    #[error("this is a WebSocket endpoint")]
    UpgradeRequired,
    /// 505: an upgrade in HTTP/1.0.
    #[error("an upgrade needs HTTP/1.1")]
    HttpVersion,
    /// 400: no `Host`, or more than one.
    #[error("missing or doubled Host header")]
    Host,
    /// 400: `Upgrade` does not name `websocket`.
    #[error("missing or invalid Upgrade header")]
    Upgrade,
    /// 400: `Connection` does not name `upgrade`.
    #[error("missing or invalid Connection header")]
    Connection,
    /// 400: the request has a body.
    #[error("an upgrade request has no body")]
    Body,
    /// 400: `Sec-WebSocket-Key` is not there once, with 16 bytes in base64.
    #[error("missing or invalid Sec-WebSocket-Key header")]
    Key,
    /// 400: `Sec-WebSocket-Version` is missing or doubled.
    #[error("missing or doubled Sec-WebSocket-Version header")]
    VersionMissing,
    /// 426: another version than 13.
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    /// 400: `Sec-WebSocket-Protocol` is not a list of tokens, or names one twice.
    #[error("invalid Sec-WebSocket-Protocol header")]
    Protocol,
    /// 400: `Sec-WebSocket-Extensions` does not follow the grammar.
    #[error("invalid Sec-WebSocket-Extensions header")]
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
        let _ = out;
    }
}
