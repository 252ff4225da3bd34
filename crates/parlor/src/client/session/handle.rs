//! How the application speaks to a session's task: from any task or thread, by bounded queues.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parlor_hub::{MemberId, MessageId, RoomName};
use serde::Serialize;
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};

use super::{
    payload::{Draft, Payload, Roster},
    wire::{self, Request, Said},
};

/// What a session refuses, or could not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The caller's: a room name is 1 to 128 bytes without control characters.
    #[error("a room name is 1 to 128 bytes without control characters")]
    MisuseName,
    /// The caller's: [`Payload::Json`] or a relayed object that is not JSON, or holds `type`,
    /// `target`, `from` or `ref` itself.
    #[error("not JSON that can be sent")]
    MisusePayload,
    /// The caller's: the room was left, or the server refused it.
    #[error("not in this room")]
    MisuseNotJoined,
    /// The message is longer than
    /// [`SessionBuilder::publish_bytes_max`](super::SessionBuilder::publish_bytes_max).
    #[error("message of {bytes} bytes is over the limit of {bytes_max}")]
    LimitMessage {
        /// Its length on the wire.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The queue of what is not acknowledged yet is full; nothing was queued.
    #[error("the queue is full")]
    LimitQueue,
    /// The message was not sent in its time to live. It was not published.
    #[error("not sent within {after:?}")]
    LimitAge {
        /// How long it waited at most.
        after: Duration,
    },
    /// The server refused it. It was not published.
    #[error("refused by the server: {code}: {message}")]
    Refused {
        /// The server's word for programs.
        code: String,
        /// The server's words for people.
        message: String,
    },
    /// It was sent, the connection was lost before the server's answer, and what the server
    /// replayed afterwards does not tell whether it was published.
    #[error("sent, but not known whether it was published")]
    Unconfirmed,
    /// The session is over. What was not acknowledged by then may or may not have been published.
    #[error("the session is over")]
    Ended,
}

/// Speaks to a session from anywhere: a clone costs a reference count, and none of it waits but
/// what is `async`.
///
/// When the last handle, [`Room`] and the [`Session`](super::Session) are gone, the session ends.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What all handles of a session share.
pub(super) struct Shared {
    pub(super) commands: mpsc::Sender<Command>,
    /// Free places in the queue.
    pub(super) slots: Arc<Semaphore>,
    /// Free bytes in the queue.
    pub(super) bytes: Arc<Semaphore>,
    pub(super) publish_bytes_max: usize,
    pub(super) time_to_live: Duration,
    /// Nobody wants to hear of events.
    pub(super) detached: Arc<AtomicBool>,
}

/// What to hear of what was said in a room before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    Nothing,
    /// What came after where an earlier session ended.
    Since(MessageId),
    /// So many messages.
    Last(u32),
}

/// What the session's task is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Join(Arc<str>, Past),
    Leave(Arc<str>),
    /// Into a room's queue; `None` for what goes to one member alone.
    Publish(Option<Arc<str>>, Outgoing),
    Presence(Box<serde_json::value::RawValue>),
    List {
        room: Arc<str>,
        after: Option<MemberId>,
        reply: oneshot::Sender<Result<Roster, SessionError>>,
    },
    Close(oneshot::Sender<()>),
}

/// A message on its way out. Dropped, it gives its place in the queue back.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The request without its `ref`.
    pub(super) text: String,
    pub(super) priority: Option<&'static str>,
    /// When it is given up, and after how long.
    pub(super) expires: Option<(Instant, Duration)>,
    receipt: oneshot::Sender<Published>,
    _places: [OwnedSemaphorePermit; 2],
}

type Published = Result<Option<MessageId>, SessionError>;

impl Outgoing {
    /// Tells the sender what became of it. A sender that does not listen has chosen so.
    pub(super) fn resolve(self, result: Published) {
        if let Err(error) = &result {
            tracing::debug!(%error, "message not published");
        }
        let _ = self.receipt.send(result);
    }
}

