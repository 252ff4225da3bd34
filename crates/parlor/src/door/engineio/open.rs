//! From a request for a WebSocket to a session.

use std::{net::SocketAddr, sync::Arc};

use parlor_hub::{MemberKey, ShardId};
use parlor_proto::{
    engineio::{self, Admission, ErrorCode, Method, Query, Request, Upgrade, Version, admit},
    websocket::handshake::{self, Answer},
};

use super::{
    super::{Session, Turn, open::Opened},
    Application, Mount, Opening,
    request::{self, New, refusal, respond},
    session::Engine,
    sid::Sid,
};
use crate::{
    front::Head,
    metrics,
    policy::{Cors, Policy, Provenance, Refusal},
};

/// Why a WebSocket is not opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// By the rules of Engine.IO: the code's text, as the reference answers.
    Code(ErrorCode),
    /// By the rules of the handshake.
    Handshake(handshake::Refusal),
    /// By policy.
    Policy(Refusal),
}

impl Refused {
    pub(crate) fn reason(&self) -> metrics::Refused {
        match self {
            Self::Code(ErrorCode::Forbidden) => metrics::Refused::Origin,
            Self::Code(_) | Self::Handshake(_) => metrics::Refused::Handshake,
            Self::Policy(refusal) => metrics::Refused::of_door(refusal.status),
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let code = match self {
            Self::Code(code) => code,
            Self::Handshake(refusal) => return refusal.respond(out),
            Self::Policy(refusal) => return out.extend_from_slice(&refusal.to_response()),
        };
        let (status, text) = (code.status(), code.message());
        let reason = match status {
            403 => "Forbidden",
            _ => "Bad Request",
        };
        let len = text.len();
        let response = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {len}\r\n\
             Connection: close\r\n\r\n{text}"
        );
        out.extend_from_slice(response.as_bytes());
    }
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

/// Opens a WebSocket: for a new session, or for one that is to go on there.
pub(in crate::door) fn open_socket(
    head: &Head<'_, '_>,
    mount: &Arc<Mount>,
    policy: &Policy,
    peer: impl Fn() -> SocketAddr,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    let provenance = Provenance::of_head(head.headers);
    policy.check_host(&provenance).map_err(Refused::Policy)?;
    let query = Query::parse(head.query().unwrap_or_default());
    let request = Request {
        method: method(head.method),
        upgrade: Upgrade::WebSocket,
        query: &query,
    };
    if let Some(shard) = elsewhere(&query, turn) {
        return Ok(Opened::Elsewhere(shard));
    }
    let sessions = &turn.tools.sessions;
    let admission = admit(&request, &mount.options, |sid| sessions.known(sid, mount))?;
    let admits = |cors: &Arc<Cors>| cors.admits(&provenance);
    let allowed = mount.cors.as_ref().is_some_and(admits);
    if !allowed && policy.check_origin(&provenance).is_err() {
        return Err(ErrorCode::Forbidden.into());
    }
    let opening = match admission {
        Admission::Open(opening) => opening,
        Admission::Upgrade { sid } => {
            let key = sessions.key(sid);
            return try_socket(head, mount, key, turn);
        }
        Admission::Poll { .. } | Admission::Post { .. } => {
            return Err(ErrorCode::BadRequest.into());
        }
    };
    let version = opening.version()?;
    let upgrade = handshake::validate(handshake_of(head)).map_err(Refused::Handshake)?;
    let agreement = upgrade.deflate(&mount.deflate);
    let random = turn
        .tools
        .secret()
        .map_err(|_| Refused::Policy(NO_RANDOMNESS))?;
    let sid = Sid::new(turn.tools.shard, random);
    let opening = Opening {
        sid: &sid.to_text(),
        version,
        transport: opening.transport(),
        target: head.target,
        headers: head.headers,
        peer: &peer,
    };
    let application = mount.applications.open(&opening, turn);
    let application = application.map_err(|_| ErrorCode::Forbidden)?;
    let cookie = mount.cookie_of(&sid.to_text());
    let headers = cookie.as_deref().map(|cookie| ("Set-Cookie", cookie));
    let answer = Answer {
        protocol: upgrade.protocols().first().copied(),
        deflate: agreement,
        headers: headers.as_slice(),
    };
    let answered = upgrade.respond(answer, turn.reply);
    answered.map_err(|_| ErrorCode::BadRequest)?;
    let session = Engine::websocket(mount, (sid, version), agreement, application, turn);
    Ok(Opened::Session {
        form: session.shared_form(),
        session: Box::new(session),
    })
}

/// The shard that has the session which a request names, where it is another one.
fn elsewhere(query: &Query<'_>, turn: &Turn<'_>) -> Option<ShardId> {
    let shard = Sid::parse(query.sid()?)?.shard();
    (shard != turn.tools.shard && shard.0 < turn.tools.settings.shards).then_some(shard)
}

/// A WebSocket that a session may go on over. Where it may not the session says so, behind the
/// handshake.
fn try_socket(
    head: &Head<'_, '_>,
    mount: &Arc<Mount>,
    owner: Option<MemberKey>,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    let owner = owner.ok_or(ErrorCode::UnknownSid)?;
    let upgrade = handshake::validate(handshake_of(head)).map_err(Refused::Handshake)?;
    let agreement = upgrade.deflate(&mount.deflate);
    let answer = Answer {
        protocol: upgrade.protocols().first().copied(),
        deflate: agreement,
        headers: &[],
    };
    let answered = upgrade.respond(answer, turn.reply);
    answered.map_err(|_| ErrorCode::BadRequest)?;
    Ok(Opened::Trial { owner, agreement })
}

/// Opens a session over polling; one that is refused is answered, and is none.
pub(crate) fn open_polling(new: New, turn: &mut Turn<'_>) -> Option<Box<dyn Session>> {
    let New {
        mount,
        opening,
        request,
        answer,
    } = new;
    let opened = open_application(&mount, opening, &request, turn);
    match opened {
        Ok((named, application)) => {
            let get = (request.id, opening.form(), answer);
            let session = Engine::polling(&mount, named, get, application, turn);
            Some(Box::new(session))
        }
        Err(code) => {
            respond(answer, refusal(code));
            None
        }
    }
}

/// What a new session is called and speaks, and what runs over it.
type Named = ((Sid, Version), Box<dyn Application>);

fn open_application(
    mount: &Mount,
    opening: engineio::Opening,
    ask: &request::Request,
    turn: &mut Turn<'_>,
) -> Result<Named, ErrorCode> {
    let version = opening.version()?;
    let random = turn.tools.secret().map_err(|_| ErrorCode::Forbidden)?;
    let sid = Sid::new(turn.tools.shard, random);
    let headers: Vec<httparse::Header<'_>> = ask
        .headers
        .iter()
        .map(|(name, value)| httparse::Header { name, value })
        .collect();
    let opening = Opening {
        sid: &sid.to_text(),
        version,
        transport: opening.transport(),
        target: &ask.target,
        headers: &headers,
        peer: &|| ask.peer,
    };
    let application = mount.applications.open(&opening, turn);
    let application = application.map_err(|_| ErrorCode::Forbidden)?;
    Ok(((sid, version), application))
}

fn handshake_of<'a>(
    head: &Head<'_, 'a>,
) -> handshake::Request<'a, impl Iterator<Item = (&'a str, &'a [u8])>> {
    handshake::Request {
        method: head.method,
        minor_version: head.minor_version,
        headers: head
            .headers
            .iter()
            .map(|header| (header.name, header.value)),
    }
}

/// The method as far as it matters.
pub(super) fn method(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => Method::Other,
    }
}

const NO_RANDOMNESS: Refusal = Refusal::new(503, "no randomness");
