//! The client's side: the request, and the reading of the response.

use thiserror::Error;

use super::super::deflate::{Agreement, Policy, UnsupportedResponse};

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct ClientRequest<'a> {
    /// The `Host` header: name or address, with the port where it is not the scheme's.
    pub host: &'a str,
    /// The request target, such as `/chat?room=tea`.
    pub target: &'a str,
    /// The subprotocols to offer, in order of preference.
    pub protocols: &'a [&'a str],
    /// What to offer about compression.
    pub deflate: Policy,
    /// Headers to add, such as `Origin` or `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

impl ClientRequest<'_> {
    /// Appends the request. `random` must be 16 bytes that nobody can guess, fresh for each request.
    ///
    /// # Errors
    ///
    /// [`ResponseError::Request`] where a part of the request cannot stand there; then nothing is
    /// appended.
    pub fn encode(
        &self,
        random: [u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<ClientHandshake, ResponseError> {
        let _ = (random, out);
        Err(ResponseError::Request)
    }
}

/// A request that was sent and waits for its response.
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    _accept: String,
}

impl ClientHandshake {
    /// Reads the response from all bytes received so far; `None` while its head is not whole.
    ///
    /// # Errors
    ///
    /// Any [`ResponseError`]: close the socket.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Accepted>, ResponseError> {
        let _ = bytes;
        Ok(None)
    }
}

/// A good response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The length of the response's head; frames may follow in the same bytes.
    pub head_len: usize,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
    /// What was agreed about compression.
    pub deflate: Option<Agreement>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// Misuse: the host, target, a subprotocol or a header cannot stand in a request.
    #[error("the request cannot be written")]
    Request,
    /// The response is not HTTP/1.1.
    #[error("the response is not HTTP")]
    Malformed,
    /// The head is over 16 KiB or 100 headers.
    #[error("the response's head is too long")]
    LimitHead,
    /// A status other than 101.
    #[error("the server answered {status}")]
    Status {
        /// The status, 100 to 999.
        status: u16,
        /// The `Location` header, for a redirect.
        location: Option<String>,
    },
    /// `Upgrade` or `Connection` is missing or wrong.
    #[error("the response is not an upgrade to WebSocket")]
    Upgrade,
    /// `Sec-WebSocket-Accept` is missing or not the answer to our key.
    #[error("Sec-WebSocket-Accept does not answer the key")]
    Accept,
    /// A subprotocol that was not offered, or more than one.
    #[error("the server chose a subprotocol that was not offered")]
    Protocol,
    /// An answer about extensions that must be refused.
    #[error("extensions refused")]
    Extensions(#[from] UnsupportedResponse),
}
