//! The namespaces of one Engine.IO session.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use super::decoder::{self, Decoder};
use super::encoder::Encoded;
use super::options::{Limits, Options, Parser, Parsers};
use super::packet::{Packet, PacketType, Version};
use super::{DecodeError, Error, Misuse, json, msgpack};
use crate::engineio::query;

/// What a client did, or what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The client asks for a namespace. Answer with [`Connection::accept`],
    /// [`Connection::refuse`] or [`Connection::refuse_unknown`]; until then nothing else may come
    /// for it.
    Connect {
        /// The namespace; in version 4 without its query.
        namespace: Cow<'a, str>,
        /// A JSON object with what the client says about itself; in version 4 the query of the
        /// namespace. None where it says nothing.
        auth: Option<Cow<'a, str>>,
    },
    /// An event. With an id, the client wants an [acknowledgement](Packet::ack), one at most.
    Event(Packet<'a>),
    /// The acknowledgement of an event that was sent with an id of [`Connection::expect_ack`].
    /// Others are not told: late ones, and second ones.
    Ack(Packet<'a>),
    /// The client left the namespace. The session stays.
    Disconnect {
        /// The namespace.
        namespace: Cow<'a, str>,
    },
    /// An acknowledgement did not come in time. It is awaited no more.
    AckTimeout {
        /// The namespace.
        namespace: Cow<'a, str>,
        /// The id.
        id: u64,
    },
    /// The client joined no namespace in time: close the session.
    ConnectTimeout,
}

/// The machine of one connection. See the [module](super) for the law of its loop.
#[derive(Debug)]
pub struct Connection {
    version: Version,
    /// None until the client has shown it.
    parser: Option<Parser>,
    decoder: Decoder,
    /// None once a namespace is connected.
    connect_deadline: Option<NonZeroU64>,
    slots: Vec<Slot>,
}

/// A namespace of the client.
#[derive(Debug)]
struct Slot {
    /// None for the main namespace, which nearly all clients are in.
    namespace: Option<Box<str>>,
    state: State,
    next_id: u64,
    /// From the first acknowledgement that is awaited.
    acks: Option<Box<Acks>>,
}

/// Acknowledgements that are awaited.
#[derive(Debug)]
struct Acks {
    /// Their ids and deadlines.
    awaited: BTreeMap<u64, u64>,
    /// No deadline is before this.
    from: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Version 4: the main namespace, which is connected without being asked for.
    Implicit,
    /// Waits for the embedder's answer.
    Connecting,
    Connected,
    /// We disconnected it, and packets of the client may still be under way.
    Left,
}

impl Connection {
    /// A connection whose session opened now. With version 4, [`Connection::due`] asks for the
    /// main namespace at once.
    #[must_use]
    pub fn new(version: Version, options: &Options, now: u64) -> Self {
        let parser = match (options.parsers, version) {
            (Parsers::Detect, Version::V5) => None,
            (Parsers::Json, _) | (Parsers::Detect, Version::V4) => Some(Parser::Json),
            (Parsers::Msgpack, _) => Some(Parser::Msgpack),
        };
        let timeout = u64::try_from(options.connect_timeout.as_millis()).unwrap_or(u64::MAX);
        let due = NonZeroU64::new(now.saturating_add(timeout));
        let mut new = Self {
            version,
            parser,
            decoder: Decoder::new(),
            // One at 0 is as good at 1.
            connect_deadline: Some(due.unwrap_or(NonZeroU64::MIN)),
            slots: Vec::new(),
        };
        if version == Version::V4 {
            new.add(Slot::new("/", State::Implicit));
        }
        new
    }

    /// A text message came in.
    ///
    /// # Errors
    ///
    /// [`Error`]: close the session; the machine is of no more use.
    pub fn text<'a>(
        &mut self,
        text: &'a str,
        options: &Options,
    ) -> Result<Option<Event<'a>>, Error> {
        match *self.parser.get_or_insert(Parser::Json) {
            Parser::Msgpack => Err(DecodeError::ViolationText.into()),
            Parser::Json => match self.decoder.text(text, &options.limits)? {
                Some(packet) => self.accept_packet(packet, &options.limits),
                None => Ok(None),
            },
        }
    }

    /// A binary message came in.
    ///
    /// # Errors
    ///
    /// See [`Connection::text`].
    pub fn binary(
        &mut self,
        bytes: &[u8],
        options: &Options,
    ) -> Result<Option<Event<'static>>, Error> {
        let limits = &options.limits;
        let packet = match *self.parser.get_or_insert(Parser::Msgpack) {
            Parser::Msgpack => Some(msgpack::decode(bytes, limits)?),
            Parser::Json => self.decoder.binary(bytes, limits)?,
        };
        match packet {
            Some(packet) => self.accept_packet(packet, limits),
            None => Ok(None),
        }
    }

    /// A packet came in that a decoder of the embedder's has read. It is checked as the others are
    /// ([`Limits`]), and its whole against [`Limits::packet_bytes_max`].
    ///
    /// # Errors
    ///
    /// See [`Connection::text`].
    pub fn packet<'a>(
        &mut self,
        mut packet: Packet<'a>,
        options: &Options,
    ) -> Result<Option<Event<'a>>, Error> {
        decoder::check(&packet, &options.limits)?;
        packet.msgpack = None;
        self.accept_packet(packet, &options.limits)
    }

    /// Lets the client into a namespace: the id of the new socket, and its private id where its
    /// state can be recovered. Returns what to send.
    ///
    /// # Errors
    ///
    /// [`Misuse::NotConnecting`].
    pub fn accept<'n>(
        &mut self,
        namespace: &'n str,
        sid: &str,
        pid: Option<&str>,
    ) -> Result<Packet<'n>, Misuse> {
        let slot = self.connecting(namespace)?;
        slot.state = State::Connected;
        self.connect_deadline = None;
        Ok(Packet::connect(self.version, namespace, sid, pid))
    }

    /// Refuses a namespace, with a message and maybe data as JSON text. Returns what to send.
    ///
    /// # Errors
    ///
    /// [`Misuse::NotConnecting`].
    pub fn refuse<'n>(
        &mut self,
        namespace: &'n str,
        message: &str,
        data: Option<&str>,
    ) -> Result<Packet<'n>, Misuse> {
        self.connecting(namespace)?;
        self.remove(namespace);
        let version = self.version;
        Ok(Packet::connect_error(version, namespace, message, data))
    }

    /// Refuses a namespace that there is not. Returns what to send.
    ///
    /// # Errors
    ///
    /// [`Misuse::NotConnecting`].
    pub fn refuse_unknown<'n>(&mut self, namespace: &'n str) -> Result<Packet<'n>, Misuse> {
        self.connecting(namespace)?;
        self.remove(namespace);
        Ok(Packet::invalid_namespace(namespace))
    }

    /// Disconnects the client from a namespace. Returns what to send. Packets of the client that
    /// are still under way are passed over, until it connects again.
    ///
    /// # Errors
    ///
    /// [`Misuse::NotConnected`].
    pub fn disconnect<'n>(&mut self, namespace: &'n str) -> Result<Packet<'n>, Misuse> {
        let slot = self.connected(namespace)?;
        *slot = Slot::new(namespace, State::Left);
        Ok(Packet::disconnect(namespace))
    }

    /// Disconnects the client from all namespaces, before the session is closed. Returns what to
    /// send.
    pub fn disconnect_all(&mut self) -> Vec<Packet<'static>> {
        let slots = std::mem::take(&mut self.slots);
        let connected = slots.iter().filter(|slot| slot.state == State::Connected);
        connected
            .map(|slot| Packet::disconnect(slot.namespace()).into_owned())
            .collect()
    }

    /// An id for an event that wants an acknowledgement, from 0 for each socket: put it into the
    /// packet. `deadline` is when to stop waiting for it, in the milliseconds of `now`.
    ///
    /// # Errors
    ///
    /// [`Misuse::NotConnected`], [`Misuse::LimitAcks`].
    pub fn expect_ack(
        &mut self,
        namespace: &str,
        deadline: Option<u64>,
        limits: &Limits,
    ) -> Result<u64, Misuse> {
        let acks_max = limits.acks_max;
        let slot = self.connected(namespace)?;
        let acks = slot.acks.get_or_insert_default();
        if acks.awaited.len() >= acks_max {
            return Err(Misuse::LimitAcks { acks_max });
        }
        let id = slot.next_id;
        slot.next_id += 1;
        let deadline = deadline.unwrap_or(u64::MAX);
        acks.awaited.insert(id, deadline);
        acks.from = acks.from.min(deadline);
        Ok(id)
    }

    /// An acknowledgement is awaited no more. Whether it was.
    pub fn forget_ack(&mut self, namespace: &str, id: u64) -> bool {
        let slot = self.connected(namespace).ok();
        let acks = slot.and_then(|slot| slot.acks.as_mut());
        acks.is_some_and(|acks| acks.awaited.remove(&id).is_some())
    }

    /// What is due now: the main namespace of version 4 after the opening, acknowledgements that
    /// did not come, and the end of a client that joined nothing.
    pub fn due(&mut self, now: u64) -> Option<Event<'static>> {
        for slot in &mut self.slots {
            if slot.state == State::Implicit {
                slot.state = State::Connecting;
                return Some(Event::Connect {
                    namespace: Cow::Borrowed("/"),
                    auth: None,
                });
            }
            if let Some(id) = slot.expired(now) {
                return Some(Event::AckTimeout {
                    namespace: Cow::Owned(slot.namespace().to_owned()),
                    id,
                });
            }
        }
        if self
            .connect_deadline
            .is_some_and(|deadline| deadline.get() <= now)
        {
            self.connect_deadline = None;
            return Some(Event::ConnectTimeout);
        }
        None
    }

    /// When to call [`Connection::due`], in the milliseconds of `now`. It may turn out that
    /// nothing is due then.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let acks = self.slots.iter().filter_map(|slot| slot.acks.as_ref());
        let acks = acks.map(|acks| acks.from);
        let connect = self.connect_deadline.map(NonZeroU64::get);
        let earliest = acks.chain(connect).min();
        earliest.filter(|deadline| *deadline < u64::MAX)
    }

    /// Writes a packet as the client reads it.
    #[must_use]
    pub fn encode(&self, packet: &Packet<'_>) -> Encoded {
        packet.encode(self.parser())
    }

    /// How packets are written; JSON as long as the client has shown nothing.
    #[must_use]
    pub fn parser(&self) -> Parser {
        self.parser.unwrap_or(Parser::Json)
    }

    /// The revision that is spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the client is in a namespace.
    #[must_use]
    pub fn is_connected(&self, namespace: &str) -> bool {
        self.state(namespace) == Some(State::Connected)
    }

    /// The namespaces that the client is in.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        let connected = |slot: &&Slot| slot.state == State::Connected;
        self.slots.iter().filter(connected).map(Slot::namespace)
    }

    /// The bytes that wait for attachments.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.decoder.buffered_bytes()
    }

    fn accept_packet<'a>(
        &mut self,
        packet: Packet<'a>,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, Error> {
        let (packet, query) = match self.version {
            Version::V5 => (packet, None),
            Version::V4 => split_query(packet),
        };
        let state = self.state(&packet.namespace);
        match (packet.kind, state) {
            (PacketType::ConnectError, _) => Err(Error::ViolationDirection),
            (PacketType::Connect, None | Some(State::Left)) => {
                self.begin(&packet.namespace, limits)?;
                let auth = match self.version {
                    Version::V5 => packet.payload,
                    Version::V4 => query.map(|query| Cow::Owned(query_json(&query))),
                };
                Ok(Some(Event::Connect {
                    namespace: packet.namespace,
                    auth,
                }))
            }
            (PacketType::Connect, Some(_)) => Err(Error::ViolationConnectedTwice),
            (_, Some(State::Left)) => Ok(None),
            (_, None | Some(State::Implicit | State::Connecting)) => {
                Err(Error::ViolationNotConnected)
            }
            (PacketType::Event, Some(State::Connected)) => Ok(Some(Event::Event(packet))),
            (PacketType::Ack, Some(State::Connected)) => {
                let id = packet.id;
                let awaited = id.is_some_and(|id| self.forget_ack(&packet.namespace, id));
                Ok(awaited.then_some(Event::Ack(packet)))
            }
            (PacketType::Disconnect, Some(State::Connected)) => {
                self.remove(&packet.namespace);
                Ok(Some(Event::Disconnect {
                    namespace: packet.namespace,
                }))
            }
        }
    }

    /// A CONNECT waits for its answer.
    fn begin(&mut self, namespace: &str, limits: &Limits) -> Result<(), Error> {
        let bytes_max = limits.namespace_bytes_max;
        if namespace.len() > bytes_max {
            return Err(Error::LimitNamespaceBytes { bytes_max });
        }
        self.remove(namespace);
        let namespaces_max = limits.namespaces_max;
        if self.slots.len() >= namespaces_max {
            self.slots.retain(|slot| slot.state != State::Left);
        }
        if self.slots.len() >= namespaces_max {
            return Err(Error::LimitNamespaces { namespaces_max });
        }
        self.add(Slot::new(namespace, State::Connecting));
        Ok(())
    }

    /// Few clients are in more than one namespace, so there is room for no more than there are.
    fn add(&mut self, slot: Slot) {
        self.slots.reserve_exact(1);
        self.slots.push(slot);
    }

    fn state(&self, namespace: &str) -> Option<State> {
        let mut slots = self.slots.iter();
        let slot = slots.find(|slot| slot.namespace() == namespace);
        slot.map(|slot| slot.state)
    }

    fn slot(&mut self, namespace: &str, state: State) -> Option<&mut Slot> {
        let mut slots = self.slots.iter_mut();
        slots.find(|slot| slot.state == state && slot.namespace() == namespace)
    }

    fn connecting(&mut self, namespace: &str) -> Result<&mut Slot, Misuse> {
        self.slot(namespace, State::Connecting)
            .ok_or(Misuse::NotConnecting)
    }

    fn connected(&mut self, namespace: &str) -> Result<&mut Slot, Misuse> {
        self.slot(namespace, State::Connected)
            .ok_or(Misuse::NotConnected)
    }

    fn remove(&mut self, namespace: &str) {
        self.slots.retain(|slot| slot.namespace() != namespace);
    }
}

