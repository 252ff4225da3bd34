//! Sessions of embedders who want nothing above Engine.IO.

use parlor_proto::engineio::{CloseCause, Version};

use super::{
    super::{Item, News, Tools, Turn},
    Application, Applications, Forbidden, Opening, Port,
};
use crate::embed::{
    Head,
    engineio::{Event, Handle, Opener, Session},
};

/// A session with its handler.
struct Embedded {
    session: Session,
    handle: Handle,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    fn call(&mut self, event: Event<'_>, port: &mut Port<'_>) {
        self.session.set(port.transport(), port.is_writable());
        (self.handle)(&mut self.session, event);
        for message in self.session.sent.drain(..) {
            port.send(message);
        }
        if std::mem::take(&mut self.session.closing) {
            port.close();
        }
        // Many sessions are idle.
        self.session.sent = Vec::new();
    }
}

impl Application for Embedded {
    fn open(&mut self, port: &mut Port<'_>, _: &mut Turn<'_>) {
        self.call(Event::Open, port);
    }

    fn text(&mut self, text: &str, port: &mut Port<'_>, _: &mut Turn<'_>) {
        self.call(Event::Text(text), port);
    }

    fn binary(&mut self, bytes: &[u8], port: &mut Port<'_>, _: &mut Turn<'_>) {
        self.call(Event::Binary(bytes), port);
    }

    fn upgraded(&mut self, port: &mut Port<'_>, _: &mut Turn<'_>) {
        self.call(Event::Upgraded, port);
    }

    // Such a session is in no room.
    fn hear(&mut self, _: &News<'_>, _: &mut Port<'_>, _: &mut Turn<'_>) {}

    fn deliver(&mut self, _: &mut dyn Iterator<Item = &Item>, _: &mut Port<'_>, _: &mut Tools) {}

    fn form(&self, _: Version) -> Option<u8> {
        None
    }

    fn closed(&mut self, cause: CloseCause, _: &mut Turn<'_>) {
        (self.handle)(&mut self.session, Event::Closed(cause.reason()));
    }
}

impl Applications for Opener {
    fn open(
        &self,
        opening: &Opening<'_>,
        _: &mut Turn<'_>,
    ) -> Result<Box<dyn Application>, Forbidden> {
        let fields = opening
            .headers
            .iter()
            .map(|header| (header.name, header.value));
        let peer = (opening.peer)();
        let head = Head::new("GET", opening.target, fields, peer);
        let handle = (self.0)(&head).ok_or(Forbidden)?;
        let session = Session::new(opening.sid, peer, opening.version, opening.transport);
        Ok(Box::new(Embedded { session, handle }))
    }
}
