//! From a configuration and handlers to a server that has been checked.

use std::{io, sync::Arc};

use super::{Server, mounts};
use crate::{
    config::{BindError, Config, ConfigError, EngineIo},
    door::engineio::{Applications, Mount},
    embed::{
        self, Door, Doors, FailedHandshake, Handler, Head, Link, OnFailed, PatternError, Refusal,
        Routes,
        engineio::{Hooks, Opener},
        socketio::Io,
    },
    handle::Handle,
    http,
    metrics::{self, Metrics},
    policy::Policy,
};

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
    ///
    /// They ask nobody who it is. Where only some may use them, mount [`Server::router`](crate::Server::router)
    /// in an application: a layer around it sees each request first, cookies and tokens included.
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
            io.settle(&link, &self.config);
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
            stopping: tokio::sync::watch::Sender::new(false),
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
