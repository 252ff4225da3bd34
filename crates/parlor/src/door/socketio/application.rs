//! Socket.IO as what runs over an Engine.IO session.

use std::{collections::BTreeSet, sync::Arc};

use parlor_hub::RoomName;
use parlor_proto::{
    engineio::{CloseCause, Version},
    socketio::{Connection, DisconnectReason, Error, Event},
};

use super::{
    Desk, Rare, Settings, SocketIo, held,
    said::{is_plain, packet_of},
    served::{Served, member},
    sockets::short_secret,
    wire,
};
use crate::{
    door::{
        Item, News, Tools, Turn,
        engineio::{Application, Applications, Forbidden, Opening, Port},
        enter::{LOBBY, Query},
        tools::SOCKETIO,
    },
    embed::{
        Head,
        socketio::{Conn, Incoming, Io, ToSocket},
    },
};

/// The namespaces that clients may join.
#[derive(Debug, Clone, Default)]
pub(crate) enum Names {
    /// Any.
    #[default]
    All,
    /// These.
    These(BTreeSet<String>),
}

impl Names {
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
        }
    }
}

/// What runs where no code was written: rooms that clients join, and messages in them.
#[derive(Debug)]
pub(crate) struct BuiltIn(pub(crate) Arc<Settings>);

impl Applications for BuiltIn {
    fn open(
        &self,
        opening: &Opening<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Box<dyn Application>, Forbidden> {
        let query = opening.target.split_once('?');
        let query = Query(query.map_or("", |(_, query)| query));
        let room = query.get("room").map_err(|_| Forbidden)?;
        let room = RoomName::new(room.as_deref().unwrap_or(LOBBY)).map_err(|_| Forbidden)?;
        let room = held(room, turn.hub);
        let name = query.get("name").map_err(|_| Forbidden)?;
        let name = name.as_deref().filter(|name| !name.is_empty());
        Ok(Box::new(connect(&self.0, (room, name), opening, turn)?))
    }
}

/// Sockets with handlers.
#[derive(Debug)]
pub(crate) struct WithHandlers(pub(crate) Arc<Settings>, pub(crate) Arc<Io>);

impl Applications for WithHandlers {
    fn open(
        &self,
        opening: &Opening<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Box<dyn Application>, Forbidden> {
        if self.1.is_closed() {
            return Err(Forbidden);
        }
        let room = RoomName::new(LOBBY).map_err(|_| Forbidden)?;
        let mut connected = connect(&self.0, (room, None), opening, turn)?;
        let fields = opening.headers.iter();
        let fields = fields.map(|header| (header.name, header.value));
        let head = Head::new("GET", opening.target, fields, (opening.peer)());
        let member = member(turn, (opening.peer)()).ok_or(Forbidden)?;
        let session = (opening.sid, opening.version, opening.transport);
        connected.served = Some(Box::new(Served {
            io: Arc::clone(&self.1),
            conn: Conn::new(member, head, session),
        }));
        Ok(Box::new(connected))
    }
}

/// Makes the session a member, in no room yet.
fn connect(
    settings: &Arc<Settings>,
    (room, name): (RoomName, Option<&str>),
    opening: &Opening<'_>,
    turn: &mut Turn<'_>,
) -> Result<SocketIo, Forbidden> {
    let secret = turn.tools.secret().map_err(|_| Forbidden)?;
    let connected = turn.hub.connect(turn.key, short_secret(secret), name);
    connected.map_err(|_| Forbidden)?;
    let version = opening.version;
    Ok(SocketIo {
        connection: Connection::new(version.into(), &settings.options, turn.now),
        settings: Arc::clone(settings),
        sockets: Vec::new(),
        pending: Vec::new(),
        last_token: 0,
        room,
        served: None,
        fault: None,
        rare: (version == Version::V3).then(|| {
            Box::new(Rare {
                engine_id: Some(opening.sid.into()),
                ..Rare::default()
            })
        }),
    })
}

impl SocketIo {
    /// A message in a way of the server's own.
    fn decode(&mut self, message: Incoming<'_>) -> Result<Option<Event<'static>>, Error> {
        let settings = Arc::clone(&self.settings);
        let (Some(parser), options) = (&settings.parser, &settings.options) else {
            return Ok(None);
        };
        let decoding = self.rare().decoding.get_or_insert_default();
        match parser.decode(decoding, message, &options.limits)? {
            Some(packet) => self.connection.packet(packet, options),
            None => Ok(None),
        }
    }

    fn take(
        &mut self,
        event: Result<Option<Event<'_>>, Error>,
        port: &mut Port<'_>,
        turn: &mut Turn<'_>,
    ) {
        match event {
            Ok(Some(event)) => self.handle(event, &mut Desk { port, turn }),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "socket.io connection failed");
                self.fault = Some(error.reason());
                port.close();
            }
        }
    }
}

impl Application for SocketIo {
    fn open(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        self.do_due(&mut Desk { port, turn });
    }

