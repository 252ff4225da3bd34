//! The request head, before anybody answers it.
//!
//! A shard reads the first bytes of a socket and asks [`classify`] where they belong: to a door
//! that it runs itself (an upgrade to WebSocket, an event stream), or to hyper. Everything here is
//! pure: bytes in, a verdict out. [`read_head`] holds the strict rules for a head; the HTTP path
//! applies the same function, so a head that it refuses is refused everywhere.

use std::{borrow::Cow, mem::MaybeUninit};

use percent_encoding::percent_decode_str;

use crate::policy::{Refusal, parse_authority};

/// The bounds of a request head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    /// The longest head, in bytes, with the blank line that ends it: 16 KiB. Longer: 431.
    pub(crate) head_bytes_max: usize,
    /// The most header fields: 100; never more than [`FIELDS_CEILING`]. More: 431.
    pub(crate) fields_max: usize,
    /// The longest request target, in bytes: 8 KiB. Longer: 414.
    pub(crate) target_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 * 1024,
            fields_max: 100,
            target_bytes_max: 8 * 1024,
        }
    }
}

/// Space for the parsed fields of a head; costs nothing until it is used. See [`fields`].
pub(crate) type Fields<'b> = [MaybeUninit<httparse::Header<'b>>; FIELDS_CEILING];

/// Empty space for [`classify`] and [`read_head`].
pub(crate) const fn fields<'b>() -> Fields<'b> {
    [const { MaybeUninit::uninit() }; FIELDS_CEILING]
}

/// The most fields that any setting allows.
pub(crate) const FIELDS_CEILING: usize = 1024;

/// The files of a Socket.IO client that are served below the path of Socket.IO, as in the reference.
/// A request for one of them is none for the protocol.
pub(crate) const CLIENT_FILES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// Where the bytes of a new connection belong.
#[derive(Debug)]
pub(crate) enum Classified<'h, 'b> {
    /// The head is not complete and nothing is wrong with it yet: read more, within the deadline.
    Incomplete,
    /// A complete and faultless GET that asks for WebSocket (`Upgrade` names it) or accepts
    /// `text/event-stream`, without a body. Which path is a door is the caller's business.
    Door(Head<'h, 'b>),
    /// Everything else, malformed and oversized heads included: the HTTP path answers it, and is
    /// given every byte from the first.
    Http,
}

/// A complete request head that passed [`read_head`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'h, 'b> {
    /// The method, a token as it was sent (`GET`).
    pub(crate) method: &'b str,
    /// The path and the query of the request target as they were sent, ASCII, within their limit;
    /// of a target in absolute form what follows its authority, which is the Host's.
    pub(crate) target: &'b str,
    /// 0 or 1: the version is `HTTP/1.0` or `HTTP/1.1`.
    pub(crate) minor_version: u8,
    /// The header fields in their order.
    pub(crate) headers: &'h [httparse::Header<'b>],
    /// The length of the head in bytes, the blank line included. What follows is not part of it.
    pub(crate) used: usize,
    /// How the body is delimited.
    pub(crate) framing: Framing,
}

/// How the body behind a head is delimited (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Neither `Content-Length` nor `Transfer-Encoding`: there is no body.
    None,
    /// One valid `Content-Length`, in bytes; may be 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`, and no other coding.
    Chunked,
}

impl<'b> Head<'_, 'b> {
    /// The values of every field with this name, compared without regard to case, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'b [u8]> + 'a {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The path of the target: everything before the first `?`, still percent-encoded.
    pub(crate) fn path(&self) -> &'b str {
        match self.target.split_once('?').unwrap_or((self.target, "")).0 {
            // A target in absolute form may have no path (RFC 9112, section 3.2.2).
            "" => "/",
            path => path,
        }
    }

    /// The query of the target without its `?`, if there is one.
    pub(crate) fn query(&self) -> Option<&'b str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn asks_for_door(&self) -> bool {
        let mut wanted = false;
        for header in self.headers {
            // The length first: it rules out nearly every field without a look at the name.
            match header.name.len() {
                6 if header.name.eq_ignore_ascii_case("accept") => {
                    wanted |= lists(header.value, "text/event-stream");
                }
                7 if header.name.eq_ignore_ascii_case("upgrade") => {
                    wanted |= lists(header.value, "websocket");
                }
                _ => {}
            }
        }
        wanted && self.framing == Framing::None && self.method == "GET"
    }
}

/// Remembers how far a growing buffer was searched for the blank line, so that a head that
/// trickles in is looked at once, not once per read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadScan {
    looked: usize,
}

impl HeadScan {
    /// Starts at the first byte of a buffer.
    pub(crate) const fn new() -> Self {
        Self { looked: 0 }
    }

