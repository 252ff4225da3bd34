//! Which request means what, and the packet that opens a session.

use std::fmt::Write as _;

use super::query::{Parameter, Query};
use super::session::millis;
use super::{
    Content, ErrorCode, Form, Options, Transport, Transports, Upgrades, Version, Versions,
};

/// The method of a request, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the others are alike")]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// Any other one.
    Other,
}

/// A request to the path of Engine.IO.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what the checks look at")]
pub struct Request<'a> {
    /// Its method.
    pub method: Method,
    /// Whether it asks for a WebSocket (RFC 6455, section 4.2.1).
    pub upgrade: Upgrade,
    /// Its query.
    pub query: &'a Query<'a>,
}

/// Whether a request is the opening handshake of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "it is or it is not")]
pub enum Upgrade {
    /// It is a plain request.
    Plain,
    /// It asks for a WebSocket.
    WebSocket,
}

/// What a caller knows of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the checks look at")]
pub struct Known {
    /// [`Session::transport`](super::Session::transport).
    pub transport: Transport,
    /// [`Session::version`](super::Session::version).
    pub version: Version,
}

/// What an admitted request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these four")]
pub enum Admission<'a> {
    /// A new session. With [`Transport::Polling`] the request is its first GET.
    Open(Opening),
    /// A GET of a session: [`Session::poll`](super::Session::poll).
    Poll {
        /// The session.
        sid: &'a str,
        /// How it wants its answer.
        form: Form,
    },
    /// A POST of a session: [`Session::post_begin`](super::Session::post_begin).
    Post {
        /// The session.
        sid: &'a str,
        /// Whether the query says that the body is a form (JSONP).
        form: Form,
    },
    /// A WebSocket for a session: [`Session::websocket_open`](super::Session::websocket_open).
    Upgrade {
        /// The session.
        sid: &'a str,
    },
}

/// A request for a new session. The application is asked before the revision is looked at
/// ([`Opening::version`]), so that a refusal of its own comes first, as clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    transport: Transport,
    form: Form,
    version: Option<Version>,
}

impl Opening {
    /// The transport that it comes over.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// How it wants its answer, over polling.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The revision that it speaks.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnsupportedProtocolVersion`] where `EIO` is missing, or is not served.
    pub fn version(&self) -> Result<Version, ErrorCode> {
        self.version.ok_or(ErrorCode::UnsupportedProtocolVersion)
    }
}

/// Checks a request in the order of the reference implementation, and says what it wants.
///
/// `known` looks a session up by its id. Where a request is for a new session, the application's
/// own checks come after this and before [`Opening::version`].
///
/// # Errors
///
/// [`ErrorCode::UnknownTransport`], [`ErrorCode::UnknownSid`], [`ErrorCode::BadRequest`] (another
/// transport or revision than the session's, `transport=websocket` without an upgrade, an upgrade
/// with `transport=polling`, a method that is neither GET nor POST, an upgrade where upgrades are
/// refused) and [`ErrorCode::BadHandshakeMethod`].
pub fn admit<'a>(
    request: &Request<'a>,
    options: &Options,
    known: impl FnOnce(&str) -> Option<Known>,
) -> Result<Admission<'a>, ErrorCode> {
    let query = request.query;
    let transport = transport(query, options.transports).ok_or(ErrorCode::UnknownTransport)?;
    let version = version(query, options.versions);
    let form = form(query, version, options.versions);
    let upgrade = request.upgrade == Upgrade::WebSocket;
    if upgrade && transport == Transport::Polling {
        return Err(ErrorCode::BadRequest);
    }
    let Some(sid) = query.sid() else {
        if query.sid == Parameter::Unusable {
            return Err(ErrorCode::UnknownSid);
        }
        return open(
            request.method,
            upgrade,
            Opening {
                transport,
                form,
                version,
            },
        );
    };
    let known = known(sid).ok_or(ErrorCode::UnknownSid)?;
    if (!upgrade && known.transport != transport) || version != Some(known.version) {
        return Err(ErrorCode::BadRequest);
    }
    match (request.method, upgrade) {
        (Method::Get, true) if options.upgrades == Upgrades::Refused => Err(ErrorCode::BadRequest),
        (Method::Get, true) => Ok(Admission::Upgrade { sid }),
        // A session that is on WebSocket takes nothing by plain requests.
        _ if transport == Transport::WebSocket => Err(ErrorCode::BadRequest),
        (Method::Get, false) => Ok(Admission::Poll { sid, form }),
        (Method::Post, false) => Ok(Admission::Post { sid, form }),
        (Method::Post | Method::Other, _) => Err(ErrorCode::BadRequest),
    }
}

fn open(method: Method, upgrade: bool, opening: Opening) -> Result<Admission<'static>, ErrorCode> {
    if method != Method::Get {
        return Err(ErrorCode::BadHandshakeMethod);
    }
    if opening.transport == Transport::WebSocket && !upgrade {
        return Err(ErrorCode::BadRequest);
    }
    Ok(Admission::Open(opening))
}

fn transport(query: &Query<'_>, served: Transports) -> Option<Transport> {
    match query.transport.get()? {
        "polling" if served != Transports::WebSocket => Some(Transport::Polling),
        "websocket" if served != Transports::Polling => Some(Transport::WebSocket),
        _ => None,
    }
}

fn version(query: &Query<'_>, served: Versions) -> Option<Version> {
    match query.eio.get()? {
        "4" => Some(Version::V4),
        "3" if served != Versions::V4 => Some(Version::V3),
        _ => None,
    }
}

fn form(query: &Query<'_>, version: Option<Version>, served: Versions) -> Form {
    if version != Some(Version::V3) {
        return Form::default();
    }
    let jsonp = query
        .j
        .get()
        .filter(|_| served == Versions::V4V3Jsonp)
        .and_then(|j| j.parse().ok());
    let base64 = query.b64.get().is_some_and(|b64| !b64.is_empty());
    Form {
        base64: base64 || jsonp.is_some(),
        jsonp,
    }
}

impl Form {
    /// What the body of a POST is, from the query and the `Content-Type`.
    #[must_use]
    pub fn content(&self, content_type: Option<&[u8]>) -> Content {
        match self.jsonp {
            Some(_) => Content::Form,
            None => Content::from_header(content_type),
        }
    }
}

/// The data of an Open packet: an object with exactly the keys `sid`, `upgrades`, `pingInterval`,
/// `pingTimeout` and `maxPayload`, times in milliseconds.
#[must_use]
pub fn open_json(sid: &str, transport: Transport, options: &Options) -> String {
    let upgrades = match (transport, options.upgrades, options.transports) {
        (Transport::Polling, Upgrades::Offered, Transports::Both) => r#"["websocket"]"#,
        _ => "[]",
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let escaped = (!sid.bytes().all(is_plain)).then(|| serde_json::Value::from(sid).to_string());
    let mut json = String::with_capacity(OPEN_BYTES);
    json.push_str("{\"sid\":");
    match escaped {
        Some(escaped) => json.push_str(&escaped),
        None => json.extend(["\"", sid, "\""]),
    }
    json.push_str(",\"upgrades\":");
    json.push_str(upgrades);
    // To write into a string does not fail.
    let _ = write!(
        json,
        r#","pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        millis(options.ping_interval),
        millis(options.ping_timeout),
        options.limits.payload_bytes_max,
    );
    json
}

/// About the length of an Open packet.
const OPEN_BYTES: usize = 128;
