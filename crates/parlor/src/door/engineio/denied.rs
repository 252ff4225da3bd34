//! Requests that are refused before they reach a session.

use bytes::Bytes;
use parlor_proto::engineio::{ErrorCode, Known, Query, Request, Transport, Upgrade};

use crate::embed::engineio::Context;

/// A request that is refused by the rules of Engine.IO, or by the embedder.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) code: ErrorCode,
    pub(crate) context: Context,
}

impl Denied {
    /// What was wrong with a request that was not admitted.
    pub(super) fn of(code: ErrorCode, request: &Request<'_>, known: Option<Known>) -> Self {
        let query = request.query;
        let context = match code {
            ErrorCode::UnknownTransport => Context::Transport(query.transport().map(str::to_owned)),
            ErrorCode::UnknownSid => Context::Sid(query.sid().map(str::to_owned)),
            ErrorCode::BadHandshakeMethod => Context::Method,
            ErrorCode::BadRequest => mismatch(request, known).unwrap_or(Context::Handshake),
            // The other reasons for it come later.
            ErrorCode::Forbidden => return Self::origin(),
            ErrorCode::UnsupportedProtocolVersion => return Self::revision(query),
        };
        Self { code, context }
    }

    /// The application does not want the session, or there is no room for it.
    pub(super) const fn forbidden() -> Self {
        Self {
            code: ErrorCode::Forbidden,
            context: Context::Forbidden(None),
        }
    }

    /// The page behind the request may not come in.
    pub(super) const fn origin() -> Self {
        Self {
            code: ErrorCode::Forbidden,
            context: Context::Origin,
        }
    }

    /// The embedder does not want the request.
    pub(super) const fn by_embedder(reason: String) -> Self {
        Self {
            code: ErrorCode::Forbidden,
            context: Context::Forbidden(Some(reason)),
        }
    }

    /// There is no id for the session.
    pub(super) fn without_id(reason: impl Into<crate::embed::BoxError>) -> Self {
        Self {
            code: ErrorCode::BadRequest,
            context: Context::IdGeneration(reason.into().to_string()),
        }
    }

    /// The revision is not spoken.
    pub(super) fn revision(query: &Query<'_>) -> Self {
        Self {
            code: ErrorCode::UnsupportedProtocolVersion,
            context: Context::Protocol(query.revision().map(str::to_owned)),
        }
    }

    pub(super) const fn handshake() -> Self {
        Self {
            code: ErrorCode::BadRequest,
            context: Context::Handshake,
        }
    }

    /// What the client is told.
    pub(super) fn message(&self) -> &str {
        match &self.context {
            Context::Forbidden(Some(reason)) if !reason.is_empty() => reason,
            _ => self.code.message(),
        }
    }

    /// The body of the refusal.
    pub(super) fn json(&self) -> Bytes {
        match &self.context {
            Context::Forbidden(Some(_)) => {
                let message = serde_json::Value::from(self.message());
                format!(r#"{{"code":{},"message":{message}}}"#, self.code.code()).into()
            }
            _ => Bytes::from_static(self.code.json().as_bytes()),
        }
    }
}

fn mismatch(request: &Request<'_>, known: Option<Known>) -> Option<Context> {
    let previous = known?.transport;
    let transport = match request.query.transport()? {
        "websocket" => Transport::WebSocket,
        _ => Transport::Polling,
    };
    let differs = request.upgrade == Upgrade::Plain && transport != previous;
    differs.then_some(Context::TransportMismatch {
        transport,
        previous,
    })
}
