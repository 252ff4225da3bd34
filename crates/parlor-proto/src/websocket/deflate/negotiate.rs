//! Offers and responses (RFC 7692, sections 5 and 7.1).

use thiserror::Error;

use super::{Agreement, Policy};

pub(crate) const NAME: &str = "permessage-deflate";

/// A `Sec-WebSocket-Extensions` that does not follow the grammar (RFC 6455, section 9.1): the
/// handshake is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed Sec-WebSocket-Extensions")]
pub struct MalformedExtensions;

/// A response that a client must refuse (RFC 6455, section 4.1; RFC 7692, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnsupportedResponse {
    /// The header does not follow the grammar.
    #[error("malformed Sec-WebSocket-Extensions")]
    Malformed,
    /// An extension that was not offered.
    #[error("an extension that was not offered")]
    Extension,
    /// A parameter that is unknown, doubled, out of range, or does not answer the offer.
    #[error("a parameter that does not answer the offer")]
    Parameter,
}

/// A server's answer to the values of all `Sec-WebSocket-Extensions` headers, in order: the first
/// offer that it can take, or `None`.
///
/// # Errors
///
/// [`MalformedExtensions`] where a value does not follow the grammar, also when compression is off.
pub fn negotiate<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Option<Agreement>, MalformedExtensions> {
    let _ = (values.into_iter().count(), policy);
    Ok(None)
}

/// What a client offers: the value of its `Sec-WebSocket-Extensions`, or `None` with
/// [`Mode::Off`](super::Mode::Off).
#[must_use]
pub fn offer(policy: &Policy) -> Option<String> {
    let _ = policy;
    None
}

/// A client's reading of the values of all `Sec-WebSocket-Extensions` headers of the response, when
/// it had sent [`offer`] with the same policy.
///
/// # Errors
///
/// Any [`UnsupportedResponse`]: the connection must be failed.
pub fn accept<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Option<Agreement>, UnsupportedResponse> {
    let _ = (values.into_iter().count(), policy);
    Ok(None)
}
