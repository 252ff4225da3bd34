//! Who may ask: the Host and the Origin of a request, and the refusals that follow.
//!
//! One policy for every door. It reads raw header values, so that the shard's own handshake and
//! the HTTP path apply the very same rules.

mod cors;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) use self::cors::{Checks, Cors, Listed, Origins};

/// The answer to a request that is refused before anybody serves it.
///
/// The text is for the person who reads it; it names the rule, never the client's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status, 400 to 599.
    pub(crate) status: u16,
    /// One plain sentence, ASCII.
    pub(crate) text: &'static str,
    /// Further header fields, names in lower case.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Refusal {
    /// 400 for a missing, doubled or invalid Host.
    pub(crate) const HOST: Self = Self::new(400, "exactly one valid host is required");
    /// 405 for TRACE and CONNECT.
    pub(crate) const METHOD: Self = Self {
        status: 405,
        text: "method not allowed",
        headers: &[("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")],
    };
    /// 408 for a head or a body that came too slowly.
    pub(crate) const TIMEOUT: Self = Self::new(408, "the request came too slowly");
    /// 413 for a body over the limit.
    pub(crate) const BODY_TOO_LARGE: Self = Self::new(413, "the body is over the limit");
    /// 414 for a target over the limit.
    pub(crate) const TARGET_TOO_LONG: Self = Self::new(414, "the request target is over the limit");
    /// 421 for a Host that is not this machine's, while only this machine may come.
    pub(crate) const MISDIRECTED: Self = Self::new(
        421,
        "this server listens on loopback only: the host must be localhost or a loopback address",
    );
    /// 431 for too many header fields.
    pub(crate) const TOO_MANY_HEADERS: Self = Self::new(431, "too many header fields");
    /// 431 for a head over the limit.
    pub(crate) const HEAD_TOO_LARGE: Self = Self::new(431, "the request head is over the limit");
    /// 501 for a transfer coding that is not `chunked`.
    pub(crate) const CODING: Self = Self::new(501, "unknown transfer coding");
    /// 505 for a version of HTTP that is not spoken here.
    pub(crate) const VERSION: Self = Self::new(505, "HTTP version not supported");
    /// 403 for an origin that the policy does not allow.
    pub(crate) const ORIGIN: Self = Self::new(403, "origin not allowed");

    /// A refusal without header fields of its own.
    pub(crate) const fn new(status: u16, text: &'static str) -> Self {
        Self {
            status,
            text,
            headers: &[],
        }
    }

    /// 400 with a reason.
    pub(crate) const fn bad_request(text: &'static str) -> Self {
        Self::new(400, text)
    }

    /// The whole response in HTTP/1.1, which closes the connection: write it, then close.
    pub(crate) fn to_response(self) -> Vec<u8> {
        use std::io::Write as _;
        let status =
            http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::BAD_REQUEST);
        let reason = status.canonical_reason().unwrap_or("");
        let mut out = Vec::with_capacity(256);
        // Writing into a vector does not fail.
        let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
        for (name, value) in self.headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        let _ = write!(
            out,
            "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
             date: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}\n",
            http_date(SystemTime::now()),
            self.text.len() + 1,
            self.text
        );
        out
    }
}

/// A time as the Date field of a response has it (RFC 9110, section 5.6.7).
pub(crate) fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that a leap day is the last day of one; 1970-01-01 is day
    // 719,468 of the calendar since the year 0.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + years + u64::from(month >= 10);
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or_default()
    };
    format!(
        "{}, {of_month:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Adds the Date field to a whole response that has none.
pub(crate) fn add_date(response: &mut Vec<u8>) {
    let mut windows = response.windows(2);
    if let Some(line) = windows.position(|window| window == b"\r\n") {
        let date = format!("\r\nDate: {}", http_date(SystemTime::now()));
        response.splice(line..line, date.into_bytes());
    }
}

/// Cuts a whole response off behind its head, as the answer to HEAD (RFC 9110, section 9.3.2).
pub(crate) fn leave_out_body(response: &mut Vec<u8>) {
    let mut windows = response.windows(4);
    if let Some(head) = windows.position(|window| window == b"\r\n\r\n") {
        response.truncate(head + 4);
    }
}

/// What a request says about where it comes from, as raw header values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Provenance<'a> {
    host: Field<'a>,
    origin: Field<'a>,
    fetch_site: Field<'a>,
    fetch_mode: Field<'a>,
    fetch_dest: Field<'a>,
}

