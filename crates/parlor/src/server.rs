//! The server: shards in threads of their own, listeners, a clean stop.

mod builder;
mod mounts;
mod routes;
mod settings;
mod threads;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parlor_hub::ShardId;
use tokio::sync::watch;

pub use self::builder::{BuildError, Builder};
use self::threads::{Running, Thread};
use crate::{
    config::Config,
    door::engineio::Mount,
    embed::{Doors, Link, OnFailed, Routes, ServerHandle, socketio::OwnParser},
    handle::Handle,
    http::{self, Visits},
    metrics::Metrics,
    policy::Policy,
    shard::{Carrier, Letter, Listeners, Mailboxes},
};

/// The most shards of a server.
const SHARDS_MAX: u16 = 1024;

/// A server that has been configured and checked. [`Server::run`] makes it serve.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:8080")?;
/// let server = parlor::Server::builder().build()?;
/// server.run(vec![listener], async { _ = tokio::signal::ctrl_c().await }).await?;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    config: Config,
    routes: axum::Router,
    assets: Option<http::Assets>,
    bundle: http::Bundle,
    /// Who may ask by a server of the embedder's.
    visit_policy: Policy,
    /// True once the server stops.
    draining: Arc<AtomicBool>,
    /// The same, for those who wait for it.
    stopping: watch::Sender<bool>,
    handle: Handle,
    link: Arc<Link>,
    endpoints: Arc<Routes>,
    /// Where Engine.IO is spoken.
    mounts: Arc<[Arc<Mount>]>,
    parser: Option<OwnParser>,
    doors: Doors,
    failed: Option<OnFailed>,
    metrics: Arc<Metrics>,
    metrics_listener: Option<TcpListener>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Why a server stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A thread, poll set or listener could not be set up.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// A shard met an error of the system that it cannot go on from.
    #[error("a shard failed: {0}")]
    Shard(#[source] io::Error),
}