/// What becomes of a message: a future of its id, which the server gave it when it took it (none
/// for a message to one member).
///
/// Dropped, the message is sent all the same, and nobody learns what became of it.
#[derive(Debug)]
#[must_use = "a receipt tells what became of the message; `let _ =` where that does not matter"]
pub struct Receipt(oneshot::Receiver<Published>);

impl Future for Receipt {
    type Output = Published;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.0).poll(cx);
        result.map(|result| result.unwrap_or(Err(SessionError::Ended)))
    }
}

/// What is relayed between two members that are about to talk to each other directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Relay {
    /// `sdp`: an offer or an answer.
    Description,
    /// `ice-candidate`.
    Candidate,
}

impl Relay {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Description => "sdp",
            Self::Candidate => "ice-candidate",
        }
    }

    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "ice-candidate" => Self::Candidate,
            _ => Self::Description,
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("free", &self.shared.slots.available_permits())
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Joins a room, now and after each reconnection. The answer comes as
    /// [`Event::Joined`](super::Event::Joined) or [`Event::RoomLost`](super::Event::RoomLost); what
    /// is published meanwhile waits for it. To join a room again changes nothing.
    ///
    /// # Errors
    ///
    /// [`SessionError::MisuseName`], [`SessionError::LimitQueue`], [`SessionError::Ended`].
    pub fn join(&self, room: &str) -> Result<Room, SessionError> {
        self.join_from(room, Past::Nothing)
    }

    /// The same, but first hears what was said after a message: the last one that an earlier session
    /// of this program heard. What the server does not have any more is an
    /// [`Event::Gap`](super::Event::Gap).
    ///
    /// # Errors
    ///
    /// As [`Handle::join`].
    pub fn join_since(&self, room: &str, since: MessageId) -> Result<Room, SessionError> {
        self.join_from(room, Past::Since(since))
    }

    /// The same, but first hears up to so many messages of the past, the newest that the server
    /// has.
    ///
    /// # Errors
    ///
    /// As [`Handle::join`].
    pub fn join_last(&self, room: &str, count: u32) -> Result<Room, SessionError> {
        self.join_from(room, Past::Last(count))
    }

    fn join_from(&self, room: &str, past: Past) -> Result<Room, SessionError> {
        let room = self.room(room)?;
        self.order(Command::Join(Arc::clone(&room.name), past))?;
        Ok(room)
    }

    /// A room that was joined before.
    ///
    /// # Errors
    ///
    /// [`SessionError::MisuseName`].
    pub fn room(&self, room: &str) -> Result<Room, SessionError> {
        let name = RoomName::new(room).map_err(|_| SessionError::MisuseName)?;
        Ok(Room {
            name: Arc::from(name.as_str()),
            handle: self.clone(),
        })
    }

    /// Presence data for all rooms, now and after each reconnection; the server takes 4 KiB unless
    /// it was told otherwise.
    ///
    /// # Errors
    ///
    /// [`SessionError::MisusePayload`], [`SessionError::LimitQueue`], [`SessionError::Ended`].
    pub fn set_presence(&self, data: &impl Serialize) -> Result<(), SessionError> {
        let data =
            serde_json::value::to_raw_value(data).map_err(|_| SessionError::MisusePayload)?;
        self.order(Command::Presence(data))
    }

    /// Relays a description or candidate to a member of a room that is shared: an object whose
    /// members go there unread, such as `{"sdp": …}`.
    ///
    /// # Errors
    ///
    /// As [`Room::try_publish`].
    pub fn relay(
        &self,
        kind: Relay,
        target: MemberId,
        object: &impl Serialize,
    ) -> Result<Receipt, SessionError> {
        let object = serde_json::to_string(object).map_err(|_| SessionError::MisusePayload)?;
        let text = wire::relay(kind.word(), target, &object).ok_or(SessionError::MisusePayload)?;
        let places = self.try_places(text.len())?;
        let time_to_live = self.shared.time_to_live;
        let (outgoing, receipt) = outgoing(text, (None, time_to_live), places);
        self.order(Command::Publish(None, outgoing))?;
        Ok(receipt)
    }

    /// Ends the session: what is queued is sent and its acknowledgement waited for, up to
    /// [`SessionBuilder::drain`](super::SessionBuilder::drain), then the connection is closed with
    /// 1000. Nothing more is taken from now on.
    ///
    /// Dropped before it is done, the session ends all the same.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        // A session that is over, or closing already, has nothing to add.
        if self
            .shared
            .commands
            .send(Command::Close(reply))
            .await
            .is_ok()
        {
            let _ = done.await;
        }
    }

    pub(super) fn detach(&self) {
        self.shared.detached.store(true, Ordering::Release);
    }

    fn order(&self, command: Command) -> Result<(), SessionError> {
        let sent = self.shared.commands.try_send(command);
        sent.map_err(|error| ended(&error))
    }

    /// Places in the queue, if there are any.
    fn try_places(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], SessionError> {
        let bytes = self.checked(bytes)?;
        let Shared {
            slots, bytes: free, ..
        } = &*self.shared;
        let slot = Arc::clone(slots).try_acquire_owned();
        let slot = slot.map_err(|_| SessionError::LimitQueue)?;
        let free = Arc::clone(free).try_acquire_many_owned(bytes);
        let free = free.map_err(|_| SessionError::LimitQueue)?;
        Ok([slot, free])
    }

    /// Places in the queue, as soon as there are any.
    async fn places(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], SessionError> {
        let bytes = self.checked(bytes)?;
        let Shared {
            slots,
            bytes: free,
            commands,
            ..
        } = &*self.shared;
        let both = async {
            let slot = Arc::clone(slots).acquire_owned().await;
            let free = Arc::clone(free).acquire_many_owned(bytes).await;
            Ok([
                slot.map_err(|_| SessionError::Ended)?,
                free.map_err(|_| SessionError::Ended)?,
            ])
        };
        tokio::select! {
            places = both => places,
            () = commands.closed() => Err(SessionError::Ended),
        }
    }

    fn checked(&self, bytes: usize) -> Result<u32, SessionError> {
        let bytes_max = self.shared.publish_bytes_max;
        match u32::try_from(bytes) {
            Ok(counted) if bytes <= bytes_max => Ok(counted),
            _ => Err(SessionError::LimitMessage { bytes, bytes_max }),
        }
    }
}

