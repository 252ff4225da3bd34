//! How a connection becomes a member of a room.

use std::borrow::Cow;

use parlor_hub::{JoinOptions, MessageId, Resume, RoomName};
use percent_encoding::percent_decode_str;

use super::Turn;
use crate::{front::decoded_segment, policy::Refusal};

/// The room of those who name none.
pub(super) const LOBBY: &str = "lobby";

/// A message id that no room gives: everything since it is missed, and that is a gap.
pub(super) const NEVER: MessageId = MessageId::new(0, u64::MAX);

/// What stands for an id that is not text.
pub(super) const MALFORMED: &str = "malformed";

/// The name of a room that cannot be one.
pub(super) const BAD_ROOM: Refusal =
    Refusal::bad_request("a room name is 1 to 128 bytes of UTF-8 without control characters");

/// There is no place: the room, the table of rooms, or the randomness for an id.
pub(super) const FULL: Refusal = Refusal {
    status: 503,
    text: "no place in this room",
    headers: &[("retry-after", "5")],
};

/// The name of a room in a path: one percent-decoded segment.
pub(crate) fn room_name(segment: &str) -> Result<RoomName, Refusal> {
    decoded_segment(segment)
        .and_then(|name| RoomName::new(&name).ok())
        .ok_or(BAD_ROOM)
}

/// What a returning client asks to hear: `?since=<id>` or `?last=N`. An id that is none of ours is
/// not an error: everything since then is missed, and the gap is told.
pub(super) fn resume(query: &Query<'_>) -> Result<Option<Resume>, Refusal> {
    if let Some(since) = since(query) {
        return Ok(Some(Resume::Since(since.parse().unwrap_or(NEVER))));
    }
    let last = query.get("last")?;
    let last = last.map(|last| last.parse()).transpose();
    last.map(|last| last.map(Resume::Last))
        .map_err(|_| Refusal::bad_request("`last` is a number"))
}

/// The value of `?since=`; one that is not even text stands for an id that is none of ours.
pub(super) fn since<'a>(query: &Query<'a>) -> Option<Cow<'a, str>> {
    query.get("since").unwrap_or(Some(Cow::Borrowed(MALFORMED)))
}

/// Makes the connection a member, in no room yet.
pub(super) fn connect(query: &Query<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
    let name = query.get("name")?;
    let secret = turn.tools.member_secret().map_err(|_| FULL)?;
    turn.hub
        .connect(
            turn.key,
            secret,
            name.as_deref().filter(|name| !name.is_empty()),
        )
        .map(|_| ())
        .map_err(|_| Refusal::bad_request("a member name is at most 128 bytes"))
}

/// Sends a new member into its first room.
pub(super) fn join(
    room: &RoomName,
    options: JoinOptions,
    turn: &mut Turn<'_>,
) -> Result<(), Refusal> {
    turn.hub
        .join(turn.key, room, options, turn.effects)
        .map_err(|_| FULL)
}

/// The query of a request target.
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl<'a> Query<'a> {
    /// The first value of a key, decoded; 400 where it is not UTF-8 or holds control characters.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        self.all(key).next().transpose()
    }

    /// All values of a key, decoded.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = Result<Cow<'a, str>, Refusal>> {
        let pairs = self
            .0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .filter(move |(k, _)| *k == key)
            .map(|(_, value)| decode(value))
    }
}

fn decode(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = if value.contains('+') {
        let spaced = value.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(|text| Cow::Owned(text.into_owned()))
    } else {
        percent_decode_str(value).decode_utf8()
    };
    match decoded {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(Refusal::bad_request(
            "a query value is UTF-8 without control characters",
        )),
    }
}
