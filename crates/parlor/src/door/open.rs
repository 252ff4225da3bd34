//! From a request head to a session.

use std::borrow::Cow;

use parlor_hub::{JoinOptions, RoomName};
use parlor_proto::websocket::handshake::{self, Answer};
use percent_encoding::percent_decode_str;

use super::{
    Session, Tools, Turn,
    raw::{Raw, Target},
};
use crate::{
    front::Head,
    policy::{Policy, Provenance, Refusal},
};

/// The room of those who name none.
const LOBBY: &str = "lobby";

/// What became of a request for a door.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open, and its first bytes are in the reply.
    Session {
        session: Box<dyn Session>,
        /// The wire form that the member hears; `None` where each message is encoded for it alone.
        form: Option<u8>,
    },
    /// It was refused: the reply holds the answer, after which the connection closes.
    Refused,
}

/// A path that a door stands at.
#[derive(Debug)]
enum Door<'a> {
    /// A room by WebSocket; the name is still percent-encoded.
    Room(&'a str),
    /// The echo.
    Echo,
}

/// Whether a request is a door's to answer, refusals included. Doors win over everything else at
/// their paths; `/` is a page unless the request speaks of WebSocket.
pub(crate) fn claims(head: &Head<'_, '_>) -> bool {
    door_at(head).is_some()
}

fn door_at<'a>(head: &Head<'_, 'a>) -> Option<Door<'a>> {
    match head.path() {
        "/" => speaks_of_websocket(head).then_some(Door::Room(LOBBY)),
        "/ws" => Some(Door::Room(LOBBY)),
        "/echo" => Some(Door::Echo),
        path => path
            .strip_prefix("/ws/")
            .filter(|room| !room.is_empty() && !room.contains('/'))
            .map(Door::Room),
    }
}

fn speaks_of_websocket(head: &Head<'_, '_>) -> bool {
    head.values("sec-websocket-key").next().is_some()
        || head.values("upgrade").any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|item| item.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        })
}

/// Opens the door that a head asks for: a session, or a refusal in the reply. `None` where no door
/// stands at its path.
pub(crate) fn open(head: &Head<'_, '_>, policy: &Policy, turn: &mut Turn<'_>) -> Option<Opened> {
    let door = door_at(head)?;
    Some(match open_door(head, &door, policy, turn) {
        Ok(opened) => opened,
        Err(refusal) => {
            turn.reply.clear();
            refusal.write(turn.reply);
            Opened::Refused
        }
    })
}

/// A refusal by policy or by the handshake's rules.
#[derive(Debug)]
enum Refused {
    Policy(Refusal),
    Handshake(handshake::Refusal),
}

impl Refused {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Policy(refusal) => out.extend_from_slice(&refusal.to_response()),
            Self::Handshake(refusal) => refusal.respond(out),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Policy(refusal)
    }
}

fn open_door(
    head: &Head<'_, '_>,
    door: &Door<'_>,
    policy: &Policy,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    let provenance = Provenance::of_head(head.headers);
    policy.check_host(&provenance)?;
    policy.check_origin(&provenance)?;
    let request = handshake::Request {
        method: head.method,
        minor_version: head.minor_version,
        headers: head
            .headers
            .iter()
            .map(|header| (header.name, header.value)),
    };
    let upgrade = handshake::validate(request).map_err(Refused::Handshake)?;
    let query = Query(head.query().unwrap_or_default());
    let target = match door {
        Door::Echo => Target::Sender,
        Door::Room(room) => enter(room, &query, turn)?,
    };
    let agreement = upgrade.deflate(&turn.tools.settings.deflate);
    // A browser fails the connection unless one of the subprotocols that it offers is chosen.
    let protocol = upgrade.protocols().first().copied();
    let answer = Answer {
        protocol,
        deflate: agreement,
        headers: &[],
    };
    upgrade
        .respond(answer, turn.reply)
        .map_err(|_| Refusal::bad_request("the upgrade cannot be answered"))?;
    Ok(Opened::Session {
        session: Box::new(Raw::new(agreement, target)),
        form: match target {
            Target::Sender => Some(super::tools::RAW),
            Target::Room | Target::Others => Tools::raw_form(agreement),
        },
    })
}

/// Makes the connection a member and sends it into the room.
fn enter(room: &str, query: &Query<'_>, turn: &mut Turn<'_>) -> Result<Target, Refused> {
    let room = percent_decode_str(room)
        .decode_utf8()
        .ok()
        .and_then(|name| RoomName::new(&name).ok())
        .ok_or(Refusal::bad_request(
            "a room name is 1 to 128 bytes of UTF-8 without control characters",
        ))?;
    let name = query.get("name")?;
    let echo = matches!(query.get("echo")?.as_deref(), Some("1" | "true"));
    let full = Refusal {
        status: 503,
        text: "no place in this room",
        headers: &[("retry-after", "5")],
    };
    let secret = turn.tools.secret().map_err(|_| full)?;
    turn.hub
        .connect(
            turn.key,
            secret,
            name.as_deref().filter(|name| !name.is_empty()),
        )
        .map_err(|_| Refusal::bad_request("a member name is at most 128 bytes"))?;
    if turn
        .hub
        .join(turn.key, &room, JoinOptions::default(), turn.effects)
        .is_err()
    {
        turn.hub.disconnect(turn.key, turn.effects);
        return Err(full.into());
    }
    Ok(if echo { Target::Room } else { Target::Others })
}

/// The query of a request target.
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The first value of a key, decoded; 400 where it is not UTF-8 or holds control characters.
    fn get(&self, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let pairs = self
            .0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let Some(value) = pairs
            .into_iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| value)
        else {
            return Ok(None);
        };
        let bytes = if value.contains('+') {
            Cow::Owned(value.replace('+', " "))
        } else {
            Cow::Borrowed(value)
        };
        let decoded = match bytes {
            Cow::Borrowed(text) => percent_decode_str(text).decode_utf8(),
            Cow::Owned(text) => percent_decode_str(&text)
                .decode_utf8()
                .map(|text| Cow::Owned(text.into_owned())),
        };
        match decoded {
            Ok(text) if !text.chars().any(char::is_control) => Ok(Some(text)),
            _ => Err(Refusal::bad_request(
                "a query value is UTF-8 without control characters",
            )),
        }
    }
}
