//! The query of an Engine.IO request.

use std::borrow::Cow;

/// The parameters of a query that Engine.IO knows, percent-decoded. Others are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    pub(super) transport: Parameter<'a>,
    pub(super) sid: Parameter<'a>,
    pub(super) eio: Parameter<'a>,
    pub(super) j: Parameter<'a>,
    pub(super) b64: Parameter<'a>,
}

/// A parameter of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Parameter<'a> {
    #[default]
    Absent,
    One(Cow<'a, str>),
    /// Twice, or not UTF-8: like no valid value.
    Unusable,
}

impl Parameter<'_> {
    pub(super) fn get(&self) -> Option<&str> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Unusable => None,
        }
    }
}

impl<'a> Query<'a> {
    /// Reads what follows the `?` of a request target. Nothing is malformed: a known key that
    /// stands twice, or whose value is not UTF-8, counts as one with a wrong value.
    #[must_use]
    pub fn parse(query: &'a str) -> Self {
        let mut new = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match key {
                "transport" => &mut new.transport,
                "sid" => &mut new.sid,
                "EIO" => &mut new.eio,
                "j" => &mut new.j,
                "b64" => &mut new.b64,
                _ => continue,
            };
            *place = match (&place, decode(value)) {
                (Parameter::Absent, Some(value)) => Parameter::One(value),
                _ => Parameter::Unusable,
            };
        }
        new
    }

    /// The transport as it was sent; none where there is none, or more than one.
    #[must_use]
    pub fn transport(&self) -> Option<&str> {
        self.transport.get()
    }

    /// The revision (`EIO`) as it was sent; none where there is none, or more than one.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.eio.get()
    }

    /// The session that is meant; none where there is no `sid`, or an empty one.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.get().filter(|sid| !sid.is_empty())
    }
}

/// The pairs of a query or form, percent-decoded, in their order. What is not UTF-8 is replaced.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let lossy = |text| decode(text).unwrap_or(Cow::Borrowed("\u{FFFD}"));
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (lossy(key), lossy(value))
        })
}

fn decode(value: &str) -> Option<Cow<'_, str>> {
    if value.contains(['%', '+']) {
        String::from_utf8(percent_decode(value.as_bytes()))
            .ok()
            .map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// Bytes of a form: `+` is a space, `%` and two hexadecimal digits a byte, other `%` itself.
pub(super) fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    out
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