fn ended<T>(error: &mpsc::error::TrySendError<T>) -> SessionError {
    match error {
        mpsc::error::TrySendError::Full(_) => SessionError::LimitQueue,
        mpsc::error::TrySendError::Closed(_) => SessionError::Ended,
    }
}

fn outgoing(
    text: String,
    (priority, time_to_live): (Option<&'static str>, Duration),
    places: [OwnedSemaphorePermit; 2],
) -> (Outgoing, Receipt) {
    let (receipt, result) = oneshot::channel();
    let expires = Instant::now()
        .checked_add(time_to_live)
        .filter(|_| !time_to_live.is_zero());
    let outgoing = Outgoing {
        text,
        priority,
        expires: expires.map(|at| (at, time_to_live)),
        receipt,
        _places: places,
    };
    (outgoing, Receipt(result))
}

/// A room of a session: what is said there.
#[derive(Clone, Debug)]
pub struct Room {
    name: Arc<str>,
    handle: Handle,
}

impl Room {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Publishes to the others of the room: a payload (text, bytes, [`Payload::json`]) or a
    /// [`Draft`]. The message is queued when this returns, and sent when the room is joined and
    /// every earlier one of this room is: in order, and each once.
    ///
    /// What was sent when a connection was lost is looked for in what the server replays. What
    /// is not there is sent again; what cannot be known ends as [`SessionError::Unconfirmed`].
    ///
    /// # Errors
    ///
    /// At once [`SessionError::LimitQueue`], [`SessionError::LimitMessage`],
    /// [`SessionError::MisusePayload`], [`SessionError::Ended`]; by the receipt
    /// [`SessionError::LimitAge`], [`SessionError::Refused`], [`SessionError::Unconfirmed`],
    /// [`SessionError::MisuseNotJoined`], [`SessionError::Ended`].
    pub fn try_publish(&self, draft: impl Into<Draft>) -> Result<Receipt, SessionError> {
        let draft = draft.into();
        let text = self.encode(&draft)?;
        let places = self.handle.try_places(text.len())?;
        let (command, receipt) = self.command(&draft, text, places);
        self.handle.order(command)?;
        Ok(receipt)
    }

    /// The same, but waits for room in the queue.
    ///
    /// The queue empties by acknowledgements, and these are read only while events are: do not
    /// wait here in the task that reads the session's events, unless the queue is large enough.
    ///
    /// Cancel-safe: dropped before it is done, nothing was queued.
    ///
    /// # Errors
    ///
    /// As [`Room::try_publish`], without [`SessionError::LimitQueue`].
    pub async fn publish(&self, draft: impl Into<Draft>) -> Result<Receipt, SessionError> {
        let draft = draft.into();
        let text = self.encode(&draft)?;
        let places = self.handle.places(text.len()).await?;
        let (command, receipt) = self.command(&draft, text, places);
        let sent = self.handle.shared.commands.send(command).await;
        sent.map_err(|_| SessionError::Ended)?;
        Ok(receipt)
    }

    /// Who is in the room beside this client; after a member, where there are more than 1,000.
    ///
    /// # Errors
    ///
    /// [`SessionError::Refused`]; [`SessionError::Unconfirmed`] where the connection was lost
    /// before the answer; [`SessionError::LimitQueue`], [`SessionError::Ended`].
    pub async fn list(&self, after: Option<MemberId>) -> Result<Roster, SessionError> {
        let (reply, roster) = oneshot::channel();
        self.handle.order(Command::List {
            room: Arc::clone(&self.name),
            after,
            reply,
        })?;
        roster.await.unwrap_or(Err(SessionError::Ended))
    }

    /// Leaves the room once what is queued for it has been sent.
    ///
    /// # Errors
    ///
    /// [`SessionError::LimitQueue`], [`SessionError::Ended`].
    pub fn leave(&self) -> Result<(), SessionError> {
        self.handle.order(Command::Leave(Arc::clone(&self.name)))
    }

    fn encode(&self, draft: &Draft) -> Result<String, SessionError> {
        encode(
            &self.name,
            draft.target,
            (draft.event.as_deref(), &draft.payload),
            wire::priority_word(draft.priority),
        )
        .ok_or(SessionError::MisusePayload)
    }

    fn command(
        &self,
        draft: &Draft,
        text: String,
        places: [OwnedSemaphorePermit; 2],
    ) -> (Command, Receipt) {
        let time_to_live = draft
            .time_to_live
            .unwrap_or(self.handle.shared.time_to_live);
        let priority = wire::priority_word(draft.priority);
        let (outgoing, receipt) = outgoing(text, (priority, time_to_live), places);
        let room = draft.target.is_none().then(|| Arc::clone(&self.name));
        (Command::Publish(room, outgoing), receipt)
    }
}

/// A message as it goes to the server, without its `ref`.
pub(super) fn encode(
    room: &str,
    target: Option<MemberId>,
    (event, payload): (Option<&str>, &Payload),
    priority: Option<&'static str>,
) -> Option<String> {
    let request = Request::Message {
        room,
        target: target.map(|target| target.to_string()),
        event,
        priority,
        data: Said::new(payload)?,
    };
    Some(request.encode())
}
