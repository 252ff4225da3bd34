//! The queue of a shard's own thread: handlers that run there need no lock and no wake-up.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::Arc,
};

use parlor_hub::ShardId;
use tokio::sync::Notify;

use super::{Caller, Command, Link, Returned, SendError};

thread_local! {
    /// That of the shard which runs on this thread.
    static HERE: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// Commands given on the thread of a shard, and handlers that were done after a while.
pub(crate) struct Local {
    link: Arc<Link>,
    commands: RefCell<VecDeque<Given>>,
    bytes: Cell<usize>,
    done: RefCell<Vec<Finished>>,
    /// Handlers that run as tasks.
    tasks: Cell<usize>,
    /// The shard is awake, and looks at the queue before it sleeps.
    awake: Cell<bool>,
    news: Notify,
}

/// A command that waits.
struct Given {
    to: ShardId,
    /// What it costs meanwhile.
    bytes: u32,
    command: Command,
}

/// A handler that ran as a task is done; without what it returned it has panicked.
pub(crate) type Finished = (Rc<Caller>, Option<Returned>);

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

impl Local {
    /// Makes this thread the one of a shard of this server, until the shard goes.
    pub(crate) fn settle(link: Arc<Link>) -> Rc<Self> {
        let local = Rc::new(Self {
            link,
            commands: RefCell::default(),
            bytes: Cell::new(0),
            done: RefCell::default(),
            tasks: Cell::new(0),
            awake: Cell::new(false),
            news: Notify::new(),
        });
        HERE.set(Some(Rc::clone(&local)));
        local
    }

    /// The shard goes.
    pub(crate) fn unsettle(&self) {
        HERE.set(None);
        self.commands.borrow_mut().clear();
    }

    /// The server's link.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The next command.
    pub(crate) fn pop(&self) -> Option<(ShardId, Command)> {
        self.take(&mut self.commands.borrow_mut())
    }

    /// The next command, where it is for this shard and one of these.
    pub(crate) fn pop_if(
        &self,
        shard: ShardId,
        wanted: impl FnOnce(&Command) -> bool,
    ) -> Option<Command> {
        let mut commands = self.commands.borrow_mut();
        let next = commands.front()?;
        if next.to != shard || !wanted(&next.command) {
            return None;
        }
        self.take(&mut commands).map(|(_, command)| command)
    }

    fn take(&self, commands: &mut VecDeque<Given>) -> Option<(ShardId, Command)> {
        let Given { to, bytes, command } = commands.pop_front()?;
        self.bytes.set(self.bytes.get() - bytes as usize);
        Some((to, command))
    }

    /// Says whether the shard is in a turn, or may sleep.
    pub(crate) fn set_awake(&self, awake: bool) {
        self.awake.set(awake);
    }

    /// Commands that wait.
    pub(crate) fn len(&self) -> usize {
        self.commands.borrow().len()
    }

    /// A handler begins to run as a task.
    pub(crate) fn begin_task(&self) {
        self.tasks.set(self.tasks.get() + 1);
    }

    /// A handler that ran as a task is done.
    pub(crate) fn finish_task(&self, finished: Finished) {
        self.tasks.set(self.tasks.get() - 1);
        self.done.borrow_mut().push(finished);
        self.news.notify_one();
    }

    /// The handlers that are done.
    pub(crate) fn take_done(&self) -> Vec<Finished> {
        std::mem::take(&mut *self.done.borrow_mut())
    }

    /// Whether handlers run as tasks.
    pub(crate) fn is_busy(&self) -> bool {
        self.tasks.get() > 0
    }

    /// Whether there is something for the shard to do.
    pub(crate) fn has_news(&self) -> bool {
        !self.commands.borrow().is_empty() || !self.done.borrow().is_empty()
    }

    /// Waits until there is something for the shard to do, or was. Cancel-safe.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Puts a command into the queue, which stands for `bytes` of memory.
    pub(super) fn push(
        &self,
        to: ShardId,
        command: Command,
        bytes: usize,
        urgent: bool,
    ) -> Result<(), SendError> {
        let mut commands = self.commands.borrow_mut();
        let full = commands.len() >= COMMANDS_MAX || self.bytes.get() >= BYTES_MAX;
        if full && !urgent {
            return Err(SendError::Full);
        }
        // No command is that large; what is counted is what is given back.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        commands.push_back(Given { to, bytes, command });
        self.bytes.set(self.bytes.get() + bytes as usize);
        if commands.len() == 1 && !self.awake.get() {
            self.news.notify_one();
        }
        Ok(())
    }
}

/// The queue of this thread, if it is a shard's of the same server.
pub(super) fn here(link: &Arc<Link>) -> Option<Rc<Local>> {
    let here = HERE.try_with(|here| here.borrow().clone()).ok().flatten();
    here.filter(|local| Arc::ptr_eq(&local.link, link))
}

/// Commands of one thread that wait.
const COMMANDS_MAX: usize = 65_536;
/// Bytes of the commands of one thread that wait.
const BYTES_MAX: usize = 8 << 20;
