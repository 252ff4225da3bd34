//! The client's side: the request, and the reading of the response.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::super::deflate::{self, Agreement, Policy, UnsupportedResponse};
use super::super::extension;
use super::header;

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
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let protocols = self
            .protocols
            .iter()
            .all(|name| extension::is_token(name.as_bytes()));
        let headers =
            |(name, value): &(&str, &str)| header::is_free_name(name) && header::is_value(value);
        let headers = self.headers.iter().all(headers);
        if !(visible(self.host) && visible(self.target) && protocols && headers) {
            return Err(ResponseError::Request);
        }
        let key = STANDARD.encode(random);
        out.extend_from_slice(format!("GET {} HTTP/1.1\r\n", self.target).as_bytes());
        header::write(out, "Host", self.host);
        header::write(out, "Upgrade", "websocket");
        header::write(out, "Connection", "Upgrade");
        header::write(out, "Sec-WebSocket-Key", &key);
        header::write(out, "Sec-WebSocket-Version", "13");
        if !self.protocols.is_empty() {
            header::write(out, "Sec-WebSocket-Protocol", &self.protocols.join(", "));
        }
        if let Some(offer) = deflate::offer(&self.deflate) {
            header::write(out, "Sec-WebSocket-Extensions", &offer);
        }
        for (name, value) in self.headers {
            header::write(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        Ok(ClientHandshake {
            accept: header::accept_key(key.as_bytes()),
            protocols: self
                .protocols
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            deflate: self.deflate,
            scanned: 0,
        })
    }
}

/// A request that was sent and waits for its response.
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    accept: String,
    protocols: Vec<String>,
    deflate: Policy,
    /// How much was looked at for the end of the head.
    scanned: usize,
}

impl ClientHandshake {
    /// Reads the response from all bytes received so far; `None` while its head is not whole. Each
    /// byte is looked at a bounded number of times, however many calls it takes.
    ///
    /// # Errors
    ///
    /// Any [`ResponseError`] but [`ResponseError::Request`]: close the socket.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Accepted>, ResponseError> {
        const END: &[u8] = b"\r\n\r\n";
        let from = self.scanned.saturating_sub(END.len() - 1);
        let new = bytes.get(from..).unwrap_or_default();
        let end = new.windows(END.len()).position(|window| window == END);
        self.scanned = bytes.len();
        match end.map(|end| from + end + END.len()) {
            Some(head_len) if head_len <= HEAD_BYTES_MAX => self
                .read(bytes.get(..head_len).unwrap_or_default())
                .map(Some),
            None if bytes.len() < HEAD_BYTES_MAX => Ok(None),
            _ => Err(ResponseError::LimitHead),
        }
    }

    /// Reads a whole head (RFC 6455, section 4.1).
    fn read(&self, head: &[u8]) -> Result<Accepted, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::LimitHead),
            Ok(httparse::Status::Partial) | Err(_) => return Err(ResponseError::Malformed),
        }
        let values = |name: &'static str| {
            let headers = response.headers.iter();
            headers
                .filter(move |h| h.name.eq_ignore_ascii_case(name))
                .map(|h| header::trim(h.value))
        };
        let status = response.code.unwrap_or_default();
        if status != 101 {
            let location = values("location")
                .next()
                .and_then(|value| std::str::from_utf8(value).ok());
            return Err(ResponseError::Status {
                status,
                location: location.map(str::to_owned),
            });
        }
        if response.version != Some(1) {
            return Err(ResponseError::Malformed);
        }
        let upgrades = values("upgrade").any(|value| header::lists(value, "websocket"));
        if !upgrades || !values("connection").any(|value| header::lists(value, "upgrade")) {
            return Err(ResponseError::Upgrade);
        }
        let mut accepts = values("sec-websocket-accept");
        if accepts.next() != Some(self.accept.as_bytes()) || accepts.next().is_some() {
            return Err(ResponseError::Accept);
        }
        let mut chosen = values("sec-websocket-protocol");
        let protocol = chosen
            .next()
            .map(|value| self.protocol(value))
            .transpose()?;
        if chosen.next().is_some() {
            return Err(ResponseError::Protocol);
        }
        let deflate = deflate::accept(values("sec-websocket-extensions"), &self.deflate)?;
        Ok(Accepted {
            head_len: head.len(),
            protocol,
            deflate,
        })
    }

    fn protocol(&self, value: &[u8]) -> Result<String, ResponseError> {
        let offered = self
            .protocols
            .iter()
            .find(|protocol| protocol.as_bytes() == value);
        offered.cloned().ok_or(ResponseError::Protocol)
    }
}

/// The longest head of a response.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers of a response.
const HEADERS_MAX: usize = 100;

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
