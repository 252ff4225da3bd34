//! Private ids.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parlor_hub::ShardId;

use crate::door::Tools;

/// Bytes of the secret in a private id.
const SECRET: usize = 16;

/// A private id: which shard knows where its session is, and a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pid {
    pub(super) home: ShardId,
    secret: [u8; SECRET],
}

impl Pid {
    pub(super) fn draw(tools: &mut Tools) -> Option<Self> {
        Some(Self {
            home: tools.shard,
            secret: tools.secret().ok()?,
        })
    }

    pub(in crate::door::socketio) fn parse(text: &str, shards: u16) -> Option<Self> {
        let mut bytes = [0; SECRET + 2];
        let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (home, secret) = bytes.split_at(2);
        let home = ShardId(u16::from_be_bytes(home.try_into().ok()?));
        let pid = Self {
            home,
            secret: secret.try_into().ok()?,
        };
        (decoded == bytes.len() && home.0 < shards).then_some(pid)
    }

    pub(in crate::door::socketio) fn to_text(self) -> String {
        let mut bytes = self.home.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.secret);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}
