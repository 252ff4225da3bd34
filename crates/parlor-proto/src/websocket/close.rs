//! Close codes and the payload of a Close frame (RFC 6455, sections 5.5.1 and 7.4).

use std::num::NonZeroU16;

use super::{Error, utf8};

/// A close code that may stand in a Close frame: 1000 to 1003, 1007 to 1014, 3000 to 4999.
///
/// 1005, 1006 and 1015 are names for things that happened and never travel (RFC 6455, section
/// 7.4.1), so there is no value for them: a Close frame without a code is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(NonZeroU16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self::known(1000);
    /// 1001: the server stops, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self::known(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self::known(1002);
    /// 1003: a kind of data that this endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self::known(1003);
    /// 1007: data that is not what its kind says, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self::known(1007);
    /// 1008: a policy was violated.
    pub const POLICY_VIOLATION: Self = Self::known(1008);
    /// 1009: a message too big to process.
    pub const TOO_BIG: Self = Self::known(1009);
    /// 1010: the client wanted an extension that the server did not agree to.
    pub const EXTENSION_REQUIRED: Self = Self::known(1010);
    /// 1011: an unexpected condition in the endpoint that sends this.
    pub const INTERNAL_ERROR: Self = Self::known(1011);
    /// 1012: the service restarts (registered with IANA).
    pub const SERVICE_RESTART: Self = Self::known(1012);
    /// 1013: try again later (registered with IANA).
    pub const TRY_AGAIN_LATER: Self = Self::known(1013);
    /// 1014: a gateway got an invalid response (registered with IANA).
    pub const BAD_GATEWAY: Self = Self::known(1014);

    const fn known(code: u16) -> Self {
        Self(NonZeroU16::new(code).expect("close codes are not zero"))
    }

    /// The code, or `None` where it must not stand in a Close frame.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self::known(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.get()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::ViolationCloseCode`] for a code that must not stand in a Close frame.
    fn try_from(code: u16) -> Result<Self, Error> {
        Self::new(code).ok_or(Error::ViolationCloseCode { code })
    }
}

/// The longest reason: a control frame's 125 bytes without the code.
pub(crate) const REASON_BYTES_MAX: usize = 123;

/// Checks the payload of a received Close frame. The reason is what stands after two bytes.
pub(crate) fn decode(payload: &[u8], validate_utf8: bool) -> Result<Option<CloseCode>, Error> {
    match payload {
        [] => Ok(None),
        [_] => Err(Error::ViolationCloseLength),
        [high, low, reason @ ..] => {
            let code = CloseCode::try_from(u16::from_be_bytes([*high, *low]))?;
            if validate_utf8 && !utf8::is_valid(reason) {
                return Err(Error::MalformedUtf8);
            }
            Ok(Some(code))
        }
    }
}

/// The longest part of `reason` that fits and ends at a character.
pub(crate) fn fitting(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    reason.get(..end).unwrap_or_default()
}
