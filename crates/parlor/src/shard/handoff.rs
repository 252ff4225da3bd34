//! Sockets that live on the HTTP path for a while.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};

use super::{
    Settings,
    accept::{self, Newcomer},
    addresses::Place,
};
use crate::{
    door,
    http::{self, Accepted, Outcome, Taken},
    metrics::End,
    policy::{Checks, Policy},
};

/// The HTTP connections of a shard: tasks on its runtime.
pub(super) struct HttpSide {
    context: Rc<http::Context>,
    stopping: watch::Sender<bool>,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    running: Cell<usize>,
    /// Connections that have ended, and those that came back, since they were last counted.
    ended: Cell<[usize; 2]>,
    taken: RefCell<Vec<(Taken, Option<Box<Place>>)>>,
    news: Notify,
}

impl fmt::Debug for HttpSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSide")
            .field("running", &self.len())
            .finish_non_exhaustive()
    }
}

/// Serves metrics on a listener of their own for as long as the shard's runtime lives, which is
/// longer than anybody is a member. Must be called inside the runtime.
pub(super) fn serve_metrics(listener: TcpListener, settings: &Settings) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let loopback_only = listener.local_addr()?.ip().to_canonical().is_loopback();
    let policy = Policy::new(&[], loopback_only).map_err(io::Error::other)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (never, stopping) = watch::channel(false);
    let context = Rc::new(http::Context {
        limits: settings.http_limits,
        claims: Box::new(|_| false),
        site: http::Site {
            policy,
            checks: Box::new(|_| Checks::Ours),
            router: settings.metrics_router.clone(),
            metrics: Arc::clone(&settings.metrics),
        },
        stopping,
    });
    let places = Arc::new(Semaphore::new(SCRAPERS_MAX));
    let mut told: Option<tokio::time::Instant> = None;
    tokio::task::spawn_local(async move {
        let _never = never;
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let accepted = Accepted {
                        stream,
                        read: Bytes::new(),
                        since: tokio::time::Instant::now(),
                        peer,
                    };
                    let context = Rc::clone(&context);
                    tokio::task::spawn_local(async move {
                        http::serve(accepted, context).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // It is tried again at once: a line for each try would fill the log.
                    if told.is_none_or(|told| told.elapsed() >= TOLD) {
                        told = Some(tokio::time::Instant::now());
                        tracing::warn!(%error, "cannot accept for metrics");
                    }
                    tokio::time::sleep(accept::RETRY).await;
                }
            }
        }
    });
    Ok(())
}

/// The log tells at most this often that the listener for metrics cannot accept.
const TOLD: Duration = Duration::from_secs(60);
/// Connections to the listener for metrics; one more waits until one of them closes.
const SCRAPERS_MAX: usize = 64;

impl HttpSide {
    pub(super) fn new(settings: &Settings) -> Self {
        let (stopping, receiver) = watch::channel(false);
        let context = http::Context {
            limits: settings.http_limits,
            claims: {
                let door = settings.door.clone();
                Box::new(move |head| door::claims(&door, head))
            },
            site: http::Site {
                policy: settings.policy.clone(),
                checks: {
                    let mounts = Arc::clone(&settings.door.mounts);
                    Box::new(move |path| door::checks(&mounts, path))
                },
                router: settings.router.clone(),
                metrics: Arc::clone(&settings.metrics),
            },
            stopping: receiver,
        };
        Self {
            context: Rc::new(context),
            stopping,
            shared: Rc::default(),
        }
    }

    /// Serves a socket, of which `read` has been read; the first of it came `age` ago.
    pub(super) fn serve(&self, newcomer: Newcomer, read: Bytes, age: Duration) -> io::Result<()> {
        let Newcomer { socket, place } = newcomer;
        let stream = std::net::TcpStream::from(socket);
        let peer = stream
            .peer_addr()
            .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let now = tokio::time::Instant::now();
        let accepted = Accepted {
            stream,
            read,
            since: now.checked_sub(age).unwrap_or(now),
            peer,
        };
        let context = Rc::clone(&self.context);
        let shared = Rc::clone(&self.shared);
        shared.running.set(shared.running.get() + 1);
        tokio::task::spawn_local(async move {
            let outcome = http::serve(accepted, context).await;
            shared.running.set(shared.running.get() - 1);
            let [mut done, mut back] = shared.ended.get();
            match outcome {
                Outcome::Done => done += 1,
                Outcome::Taken(taken) => {
                    back += 1;
                    shared.taken.borrow_mut().push((taken, place));
                }
            }
            shared.ended.set([done, back]);
            shared.news.notify_one();
        });
        Ok(())
    }

    /// Connections on the HTTP path.
    pub(super) fn len(&self) -> usize {
        self.shared.running.get()
    }

    /// Whether tasks of the HTTP path want to run beside the shard.
    pub(super) fn is_busy(&self) -> bool {
        self.len() > 0
    }

    /// Whether a connection came back.
    pub(super) fn has_news(&self) -> bool {
        !self.shared.taken.borrow().is_empty()
    }

    /// Waits until a connection has come back or ended. Cancel-safe.
    pub(super) async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// The connections that came back because a door claimed their next request.
    /// Each with its place among those of its address.
    pub(super) fn take(&self) -> Vec<(Taken, Option<Box<Place>>)> {
        std::mem::take(&mut *self.shared.taken.borrow_mut())
    }

    /// How the connections have ended that were not asked for before.
    pub(super) fn ended(&self) -> impl Iterator<Item = End> + use<> {
        let [done, back] = self.shared.ended.take();
        let done = std::iter::repeat_n(End::Peer, done);
        done.chain(std::iter::repeat_n(End::Claimed, back))
    }

    /// Closes idle connections and lets the running requests end.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }
}
