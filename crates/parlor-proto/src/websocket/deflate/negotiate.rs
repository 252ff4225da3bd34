//! Offers and responses (RFC 7692, sections 5 and 7.1).

use thiserror::Error;

use super::super::extension::{self, Part};
use super::{Agreement, Mode, Policy, WindowBits};

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
    /// An extension that was not offered, or one twice.
    #[error("an extension that was not offered")]
    Extension,
    /// A parameter that is unknown, doubled, out of range, or does not answer the offer.
    #[error("a parameter that does not answer the offer")]
    Parameter,
}

/// A server's answer to the values of all `Sec-WebSocket-Extensions` headers, in order: the first
/// offer that it can take, or `None`. Offers with a parameter that is unknown, doubled or out of
/// range are passed over (RFC 7692, section 7.1), and so is `server_max_window_bits=8`.
///
/// # Errors
///
/// [`MalformedExtensions`] where a value does not follow the grammar, also when compression is off.
pub fn negotiate<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Option<Agreement>, MalformedExtensions> {
    let mut agreement = None;
    for value in values {
        let mut offer = None;
        let mut choose = |offer: Option<Parameters>| {
            if agreement.is_none() {
                agreement = offer.and_then(|offer| answer(&offer, policy));
            }
        };
        extension::parse(value, |part| match part {
            Part::Extension(name) => {
                choose(offer.take());
                offer = (name == NAME).then(Parameters::default);
            }
            Part::Parameter(name, value) => {
                if let Some(offer) = &mut offer {
                    offer.add(name, value.as_deref());
                }
            }
        })
        .map_err(|_| MalformedExtensions)?;
        choose(offer);
    }
    Ok(agreement)
}

/// What a client offers: the value of its `Sec-WebSocket-Extensions`, or `None` with
/// [`Mode::Off`].
#[must_use]
pub fn offer(policy: &Policy) -> Option<String> {
    let offer = Offer::of(policy)?;
    let mut value = String::from(NAME);
    if offer.server_no_context {
        value.push_str("; server_no_context_takeover");
    }
    if offer.client_no_context {
        value.push_str("; client_no_context_takeover");
    }
    if offer.server_bits < WindowBits::MAX {
        value.push_str(&format!(
            "; server_max_window_bits={}",
            offer.server_bits.get()
        ));
    }
    value.push_str("; client_max_window_bits");
    if offer.client_bits < WindowBits::MAX {
        value.push_str(&format!("={}", offer.client_bits.get()));
    }
    Some(value)
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
    let mut response: Option<Parameters> = None;
    let mut foreign = false;
    for value in values {
        extension::parse(value, |part| match part {
            Part::Extension(name) => {
                foreign |= name != NAME || response.is_some();
                response = Some(Parameters::default());
            }
            Part::Parameter(name, value) => {
                if let Some(response) = &mut response {
                    response.add(name, value.as_deref());
                }
            }
        })
        .map_err(|_| UnsupportedResponse::Malformed)?;
    }
    let Some(response) = response else {
        return Ok(None);
    };
    match Offer::of(policy) {
        Some(offer) if !foreign => offer
            .read(&response)
            .ok_or(UnsupportedResponse::Parameter)
            .map(Some),
        _ => Err(UnsupportedResponse::Extension),
    }
}

/// The parameters of one offer or response.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_no_context: bool,
    client_no_context: bool,
    server_bits: Option<WindowBits>,
    /// `Some(None)` without a value.
    client_bits: Option<Option<WindowBits>>,
    /// One is unknown, doubled or out of range.
    invalid: bool,
}

impl Parameters {
    fn add(&mut self, name: &str, value: Option<&str>) {
        let bits = value.map(window_bits);
        let valid = match (name, bits) {
            ("server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_no_context, true)
            }
            ("client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_no_context, true)
            }
            ("server_max_window_bits", Some(Some(bits))) => {
                self.server_bits.replace(bits).is_none()
            }
            ("client_max_window_bits", None) => self.client_bits.replace(None).is_none(),
            ("client_max_window_bits", Some(Some(bits))) => {
                self.client_bits.replace(Some(bits)).is_none()
            }
            _ => false,
        };
        self.invalid |= !valid;
    }
}

