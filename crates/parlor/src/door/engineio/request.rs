//! What comes by plain requests: long-polling, and the answers to it.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use parlor_hub::MemberKey;
use parlor_proto::engineio::{
    self, Admission, Content, ErrorCode, Form, Method, Opening, Query, Response, Upgrade, admit,
};
use tokio::sync::oneshot;

use super::{super::Tools, Denied, Mount, registry::Registry, sid::Sid};
use crate::embed::engineio::Ruling;

/// A request on its way to the shard that has its session.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// A request that is no WebSocket's.
#[derive(Debug)]
pub(crate) struct Request {
    /// Where it came in: the place of the mount among all.
    pub(crate) mount: usize,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// Header fields; only where the request may open a session.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) content_type: Option<Vec<u8>>,
    pub(crate) peer: SocketAddr,
    /// Whether the policy lets the page behind it in.
    pub(crate) allowed: bool,
    /// Its number, by which it is known until it is answered.
    pub(crate) id: u64,
    /// What is known of the body already.
    pub(crate) body: Option<Body>,
    /// What the embedder says of it, where it is asked.
    pub(crate) ruling: Option<Ruling>,
}

impl Request {
    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let body = self.body.as_ref().map_or(0, Body::len);
        size_of::<Self>() + self.target.len() + fields.sum::<usize>() + body
    }
}

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    /// It is over the limit, and was not read.
    TooLarge,
    /// Its client has gone before its end.
    Cut,
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::TooLarge | Self::Cut => 0,
        }
    }
}

impl Follow {
    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Body { body, .. } => size_of::<Self>() + body.len(),
            Self::Gone(_) | Self::Cut => size_of::<Self>(),
        }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    /// The body is wanted: [`Follow::Body`].
    SendBody,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Whether it is worth compressing.
    pub(crate) compress: bool,
    /// The id of a session that is told in a cookie.
    pub(crate) cookie: Option<String>,
    /// Where it refuses a request that has not reached a session: why.
    pub(crate) denied: Option<Box<Denied>>,
}

/// What comes later of a request that was asked.
#[derive(Debug)]
pub(crate) enum Follow {
    /// The body of a POST.
    Body {
        body: Body,
        answer: oneshot::Sender<Answer>,
    },
    /// The client of a GET has gone.
    Gone(u64),
    /// The client of a POST has gone before its body was asked for.
    Cut,
}

/// What a session is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A GET.
    Poll {
        id: u64,
        form: Form,
        answer: oneshot::Sender<Answer>,
    },
    /// A POST, perhaps with its body.
    Post {
        content: Content,
        body: Option<Body>,
        answer: oneshot::Sender<Answer>,
    },
    /// The body of a POST that was asked before.
    Body {
        body: Body,
        answer: oneshot::Sender<Answer>,
    },
    /// The client of a GET has gone.
    Gone(u64),
    /// The client of a POST has gone.
    Cut,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Route {
    /// To a new session, which is not made yet.
    New(New),
    /// To a session that there is.
    Member(MemberKey, Asked),
}

/// A request for a new session over polling.
#[derive(Debug)]
pub(crate) struct New {
    pub(super) mount: Arc<Mount>,
    pub(super) opening: Opening,
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl New {
    /// Where it comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.request.peer
    }

    /// Refuses it.
    pub(crate) fn refuse(self) {
        respond(self.answer, denial(Denied::forbidden()));
    }
}

impl Reply {
    /// A GET's answer.
    pub(super) fn of_poll(response: Response) -> Self {
        Self {
            status: 200,
            content_type: response.content_type,
            body: response.body.into(),
            compress: response.compress,
            cookie: None,
            denied: None,
        }
    }

    /// A POST's answer.
    pub(super) fn ok() -> Self {
        Self {
            status: 200,
            content_type: "text/html",
            body: Bytes::from_static(b"ok"),
            compress: false,
            cookie: None,
            denied: None,
        }
    }

    fn because(mut self, denied: Denied) -> Self {
        self.denied = Some(Box::new(denied));
        self
    }

