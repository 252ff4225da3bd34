//! The namespaces of a server.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parlor_hub::ShardId;
use serde::Serialize;

use super::{
    super::{Command, Link, SendError},
    Namespace, OwnParser, Parser, Socket,
    command::{Addressees, Wide, WideAct},
    handlers::Handlers,
};
use crate::Config;

/// Socket.IO with handlers: `Clone`, `Send`, `Sync`. Give it to
/// [`Builder::socketio`](crate::Builder::socketio) and keep a clone to send from anywhere.
#[derive(Clone, Default)]
pub struct SocketIo(Arc<Io>);

/// What all handles of one have in common.
#[derive(Default)]
pub(crate) struct Io {
    link: OnceLock<Arc<Link>>,
    /// The settings of its server.
    config: OnceLock<Box<Config>>,
    /// Nobody is let in any more.
    closed: AtomicBool,
    named: RwLock<HashMap<Box<str>, Arc<Rules>>>,
    /// Namespaces by a rule over their names, in the order in which they were given.
    dynamic: RwLock<Vec<(Matcher, Arc<Rules>)>>,
    /// Who is told of new namespaces.
    new_namespace: RwLock<Vec<OnNamespace>>,
    /// How many sockets there are in each namespace that a rule stands for. Only where somebody is
    /// told of new ones.
    entered: Mutex<HashMap<Arc<str>, usize>>,
    /// How many clients there are, in any namespace or none.
    clients: Arc<AtomicUsize>,
    /// None where it is JSON or MessagePack, as the client likes.
    parser: Option<OwnParser>,
}

type Matcher = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Middleware = Arc<dyn Fn(Socket) -> Boxed<Result<(), ConnectError>> + Send + Sync>;
type OnNamespace = Arc<dyn Fn(Namespace) + Send + Sync>;
type OnConnect = Arc<dyn Fn(Socket) -> Boxed<()> + Send + Sync>;

/// The handlers of a namespace, or of those that a rule stands for.
#[derive(Default)]
pub(crate) struct Rules {
    middleware: Mutex<Vec<Middleware>>,
    connect: Mutex<Vec<OnConnect>>,
    handlers: Mutex<Handlers>,
}

