//! The server: shards in threads of their own, listeners, a clean stop.

mod mounts;
mod routes;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use parlor_hub::{RoomOptions, RoomPattern, RoomTable, ShardId};
use parlor_proto::websocket::{self, deflate};
use tokio::{sync::oneshot, task::LocalSet};

use crate::{
    config::{BindError, Config, ConfigError, Deflate, EngineIo, RoomRule, SlowPolicy, SseGzip},
    door::{
        self,
        engineio::{Applications, Mount},
    },
    embed::{
        self, Door, Doors, FailedHandshake, Handler, Head, Link, OnFailed, PatternError, Refusal,
        Routes, ServerHandle,
        engineio::{Hooks, Opener},
        socketio::{Io, OwnParser},
    },
    front,
    handle::Handle,
    http::{self, Visits},
    metrics::{self, Exposition, Metrics},
    policy::Policy,
    shard::{
        Addresses, Bounds, Carrier, Cradle, Letter, Listeners, Mailbox, Mailboxes, SendLimits,
        Settings, Shard, Slow, millis,
    },
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

/// Makes a [`Server`]; from [`Server::builder`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    config: Config,
    routes: axum::Router,
    endpoints: Routes,
    mounts: Vec<Arc<Mount>>,
    socketio: Option<Arc<Io>>,
    /// Where an embedder speaks Engine.IO, and how.
    engines: Vec<(String, EngineIo, Opener)>,
    /// What the embedder decides at which path of Engine.IO.
    hooks: Vec<(String, Hooks)>,
    /// The first path that no endpoint can stand at.
    malformed: Option<PatternError>,
    doors: Option<Doors>,
    failed: Option<OnFailed>,
}

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An allowed origin is not one.
    #[error("{0}")]
    Origin(String),
    /// An endpoint cannot stand at its path.
    #[error(transparent)]
    Endpoint(#[from] PatternError),
    /// Hooks stand at a path where no Engine.IO is spoken.
    #[error("no Engine.IO is spoken at `{0}`")]
    Hooks(String),
    /// The address for metrics cannot be listened on.
    #[error(transparent)]
    Metrics(#[from] BindError),
    /// The directory of static files cannot be read.
    #[error("cannot serve {}: {source}", path.display())]
    StaticDir {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The files of the Socket.IO client cannot be read.
    #[error("cannot serve a Socket.IO client: {0}")]
    ClientFiles(#[source] io::Error),
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

impl Builder {
    /// Uses this configuration in place of the default one.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Serves these routes where no door and no static file stands at a path.
    pub fn routes(mut self, routes: axum::Router) -> Self {
        self.routes = routes;
        self
    }

    /// Puts an endpoint at a path, for clients that speak WebSocket: a [`Handler`], or an
    /// [`Endpoint`](crate::Endpoint) made of closures.
    ///
    /// The path is made of segments: `/chat` stands for itself, `/{room}` for one segment of any
    /// text, and at the end `/{*rest}` for everything that is left. Where several fit, a literal
    /// segment wins over a name and a name over the rest. [`Head::param`](crate::Head::param) tells
    /// what a name stood for. A request that asks for no upgrade gets a page, if
    /// [`Builder::routes`] has one there, else 426.
    ///
    /// With an endpoint the built-in doors are closed, since whoever may connect there is in its
    /// rooms without a handler; [`Builder::doors`] opens them.
    pub fn endpoint(mut self, path: &str, handler: impl Handler) -> Self {
        if let Err(error) = self.endpoints.add(path, embed::serve(handler)) {
            self.malformed.get_or_insert(error);
        }
        self
    }

    /// Serves Socket.IO with handlers, at [`config::SocketIo::path`](crate::config::SocketIo::path)
    /// in place of the built-in door of Socket.IO. A clone of `io` sends from anywhere.
    ///
    /// The files of a client are served there too, unless [`Config::socketio_client`] says
    /// [`Off`](crate::config::ClientFiles::Off).
    ///
    /// As with an endpoint, the other built-in doors are closed unless [`Builder::doors`] opens
    /// them.
    pub fn socketio(mut self, io: &crate::socketio::SocketIo) -> Self {
        self.socketio = Some(io.inner());
        self
    }

    /// Speaks Engine.IO at a path.
    #[cfg(test)]
    pub(crate) fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(Arc::new(mount));
        self
    }

    /// Speaks Engine.IO at a path, which begins with a slash (without one at its end clients may
    /// leave that out too), with nothing above it: what
    /// `open` returns is called with the events of one session, one after the other; without it
    /// the session is refused (403, code 4). Both are called on the threads of connections, and
    /// must not wait.
    ///
    /// ```no_run
    /// use parlor::{Server, config::EngineIo, engineio::Event};
    ///
    /// # fn build() -> Result<(), parlor::BuildError> {
    /// let server = Server::builder()
    ///     .engineio("/engine.io/", EngineIo::default(), |_head| {
    ///         Some(|session: &mut parlor::engineio::Session, event: Event<'_>| {
    ///             if let Event::Text(text) = event {
    ///                 session.send(text);
    ///             }
    ///         })
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn engineio<H>(
        mut self,
        path: &str,
        settings: EngineIo,
        open: impl Fn(&Head) -> Option<H> + Send + Sync + 'static,
    ) -> Self
    where
        H: FnMut(&mut embed::engineio::Session, embed::engineio::Event<'_>) + 'static,
    {
        let fits = path.starts_with('/') && !path.trim_matches('/').is_empty();
        if !fits || path.contains(['{', '}', '?', '#', '%']) || path.contains("//") {
            let error = PatternError::Prefix(path.to_owned());
            self.malformed.get_or_insert(error);
        }
        let open = move |head: &Head| {
            let handle = open(head)?;
            Some(Box::new(handle) as embed::engineio::Handle)
        };
        let opener = Opener(Box::new(open));
        self.engines.push((path.to_owned(), settings, opener));
        self
    }

    /// Decides and hears of the requests to Engine.IO at a path: one of [`Builder::engineio`], or
    /// that of Socket.IO with or without handlers. Of several hooks at one path the last ones count.
    pub fn engineio_hooks(mut self, path: &str, hooks: Hooks) -> Self {
        self.hooks.retain(|(known, _)| known != path);
        self.hooks.push((path.to_owned(), hooks));
        self
    }

    /// Opens these of the built-in doors and no others. Without this call all are open, or none
    /// where the server has an endpoint.
    pub fn doors(mut self, doors: impl IntoIterator<Item = Door>) -> Self {
        self.doors = Some(doors.into_iter().collect());
        self
    }

    /// Hears of handshakes that fail before a handler is asked: malformed upgrades, an origin that
    /// may not connect, no endpoint at a path that only endpoints have. A [`Refusal`] that the
    /// closure returns is sent in place of the answer that was meant.
    ///
    /// It runs on the shard's thread and must not block. Of several calls the last one counts.
    pub fn on_failed_handshake(
        mut self,
        hear: impl Fn(&FailedHandshake) -> Option<Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.failed = Some(OnFailed::new(hear));
        self
    }

    /// Checks everything once.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a setting out of range, a malformed origin or path of an endpoint, hooks
    /// at a path without Engine.IO, an unreadable directory, or an address for metrics that cannot
    /// be had.
    pub fn build(mut self) -> Result<Server, BuildError> {
        if let Some(error) = self.malformed {
            return Err(error.into());
        }
        self.config.validate()?;
        let assets = self.config.static_dir.as_ref().map(|path| {
            http::Assets::open(path).map_err(|source| BuildError::StaticDir {
                path: path.clone(),
                source,
            })
        });
        let visit_policy = Policy::behind_another(&self.config.origins)
            .map_err(|error| BuildError::Origin(error.to_string()))?;
        let bundle =
            http::Bundle::of(&self.config.socketio_client).map_err(BuildError::ClientFiles)?;
        let metrics = Metrics::new(self.config.shard_count());
        let metrics_listener = self.config.bind_metrics()?;
        let limits = embed::Limits {
            name_bytes_max: self.config.member_name_bytes_max,
            presence_bytes_max: parlor_hub::Limits::default().presence_bytes_max,
            outbox_bytes_max: self.config.outbox_bytes_max,
            outbox_messages_max: self.config.outbox_messages_max,
        };
        let link = Arc::new(Link::new(limits));
        let doors = if self.endpoints.is_empty() && self.socketio.is_none() {
            Doors::ALL
        } else {
            Doors::NONE
        };
        let doors = self.doors.unwrap_or(doors);
        let mounts = self.take_mounts(doors)?;
        if let Some(io) = &self.socketio {
            io.settle(&link);
        }
        Ok(Server {
            link,
            doors,
            endpoints: Arc::new(self.endpoints),
            mounts: mounts.into(),
            parser: self.socketio.as_ref().and_then(|io| io.parser()),
            assets: assets.transpose()?,
            bundle,
            visit_policy,
            failed: self.failed,
            config: self.config,
            routes: self.routes,
            draining: Arc::default(),
            handle: Handle::default(),
            metrics: Arc::new(metrics),
            metrics_listener,
        })
    }

    /// Where Engine.IO is spoken.
    fn take_mounts(&mut self, doors: Doors) -> Result<Vec<Arc<Mount>>, BuildError> {
        let mut mounts = std::mem::take(&mut self.mounts);
        let mut hooks = std::mem::take(&mut self.hooks);
        let mut hooks_at = |path: &str| {
            let found = hooks.iter().position(|(known, _)| known == path);
            found.map_or_else(Hooks::new, |at| hooks.swap_remove(at).1)
        };
        for (path, engine, opener) in std::mem::take(&mut self.engines) {
            let door = metrics::Door::EngineIo;
            let mut checked = self.config.clone();
            checked.socketio.engine = engine;
            checked.validate()?;
            let engine = &checked.socketio.engine;
            let open = (Box::new(opener) as Box<dyn Applications>, hooks_at(&path));
            let mount = mounts::mount(&path, door, engine, &self.config, open);
            mounts.push(Arc::new(mount));
        }
        if self.socketio.is_some() || self.config.socketio.served && doors.has(Door::SocketIo) {
            let hooks = hooks_at(&self.config.socketio.path);
            let mount = mounts::socketio(&self.config, self.socketio.clone(), hooks);
            mounts.push(Arc::new(mount));
        }
        if let Some((path, _)) = hooks.pop() {
            return Err(BuildError::Hooks(path));
        }
        if let Some(path) = mounts::taken(&mounts, doors) {
            return Err(PatternError::Taken(path).into());
        }
        Ok(mounts)
    }
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
        let draining = Arc::clone(&self.draining);
        let link = Arc::clone(&self.link);
        let mut running = self.start(listeners).map_err(ServeError::Start)?;
        let mut result = Ok(());
        tokio::select! {
            () = shutdown => {}
            () = link.stopped() => {}
            ended = running.first_end() => result = ended,
        }
        draining.store(true, Ordering::Relaxed);
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
        let loopback_only = is_loopback_only(&doors)?;
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

    /// What its shards are told.
    pub(crate) fn settings(&self, loopback_only: bool) -> io::Result<Settings> {
        let config = &self.config;
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let [placement, epochs] =
            [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|i| seed[at + i])));
        let policy = Policy::new(&config.origins, loopback_only).map_err(io::Error::other)?;
        let http_limits = http_limits(config);
        let exposition = Arc::new(Exposition::new(Arc::clone(&self.metrics)));
        let told =
            (loopback_only && config.metrics_listen.is_none()).then(|| Arc::clone(&exposition));
        Ok(Settings {
            send: SendLimits {
                outbox: Bounds {
                    bytes_max: config.outbox_bytes_max,
                    messages_max: config.outbox_messages_max,
                },
                shard_bytes_max: config.outbox_shard_bytes_max,
                stall_ms: millis(config.outbox_stall),
                close_ms: millis(config.close_timeout),
                fin_ms: FIN_MS.min(millis(config.close_timeout)),
            },
            head_timeout: config.head_timeout,
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            connections_max: config.connection_limit(),
            addresses: Addresses::new(config.connections_per_address_max),
            http_limits,
            router: self.http_router(&policy, &http_limits, told),
            metrics: Arc::clone(&self.metrics),
            metrics_router: http::metrics::router(exposition, Arc::clone(&self.draining)),
            policy,
            visit_policy: self.visit_policy.clone(),
            hub_limits: hub_limits(config),
            rooms: Arc::new(room_table(config)?),
            drain: config.drain,
            seeds: parlor_hub::Seeds { placement, epochs },
            door: self.door_settings(),
        })
    }
}

/// A server whose shards run.
struct Running {
    mailboxes: Mailboxes,
    ends: Vec<oneshot::Receiver<io::Result<()>>>,
}

impl Running {
    /// Waits until some shard ends, which none does unless it is told to or fails.
    async fn first_end(&mut self) -> io::Result<()> {
        let ends = self.ends.iter_mut();
        let (result, index, _) = futures_util::future::select_all(ends).await;
        self.ends.swap_remove(index);
        result.unwrap_or_else(|_| Err(io::Error::other("a shard's thread died")))
    }
}

/// A shard's thread that waits to be told of the others.
struct Thread {
    others: mpsc::SyncSender<Mailboxes>,
    end: oneshot::Receiver<io::Result<()>>,
}

impl Thread {
    fn spawn(
        id: ShardId,
        listeners: Listeners,
        settings: Arc<Settings>,
    ) -> io::Result<(Self, Arc<Mailbox>)> {
        let (mailbox, made) = mpsc::sync_channel(1);
        let (others, all) = mpsc::sync_channel::<Mailboxes>(1);
        let (ended, end) = oneshot::channel();
        let body = move || -> io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let local = LocalSet::new();
            local.block_on(&runtime, async move {
                let (cradle, own) = Cradle::new()?;
                mailbox.send(own).map_err(io::Error::other)?;
                let Ok(mailboxes) = all.recv() else {
                    return Ok(());
                };
                Shard::new(id, cradle, mailboxes, settings, listeners)?
                    .run()
                    .await
            })
        };
        thread::Builder::new()
            .name(format!("shard {}", id.0))
            .spawn(move || {
                // Nobody listens once the server's future was dropped.
                let _ = ended.send(body());
            })?;
        let mailbox = made
            .recv()
            .map_err(|_| io::Error::other("a shard cannot start"))?;
        Ok((Self { others, end }, mailbox))
    }
}

/// Payloads of fewer bytes go out as they are. Less than what servers that compress for each member
/// can afford: here a message to a room is deflated once.
const DEFLATE_BYTES_MIN: usize = 128;

/// How long a peer has to close after our side is shut.
const FIN_MS: u64 = 2000;

fn is_loopback_only(listeners: &[TcpListener]) -> io::Result<bool> {
    for listener in listeners {
        let ip = listener.local_addr()?.ip().to_canonical();
        if !ip.is_loopback() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn http_limits(config: &Config) -> http::Limits {
    http::Limits {
        head: front::HeadLimits {
            head_bytes_max: config.head_bytes_max,
            fields_max: config.head_fields_max,
            target_bytes_max: config.target_bytes_max,
        },
        head_timeout: config.head_timeout,
        body_timeout: config.http_body_timeout,
        idle_timeout: config.http_idle_timeout,
        body_bytes_max: u64::try_from(config.http_body_bytes_max).unwrap_or(u64::MAX),
        ..http::Limits::default()
    }
}

/// The options of all rooms. A room's class is its policy for slow members.
fn room_table(config: &Config) -> io::Result<RoomTable> {
    let options = |rule: &RoomRule| RoomOptions {
        history_messages: rule.history_messages,
        history_age: rule.history_age,
        history_bytes: rule.history_bytes,
        class: slow_class(rule.slow),
    };
    let mut table = RoomTable::new(options(&config.room_rule("*")));
    for rule in &config.rooms {
        let pattern = RoomPattern::new(&rule.pattern).map_err(io::Error::other)?;
        table.push(pattern, options(rule));
    }
    Ok(table)
}

const fn slow_class(policy: SlowPolicy) -> u16 {
    let policy = match policy {
        SlowPolicy::DropLow => Slow::DropLow,
        SlowPolicy::Conflate => Slow::Conflate,
        SlowPolicy::Close => Slow::Close,
    };
    policy.class()
}

fn hub_limits(config: &Config) -> parlor_hub::Limits {
    parlor_hub::Limits {
        rooms_per_member_max: config.rooms_per_member_max,
        name_bytes_max: config.member_name_bytes_max,
        rooms_max: config.rooms_max,
        members_per_room_max: config.members_per_room_max,
        presence_members_max: config.presence_members_max,
        history_bytes_total: config.history_bytes_total,
        ..parlor_hub::Limits::default()
    }
}

fn deflate_policy(mode: Deflate) -> deflate::Policy {
    let mode = match mode {
        Deflate::Off => deflate::Mode::Off,
        Deflate::Shared => deflate::Mode::Shared,
        Deflate::Takeover => deflate::Mode::Takeover,
    };
    deflate::Policy {
        threshold: DEFLATE_BYTES_MIN,
        ..deflate::Policy::new(mode)
    }
}

impl Server {
    fn door_settings(&self) -> door::Settings {
        let config = &self.config;
        let limits = websocket::Limits {
            message_bytes_max: config.message_bytes_max,
            message_fragments_max: u32::try_from(config.message_fragments_max).unwrap_or(u32::MAX),
        };
        door::Settings {
            shards: u16::try_from(config.shard_count()).unwrap_or(SHARDS_MAX),
            doors: self.doors,
            failed: self.failed.clone(),
            endpoints: Arc::clone(&self.endpoints),
            mounts: Arc::clone(&self.mounts),
            parser: self.parser.clone(),
            link: Arc::clone(&self.link),
            sse_gzip: config.sse_gzip == SseGzip::Shared,
            rates: door::Rates {
                messages_per_second: config.messages_per_second,
                bytes_per_second: config.bytes_per_second,
            },
            sse_heartbeat_ms: millis(config.sse_heartbeat),
            sse_retry_ms: millis(config.sse_retry),
            options: websocket::Options {
                limits,
                ..websocket::Options::default()
            },
            deflate: deflate_policy(config.deflate),
        }
    }
}
