//! How values are written: sizes, times, counts, addresses, origins.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes as text: `1MiB`, `64KiB`, `2GiB`, `512B` or plain digits.
///
/// ```
/// use parlor::config::ByteSize;
/// assert_eq!("64KiB".parse(), Ok(ByteSize(65_536)));
/// assert_eq!(ByteSize(1_048_576).to_string(), "1MiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a number with a way to write it")]
pub struct ByteSize(pub u64);

/// A span of time as text: `10s`, `500ms`, `250us`, `2m`, `1h`. A bare number is refused, since
/// nobody can tell its unit.
///
/// ```
/// use std::time::Duration;
/// use parlor::config::TimeText;
/// assert_eq!("500ms".parse(), Ok(TimeText(Duration::from_millis(500))));
/// assert_eq!(TimeText(Duration::from_secs(120)).to_string(), "2m");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a duration with a way to write it"
)]
pub struct TimeText(pub Duration);

/// What is wrong with the text of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a size.
    #[error("expected a size such as 64KiB, 1MiB or 4096")]
    NotASize,
    /// Not a time.
    #[error("expected a time such as 10s, 500ms or 2m")]
    NotATime,
    /// Not a whole number.
    #[error("expected a whole number")]
    NotACount,
    /// Not an address with a port.
    #[error("expected an address and a port such as 127.0.0.1:8080 or [::1]:8080")]
    NotAnAddress,
    /// Not an origin.
    #[error("expected an origin such as https://example.org or http://localhost:3000")]
    NotAnOrigin,
    /// Not a pattern over the names of rooms.
    #[error("expected 1 to 128 bytes without control characters")]
    NotAPattern,
    /// Not the name of a cookie.
    #[error("expected 1 to 64 letters, digits and marks such as - and _")]
    NotAToken,
    /// Not one of the words that stand for something here.
    #[error("expected {0}")]
    NotAChoice(&'static str),
    /// Outside the range that makes sense.
    #[error("expected {least} to {most}")]
    OutOfRange {
        /// The least value, as it would be written.
        least: String,
        /// The greatest value, as it would be written.
        most: String,
    },
    /// Less than makes sense, where there is no greatest value.
    #[error("expected {least} or more")]
    TooSmall {
        /// The least value, as it would be written.
        least: String,
    },
    /// Nothing at all.
    #[error("expected a value")]
    Empty,
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = split_unit(text).ok_or(ValueError::NotASize)?;
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(ValueError::NotASize),
        };
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or(ValueError::NotASize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            0 => (0, ""),
            n if n % (1 << 30) == 0 => (n >> 30, "GiB"),
            n if n % (1 << 20) == 0 => (n >> 20, "MiB"),
            n if n % (1 << 10) == 0 => (n >> 10, "KiB"),
            n => (n, ""),
        };
        write!(f, "{number}{unit}")
    }
}

impl FromStr for TimeText {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = split_unit(text).ok_or(ValueError::NotATime)?;
        let minutes = |n: u64| n.checked_mul(60).map(Duration::from_secs);
        let time = match unit {
            "us" => Some(Duration::from_micros(number)),
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => minutes(number),
            "h" => number.checked_mul(60).and_then(minutes),
            _ => None,
        };
        time.map(Self).ok_or(ValueError::NotATime)
    }
}

impl fmt::Display for TimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let (number, unit) = match micros {
            0 => (0, "s"),
            n if n % 3_600_000_000 == 0 => (n / 3_600_000_000, "h"),
            // From two minutes on: nobody writes 1m for 60s.
            n if n % 60_000_000 == 0 && n > 60_000_000 => (n / 60_000_000, "m"),
            n if n % 1_000_000 == 0 => (n / 1_000_000, "s"),
            n if n % 1_000 == 0 => (n / 1_000, "ms"),
            n => (n, "us"),
        };
        write!(f, "{number}{unit}")
    }
}

pub(super) fn size(text: &str, range: &RangeInclusive<usize>) -> Result<usize, ValueError> {
    let ByteSize(size) = text.parse()?;
    in_range(usize::try_from(size).unwrap_or(usize::MAX), range, |&n| {
        ByteSize(u64::try_from(n).unwrap_or(u64::MAX)).to_string()
    })
    .map_err(|error| unbounded(error, range))
}