    fn text(&mut self, text: &str, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        if port.is_open() {
            let event = match self.settings.parser {
                None => self.connection.text(text, &self.settings.options),
                Some(_) => self.decode(Incoming::Text(text)),
            };
            self.take(event, port, turn);
        }
    }

    fn binary(&mut self, bytes: &[u8], port: &mut Port<'_>, turn: &mut Turn<'_>) {
        if port.is_open() {
            let event = match self.settings.parser {
                None => self.connection.binary(bytes, &self.settings.options),
                Some(_) => self.decode(Incoming::Binary(bytes)),
            };
            self.take(event, port, turn);
        }
    }

    fn upgraded(&mut self, _: &mut Port<'_>, _: &mut Turn<'_>) {
        if let Some(served) = &self.served {
            served.conn.set_upgraded();
        }
    }

    fn hear(&mut self, news: &News<'_>, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        self.hear_news(news, &mut Desk { port, turn });
    }

    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        port: &mut Port<'_>,
        _: &mut Tools,
    ) {
        for item in items {
            let Some(packet) = packet_of(item) else {
                continue;
            };
            if item.is_volatile() && !port.is_writable() {
                continue;
            }
            if self.is_watched() {
                self.tell_delivered(&packet);
            }
            let packet = match item {
                Item::Message(message) => self.keep_message(message, packet),
                Item::Notice(..) | Item::Broadcast(_) => Some(packet),
            };
            let Some(packet) = packet else { continue };
            self.send_as(&packet, !is_plain(item), port);
        }
    }

    fn form(&self, version: Version) -> Option<u8> {
        if self.recovers() || self.is_watched() {
            // Each event of a recoverable socket has a place of its own, and what a handler is told
            // is told for one socket.
            return None;
        }
        let form = match &self.settings.parser {
            None => wire::form(version, self.connection.parser()),
            Some(_) => wire::own_form(version)?,
        };
        Some(SOCKETIO + form)
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        match &self.settings.parser {
            None => wire::boundary(frames, sent),
            // Nobody but the parser knows where its packets end.
            Some(_) => frames.len(),
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let stays_until = Self::stays_until(self);
        stays_until.or_else(|| self.connection.next_deadline())
    }

    fn stays_until(&self) -> Option<u64> {
        Self::stays_until(self)
    }

    fn timeout(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        if Self::stays_until(self).is_some_and(|until| until <= turn.now) {
            return self.stay_no_longer(turn);
        }
        self.do_due(&mut Desk { port, turn });
    }

    fn closed(&mut self, cause: CloseCause, turn: &mut Turn<'_>) {
        let reason = self.fault.unwrap_or_else(|| cause.reason().into());
        if let Some(served) = &self.served {
            served.conn.set_closed(cause);
        }
        if self.stay(reason, turn) {
            return;
        }
        for (namespace, claim) in self.take_claims() {
            self.not_found(&namespace, &claim, turn);
        }
        for socket in std::mem::take(&mut self.sockets) {
            Self::give_back(&socket, turn);
            turn.tools.sockets.remove(&socket.id, turn.key);
            if let Some(recovery) = &socket.recovery {
                self.forget_pid(recovery.pid, turn);
            }
            Self::tell_ended(&socket, Some(reason), turn);
        }
    }

    /// Nobody is sent a DISCONNECT, after which clients would not come back by themselves.
    fn shutdown(&mut self, _: &mut Port<'_>, turn: &mut Turn<'_>) {
        if Self::stays_until(self).is_some() {
            self.stay_no_longer(turn);
        }
        self.fault = Some(DisconnectReason::ServerShuttingDown);
    }

    fn obey(&mut self, to: ToSocket, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        self.obey_handle(to, &mut Desk { port, turn });
    }
}
