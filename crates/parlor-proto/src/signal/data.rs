//! What a payload written in JSON stands for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

/// What JSON `data` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three kinds of payload of the protocol"
)]
pub enum Content {
    /// A JSON string: text.
    Text(String),
    /// An object whose only key is `base64`: bytes.
    Binary(Vec<u8>),
    /// Anything else: the JSON text as it is.
    Json,
}

/// An object `{"base64": …}` whose text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`base64` is not base64")]
pub struct MalformedData;

/// Tells what a JSON value stands for. `data` must be one JSON value without space around it.
///
/// A string with half a surrogate pair is no text; it is JSON that stays as it is.
///
/// # Errors
///
/// [`MalformedData`].
pub fn parse_data(data: &str) -> Result<Content, MalformedData> {
    if data.starts_with('"') {
        return Ok(serde_json::from_str(data).map_or(Content::Json, Content::Text));
    }
    let binary = may_be_binary(data)
        .then(|| serde_json::from_str::<Binary>(data).ok())
        .flatten();
    match binary {
        Some(Binary { base64 }) => STANDARD
            .decode(base64)
            .map(Content::Binary)
            .map_err(|_| MalformedData),
        None => Ok(Content::Json),
    }
}

/// Whether it is an object whose first key may be the only one of binary data. Most objects are
/// told apart by one letter.
fn may_be_binary(data: &str) -> bool {
    let key = data.strip_prefix('{').map(str::trim_ascii_start);
    let letter = key.and_then(|key| key.as_bytes().get(1));
    matches!(letter, Some(b'b' | b'\\'))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binary {
    base64: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_text_and_base64_is_binary() {
        for (data, expected) in [
            ("\"a\\n\"", Ok(Content::Text("a\n".into()))),
            ("\"\\ud800\"", Ok(Content::Json)),
            ("{\"base64\":\"AP8=\"}", Ok(Content::Binary(vec![0, 255]))),
            (
                "{ \n\"\\u0062ase64\":\"AP8=\"}",
                Ok(Content::Binary(vec![0, 255])),
            ),
            ("{\"base64\":\"A\"}", Err(MalformedData)),
            ("{\"base64\":1}", Ok(Content::Json)),
            ("{\"base64\":\"AP8=\",\"x\":1}", Ok(Content::Json)),
            ("{}", Ok(Content::Json)),
            ("[1]", Ok(Content::Json)),
            ("null", Ok(Content::Json)),
        ] {
            assert_eq!(parse_data(data), expected, "{data}");
        }
    }
}