impl Slot {
    fn new(namespace: &str, state: State) -> Self {
        Self {
            namespace: (namespace != "/").then(|| namespace.into()),
            state,
            next_id: 0,
            acks: None,
        }
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("/")
    }

    /// An acknowledgement whose time is over.
    fn expired(&mut self, now: u64) -> Option<u64> {
        let acks = self.acks.as_mut().filter(|acks| acks.from <= now)?;
        let mut awaited = acks.awaited.iter();
        let expired = awaited.find(|(_, deadline)| **deadline <= now);
        let id = expired.map(|(id, _)| *id);
        match id {
            Some(id) => drop(acks.awaited.remove(&id)),
            None => acks.from = acks.awaited.values().copied().min().unwrap_or(u64::MAX),
        }
        id
    }
}

impl Default for Acks {
    fn default() -> Self {
        Self {
            awaited: BTreeMap::new(),
            from: u64::MAX,
        }
    }
}

/// Version 4: `/nsp?query` in the place of the namespace.
fn split_query(mut packet: Packet<'_>) -> (Packet<'_>, Option<String>) {
    let Some((bare, query)) = packet.namespace.split_once('?') else {
        return (packet, None);
    };
    let query = query.to_owned();
    packet.namespace = match &packet.namespace {
        Cow::Borrowed(whole) => Cow::Borrowed(whole.split_once('?').map_or(*whole, |(nsp, _)| nsp)),
        Cow::Owned(_) => Cow::Owned(bare.to_owned()),
    };
    (packet, Some(query))
}

/// A query as a JSON object of strings; of keys that stand twice, the last value.
fn query_json(query: &str) -> String {
    let pairs: BTreeMap<Cow<'_, str>, Cow<'_, str>> = query::pairs(query).collect();
    let mut out = String::from("{");
    for (key, value) in pairs {
        if out.len() > 1 {
            out.push(',');
        }
        json::escape_into(&key, &mut out);
        out.push(':');
        json::escape_into(&value, &mut out);
    }
    out.push('}');
    out
}
