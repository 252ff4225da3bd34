//! What clients and handlers say to each other.

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use parlor_hub::Payload;
use serde::{Deserialize, Serialize};

/// A message from a client, or for one: text or binary (RFC 6455, section 5.6).
///
/// At most [`Config::message_bytes_max`](crate::Config::message_bytes_max) bytes when it comes from
/// a client. Cloning shares the bytes.
///
/// ```
/// use parlor::Message;
///
/// let message = Message::from_json(&["tea", "milk"])?;
/// assert_eq!(message, Message::from(r#"["tea","milk"]"#));
/// assert_eq!(message.json::<Vec<&str>>()?, ["tea", "milk"]);
/// # Ok::<(), parlor::JsonError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Any bytes.
    Binary(Bytes),
}

/// Whether one message may be compressed. See [`Member::send_with`](super::Member::send_with).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Where permessage-deflate was agreed and the message is long enough (128 bytes).
    #[default]
    Agreed,
    /// Never.
    Off,
}

/// UTF-8 text that is cheap to clone. It dereferences to [`str`], at the price of one pass over it
/// that checks the encoding.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(Bytes);

/// JSON that does not fit its type, or a value that JSON cannot say.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct JsonError {
    #[source]
    error: Arc<serde_json::Error>,
    is_malformed: bool,
}

impl JsonError {
    /// Whether it was read and did not fit, which is the fault of whoever sent it: a handler that
    /// returns it closes the connection with 1007.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        self.is_malformed
    }
}

impl Message {
    /// A text message with this value as JSON.
    ///
    /// # Errors
    ///
    /// [`JsonError`] where the value cannot be said in JSON, such as a map whose keys are no
    /// strings.
    pub fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        match serde_json::to_vec(value) {
            Ok(json) => Ok(Self::Text(Text(json.into()))),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the message as JSON, whether it came as text or as binary. What is nested deeper than
    /// 128 levels is refused.
    ///
    /// # Errors
    ///
    /// [`JsonError`] where it is not JSON, or not of this type.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        serde_json::from_slice(self.as_bytes()).map_err(|error| JsonError {
            error: Arc::new(error),
            is_malformed: true,
        })
    }

    /// The text of a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The bytes, of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(Text(bytes)) | Self::Binary(bytes) => bytes,
        }
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn into_payload(self) -> Payload {
        match self {
            Self::Text(Text(bytes)) => Payload::Text(bytes),
            Self::Binary(bytes) => Payload::Binary(bytes),
        }
    }

    pub(crate) fn of_payload(payload: &Payload) -> Self {
        match payload {
            Payload::Binary(bytes) => Self::Binary(bytes.clone()),
            other => Self::Text(Text(other.bytes().clone())),
        }
    }
}

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only text gets in; what is not would be empty.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Text that the codec has checked.
    pub(crate) const fn of_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self {
            error: Arc::new(error),
            is_malformed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_conversions() {
        let text = Message::from("h\u{e9}");
        assert_eq!((text.as_text(), text.len()), (Some("h\u{e9}"), 3));
        let binary = Message::from(vec![0xff]);
        assert_eq!((binary.as_text(), binary.as_bytes()), (None, &[0xff][..]));
        assert!(Message::from("").is_empty());
        for message in [text, binary] {
            assert_eq!(
                Message::of_payload(&message.clone().into_payload()),
                message
            );
        }
        assert_eq!(Text::from("tea"), "tea");
        assert_eq!(format!("{:?}", Text::from("tea")), r#""tea""#);
    }

    #[test]
    fn json_is_read_from_both_kinds_and_bounded_in_depth() {
        let value: u32 = Message::from("7").json().unwrap();
        assert_eq!(value, 7);
        let value: u32 = Message::from(&b"8"[..]).json().unwrap();
        assert_eq!(value, 8);
        assert!(Message::from("seven").json::<u32>().is_err());
        let deep = "[".repeat(100_000);
        assert!(Message::from(deep).json::<serde_json::Value>().is_err());
        let odd = std::collections::HashMap::from([(vec![1], 2)]);
        assert!(Message::from_json(&odd).is_err());
    }
}