    /// Nothing is in it, so that clients show the status and nothing else: some compare.
    pub(super) fn too_large() -> Self {
        Self {
            status: 413,
            content_type: "text/plain; charset=utf-8",
            body: Bytes::new(),
            compress: false,
            cookie: None,
            denied: None,
        }
    }
}

/// The answer to a request that is refused.
pub(crate) fn refusal(code: ErrorCode) -> Reply {
    Reply {
        status: code.status(),
        content_type: "application/json",
        body: Bytes::from_static(code.json().as_bytes()),
        compress: false,
        cookie: None,
        denied: None,
    }
}

/// The answer to a request that does not reach a session.
pub(super) fn denial(denied: Denied) -> Reply {
    Reply {
        body: denied.json(),
        ..refusal(denied.code)
    }
    .because(denied)
}

/// The answer where a session has forgotten its requests.
pub(crate) fn unknown() -> Reply {
    refusal(ErrorCode::UnknownSid)
}

/// Answers, if somebody still waits for it.
pub(super) fn respond(to: oneshot::Sender<Answer>, reply: Reply) {
    // Whoever asked may have gone, which a GET tells by itself.
    let _ = to.send(Answer::Reply(reply));
}

/// Whether a request names no session, and so may open one.
pub(crate) fn may_open(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    Query::parse(query).sid().is_none()
}

/// Finds out what a request is for; one that is for nothing is answered.
pub(crate) fn route(ask: Ask, tools: &Tools) -> Option<Route> {
    let Ask {
        request: ask,
        answer,
    } = ask;
    let mount = Arc::clone(tools.settings.mounts.get(ask.mount)?);
    let target = ask.target.clone();
    let query = Query::parse(target.split_once('?').map_or("", |(_, query)| query));
    let request = engineio::Request {
        method: ask.method,
        upgrade: Upgrade::Plain,
        query: &query,
    };
    let sessions: &Registry = &tools.sessions;
    let admitted = admit(&request, &mount.options, |sid| sessions.known(sid, &mount));
    // The application's own refusal comes behind the checks of the request, and so does that of
    // the policy; but nothing may be done to a session by a page that may not come in.
    let admitted = admitted.and_then(|admission| match ask.allowed {
        true => Ok(admission),
        false => Err(ErrorCode::Forbidden),
    });
    let (key, form) = match admitted {
        Ok(Admission::Open(opening)) => {
            let new = New {
                mount,
                opening,
                request: ask,
                answer,
            };
            return Some(Route::New(new));
        }
        Ok(Admission::Poll { sid, form } | Admission::Post { sid, form }) => {
            (sessions.key(sid, &mount), form)
        }
        Ok(Admission::Upgrade { .. }) => (None, Form::default()),
        Err(code) => {
            let known = query.sid().and_then(|sid| sessions.known(sid, &mount));
            respond(answer, denial(Denied::of(code, &request, known)));
            return None;
        }
    };
    let Some(key) = key else {
        respond(answer, refusal(ErrorCode::BadRequest));
        return None;
    };
    let asked = match ask.method {
        Method::Post => Asked::Post {
            content: form.content(ask.content_type.as_deref()),
            body: ask.body,
            answer,
        },
        Method::Get | Method::Other => Asked::Poll {
            id: ask.id,
            form,
            answer,
        },
    };
    Some(Route::Member(key, asked))
}

/// Finds the session of a request that was asked before.
pub(crate) fn follow(sid: Sid, follow: Follow, tools: &Tools) -> Option<(MemberKey, Asked)> {
    let key = tools.sessions.key_of(sid);
    let asked = match follow {
        Follow::Gone(id) => Asked::Gone(id),
        Follow::Cut => Asked::Cut,
        Follow::Body { body, answer } if key.is_some() => Asked::Body { body, answer },
        Follow::Body { body, answer } => {
            let reply = match body {
                Body::TooLarge => Reply::too_large(),
                Body::Whole(_) | Body::Cut => refusal(ErrorCode::UnknownSid),
            };
            respond(answer, reply);
            return None;
        }
    };
    Some((key?, asked))
}
