//! What can go wrong while connecting and on a connection, sorted by blame.

use std::{fmt, io, time::Duration};

use parlor_proto::websocket::{self, handshake::ResponseError};
use thiserror::Error;

use super::url::MalformedUrl;

/// Why there is no connection. [`ConnectError::is_permanent`] tells whether to try again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The caller's: the URL cannot be used.
    #[error("not a URL to connect to: {0}")]
    MisuseUrl(#[from] MalformedUrl),
    /// The caller's: a header or subprotocol that cannot stand in a request, or that the handshake
    /// writes itself.
    #[error("a header or subprotocol cannot stand in a request")]
    MisuseRequest,
    /// Nobody's: the URL asks for TLS and this build has none (feature `tls`), for a Unix socket
    /// on a system without, or for a kind of proxy that is not spoken.
    #[error("not supported: {what}")]
    Unsupported {
        /// What is not.
        what: &'static str,
    },
    /// The network's: no name, no route, no listener, or the connection broke during the
    /// handshake. TLS alerts and certificates that are not accepted are of this kind too, with
    /// [`io::ErrorKind::InvalidData`].
    #[error("no connection")]
    Io(#[from] io::Error),
    /// Nobody answered within [`Builder::handshake_timeout`](super::Builder::handshake_timeout).
    #[error("no answer within {after:?}")]
    LimitTime {
        /// The setting.
        after: Duration,
    },
    /// More redirects than [`Builder::redirects_max`](super::Builder::redirects_max).
    #[error("more than {redirects_max} redirects")]
    LimitRedirects {
        /// The setting.
        redirects_max: usize,
    },
    /// A head of over 16 KiB or 100 headers.
    #[error("the response's head is too long")]
    LimitHead,
    /// The proxy answered `CONNECT` with another status than 200.
    #[error("the proxy answered {status}")]
    ViolationProxy {
        /// The status.
        status: u16,
    },
    /// The server's: it refused.
    #[error("the server answered {0}")]
    Refused(Box<Refusal>),
    /// The server's: what it answered is not HTTP, or not the answer to a handshake.
    #[error("not the answer to a handshake: {0}")]
    MalformedResponse(#[source] ResponseError),
    /// The server's: a redirect to nowhere.
    #[error("a redirect without a usable location")]
    MalformedRedirect,
    /// The server's: it does not speak what was asked for: no event stream, or another
    /// subprotocol than `parlor.v1`.
    #[error("the server does not speak {what}")]
    ViolationProtocol {
        /// What was asked for.
        what: &'static str,
    },
}

/// A server's answer other than the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status, 100 to 999.
    pub status: u16,
    /// `Location`, as it came.
    pub location: Option<String>,
    /// `Retry-After` in its form of seconds, at most a day.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, as far as it came with the head; at most 16 KiB.
    pub text: String,
}

impl fmt::Display for Refusal {
    /// The status, and the first line of the text, escaped and of at most 200 characters: it comes
    /// from a stranger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        let line = self.text.lines().next().unwrap_or_default().trim();
        if line.is_empty() {
            return Ok(());
        }
        let told: String = line.chars().take(TOLD_CHARS_MAX).collect();
        write!(f, ": {}", told.escape_debug())
    }
}

impl ConnectError {
    /// Whether trying again is useless: misuse, what is not supported, and answers that another
    /// attempt would get again. Permanent are all statuses of 300 to 499 but 408, 421, 425 and
    /// 429, certificates that are not accepted, and answers that are not of the protocol.
    ///
    /// A broken network, a timeout and statuses of 500 and above are not.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::MisuseUrl(_)
            | Self::MisuseRequest
            | Self::Unsupported { .. }
            | Self::LimitRedirects { .. }
            | Self::LimitHead
            | Self::MalformedResponse(_)
            | Self::MalformedRedirect
            | Self::ViolationProtocol { .. } => true,
            Self::Io(error) => error.kind() == io::ErrorKind::InvalidData,
            Self::LimitTime { .. } => false,
            Self::ViolationProxy { status } => is_permanent(*status),
            Self::Refused(refusal) => is_permanent(refusal.status),
        }
    }

    /// What the server says about the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

/// Characters of a server's text in our own.
const TOLD_CHARS_MAX: usize = 200;

const fn is_permanent(status: u16) -> bool {
    matches!(status, 100..=499) && !matches!(status, 408 | 421 | 425 | 429)
}

/// Why a connection ended without its close handshake, or what was refused on it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The caller's: a message after the close, or a ping that is too long. The connection goes on
    /// as it was.
    #[error(transparent)]
    Misuse(#[from] websocket::Misuse),
    /// The server's: it broke the protocol or a limit. It was told by a Close frame.
    #[error("the server broke the protocol: {0}")]
    Violation(#[from] websocket::Error),
    /// The network's: reading or writing failed.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The connection ended without a Close frame (the API of browsers calls this 1006).
    #[error("the connection ended without a Close frame")]
    Cut,
    /// The server was silent for the ping interval, and then did not answer a ping in time.
    #[error("no answer to a ping within {after:?}")]
    LimitSilence {
        /// [`Builder::ping_timeout`](super::Builder::ping_timeout).
        after: Duration,
    },
    /// The server did not finish the close handshake in time.
    #[error("the close handshake took over {after:?}")]
    LimitClose {
        /// [`Builder::close_timeout`](super::Builder::close_timeout).
        after: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_tell_their_reason_and_nothing_that_moves_a_cursor() {
        let check = |text: &str, told: &str| {
            let refusal = Refusal {
                status: 403,
                location: None,
                retry_after: None,
                text: text.to_owned(),
            };
            let error = ConnectError::Refused(Box::new(refusal));
            assert_eq!(error.to_string(), format!("the server answered {told}"));
        };
        check("", "403");
        check("sign in first\n", "403: sign in first");
        check("\r\n\r\nlater", "403");
        check("red \u{1b}[31m\u{202e}", r"403: red \u{1b}[31m\u{202e}");
        check(&"a".repeat(300), &format!("403: {}", "a".repeat(200)));
    }
}
