//! What the embedder decides about requests, which may take its time.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::request::Parts;
use parlor_proto::engineio::{Admission, Query, Request, Upgrade, admit};

use super::{Denied, Mount, head_of, may_open, open, open::Refused};
use crate::{
    embed::engineio::{Case, Judging, Ruling},
    front::{Framing, Head},
    policy::{Policy, Provenance, Refusal},
};

/// A request for a WebSocket that the embedder has not decided about.
pub(crate) struct Undecided {
    /// What decides.
    pub(crate) judging: Judging,
    /// The request, to be looked at again.
    pub(crate) request: Kept,
}

/// A request that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    method: Box<str>,
    target: Box<str>,
    minor_version: u8,
    headers: Vec<(Box<str>, Box<[u8]>)>,
    pub(crate) peer: SocketAddr,
}

impl fmt::Debug for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undecided").finish_non_exhaustive()
    }
}

impl Kept {
    pub(super) fn new(head: &Head<'_, '_>, peer: SocketAddr) -> Self {
        let fields = head.headers.iter();
        Self {
            method: head.method.into(),
            target: head.target.into(),
            minor_version: head.minor_version,
            headers: fields
                .map(|field| (field.name.into(), field.value.into()))
                .collect(),
            peer,
        }
    }

    /// Looks at it as it came.
    pub(crate) fn with_head<T>(&self, look: impl FnOnce(&Head<'_, '_>) -> T) -> T {
        let fields = self.headers.iter();
        let headers: Vec<httparse::Header<'_>> = fields
            .map(|(name, value)| httparse::Header { name, value })
            .collect();
        look(&Head {
            method: &self.method,
            target: &self.target,
            minor_version: self.minor_version,
            headers: &headers,
            used: 0,
            framing: Framing::None,
        })
    }
}

impl Mount {
    /// Asks the embedder about a plain request that may open a session. `None` where there is
    /// nothing to ask: nobody wants to know, or it opens none whatever is said.
    pub(crate) fn judge(&self, parts: &Parts, peer: SocketAddr) -> Option<Judging> {
        if !self.hooks.judges_openings() {
            return None;
        }
        let target = parts.uri.path_and_query()?.as_str();
        if !may_open(target) {
            return None;
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let request = Request {
            method: open::method(parts.method.as_str()),
            upgrade: Upgrade::Plain,
            query: &query,
        };
        let Ok(Admission::Open(opening)) = admit(&request, &self.options, |_| None) else {
            return None;
        };
        self.hooks.judge(Case {
            opens: Some(Arc::new(head_of(parts, peer))),
            origin: None,
            needs_id: opening.version().is_ok(),
        })
    }

    /// Asks the embedder about the origin of a plain request. `None` where there is nothing to
    /// ask.
    pub(crate) fn judge_origin(
        &self,
        policy: &Policy,
        request: &Provenance<'_>,
    ) -> Option<Judging> {
        let origin = self.asked_origin(policy, request)?;
        self.hooks.judge(Case {
            opens: None,
            origin: Some(origin.to_owned()),
            needs_id: false,
        })
    }

    /// Whether the page behind a request may come in, as far as settings say.
    pub(crate) fn admits(&self, policy: &Policy, request: &Provenance<'_>) -> bool {
        self.cors.as_ref().is_some_and(|cors| cors.admits(request))
            || policy.check_origin(request).is_ok()
    }

    /// The origin that the embedder is asked about: that of a request which settings do not let in.
    pub(super) fn asked_origin<'a>(
        &self,
        policy: &Policy,
        request: &Provenance<'a>,
    ) -> Option<&'a str> {
        let asks = self.hooks.judges_origins() && !self.admits(policy, request);
        request.origin().filter(|_| asks)
    }
}

/// The id that the embedder has made for a session, if it makes them.
pub(super) fn admitted(ruling: Ruling) -> Result<Option<String>, Refused> {
    Err(match ruling {
        Ruling::Admit(id) => return Ok(id),
        Ruling::Origin => Denied::origin().into(),
        Ruling::Forbid(reason) => Denied::by_embedder(reason).into(),
        Ruling::NoId(error) => Denied::without_id(error).into(),
        Ruling::Late | Ruling::Gone => Refused::Late,
        Ruling::Panic => Refused::Policy(INTERNAL),
    })
}

/// The answer where the embedder has not decided in time.
pub(super) const LATE: Refusal = Refusal::new(503, "not served in time");
/// The answer where that failed.
const INTERNAL: Refusal = Refusal::new(500, "internal error");
