//! Who may come in at a path of Engine.IO: what settings say, and what the embedder decides.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    handle::engine::{Judging, Mount, Ruling},
    metrics::{Metrics, Refused},
    policy::{Policy, Provenance},
};

/// Who may come in at one path.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) mount: Arc<Mount>,
    pub(crate) policy: Policy,
    pub(crate) patience: Patience,
}

/// How long requests wait for what the embedder decides, and how many.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    limit: Duration,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// The server stops.
    stopping: watch::Receiver<bool>,
}

/// Whether the page behind a request may come in.
#[derive(Debug, Clone, Copy)]
struct Admits(bool);

/// A request that waits. One that is dropped before it is answered has lost its client.
struct Waiting<'a> {
    metrics: &'a Metrics,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered && !std::thread::panicking() {
            self.metrics.refused(Refused::Gone);
        }
    }
}

impl Patience {
    /// Each request waits at most for so long, and at most so many wait.
    pub(crate) fn new(
        (limit, waiting_max): (Duration, usize),
        metrics: Arc<Metrics>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let places = usize::min(waiting_max, Semaphore::MAX_PERMITS);
        Self {
            limit,
            places: Arc::new(Semaphore::new(places)),
            metrics,
            stopping,
        }
    }

    /// What the embedder decides.
    ///
    /// # Errors
    ///
    /// The answer where it does not do so in time, or too many wait for that.
    async fn judged(&self, judging: Judging) -> Result<Ruling, Response> {
        let (refused, text) = match self.places.try_acquire() {
            Ok(_place) => {
                let mut waiting = Waiting {
                    metrics: &self.metrics,
                    answered: false,
                };
                let judged = tokio::select! {
                    biased;
                    judged = timeout(self.limit, judging) => judged.ok(),
                    () = self.stopped() => None,
                };
                waiting.answered = true;
                match judged {
                    Some(ruling) => return Ok(ruling),
                    None if *self.stopping.borrow() => (Refused::Late, "server is stopping\n"),
                    None => (Refused::Late, "not served in time\n"),
                }
            }
            Err(_) => (Refused::Limit, "the server is busy\n"),
        };
        self.metrics.refused(refused);
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let head = [(header::CONTENT_TYPE, plain)];
        Err((StatusCode::SERVICE_UNAVAILABLE, head, text).into_response())
    }

    /// Waits until the server stops. One that nobody can tell to goes on for ever.
    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Entrance {
    /// Routes whose answers say what pages of other origins may; as they are where the path has
    /// nothing to say of that.
    pub(crate) fn layer(&self, routes: Router) -> Router {
        match self.mount.cors {
            Some(_) => routes.layer(from_fn_with_state(Arc::new(self.clone()), answer)),
            None => routes,
        }
    }

    /// Whether the page behind a request may come in. Behind [`Entrance::layer`] that is known.
    pub(super) fn admits(&self, parts: &Parts) -> bool {
        match parts.extensions.get::<Admits>() {
            Some(Admits(admits)) => *admits,
            None => {
                let provenance = Provenance::of_map(&parts.headers);
                self.mount.admits(&self.policy, &provenance)
            }
        }
    }

    /// What the embedder says of a request, where it may open a session and somebody wants to know.
    ///
    /// # Errors
    ///
    /// The answer where nobody says anything in time.
    pub(super) async fn rule(&self, judging: Option<Judging>) -> Result<Option<Ruling>, Response> {
        match judging {
            Some(judging) => self.patience.judged(judging).await.map(Some),
            None => Ok(None),
        }
    }

    async fn admits_page(&self, provenance: &Provenance<'_>) -> Result<bool, Response> {
        let Some(judging) = self.mount.judge_origin(&self.policy, provenance) else {
            return Ok(self.mount.admits(&self.policy, provenance));
        };
        let ruling = self.patience.judged(judging).await?;
        Ok(matches!(ruling, Ruling::Admit(_)))
    }
}

async fn answer(
    State(entrance): State<Arc<Entrance>>,
    mut request: Request,
    next: Next,
) -> Response {
    let provenance = Provenance::of_map(request.headers());
    let admits = entrance.admits_page(&provenance).await;
    let allowed = matches!(admits, Ok(true));
    let Some(cors) = &entrance.mount.cors else {
        return next.run(request).await;
    };
    let added = cors.headers(request.method(), request.headers(), allowed);
    request.extensions_mut().insert(Admits(allowed));
    let mut response = match (admits, cors.preflight) {
        (Err(refusal), _) => refusal,
        (Ok(_), Some(status)) if request.method() == Method::OPTIONS => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT);
            response
        }
        (Ok(_), _) => next.run(request).await,
    };
    add(&mut response, added);
    response
}

fn add(response: &mut Response, fields: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in fields {
        match name == header::VARY {
            true => _ = response.headers_mut().append(name, value),
            false => _ = response.headers_mut().insert(name, value),
        }
    }
}