/// A header field that should be there at most once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Field<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Provenance<'a> {
    /// Collects the fields from `(name, value)` pairs, names in any case.
    pub(crate) fn of(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut this = Self::default();
        for (name, value) in headers {
            let field = match name.len() {
                4 if name.eq_ignore_ascii_case(b"host") => &mut this.host,
                6 if name.eq_ignore_ascii_case(b"origin") => &mut this.origin,
                14 if name.eq_ignore_ascii_case(b"sec-fetch-site") => &mut this.fetch_site,
                14 if name.eq_ignore_ascii_case(b"sec-fetch-mode") => &mut this.fetch_mode,
                14 if name.eq_ignore_ascii_case(b"sec-fetch-dest") => &mut this.fetch_dest,
                _ => continue,
            };
            *field = match field {
                Field::Absent => Field::Once(value),
                Field::Once(_) | Field::Repeated => Field::Repeated,
            };
        }
        this
    }

    /// From the fields of a parsed head.
    pub(crate) fn of_head(headers: &[httparse::Header<'a>]) -> Self {
        Self::of(
            headers
                .iter()
                .map(|header| (header.name.as_bytes(), header.value)),
        )
    }

    /// From a header map.
    pub(crate) fn of_map(headers: &'a http::HeaderMap) -> Self {
        Self::of(
            headers
                .iter()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
        )
    }

    /// Whether there is an Origin field at all.
    pub(crate) fn has_origin(&self) -> bool {
        self.origin != Field::Absent
    }

    /// The origin, where there is one, and it is text.
    pub(crate) fn origin(&self) -> Option<&'a str> {
        match self.origin {
            Field::Once(origin) => str::from_utf8(origin).ok(),
            Field::Absent | Field::Repeated => None,
        }
    }

    /// A person who follows a link or types an address: the page is opened, and no script of
    /// another site reads it.
    fn is_navigation(&self) -> bool {
        self.fetch_mode == Field::Once(b"navigate") && self.fetch_dest == Field::Once(b"document")
    }
}

/// Which hosts and origins may come in.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    origins: Vec<Origin>,
    loopback_only: bool,
    /// Who terminates TLS, if anybody does, is not us: the scheme of an origin says nothing.
    any_scheme: bool,
}

/// An origin that can be compared: scheme and host in lower case, the port always there; 0 where a
/// scheme has none, as those of applications and of extensions of browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// A configured origin that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an origin: write scheme://host or scheme://host:port, nothing behind it")]
pub(crate) struct MalformedOrigin {
    text: String,
}