    /// The length of the head that begins at `bytes[0]`, its blank line included, or `None` while
    /// it is incomplete. The next call must pass the same bytes again with more behind them.
    ///
    /// A blank line of bare line feeds counts here, so that such a head is refused by
    /// [`read_head`] at once and not by its deadline.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = self.looked;
        while let Some(feed) = memchr::memchr(b'\n', bytes.get(from..)?) {
            let after = from + feed + 1;
            match bytes.get(after..) {
                Some([b'\n', ..]) => return Some(after + 1),
                Some([b'\r', b'\n', ..]) => return Some(after + 2),
                Some([] | [b'\r']) => {
                    self.looked = after - 1;
                    return None;
                }
                _ => from = after,
            }
        }
        self.looked = bytes.len();
        None
    }
}

/// Tells where the bytes of a connection belong, from the first byte on.
///
/// `scan` goes with the buffer: keep it while the head is incomplete.
pub(crate) fn classify<'h, 'b>(
    bytes: &'b [u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    fields: &'h mut Fields<'b>,
) -> Classified<'h, 'b> {
    const GET: &[u8] = b"GET ";
    let start = bytes.len().min(GET.len());
    if bytes.get(..start) != GET.get(..start) {
        return Classified::Http;
    }
    let Some(end) = scan.end(bytes) else {
        return if bytes.len() >= limits.head_bytes_max {
            Classified::Http
        } else {
            Classified::Incomplete
        };
    };
    match bytes.get(..end).map(|head| read_head(head, limits, fields)) {
        Some(Ok(head)) if head.asks_for_door() => Classified::Door(head),
        _ => Classified::Http,
    }
}

/// Reads a complete head strictly: `bytes` ends with its blank line (see [`HeadScan::end`]).
///
/// # Errors
///
/// The refusal to answer with, after which the connection must be closed: nothing behind a
/// malformed head can be trusted to be a request. 400 for malformed heads, 405 for CONNECT and
/// TRACE, 414 and 431 for the limits, 501 for an unknown transfer coding, 505 for a version that
/// is not `HTTP/1.0` or `HTTP/1.1`.
pub(crate) fn read_head<'h, 'b>(
    bytes: &'b [u8],
    limits: &HeadLimits,
    fields: &'h mut Fields<'b>,
) -> Result<Head<'h, 'b>, Refusal> {
    if bytes.len() > limits.head_bytes_max {
        return Err(too_large(bytes, limits));
    }
    let mut request = httparse::Request::new(&mut []);
    let space = fields.get_mut(..limits.fields_max).unwrap_or_default();
    match request.parse_with_uninit_headers(bytes, space) {
        Ok(httparse::Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(Refusal::bad_request("malformed request head")),
        Err(error) => return Err(parse_refusal(error, bytes)),
    }
    let (Some(method), Some(target), Some(minor_version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refusal::bad_request("malformed request line"));
    };
    if has_bare_line_feed(bytes) {
        return Err(Refusal::bad_request("bare line feed"));
    }
    check_method(method)?;
    let headers: &'h [httparse::Header<'b>] = request.headers;
    let (framing, host) = check_headers(headers, minor_version)?;
    check_target(method, target, host, limits)?;
    Ok(Head {
        method,
        target: origin_form(target),
        minor_version,
        headers,
        used: bytes.len(),
        framing,
    })
}

/// Looks at an incomplete head for a fault that more bytes cannot mend, so that it is refused
/// before its deadline. `None` while there is none.
pub(crate) fn early_fault(bytes: &[u8], limits: &HeadLimits) -> Option<Refusal> {
    if bytes.len() >= limits.head_bytes_max {
        return Some(too_large(bytes, limits));
    }
    let mut fields = fields();
    let mut request = httparse::Request::new(&mut []);
    let space = fields.get_mut(..limits.fields_max).unwrap_or_default();
    match request.parse_with_uninit_headers(bytes, space) {
        Err(error) => Some(parse_refusal(error, bytes)),
        // Without a path the request line is still open, and all of the bytes are part of it.
        Ok(_)
            if request.path.is_none()
                && bytes.len() > limits.target_bytes_max + METHOD_BYTES_MAX =>
        {
            Some(Refusal::TARGET_TOO_LONG)
        }
        Ok(_) => None,
    }
}

fn parse_refusal(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TOO_MANY_HEADERS,
        httparse::Error::Version if names_http_version(bytes) => Refusal::VERSION,
        _ => Refusal::bad_request("malformed request head"),
    }
}

/// True where the request line has three parts and the last is `HTTP/` digit `.` digit: a version
/// of HTTP, only not ours.
fn names_http_version(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|&byte| byte == b'\n')
        .find(|line| !matches!(line, [] | [b'\r']));
    let line = line
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ').skip(2);
    let version = parts.next().unwrap_or_default();
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit());
    is_version && parts.next().is_none()
}

/// 414 where the request line alone breaks its limit, else 431.
fn too_large(bytes: &[u8], limits: &HeadLimits) -> Refusal {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line > limits.target_bytes_max + METHOD_BYTES_MAX {
        Refusal::TARGET_TOO_LONG
    } else {
        Refusal::HEAD_TOO_LARGE
    }
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes)
        .any(|feed| feed.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\r'))
}

