//! Messages that are nothing but bytes, from members that speak no protocol of ours.

use bytes::Bytes;
use parlor_hub::{Audience, Draft, Payload, Refused, RoomRef};
use parlor_proto::websocket::Kind;

use super::Turn;

/// Where a raw connection's messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the others in the room.
    Others,
    /// To everyone in the room, the sender too.
    Room,
    /// Back to the sender: the `/echo` door.
    Sender,
}

/// A message of a raw member: opaque, its bytes copied out of the read buffer.
pub(super) fn draft(target: Target, kind: Kind, payload: &[u8]) -> Draft {
    let payload = Bytes::copy_from_slice(payload);
    let mut draft = Draft::new(match kind {
        Kind::Text => Payload::Text(payload),
        Kind::Binary => Payload::Binary(payload),
    });
    if target == Target::Room {
        draft.audience = Audience::Room;
    }
    draft
}

/// Publishes to the room of the sender. What it sends while its join is on the way follows it.
pub(super) fn publish(draft: Draft, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let room = turn
        .hub
        .rooms_of(turn.key)
        .next()
        .ok_or(Refused::NotJoined)?;
    turn.hub
        .publish(turn.key, RoomRef::Key(room), draft, turn.effects)
}
