//! A handler's no to a client that wants to connect.

use std::{borrow::Cow, error::Error, fmt};

use http::{HeaderName, HeaderValue, StatusCode, header};
use parlor_hub::MalformedRoomName;

use super::{RoomError, SendError};

/// The answer to a client that may not connect: an HTTP status and one sentence.
///
/// ```
/// use parlor::Refusal;
///
/// let refusal = Refusal::new(401, "a token is required").with_header("WWW-Authenticate", "Bearer");
/// assert_eq!(refusal.status(), 401);
/// ```
///
/// What a handler meets on its way becomes a refusal by `?`: a name that is no room's 400, a queue
/// that is full or a server that stops 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal with an HTTP status of 300 to 599 (any other becomes 500) and a reason, which is
    /// the body of the response.
    #[must_use]
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let known = (300..600).contains(&status);
        let status = StatusCode::from_u16(status).ok().filter(|_| known);
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            reason: reason.into(),
            headers: Vec::new(),
        }
    }

    /// 401: who is asking is not known.
    #[must_use]
    pub fn unauthorized(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(401, reason)
    }

    /// 403: who is asking may not.
    #[must_use]
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, reason)
    }

    /// 400: the request is not what it should be.
    #[must_use]
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, reason)
    }

    /// Adds a header. One that cannot stand in a response, or that says how the response is
    /// delimited, is left out, and logged.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let framing = [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ];
        match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(name), Ok(value)) if !framing.contains(&name) => self.headers.push((name, value)),
            _ => tracing::error!(name, "a refusal has a header that cannot be sent"),
        }
        self
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Appends the whole response in HTTP/1.1; the connection closes behind it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let phrase = self.status.canonical_reason().unwrap_or("");
        out.extend_from_slice(format!("HTTP/1.1 {} {phrase}\r\n", self.status()).as_bytes());
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        let len = self.reason.len();
        out.extend_from_slice(
            format!(
                "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
                 content-length: {len}\r\nconnection: close\r\n\r\n{}",
                self.reason
            )
            .as_bytes(),
        );
    }
}

/// The status and the reason: `403 not today`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.reason)
    }
}

impl Error for Refusal {}

impl From<MalformedRoomName> for Refusal {
    fn from(error: MalformedRoomName) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<RoomError> for Refusal {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Name(error) => error.into(),
            other => Self::new(503, other.to_string()),
        }
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        Self::new(503, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_whole_response() {
        let mut out = Vec::new();
        assert_eq!(Refusal::forbidden("not today").to_string(), "403 not today");
        let refusal = Refusal::unauthorized("who?")
            .with_header("www-authenticate", "Bearer")
            .with_header("bad name", "x")
            .with_header("x-split", "a\r\nb")
            .with_header("Content-Length", "7");
        refusal.write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\n\
             content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
             content-length: 4\r\nconnection: close\r\n\r\nwho?"
        );
    }

    #[test]
    fn statuses_that_refuse_nothing_become_500() {
        for (status, expected) in [
            (101, 500),
            (200, 500),
            (302, 302),
            (404, 404),
            (599, 599),
            (600, 500),
        ] {
            assert_eq!(Refusal::new(status, "").status(), expected);
        }
    }
}