/// 8 to 15 in decimal, without a leading zero (RFC 7692, section 7.1.2).
fn window_bits(value: &str) -> Option<WindowBits> {
    let bits = match value.as_bytes() {
        [digit @ b'8'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'5'] => 10 + digit - b'0',
        _ => return None,
    };
    WindowBits::new(bits)
}

/// A server's answer to one offer, or `None` where it declines.
fn answer(offer: &Parameters, policy: &Policy) -> Option<Agreement> {
    if offer.invalid || policy.mode == Mode::Off || offer.server_bits == Some(WindowBits::MIN) {
        return None;
    }
    let shared = policy.mode == Mode::Shared;
    let mut flags = 0;
    if shared || policy.server_no_context_takeover || offer.server_no_context {
        flags |= Agreement::SERVER_NO_CONTEXT;
    }
    // A server may ask this of any client (RFC 7692, section 7.1.1.2).
    if shared || policy.client_no_context_takeover || offer.client_no_context {
        flags |= Agreement::CLIENT_NO_CONTEXT;
    }
    // The policy's 8 stands for the smallest window that the library has.
    let own = policy
        .server_max_window_bits
        .max(WindowBits::SMALLEST_SEARCHED);
    let server = offer.server_bits.unwrap_or(WindowBits::MAX).min(own);
    if offer.server_bits.is_some() || server < WindowBits::MAX {
        flags |= Agreement::TELL_SERVER_BITS;
    }
    // Without the parameter in the offer the response must not have it (section 7.1.2.2).
    let mut client = WindowBits::MAX;
    if let Some(bits) = offer.client_bits {
        client = bits
            .unwrap_or(WindowBits::MAX)
            .min(policy.client_max_window_bits);
        if client < WindowBits::MAX {
            flags |= Agreement::TELL_CLIENT_BITS;
        }
    }
    Some(Agreement::from_parts(server, client, flags))
}

/// What a client offers.
struct Offer {
    server_no_context: bool,
    client_no_context: bool,
    server_bits: WindowBits,
    client_bits: WindowBits,
}

impl Offer {
    fn of(policy: &Policy) -> Option<Self> {
        let shared = match policy.mode {
            Mode::Off => return None,
            Mode::Shared => true,
            Mode::Takeover => false,
        };
        Some(Self {
            server_no_context: shared || policy.server_no_context_takeover,
            client_no_context: shared || policy.client_no_context_takeover,
            server_bits: policy.server_max_window_bits,
            client_bits: policy.client_max_window_bits,
        })
    }

    /// What the response makes of the offer, or `None` where it does not answer it.
    fn read(&self, response: &Parameters) -> Option<Agreement> {
        let mut flags = 0;
        if response.server_no_context {
            flags |= Agreement::SERVER_NO_CONTEXT;
        } else if self.server_no_context {
            return None;
        }
        // What a client said it would do it may do, whether or not it is asked to.
        if response.client_no_context || self.client_no_context {
            flags |= Agreement::CLIENT_NO_CONTEXT;
        }
        let server = match response.server_bits {
            Some(bits) if bits <= self.server_bits => bits,
            None if self.server_bits == WindowBits::MAX => WindowBits::MAX,
            _ => return None,
        };
        let client = match response.client_bits {
            Some(Some(bits)) => bits.min(self.client_bits),
            None => self.client_bits,
            Some(None) => return None,
        };
        if response.invalid {
            return None;
        }
        if response.server_bits.is_some() {
            flags |= Agreement::TELL_SERVER_BITS;
        }
        if response.client_bits.is_some() {
            flags |= Agreement::TELL_CLIENT_BITS;
        }
        Some(Agreement::from_parts(server, client, flags))
    }
}

#[cfg(test)]
mod tests;