impl Policy {
    /// A policy that allows the same origin, `origins` (as `https://example.com`), and, with
    /// `loopback_only` (every listener is on a loopback address), also pages of this machine:
    /// loopback origins, `null` and `file://`.
    ///
    /// # Errors
    ///
    /// [`MalformedOrigin`] for a text that is not `scheme://host` or `scheme://host:port`.
    pub(crate) fn new(origins: &[String], loopback_only: bool) -> Result<Self, MalformedOrigin> {
        let origins = origins
            .iter()
            .map(|text| {
                Origin::parse(text.as_bytes()).ok_or_else(|| MalformedOrigin { text: text.clone() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            origins,
            loopback_only,
            any_scheme: false,
        })
    }

    /// A policy for requests that came to a server of the embedder's: the same origin is that of
    /// the host, by `http` or by `https`.
    ///
    /// # Errors
    ///
    /// As [`Policy::new`].
    pub(crate) fn behind_another(origins: &[String]) -> Result<Self, MalformedOrigin> {
        let policy = Self::new(origins, false)?;
        Ok(Self {
            any_scheme: true,
            ..policy
        })
    }

    /// Whether the request is for this server.
    ///
    /// # Errors
    ///
    /// 400 unless there is exactly one valid Host; 421 where the server listens on loopback only
    /// and the Host is neither `localhost` nor a loopback address: a page elsewhere whose name was
    /// made to point here (DNS rebinding) comes with its own name.
    pub(crate) fn check_host(&self, request: &Provenance<'_>) -> Result<(), Refusal> {
        let Field::Once(host) = request.host else {
            return Err(Refusal::HOST);
        };
        let authority = parse_authority(host).ok_or(Refusal::HOST)?;
        if self.loopback_only && !is_loopback(authority.host) {
            return Err(Refusal::MISDIRECTED);
        }
        Ok(())
    }

    /// Whether the page behind the request may use a door. Tells the origin to echo in
    /// `Access-Control-Allow-Origin`; without an Origin there is nothing to echo.
    ///
    /// # Errors
    ///
    /// 403 for an origin that is not allowed, is malformed or is sent twice; also without an Origin
    /// where the browser says `Sec-Fetch-Site: cross-site`, except when a person opens the page.
    pub(crate) fn check_origin<'a>(
        &self,
        request: &Provenance<'a>,
    ) -> Result<Option<&'a [u8]>, Refusal> {
        match request.origin {
            Field::Repeated => Err(Refusal::ORIGIN),
            Field::Once(origin) if self.allows(origin, request.host) => Ok(Some(origin)),
            Field::Once(_) => Err(Refusal::ORIGIN),
            Field::Absent => match request.fetch_site {
                Field::Absent => Ok(None),
                Field::Once(site) if !site.eq_ignore_ascii_case(b"cross-site") => Ok(None),
                _ if request.is_navigation() => Ok(None),
                Field::Once(_) | Field::Repeated => Err(Refusal::ORIGIN),
            },
        }
    }

    fn allows(&self, origin: &[u8], host: Field<'_>) -> bool {
        if self.loopback_only && (origin == b"null" || origin == b"file://") {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        if self.loopback_only && origin.is_web() && is_loopback(&origin.host) {
            return true;
        }
        self.origins.contains(&origin) || origin.is_same(host, self.any_scheme)
    }
}

impl Origin {
    /// `scheme://host` or `scheme://host:port`: no user, no path, no query, nothing else.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(in_scheme) {
            return None;
        }
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => 0,
        };
        let authority = parse_authority(authority.as_bytes())?;
        let port = authority.port.unwrap_or(default_port);
        Some(Self {
            scheme,
            host: authority.host.to_ascii_lowercase(),
            port,
        })
    }

    /// Whether it is that of a page that came by HTTP.
    fn is_web(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https")
    }

    /// The same origin as the server's own, which speaks plain HTTP unless it may speak `any`.
    fn is_same(&self, host: Field<'_>, any: bool) -> bool {
        let Field::Once(host) = host else {
            return false;
        };
        let default_port = match self.scheme.as_str() {
            "https" if any => 443,
            _ => 80,
        };
        parse_authority(host).is_some_and(|authority| {
            (self.scheme == "http" || any && self.is_web())
                && self.host.eq_ignore_ascii_case(authority.host)
                && self.port == authority.port.unwrap_or(default_port)
        })
    }
}

/// A host and a port, as in a Host field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets, as it was sent.
    pub(crate) host: &'a str,
    /// The port, where there is one.
    pub(crate) port: Option<u16>,
}

/// Reads `host` or `host:port` (RFC 3986, section 3.2, without user information). Names are made of
/// letters, digits, `-`, `.` and `_`; an IPv6 address stands in brackets. `None` for all else.
pub(crate) fn parse_authority(text: &[u8]) -> Option<Authority<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    let end = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, _) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            address.len() + 2
        }
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(end)?;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || !(host.starts_with('[') || host.bytes().all(named)) {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        None if rest.is_empty() => None,
        _ => return None,
    };
    Some(Authority { host, port })
}

/// `localhost`, an address of 127.0.0.0/8 in four decimal parts, or `[::1]`. Names below
/// `localhost` do not count: not every resolver keeps them on this machine.
fn is_loopback(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.map_or_else(
        || host.parse::<Ipv4Addr>().map(IpAddr::V4),
        |bare| bare.parse::<Ipv6Addr>().map(IpAddr::V6),
    );
    address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