fn check_method(method: &str) -> Result<(), Refusal> {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" => Ok(()),
        "TRACE" | "CONNECT" => Err(Refusal::METHOD),
        // An extension method is the router's business, within reason.
        _ if method.len() <= METHOD_BYTES_MAX
            && method
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-') =>
        {
            Ok(())
        }
        _ => Err(Refusal::bad_request("bad method")),
    }
}

/// RFC 9112, section 3.2. `host` is the value of the one Host field, already valid.
fn check_target(
    method: &str,
    target: &str,
    host: &[u8],
    limits: &HeadLimits,
) -> Result<(), Refusal> {
    if target.len() > limits.target_bytes_max {
        return Err(Refusal::TARGET_TOO_LONG);
    }
    let clean = target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let form = target.starts_with('/')
        || (target == "*" && method == "OPTIONS")
        || absolute_authority(target)
            .is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(host));
    if clean && form {
        Ok(())
    } else {
        Err(Refusal::bad_request("bad request target"))
    }
}

/// A segment of a path, percent-decoded. `None` where that is not UTF-8, or a `%` has not two
/// hexadecimal digits behind it and so stands for nothing (RFC 3986, section 2.1).
pub(crate) fn decoded_segment(segment: &str) -> Option<Cow<'_, str>> {
    let encoded = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let whole = segment.split('%').skip(1).all(encoded);
    whole
        .then(|| percent_decode_str(segment).decode_utf8().ok())
        .flatten()
}

/// A target without the scheme and the authority that one in absolute form begins with.
fn origin_form(target: &str) -> &str {
    absolute_authority(target)
        .and_then(|authority| target.split_once("://")?.1.strip_prefix(authority))
        .map_or(target, |rest| if rest.is_empty() { "/" } else { rest })
}

/// The authority of a target in absolute form. It has to be the Host's: a request with two
/// different ideas of its host is refused, whichever of them would have won.
fn absolute_authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    http.then(|| rest.split_at(end).0)
}

/// Checks the fields that decide where a message ends and whom it is for; tells the framing and
/// the host.
fn check_headers<'b>(
    headers: &[httparse::Header<'b>],
    minor_version: u8,
) -> Result<(Framing, &'b [u8]), Refusal> {
    let (mut host, mut length, mut coding) = (None, None, None);
    for header in headers {
        let (seen, refusal) = match header.name.len() {
            4 if header.name.eq_ignore_ascii_case("host") => (&mut host, Refusal::HOST),
            14 if header.name.eq_ignore_ascii_case("content-length") => (
                &mut length,
                Refusal::bad_request("more than one content-length"),
            ),
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => (
                &mut coding,
                Refusal::bad_request("more than one transfer-encoding"),
            ),
            _ => continue,
        };
        if seen.replace(header.value).is_some() {
            return Err(refusal);
        }
    }
    let framing = match (length, coding) {
        (None, None) => Framing::None,
        (Some(length), None) => Framing::Length(
            content_length(length).ok_or_else(|| Refusal::bad_request("bad content-length"))?,
        ),
        (None, Some(coding)) if minor_version > 0 => transfer_coding(coding)?,
        (None, Some(_)) => return Err(Refusal::bad_request("transfer-encoding in HTTP/1.0")),
        (Some(_), Some(_)) => {
            return Err(Refusal::bad_request(
                "both content-length and transfer-encoding",
            ));
        }
    };
    match host {
        Some(host) if parse_authority(host).is_some() => Ok((framing, host)),
        _ => Err(Refusal::HOST),
    }
}

/// Digits only: no sign, no list, no base, no overflow.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    });
    length.filter(|length| *length <= CONTENT_LENGTH_MAX)
}

/// Only `chunked` once is understood. Another coding gets 501 (RFC 9112, section 6.1), a list that
/// is not well formed 400.
fn transfer_coding(value: &[u8]) -> Result<Framing, Refusal> {
    let (mut chunked, mut unknown) = (0, 0);
    for coding in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if coding.eq_ignore_ascii_case(b"chunked") {
            chunked += 1;
        } else if coding.first().is_some_and(u8::is_ascii_alphanumeric) {
            unknown += 1;
        } else {
            return Err(Refusal::bad_request("bad transfer-encoding"));
        }
    }
    match (chunked, unknown) {
        (1, 0) => Ok(Framing::Chunked),
        (_, 0) => Err(Refusal::bad_request("bad transfer-encoding")),
        _ => Err(Refusal::CODING),
    }
}

/// Whether a comma-separated list names this element; parameters behind `;` are passed over.
fn lists(value: &[u8], wanted: &str) -> bool {
    value.split(|&byte| byte == b',').any(|element| {
        let name = element
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
    })
}

/// The two numbers above it have another meaning inside hyper, which takes them for a head that is
/// too large.
const CONTENT_LENGTH_MAX: u64 = u64::MAX - 2;

/// The longest method, in bytes; the longest registered one has 17.
const METHOD_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests;
