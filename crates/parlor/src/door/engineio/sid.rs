//! Session ids: 20 characters that nobody can guess, and that say which shard to ask.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parlor_hub::ShardId;

/// The bytes of an id; in base64 they make the 20 characters that clients know.
const BYTES: usize = 15;

/// Those of them that are drawn at random: 104 bits.
pub(super) const RANDOM_BYTES: usize = BYTES - 2;

/// A session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sid([u8; BYTES]);

impl Sid {
    /// An id of a shard's.
    pub(super) fn new(shard: ShardId, random: [u8; RANDOM_BYTES]) -> Self {
        let mut bytes = [0; BYTES];
        for (place, byte) in bytes
            .iter_mut()
            .zip(shard.0.to_be_bytes().into_iter().chain(random))
        {
            *place = byte;
        }
        Self(bytes)
    }

    /// Reads what a client shows; none where it cannot be an id of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(BYTES) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// The shard that has the session, if there is one.
    pub(crate) fn shard(self) -> ShardId {
        let [high, low, ..] = self.0;
        ShardId(u16::from_be_bytes([high, low]))
    }

    /// As clients show it.
    pub(super) fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let sid = Sid::new(ShardId(513), [0xFF; RANDOM_BYTES]);
        let text = sid.to_text();
        assert_eq!(text.len(), 20);
        assert_eq!(Sid::parse(&text), Some(sid));
        assert_eq!(sid.shard(), ShardId(513));
        for other in [
            "",
            "__proto__",
            "a",
            &text.replace('_', ""),
            text.get(1..).unwrap(),
            &format!("{text}A"),
            "é€é€é€é€é€",
        ] {
            assert_eq!(Sid::parse(other), None, "{other}");
        }
    }
}
