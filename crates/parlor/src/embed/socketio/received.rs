//! An event that came in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parlor_proto::socketio::Packet;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    super::{JsonError, SendError},
    Args, ArgsError, Socket,
    args::Packed,
    command::Act,
};

/// How soon an answer that found the queue full tries again.
const FULL_LOOK: Duration = Duration::from_millis(1);

/// An event of a client.
#[derive(Debug, Clone)]
pub struct Received {
    socket: Socket,
    args: Args,
    ack: Option<AckHandle>,
}

/// The right to acknowledge an event, once. It may be kept and used later, from any task.
#[derive(Debug, Clone)]
pub struct AckHandle(Arc<Wanted>);

/// An acknowledgement that a client wants.
#[derive(Debug)]
struct Wanted {
    socket: Socket,
    id: u64,
    used: AtomicBool,
}

impl Received {
    pub(crate) fn new(socket: Socket, packet: Packet<'_>) -> Self {
        let wanted = |id| Wanted {
            socket: socket.clone(),
            id,
            used: AtomicBool::new(false),
        };
        Self {
            ack: packet.id.map(|id| AckHandle(Arc::new(wanted(id)))),
            args: Args::of(packet),
            socket,
        }
    }

    /// What it costs while it waits, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.args.bytes()
    }

    /// Whose event it is.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Its name; a number as it is written.
    #[must_use]
    pub fn name(&self) -> &str {
        self.args.name()
    }

    /// Its arguments.
    #[must_use]
    pub const fn args(&self) -> &Args {
        &self.args
    }

    /// Its arguments as a value; see [`Args::parse`].
    ///
    /// # Errors
    ///
    /// [`ArgsError`] where they do not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.args.parse()
    }

    /// How to acknowledge it; none where its client does not want to know.
    #[must_use]
    pub fn ack(&self) -> Option<AckHandle> {
        self.ack.clone()
    }

    /// Sends what a handler has returned. Where the handler has filled the queue before, the
    /// answer waits for room in it, and the events behind it wait too: its client waits for it.
    pub(crate) async fn acknowledge(&self, packed: Packed) {
        let Some(AckHandle(ack)) = &self.ack else {
            return;
        };
        if ack.used.swap(true, Ordering::Relaxed) {
            return;
        }
        loop {
            let act = Act::Ack {
                id: ack.id,
                packed: packed.clone(),
            };
            match ack.socket.act(act) {
                Err(SendError::Full) => tokio::time::sleep(FULL_LOOK).await,
                // Where its client has gone, nobody waits.
                _ => return,
            }
        }
    }
}

impl AckHandle {
    /// Acknowledges the event. A tuple is several arguments, `()` none. A second time it does
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`SendError`] where the value cannot be said in JSON, the queue is full, or the socket has
    /// gone.
    pub fn send(self, value: impl Serialize) -> Result<(), SendError> {
        let packed: Result<Packed, JsonError> = Packed::ack(&value);
        self.say(packed?)
    }

    fn say(&self, packed: Packed) -> Result<(), SendError> {
        let Wanted { socket, id, used } = &*self.0;
        if used.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        socket.act(Act::Ack { id: *id, packed })
    }
}