impl Server {
    /// Begins a server with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle for tasks and threads beside the server. It works once the server runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.link))
    }

    /// The whole server as a router for an application of axum's, below any path and beside other
    /// routes: endpoints, doors, publishing, Socket.IO, `/healthz` and `/readyz`, static files and
    /// [`Builder::routes`], at the paths that they have on the server's own listeners.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use parlor::{Door, Endpoint, Server};
    ///
    /// let echo = Endpoint::new().on_message(|member, message| async move { member.send(message) });
    /// let parlor = Server::builder()
    ///     .endpoint("/echo", echo)
    ///     .doors([Door::Sse, Door::SocketIo])
    ///     .build()?;
    /// let app = Router::new()
    ///     .route("/", get(|| async { "hello" }))
    ///     .nest("/rt", parlor.router());
    ///
    /// // `/rt/echo`, `/rt/sse/{room}`, and for Socket.IO's clients `path: '/rt/socket.io/'`.
    /// let parlor = tokio::spawn(parlor.run(Vec::new(), std::future::pending()));
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// axum::serve(listener, app).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The server has to run meanwhile; it needs no listener of its own. Until then everything gets
    /// 503. Layers of the application see the request and may answer it before the server is asked;
    /// one that replaces the answer of a door comes too late, since the client is in by then.
    ///
    /// **WebSocket.** Where the connection is a plain TCP socket, as with `axum::serve`, the socket
    /// moves into a shard, and costs no more than one that the server has accepted itself; any other
    /// (TLS, HTTP/2 by RFC 8441) is driven as the stream that it is.
    ///
    /// **Event streams** are bodies of responses, since a server gives a socket away for an upgrade
    /// alone: 16 KiB wait between the shard and the application's server, the rest in the client's
    /// outbox, whose bounds are the same everywhere. Each delivery costs a copy and a wake-up of a
    /// task more than on the server's own listener; where that matters, let the server have the
    /// listener and give the application to [`Builder::routes`].
    ///
    /// **Requests** (publishing, polling) are answered by the same code as on the server's own
    /// listeners, with the same bounds for their bodies.
    ///
    /// These connections count against [`Config::connections_max`]; past it they get 503. What
    /// concerns sockets before a request is there is the application's: its heads have not our
    /// deadline and bounds. `/metrics` is not among these routes; see [`Config::metrics_listen`].
    ///
    /// The peer's address is known where the application gives it as
    /// [`ConnectInfo`](axum::extract::ConnectInfo), else it is `0.0.0.0:0`, and
    /// [`Config::connections_per_address_max`] limits nobody. The origin of a browser has to be the
    /// request's own host, or in [`Config::origins`]; the host itself is the application's to check.
    ///
    /// `S` is the state of the application, of which the server knows nothing.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        axum::Router::new().fallback_service(self.service())
    }

    /// The same as a service for any HTTP server that is built on hyper and tower. Must be called
    /// inside a tokio runtime with time.
    #[must_use]
    pub fn service(&self) -> Visits {
        Visits::new(self.reception())
    }

    /// Where `/metrics` is served apart from the doors, once [`Config::metrics_listen`] asks for
    /// it: bound since [`Builder::build`], served by [`Server::run`].
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref()?.local_addr().ok()
    }

    /// Serves on `listeners` until `shutdown` is done, then says goodbye to every client, spread
    /// over [`Config::drain`], and returns when they are gone: at the latest
    /// [`Config::close_timeout`] after the last goodbye.
    ///
    /// The listeners may be of any address family; they are made non-blocking. While all of them
    /// are on loopback addresses, only this machine's pages may connect (see the origin policy).
    /// The future may be polled by any executor; dropping it leaves the server running.
    ///
    /// # Errors
    ///
    /// [`ServeError::Start`] if a thread or poll set cannot be made, [`ServeError::Shard`] if one
    /// fails later.
    pub async fn run(
        self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let (draining, stopping) = (Arc::clone(&self.draining), self.stopping.clone());
        let link = Arc::clone(&self.link);
        let mut running = self.start(listeners).map_err(ServeError::Start)?;
        let mut result = Ok(());
        tokio::select! {
            () = shutdown => {}
            () = link.stopped() => {}
            ended = running.first_end() => result = ended,
        }
        draining.store(true, Ordering::Relaxed);
        stopping.send_replace(true);
        for mailbox in &*running.mailboxes {
            // A shard that cannot be woken has ended, and says so below.
            let _ = mailbox.post(&mut vec![Letter::Stop], 0);
        }
        while let Some(ended) = running.ends.pop() {
            if let Ok(Err(error)) = ended.await {
                result = Err(error);
            }
        }
        result.map_err(ServeError::Shard)
    }

    fn start(mut self, doors: Vec<TcpListener>) -> io::Result<Running> {
        let loopback_only = settings::is_loopback_only(&doors)?;
        let metrics = self.metrics_listener.take();
        let mut listeners = Listeners { doors, metrics };
        let settings = Arc::new(self.settings(loopback_only)?);
        let count = u16::try_from(self.config.shard_count()).unwrap_or(SHARDS_MAX);
        let mut threads = Vec::new();
        let mut mailboxes = Vec::new();
        for id in 0..count.clamp(1, SHARDS_MAX) {
            // The first shard gets them all.
            let own = std::mem::take(&mut listeners);
            let (thread, mailbox) = Thread::spawn(ShardId(id), own, Arc::clone(&settings))?;
            threads.push(thread);
            mailboxes.push(mailbox);
        }
        let mailboxes: Mailboxes = mailboxes.into();
        self.handle.connect(Arc::clone(&mailboxes));
        self.link.connect(Box::new(Carrier {
            mailboxes: Arc::clone(&mailboxes),
            seeds: settings.seeds,
        }));
        let mut ends = Vec::new();
        for thread in threads {
            // A thread that has ended already says why through its end.
            let _ = thread.others.send(Arc::clone(&mailboxes));
            ends.push(thread.end);
        }
        Ok(Running { mailboxes, ends })
    }
}
