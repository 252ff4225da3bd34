//! From a request head to a session.

use std::{borrow::Cow, net::SocketAddr, rc::Rc, sync::Arc};

use parlor_hub::{JoinOptions, MemberKey, MessageId, Resume, RoomName, ShardId};
use parlor_proto::{
    signal::SUBPROTOCOL,
    websocket::{
        deflate::Agreement,
        handshake::{self, Answer},
    },
};

use super::{
    Session, Settings, Tools, Turn, Undecided,
    engineio::{self, mount_at, open_socket},
    enter::{BAD_ROOM, FULL, LOBBY, MALFORMED, Query, connect, join, resume, room_name, since},
    guest::Guest,
    opaque::Target,
    raw::Raw,
    signal::{Signal, Speech},
    sse::{Body, Stream, parse_places},
    tools::{RAW, SIGNAL},
};
use crate::{
    embed::{self, Caller, Connect, FailedHandshake, OnFailed, engineio::Ruling},
    front::Head,
    metrics,
    policy::{Policy, Provenance, Refusal, add_date, leave_out_body},
};

/// What became of a request for a door.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open, and its first bytes are in the reply.
    Session {
        session: Box<dyn Session>,
        /// The wire form that the member hears; `None` where each message is encoded for it alone.
        form: Option<u8>,
    },
    /// A member may go on over it; the first bytes are in the reply.
    Trial {
        owner: MemberKey,
        agreement: Option<Agreement>,
    },
    /// The embedder decides later.
    Undecided(Box<Undecided>),
    /// What it is about is another shard's: the connection goes there, as it came.
    Elsewhere(ShardId),
    /// It was refused: the reply holds the answer, after which the connection closes.
    Refused(metrics::Refused),
}