pub(super) fn count(text: &str, range: &RangeInclusive<usize>) -> Result<usize, ValueError> {
    let number = text.parse().map_err(|_| ValueError::NotACount)?;
    in_range(number, range, usize::to_string).map_err(|error| unbounded(error, range))
}

pub(super) fn time(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, ValueError> {
    let TimeText(time) = text.parse()?;
    in_range(time, range, |&time| TimeText(time).to_string())
}

/// A list: parts between commas, spaces around them dropped, no empty part. No text is no part.
pub(super) fn list<T>(
    text: &str,
    part: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Vec<T>, ValueError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|each| part(each.trim())).collect()
}

/// On or off; `true` and `false`, as TOML and many a deployment have it, mean the same.
pub(super) fn switch(text: &str) -> Result<bool, ValueError> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(ValueError::NotAChoice("on or off")),
    }
}

/// A token (RFC 9110, section 5.6.2) of at most 64 bytes: the name of a cookie.
pub(super) fn token(text: &str) -> Result<String, ValueError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.bytes().all(plain) && (1..=64).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err(ValueError::NotAToken),
    }
}

/// A path that others begin with: `/socket.io/`, or `/socket.io`.
pub(super) fn prefix(text: &str) -> Result<String, ValueError> {
    let plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'{' | b'}');
    let fits = text.starts_with('/') && !text.trim_matches('/').is_empty();
    if fits && !text.contains("//") && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::NotAChoice("a path such as /socket.io/"))
    }
}

/// The name of a namespace: `/` and what follows.
pub(super) fn namespace(text: &str) -> Result<String, ValueError> {
    let bad = |char: char| char.is_control() || matches!(char, ',' | '?');
    if text.starts_with('/') && text.len() <= 256 && !text.contains(bad) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::NotAChoice("a namespace such as /chat"))
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, ValueError> {
    match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .map_err(|_| ValueError::NotAnAddress),
        None => text.parse().map_err(|_| ValueError::NotAnAddress),
    }
}

/// An origin in the form in which a browser sends it: lower case, no path, no default port
/// (RFC 6454, section 6.2).
pub(super) fn origin(text: &str) -> Result<String, ValueError> {
    let (scheme, rest) = text.split_once("://").ok_or(ValueError::NotAnOrigin)?;
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
    let scheme_byte = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let host_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    let known = !scheme.is_empty() && scheme.bytes().all(scheme_byte);
    if !known || authority.is_empty() || !authority.bytes().all(host_byte) {
        return Err(ValueError::NotAnOrigin);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority.as_str(), None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) {
        return Err(ValueError::NotAnOrigin);
    }
    let Some(port) = port else {
        return Ok(format!("{scheme}://{host}"));
    };
    let port: u16 = port.parse().map_err(|_| ValueError::NotAnOrigin)?;
    match (scheme.as_str(), port) {
        ("http", 80) | ("https", 443) => Ok(format!("{scheme}://{host}")),
        _ => Ok(format!("{scheme}://{host}:{port}")),
    }
}

/// A pattern over the names of rooms.
pub(super) fn pattern(text: &str) -> Result<(), ValueError> {
    let fits = (1..=PATTERN_BYTES_MAX).contains(&text.len());
    if fits && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(ValueError::NotAPattern)
}

const PATTERN_BYTES_MAX: usize = 128;

fn in_range<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    write: impl Fn(&T) -> String,
) -> Result<T, ValueError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(ValueError::OutOfRange {
        least: write(range.start()),
        most: write(range.end()),
    })
}

/// Says nothing of a greatest value that is only the largest number there is.
fn unbounded(error: ValueError, range: &RangeInclusive<usize>) -> ValueError {
    match error {
        ValueError::OutOfRange { least, .. } if *range.end() == usize::MAX => {
            ValueError::TooSmall { least }
        }
        error => error,
    }
}

/// `10s` is 10 and `s`. Digits may be grouped by `_`.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let number = digits.replace('_', "").parse().ok()?;
    Some((number, unit.trim_start()))
}
