//! From a request for a WebSocket to a session.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{self, Poll, Waker},
};

use http::{HeaderMap, HeaderValue, header};
use parlor_hub::{MemberKey, ShardId};
use parlor_proto::{
    engineio::{self, Admission, ErrorCode, Method, Query, Request, Upgrade, Version, admit},
    websocket::{
        deflate::Agreement,
        handshake::{self, Answer},
    },
};

use super::{
    super::{Session, Turn, open::Opened},
    Application, Denied, Mount, Opening,
    gate::{Kept, LATE, Undecided, admitted},
    ids::Claim,
    request::{self, New, denial, respond},
    session::Engine,
    sid::Sid,
};
use crate::{
    embed::{
        self,
        engineio::{Case, Context, Ruling},
    },
    front::Head,
    metrics,
    policy::{Policy, Provenance, Refusal},
};

/// Why a WebSocket is not opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// By the rules of Engine.IO, or by the embedder.
    Denied(Denied),
    /// By the rules of the handshake.
    Handshake(handshake::Refusal),
    /// By policy.
    Policy(Refusal),
    /// The embedder has not decided in time.
    Late,
}

impl Refused {
    pub(crate) fn reason(&self) -> metrics::Refused {
        match self {
            Self::Denied(denied) => reason_of(denied),
            Self::Handshake(_) => metrics::Refused::Handshake,
            Self::Policy(refusal) => metrics::Refused::of_door(refusal.status),
            Self::Late => metrics::Refused::Late,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let denied = match self {
            Self::Denied(denied) => denied,
            Self::Handshake(refusal) => return refusal.respond(out),
            Self::Policy(refusal) => return out.extend_from_slice(&refusal.to_response()),
            Self::Late => return out.extend_from_slice(&LATE.to_response()),
        };
        let (status, text) = (denied.code.status(), denied.message());
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

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// What a new session is called.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) sid: Sid,
    /// As its client shows it.
    pub(super) text: String,
    /// Where an embedder has made that.
    pub(super) claim: Option<Claim>,
}

/// As what a refusal is counted.
fn reason_of(denied: &Denied) -> metrics::Refused {
    match (denied.code, &denied.context) {
        (ErrorCode::Forbidden, Context::Forbidden(Some(_))) => metrics::Refused::Handler,
        (ErrorCode::Forbidden, _) => metrics::Refused::Origin,
        _ => metrics::Refused::Handshake,
    }
}

/// Opens a WebSocket: for a new session, or for one that is to go on there. Where the embedder
/// decides about that, `ruling` is what it has said; without one it is asked.
pub(in crate::door) fn open_socket(
    head: &Head<'_, '_>,
    mount: &Arc<Mount>,
    (policy, ruling): (&Policy, Option<Ruling>),
    peer: impl Fn() -> SocketAddr,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    let opened = open_or_refuse(head, mount, (policy, ruling), &peer, turn);
    if mount.hooks.hears_errors() {
        let denied = match &opened {
            Err(Refused::Denied(denied)) => Some((denied.code, denied.context.clone())),
            Err(Refused::Handshake(_)) => {
                let denied = Denied::handshake();
                Some((denied.code, denied.context))
            }
            Err(Refused::Policy(_) | Refused::Late) | Ok(_) => None,
        };
        if let Some((code, context)) = denied {
            mount.hooks.tell(request_of(head, peer()), code, context);
        }
    }
    opened
}

fn open_or_refuse(
    head: &Head<'_, '_>,
    mount: &Arc<Mount>,
    (policy, ruling): (&Policy, Option<Ruling>),
    peer: &impl Fn() -> SocketAddr,
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
    if let Some(shard) = elsewhere(&query, mount, turn) {
        return Ok(Opened::Elsewhere(shard));
    }
    let sessions = &turn.tools.sessions;
    let known = |sid: &str| sessions.known(sid, mount);
    let denied = |code| Denied::of(code, &request, query.sid().and_then(known));
    let admission = admit(&request, &mount.options, known).map_err(denied)?;
    let origin = mount.asked_origin(policy, &provenance);
    if origin.is_none() && !mount.admits(policy, &provenance) {
        return Err(Denied::origin().into());
    }
    let request = || request_of(head, peer());
    let ruling = ruling.map_or_else(|| ask(head, mount, (origin, &admission), request), Ok);
    let id = match ruling {
        Ok(ruling) => admitted(ruling)?,
        Err(undecided) => return Ok(Opened::Undecided(undecided)),
    };
    let opening = match admission {
        Admission::Open(opening) => opening,
        Admission::Upgrade { sid } => {
            let key = sessions.key(sid, mount).ok_or(ErrorCode::UnknownSid);
            let key = key.map_err(denied)?;
            return try_socket((head, peer), mount, key, turn);
        }
        Admission::Poll { .. } | Admission::Post { .. } => return Err(Denied::handshake().into()),
    };
    let version = opening.version().map_err(|_| Denied::revision(&query))?;
    let upgrade = handshake::validate(handshake_of(head)).map_err(Refused::Handshake)?;
    let agreement = upgrade.deflate(&mount.deflate);
    let name = name_session(mount, id, turn)?;
    let opening = Opening {
        sid: &name.text,
        version,
        transport: opening.transport(),
        target: head.target,
        headers: head.headers,
        peer,
    };
    let application = mount.applications.open(&opening, turn);
    let application = application.map_err(|_| Denied::forbidden())?;
    let cookie = mount.cookie_of(&name.text);
    let headers = added(mount, request, (&provenance, true), cookie);
    answer(&upgrade, agreement, &headers, turn)?;
    let session = Engine::websocket(mount, (name, version), agreement, application, turn);
    Ok(Opened::Session {
        form: session.shared_form(),
        session: Box::new(session),
    })
}

/// Asks the embedder about a request, from this origin if that is a question. What it says at once
/// needs no wait.
fn ask(
    head: &Head<'_, '_>,
    mount: &Mount,
    (origin, admission): (Option<&str>, &Admission<'_>),
    request: impl Fn() -> embed::Head,
) -> Result<Ruling, Box<Undecided>> {
    let opening = match admission {
        Admission::Open(opening) => Some(opening).filter(|_| mount.hooks.judges_openings()),
        Admission::Upgrade { .. } | Admission::Poll { .. } | Admission::Post { .. } => None,
    };
    if origin.is_none() && opening.is_none() {
        return Ok(Ruling::Admit(None));
    }
    let is_upgrade = || handshake::validate(handshake_of(head)).is_ok();
    let case = Case {
        opens: opening.map(|_| Arc::new(request())),
        origin: origin.map(str::to_owned),
        needs_id: opening.is_some_and(|opening| opening.version().is_ok() && is_upgrade()),
    };
    let Some(mut judging) = mount.hooks.judge(case) else {
        return Ok(Ruling::Admit(None));
    };
    let mut cx = task::Context::from_waker(Waker::noop());
    match judging.as_mut().poll(&mut cx) {
        Poll::Ready(ruling) => Ok(ruling),
        Poll::Pending => Err(Box::new(Undecided {
            judging,
            request: Kept::new(head, request().peer),
        })),
    }
}

/// Names a new session: as the embedder has called it, else by an id that is drawn.
fn name_session(
    mount: &Arc<Mount>,
    made: Option<String>,
    turn: &mut Turn<'_>,
) -> Result<Name, Denied> {
    let random = turn.tools.secret().map_err(Denied::without_id)?;
    let sid = Sid::new(turn.tools.shard, random);
    if mount.ids.is_none() {
        let text = sid.to_text();
        let claim = None;
        return Ok(Name { sid, text, claim });
    }
    let text = made.ok_or(NO_ID).map_err(Denied::without_id)?;
    let claim = Claim::new(mount, &text, sid).map_err(Denied::without_id)?;
    let claim = Some(claim);
    Ok(Name { sid, text, claim })
}

/// The headers of the answer to a handshake, besides its own.
fn added(
    mount: &Mount,
    request: impl FnOnce() -> embed::Head,
    (provenance, is_initial): (&Provenance<'_>, bool),
    cookie: Option<String>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(cors) = &mount.cors {
        headers.extend(cors.of_handshake(provenance));
    }
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    if mount.hooks.adds_headers() {
        headers.extend(mount.hooks.headers(&request(), is_initial));
    }
    headers
}

/// Answers a handshake. Headers of the embedder that cannot stand there are left out.
fn answer(
    upgrade: &handshake::Upgrade<'_>,
    agreement: Option<Agreement>,
    headers: &HeaderMap,
    turn: &mut Turn<'_>,
) -> Result<(), Denied> {
    let fields = headers.iter();
    let fields = fields.filter_map(|(name, value)| {
        let name = match name == header::SET_COOKIE {
            // As it is mostly written.
            true => "Set-Cookie",
            false => name.as_str(),
        };
        Some((name, value.to_str().ok()?))
    });
    let fits = |(name, value): &(&str, &str)| {
        let checked = handshake::check_header(name, value);
        if let Err(error) = &checked {
            tracing::error!(name, %error, "a header cannot be sent");
        }
        checked.is_ok()
    };
    let fields: Vec<(&str, &str)> = fields.filter(fits).collect();
    let answer = Answer {
        protocol: upgrade.protocols().first().copied(),
        deflate: agreement,
        headers: &fields,
    };
    let answered = upgrade.respond(answer, turn.reply);
    answered.map_err(|_| Denied::handshake())
}

/// A request as embedders see it.
fn request_of(head: &Head<'_, '_>, peer: SocketAddr) -> embed::Head {
    let fields = head.headers.iter();
    let fields = fields.map(|header| (header.name, header.value));
    embed::Head::new(head.method, head.target, fields, peer)
}

/// The shard that has the session which a request names, where it is another one.
fn elsewhere(query: &Query<'_>, mount: &Mount, turn: &Turn<'_>) -> Option<ShardId> {
    let shard = mount.sid_of(query.sid()?)?.shard();
    (shard != turn.tools.shard && shard.0 < turn.tools.settings.shards).then_some(shard)
}

/// A WebSocket that a session may go on over. Where it may not the session says so, behind the
/// handshake.
fn try_socket(
    (head, peer): (&Head<'_, '_>, &impl Fn() -> SocketAddr),
    mount: &Mount,
    owner: MemberKey,
    turn: &mut Turn<'_>,
) -> Result<Opened, Refused> {
    let upgrade = handshake::validate(handshake_of(head)).map_err(Refused::Handshake)?;
    let agreement = upgrade.deflate(&mount.deflate);
    let provenance = Provenance::of_head(head.headers);
    let request = || request_of(head, peer());
    let headers = added(mount, request, (&provenance, false), None);
    answer(&upgrade, agreement, &headers, turn)?;
    Ok(Opened::Trial { owner, agreement })
}

/// Opens a session over polling; one that is refused is answered.
///
/// # Errors
///
/// As what the refusal is counted.
pub(crate) fn open_polling(
    new: New,
    turn: &mut Turn<'_>,
) -> Result<Box<dyn Session>, metrics::Refused> {
    let New {
        mount,
        opening,
        mut request,
        answer,
    } = new;
    let ruling = request.ruling.take();
    let opened = open_application(&mount, opening, (&request, ruling), turn);
    match opened {
        Ok((named, application)) => {
            let get = (request.id, opening.form(), answer);
            let session = Engine::polling(&mount, named, get, application, turn);
            Ok(Box::new(session))
        }
        Err(denied) => {
            let reason = reason_of(&denied);
            respond(answer, denial(denied));
            Err(reason)
        }
    }
}

/// What a new session is called and speaks, and what runs over it.
type Named = ((Name, Version), Box<dyn Application>);

fn open_application(
    mount: &Arc<Mount>,
    opening: engineio::Opening,
    (ask, ruling): (&request::Request, Option<Ruling>),
    turn: &mut Turn<'_>,
) -> Result<Named, Denied> {
    let id = match ruling {
        Some(Ruling::Admit(id)) => id,
        Some(Ruling::Forbid(reason)) => return Err(Denied::by_embedder(reason)),
        Some(Ruling::NoId(error)) => return Err(Denied::without_id(error)),
        None if !mount.hooks.judges_openings() => None,
        // Whoever has read the request has answered it then.
        None | Some(_) => return Err(Denied::forbidden()),
    };
    let version = opening.version().map_err(|_| {
        let query = ask.target.split_once('?').map_or("", |(_, query)| query);
        Denied::revision(&Query::parse(query))
    })?;
    let name = name_session(mount, id, turn)?;
    let fields = ask.headers.iter();
    let headers: Vec<httparse::Header<'_>> = fields
        .map(|(name, value)| httparse::Header { name, value })
        .collect();
    let opening = Opening {
        sid: &name.text,
        version,
        transport: opening.transport(),
        target: &ask.target,
        headers: &headers,
        peer: &|| ask.peer,
    };
    let application = mount.applications.open(&opening, turn);
    let application = application.map_err(|_| Denied::forbidden())?;
    Ok(((name, version), application))
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

/// The embedder was not asked for the id that it makes.
const NO_ID: &str = "none was made";