/// A path that a door stands at.
#[derive(Debug, Clone, Copy)]
enum Door<'a> {
    /// A room by WebSocket; the name is still percent-encoded.
    Room(&'a str),
    /// `parlor.v1`, with the room that stands where none is named.
    Signal(Option<&'a str>),
    /// A room's event stream.
    Stream(&'a str),
    /// The echo.
    Echo,
    /// An endpoint of the embedder's.
    Endpoint,
    /// Engine.IO; what is not about WebSocket goes by HTTP.
    Engine,
}

/// Whether a request is a door's to answer, refusals included. Doors win over everything else at
/// their paths; `/` is a page unless the request speaks of WebSocket.
pub(crate) fn claims(settings: &Settings, head: &Head<'_, '_>) -> bool {
    match door_at(settings, head) {
        // A preflight is answered with those of all routes.
        Some(Door::Stream(_)) => head.method != "OPTIONS",
        // Where no upgrade is asked for there may be a page at the same path.
        Some(Door::Endpoint | Door::Engine) => speaks_of_websocket(head),
        Some(Door::Room(_) | Door::Signal(_) | Door::Echo) => true,
        None => false,
    }
}

fn door_at<'a>(settings: &Settings, head: &Head<'_, 'a>) -> Option<Door<'a>> {
    if settings.endpoints.has(head.path()) {
        return Some(Door::Endpoint);
    }
    if mount_at(&settings.mounts, head.path()).is_some() {
        return Some(Door::Engine);
    }
    built_in_at(head).filter(|door| match door {
        Door::Room(_) => settings.doors.has(embed::Door::WebSocket),
        Door::Signal(_) => settings.doors.has(embed::Door::Signal),
        Door::Stream(_) => settings.doors.has(embed::Door::Sse),
        Door::Echo => settings.doors.has(embed::Door::Echo),
        Door::Endpoint | Door::Engine => true,
    })
}

fn built_in_at<'a>(head: &Head<'_, 'a>) -> Option<Door<'a>> {
    let path = head.path();
    let segment = |prefix: &str| {
        path.strip_prefix(prefix)
            .filter(|room| !room.is_empty() && !room.contains('/'))
    };
    match path {
        "/" => speaks_of_websocket(head).then_some(Door::Room(LOBBY)),
        "/ws" => Some(Door::Room(LOBBY)),
        "/signal" => Some(Door::Signal(None)),
        "/sse" => Some(Door::Stream(LOBBY)),
        "/echo" => Some(Door::Echo),
        _ => segment("/ws/")
            .map(Door::Room)
            .or_else(|| segment("/signal/").map(|room| Door::Signal(Some(room))))
            .or_else(|| segment("/sse/").map(Door::Stream)),
    }
}

fn speaks_of_websocket(head: &Head<'_, '_>) -> bool {
    head.values("sec-websocket-key").next().is_some() || names(head, "upgrade", b"websocket")
}

/// Whether a list-valued header names an item.
fn names(head: &Head<'_, '_>, header: &str, item: &[u8]) -> bool {
    head.values(header).any(|value| {
        value.split(|byte| *byte == b',').any(|part| {
            let part = part.split(|byte| *byte == b';').next().unwrap_or_default();
            part.trim_ascii().eq_ignore_ascii_case(item)
        })
    })
}

/// Opens the door that a head asks for: a session, or a refusal in the reply. `None` where no door
/// stands at its path. `ruling` is what the embedder has said, where that took a while.
pub(crate) fn open(
    head: &Head<'_, '_>,
    (policy, ruling): (&Policy, Option<Ruling>),
    peer: impl Fn() -> SocketAddr,
    turn: &mut Turn<'_>,
) -> Option<Opened> {
    let door = door_at(&turn.tools.settings, head)?;
    if matches!(door, Door::Engine) && !speaks_of_websocket(head) {
        return None;
    }
    Some(
        open_door(head, door, (policy, ruling), &peer, turn).unwrap_or_else(|mut refusal| {
            // A member that got as far as the hub is none.
            turn.hub.disconnect(turn.key, turn.effects);
            turn.reply.clear();
            let reason = refusal.reason();
            if let Some(failed) = &turn.tools.settings.failed {
                refusal = refusal.told(failed, head, &peer);
            }
            refusal.write(turn.reply);
            if head.method == "HEAD" {
                leave_out_body(turn.reply);
            }
            Opened::Refused(reason)
        }),
    )
}

/// A refusal by policy or by the handshake's rules.
#[derive(Debug)]
enum Refused {
    Policy(Refusal),
    Handshake(handshake::Refusal),
    Endpoint(embed::Refusal),
    Engine(engineio::Refused),
}

impl Refused {
    fn reason(&self) -> metrics::Refused {
        match self {
            Self::Policy(refusal) => metrics::Refused::of_door(refusal.status),
            Self::Handshake(_) | Self::Endpoint(_) => metrics::Refused::Handshake,
            Self::Engine(refused) => refused.reason(),
        }
    }

    /// Tells the embedder, who may have another answer.
    fn told(self, failed: &OnFailed, head: &Head<'_, '_>, peer: impl Fn() -> SocketAddr) -> Self {
        let (status, reason) = match &self {
            Self::Policy(refusal) => (refusal.status, refusal.text.to_owned()),
            Self::Handshake(refusal) => (refusal.status(), refusal.to_string()),
            Self::Endpoint(refusal) => (refusal.status(), refusal.reason().to_owned()),
            // Its answers are part of the protocol.
            Self::Engine(_) => return self,
        };
        let failure = FailedHandshake::new(request(head, peer()), status, &reason);
        failed.tell(&failure).map_or(self, Self::Endpoint)
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Policy(refusal) => out.extend_from_slice(&refusal.to_response()),
            Self::Handshake(refusal) => {
                refusal.respond(out);
                add_date(out);
            }
            Self::Endpoint(refusal) => refusal.write(out),
            Self::Engine(refused) => refused.write(out),
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
    door: Door<'_>,
    (policy, ruling): (&Policy, Option<Ruling>),
    peer: &impl Fn() -> SocketAddr,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    if let Door::Engine = door
        && let Some(mount) = mount_at(&turn.tools.settings.mounts, head.path()).cloned()
    {
        return open_socket(head, &mount, (policy, ruling), peer, turn).map_err(Refused::Engine);
    }
    let provenance = Provenance::of_head(head.headers);
    policy.check_host(&provenance)?;
    let origin = policy.check_origin(&provenance)?;
    let query = Query(head.query().unwrap_or_default());
    if let Door::Stream(room) = door {
        return open_stream(head, room, origin, turn);
    }
    let request = handshake::Request {
        method: head.method,
        minor_version: head.minor_version,
        headers: head
            .headers
            .iter()
            .map(|header| (header.name, header.value)),
    };
    let upgrade = handshake::validate(request).map_err(Refused::Handshake)?;
    let agreement = upgrade.deflate(&turn.tools.settings.deflate);
    if let Door::Endpoint = door {
        return open_endpoint(head, upgrade.protocols(), (agreement, peer()), turn);
    }
    let signal = upgrade.protocols().contains(&SUBPROTOCOL) && !matches!(door, Door::Echo);
    // A browser fails the connection unless one of the subprotocols that it offers is chosen.
    let protocol = if signal {
        Some(SUBPROTOCOL)
    } else {
        upgrade.protocols().first().copied()
    };
    let answer = Answer {
        protocol,
        deflate: agreement,
        headers: &[],
    };
    upgrade
        .respond(answer, turn.reply)
        .map_err(|_| Refusal::bad_request("the upgrade cannot be answered"))?;
    let opened = match door {
        Door::Echo => Opened::Session {
            session: Box::new(Raw::new(agreement, Target::Sender, turn)),
            form: Some(RAW),
        },
        Door::Signal(room) => open_signal(room, agreement, &query, turn)?,
        // A path that names no room has no default one, as at `/signal`.
        Door::Room(room) if signal => {
            let named = head.path().starts_with("/ws/").then_some(room);
            open_signal(named, agreement, &query, turn)?
        }
        Door::Room(room) => open_room(room, agreement, &query, turn)?,
        Door::Stream(_) | Door::Endpoint | Door::Engine => {
            Opened::Refused(metrics::Refused::Handshake)
        }
    };
    Ok(opened)
}

/// A `parlor.v1` member: in no room until it says so.
fn open_signal(
    room: Option<&str>,
    agreement: Option<Agreement>,
    query: &Query<'_>,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refusal> {
    let room = room.map(room_name).transpose()?;
    connect(query, turn)?;
    Ok(Opened::Session {
        session: Box::new(Signal::new(agreement, Speech::Json(room), turn)),
        form: Tools::form(SIGNAL, agreement),
    })
}

/// A raw member, which is in its room from the start.
fn open_room(
    room: &str,
    agreement: Option<Agreement>,
    query: &Query<'_>,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refusal> {
    let room = room_name(room)?;
    let echo = matches!(query.get("echo")?.as_deref(), Some("1" | "true"));
    let target = if echo { Target::Room } else { Target::Others };
    let mut options = JoinOptions {
        resume: resume(query)?,
        ..JoinOptions::default()
    };
    let envelopes = query.get("events")?.as_deref() == Some("all");
    connect(query, turn)?;
    if envelopes {
        let mut session = Signal::new(agreement, Speech::Raw(target), turn);
        options.token = Some(session.expect_join(&room, options.resume.is_some()));
        options.roster = true;
        join(&room, options, turn)?;
        let form = Tools::form(SIGNAL, agreement);
        return Ok(Opened::Session {
            session: Box::new(session),
            form,
        });
    }
    let mut session = Raw::new(agreement, target, turn);
    if options.resume.is_some() {
        session = session.answer_when_joined(std::mem::take(turn.reply));
    }
    join(&room, options, turn)?;
    Ok(Opened::Session {
        session: Box::new(session),
        form: Tools::form(RAW, agreement),
    })
}

/// A request as embedders see it.
fn request(head: &Head<'_, '_>, peer: SocketAddr) -> embed::Head {
    let fields = head
        .headers
        .iter()
        .map(|header| (header.name, header.value));
    embed::Head::new(head.method, head.target, fields, peer)
}

/// A member whose handler is asked whether it may come in.
fn open_endpoint(
    head: &Head<'_, '_>,
    protocols: &[&str],
    (agreement, peer): (Option<Agreement>, SocketAddr),
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    let settings = &turn.tools.settings;
    let found = settings.endpoints.find(head.path());
    let (serve, params) = found.map_err(Refused::Endpoint)?;
    let (serve, link) = (Arc::clone(serve), Arc::clone(&settings.link));
    let secret = turn.tools.member_secret().map_err(|_| FULL)?;
    let id = turn.hub.connect(turn.key, secret, None).map_err(|_| FULL)?;
    let member = embed::Member::new(link, turn.tools.shard, turn.key, id, peer);
    let request = request(head, peer)
        .with_params(params)
        .with_protocols(protocols);
    let caller = Caller::new(&*serve, Connect::new(request, member));
    Ok(Opened::Session {
        session: Box::new(Guest::new(agreement, Rc::new(caller), turn)),
        form: Tools::form(RAW, agreement),
    })
}

fn open_stream(
    head: &Head<'_, '_>,
    path_room: &str,
    origin: Option<&[u8]>,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    if head.method != "GET" {
        return Err(NO_METHOD.into());
    }
    let query = Query(head.query().unwrap_or_default());
    let rooms = stream_rooms(head.path(), path_room, &query)?;
    let resumes = stream_resumes(head, &query, rooms.len())?;
    let padding = query
        .get("padding")?
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(0);
    connect(&query, turn)?;
    let gzip = turn.tools.settings.sse_gzip && accepts_gzip(head);
    let body = match head.minor_version {
        0 => Body::Plain,
        _ if gzip => Body::Gzip,
        _ => Body::Chunked,
    };
    let uplink = turn
        .tools
        .secret()
        .map_err(|_| Refusal::new(503, "no randomness"))?;
    let mut stream = Stream::new(uplink, body, turn);
    stream.begin(
        origin,
        usize::min(padding, PADDING_BYTES_MAX),
        turn.tools,
        turn.reply,
    );
    for (room, resume) in rooms.iter().zip(&resumes) {
        let resume = *resume;
        join(
            room,
            JoinOptions {
                resume,
                ..JoinOptions::default()
            },
            turn,
        )?;
    }
    let several = rooms.len() > 1;
    if several {
        stream = stream.of_places(
            rooms
                .into_iter()
                .zip(resumes.iter().map(last_heard))
                .collect(),
        );
    }
    let form = body.form().filter(|_| !several);
    Ok(Opened::Session {
        session: Box::new(stream),
        form,
    })
}

/// Whether the client takes gzip: named, and not with a weight of 0 (RFC 9110, section 12.5.3).
fn accepts_gzip(head: &Head<'_, '_>) -> bool {
    let mut codings = head
        .values("accept-encoding")
        .flat_map(|value| value.split(|byte| *byte == b','));
    codings.any(|coding| {
        let mut parts = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"));
        let mut weights = parts.filter_map(|part| {
            part.strip_prefix(b"q=")
                .or_else(|| part.strip_prefix(b"Q="))
        });
        let refused = |weight: &[u8]| weight.iter().all(|byte| matches!(byte, b'0' | b'.'));
        named && !weights.any(refused)
    })
}

/// The rooms of a stream: that of the path, or at `/sse` those of the query, each once.
fn stream_rooms(path: &str, room: &str, query: &Query<'_>) -> Result<Vec<RoomName>, Refusal> {
    let mut rooms: Vec<RoomName> = Vec::new();
    if path == "/sse" {
        for room in query.all("room") {
            let room = RoomName::new(&room?).map_err(|_| BAD_ROOM)?;
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
    }
    match rooms.len() {
        0 => Ok(vec![room_name(room)?]),
        1..=ROOMS_PER_STREAM_MAX => Ok(rooms),
        _ => Err(Refusal::bad_request("a stream has at most 16 rooms")),
    }
}

/// What a stream is to replay of each room. Browsers send the id of the last event as UTF-8 bytes;
/// one that is none of ours is a gap, not an error.
fn stream_resumes(
    head: &Head<'_, '_>,
    query: &Query<'_>,
    rooms: usize,
) -> Result<Vec<Option<Resume>>, Refusal> {
    let header = head
        .values("last-event-id")
        .last()
        .filter(|last| !last.is_empty());
    let since = match header {
        Some(last) => Some(Cow::Borrowed(str::from_utf8(last).unwrap_or(MALFORMED))),
        None => since(query),
    };
    match since {
        Some(since) => {
            let ids = parse_places(since.trim(), rooms).into_iter();
            Ok(ids.map(|id| id.map(Resume::Since)).collect())
        }
        None => Ok(vec![resume(query)?; rooms]),
    }
}

/// The last message that a returning client has heard.
fn last_heard(resume: &Option<Resume>) -> Option<MessageId> {
    match resume {
        Some(Resume::Since(id)) => Some(*id),
        Some(Resume::Last(_)) | None => None,
    }
}

/// A stream can only be read.
const NO_METHOD: Refusal = Refusal {
    status: 405,
    text: "method not allowed",
    headers: &[("allow", "GET, OPTIONS")],
};
/// The most rooms of one stream.
const ROOMS_PER_STREAM_MAX: usize = 16;
/// The most bytes of padding that a client may ask for.
const PADDING_BYTES_MAX: usize = 8192;