/// A refusal of a namespace: the client's `connect_error`.
#[derive(Debug, Clone)]
pub struct ConnectError {
    pub(crate) message: String,
    pub(crate) data: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SocketIo {
    /// One without a namespace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One without a namespace, whose packets are written in a way of one's own. Clients have to be
    /// given the same `parser`; JSON and MessagePack are not spoken.
    #[must_use]
    pub fn with_parser(parser: impl Parser) -> Self {
        Self(Arc::new(Io {
            parser: Some(OwnParser::new(parser)),
            ..Io::default()
        }))
    }

    /// A namespace, which there is from now on. `/` is the main one; a name without its slash is
    /// given one.
    #[must_use]
    pub fn of(&self, name: &str) -> Namespace {
        let name: Box<str> = match name.starts_with('/') {
            true => name.into(),
            false => format!("/{name}").into(),
        };
        let mut named = self.0.named.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = !named.contains_key(&name);
        let rules = Arc::clone(named.entry(name.clone()).or_default());
        drop(named);
        let namespace = Namespace {
            io: Arc::clone(&self.0),
            name: Some(name.into()),
            rules,
        };
        if is_new && namespace.name() != Some("/") {
            self.0.tell_new(&namespace);
        }
        namespace
    }

    /// Calls a function for each new namespace but `/`: one that [`SocketIo::of`] is given for the
    /// first time, and one that a rule stands for when a first socket enters it, also when all had
    /// left it before. Those that there are already are not told.
    ///
    /// It is called on the thread of `of`, or on a shard's, and must not block.
    pub fn on_new_namespace(&self, hear: impl Fn(Namespace) + Send + Sync + 'static) -> &Self {
        let mut listeners =
            { self.0.new_namespace.write() }.unwrap_or_else(PoisonError::into_inner);
        listeners.push(Arc::new(hear));
        drop(listeners);
        self
    }

    /// Namespaces by a pattern: `*` stands for any characters, also none. Names that
    /// [`SocketIo::of`] was given come first, then rules in the order in which they were given.
    #[must_use]
    pub fn of_pattern(&self, pattern: &str) -> Namespace {
        let pattern = pattern.to_owned();
        self.of_matching(move |name, _| matches(&pattern, name))
    }

    /// Namespaces by a function of the name and of what the client says about itself, a JSON
    /// object. It is called on a shard's thread and must not block.
    #[must_use]
    pub fn of_matching(
        &self,
        matching: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Namespace {
        let rules = Arc::<Rules>::default();
        let mut dynamic = self
            .0
            .dynamic
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        dynamic.push((Arc::new(matching), Arc::clone(&rules)));
        Namespace {
            io: Arc::clone(&self.0),
            name: None,
            rules,
        }
    }

    /// How many clients are connected, by WebSocket or by polling, whatever the namespaces that
    /// they are in.
    #[must_use]
    pub fn clients_count(&self) -> usize {
        self.0.clients.load(Ordering::Relaxed)
    }

    /// The settings that it is served with: [`socketio`](Config::socketio) has the path, the connect
    /// timeout and all else, [`socketio_client`](Config::socketio_client) which files of a client
    /// are served. None before a server was built with it.
    #[must_use]
    pub fn config(&self) -> Option<&Config> {
        self.0.config.get().map(|config| &**config)
    }

    /// Closes Socket.IO alone, for good: whoever is in a namespace is disconnected, with the reason
    /// `server shutting down`, and newcomers are refused with 403. Other doors and the rest of the
    /// server go on; the whole is closed with
    /// [`ServerHandle::shutdown`](crate::ServerHandle::shutdown). A client that is in no namespace
    /// has its [`connect_timeout`](crate::config::SocketIo::connect_timeout) still.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] where no server runs; nobody is let in all the same.
    pub fn close(&self) -> Result<(), SendError> {
        self.0.closed.store(true, Ordering::Release);
        let link = self.0.link.get().ok_or(SendError::Closed)?;
        for shard in 0..link.post()?.shards() {
            let wide = Box::new(Wide {
                namespace: "/".into(),
                to: Addressees::default(),
                act: WideAct::Shutdown,
            });
            link.command_urgently(ShardId(shard), Command::Wide(wide))?;
        }
        Ok(())
    }

    pub(crate) fn inner(&self) -> Arc<Io> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIo").finish_non_exhaustive()
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

impl Io {
    pub(crate) fn parser(&self) -> Option<OwnParser> {
        self.parser.clone()
    }

    pub(crate) fn clients(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.clients)
    }

    /// Connects the handles with their server; the first one counts.
    pub(crate) fn settle(&self, link: &Arc<Link>, config: &Config) {
        if self.link.set(Arc::clone(link)).is_ok() {
            let _ = self.config.set(Box::new(config.clone()));
        }
    }

    /// Whether nobody is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The way to its server, once there is one.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.link.get().cloned()
    }

    fn tell_new(&self, namespace: &Namespace) {
        let listeners = { self.new_namespace.read() }.unwrap_or_else(PoisonError::into_inner);
        // Called without the lock, so that they may ask for a namespace themselves.
        let listeners = listeners.clone();
        for hear in listeners {
            hear(namespace.clone());
        }
    }

    /// A socket is in a namespace until what this gives is dropped. None where nobody cares.
    pub(crate) fn enter(self: &Arc<Self>, name: &Arc<str>, rules: &Arc<Rules>) -> Option<Entered> {
        let heard = { self.new_namespace.read() }.unwrap_or_else(PoisonError::into_inner);
        let heard = !heard.is_empty();
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let is_named = named.contains_key(&**name);
        drop(named);
        if !heard || is_named {
            return None;
        }
        let mut entered = lock(&self.entered);
        let count = entered.entry(Arc::clone(name)).or_default();
        *count += 1;
        let is_first = *count == 1;
        drop(entered);
        if is_first {
            self.tell_new(&Namespace {
                io: Arc::clone(self),
                name: Some(Arc::clone(name)),
                rules: Arc::clone(rules),
            });
        }
        Some(Entered(Arc::clone(self), Arc::clone(name)))
    }

    /// The rules of a namespace; none where there is no such one.
    pub(crate) fn find(&self, name: &str, auth: &str) -> Option<Arc<Rules>> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = named.get(name) {
            return Some(Arc::clone(rules));
        }
        drop(named);
        let dynamic = self.dynamic.read().unwrap_or_else(PoisonError::into_inner);
        let found = dynamic.iter().find(|(matches, _)| matches(name, auth));
        found.map(|(_, rules)| Arc::clone(rules))
    }
}

/// A socket's being in a namespace that a rule stands for.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Io>, Arc<str>);

impl Drop for Entered {
    fn drop(&mut self) {
        let mut entered = lock(&self.0.entered);
        if let Some(count) = entered.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                entered.remove(&self.1);
            }
        }
    }
}

impl Rules {
    pub(super) fn on_asked(&self, middleware: Middleware) {
        lock(&self.middleware).push(middleware);
    }

    pub(super) fn on_connect(&self, handler: OnConnect) {
        lock(&self.connect).push(handler);
    }

    pub(super) fn middleware(&self) -> Vec<Middleware> {
        lock(&self.middleware).clone()
    }

    pub(super) fn connect(&self) -> Vec<OnConnect> {
        lock(&self.connect).clone()
    }

    pub(super) fn handlers(&self) -> MutexGuard<'_, Handlers> {
        lock(&self.handlers)
    }
}

impl ConnectError {
    /// A refusal with a message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// Adds data for the client, `err.data` in JavaScript. What cannot be said in JSON is left
    /// out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_string(data).ok();
        self
    }
}

impl<T: fmt::Display> From<T> for ConnectError {
    fn from(error: T) -> Self {
        Self::new(error.to_string())
    }
}

/// Whether a pattern stands for the whole of a name.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let rows = [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/dynamic-*", "/dynamic-1", true),
            ("/dynamic-*", "/dynamic-", true),
            ("/dynamic-*", "/static", false),
            ("*", "/x", true),
            ("/*/b", "/a/b", true),
            ("/*/b", "/a/c", false),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a*a", "/a", false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_come_before_rules() {
        let io = SocketIo::new();
        let chat = io.of("chat");
        let any = io.of_pattern("/*");
        let found = |name| io.0.find(name, "{}").unwrap();
        assert!(Arc::ptr_eq(&found("/chat"), &chat.rules));
        assert!(Arc::ptr_eq(&found("/other"), &any.rules));
        assert!(Arc::ptr_eq(&io.of("/chat").rules, &chat.rules));
        assert!(SocketIo::new().0.find("/", "{}").is_none());
    }
}
