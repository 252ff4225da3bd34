//! What runs over a session, and what it may do with it.

use std::{fmt, net::SocketAddr};

use parlor_proto::engineio::{CloseCause, Message, Options, Session, State, Transport, Version};
use parlor_proto::websocket::frame;

use super::super::{Item, News, Tools, Turn};
use crate::embed::socketio::ToSocket;

/// What runs over one Engine.IO session.
///
/// All calls but [`Application::deliver`] are made with the turn of the member that the session
/// is. What is said through the port goes out after the call, in order.
pub(crate) trait Application: fmt::Debug {
    /// The session is open: its Open packet is on the way.
    fn open(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>);

    /// A text message came in.
    fn text(&mut self, text: &str, port: &mut Port<'_>, turn: &mut Turn<'_>);

    /// A binary message came in.
    fn binary(&mut self, bytes: &[u8], port: &mut Port<'_>, turn: &mut Turn<'_>);

    /// The session goes on over a WebSocket.
    fn upgraded(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        let _ = (port, turn);
    }

    /// The hub has answered what this member asked for.
    fn hear(&mut self, news: &News<'_>, port: &mut Port<'_>, turn: &mut Turn<'_>);

    /// Says what the member hears in its rooms. Called while there is no shared form: over
    /// polling, with compression, or where [`Application::form`] says so; and for what one member
    /// alone hears.
    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        port: &mut Port<'_>,
        tools: &mut Tools,
    );

    /// The wire form that members on an uncompressed WebSocket share: complete frames, digit of
    /// the packet type included. None where each message is to be encoded for the member alone.
    /// It is asked for when the session comes onto a WebSocket.
    fn form(&self, version: Version) -> Option<u8>;

    /// Where what may not be parted ends, in which offset `sent` of whole `frames` lies.
    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        frame::boundary(frames, sent)
    }

    /// When [`Application::timeout`] is to be called: milliseconds of the shard's clock.
    fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Does what is due.
    fn timeout(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        let _ = (port, turn);
    }

    /// The session has ended, perhaps before it was open. Called once and last. The member is still in its rooms; nothing can
    /// be sent to it.
    fn closed(&mut self, cause: CloseCause, turn: &mut Turn<'_>);

    /// After the end: until when the member stays in its rooms all the same, in milliseconds of the
    /// shard's clock. None where it goes, also once it has stayed long enough.
    fn stays_until(&self) -> Option<u64> {
        None
    }

    /// Does what a handle of a socket asks for.
    fn obey(&mut self, to: ToSocket, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        let _ = (to, port, turn);
    }

    /// The server stops; the session is closed after this.
    fn shutdown(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        let _ = (port, turn);
    }
}

/// Makes applications, one for each session. Called in any shard.
pub(crate) trait Applications: fmt::Debug + Send + Sync {
    /// What is to run over a new session. The member is not known to the hub: an application that
    /// wants rooms connects it here, with [`Turn::hub`] and [`Turn::key`].
    fn open(
        &self,
        opening: &Opening<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Box<dyn Application>, Forbidden>;
}

/// The application refuses a session: 403, code 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forbidden;

/// A request for a new session that is faultless so far.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) sid: &'a str,
    pub(crate) version: Version,
    pub(crate) transport: Transport,
    /// The request target: path and query.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [httparse::Header<'a>],
    /// Where it came from. Many have no use for it, and to find out costs a call of the kernel.
    pub(crate) peer: &'a dyn Fn() -> SocketAddr,
}

/// A session, as its application sees it.
#[derive(Debug)]
pub(crate) struct Port<'a> {
    pub(super) session: &'a mut Session,
    pub(super) options: &'a Options,
    pub(super) now: u64,
    /// Bytes wait for the session's socket.
    pub(super) backlog: bool,
}

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "embedders are to see the session")
)]
impl Port<'_> {
    /// Sends a message. After the end it does nothing.
    pub(crate) fn send(&mut self, message: Message) {
        self.session.send(message, self.options);
    }

    /// Sends a message that is not to be compressed.
    pub(crate) fn send_plain(&mut self, message: Message) {
        self.session.send_plain(message, self.options);
    }

    /// Closes the session. What was sent before still goes out.
    pub(crate) fn close(&mut self) {
        self.session.close(self.options, self.now);
    }

    /// Ends the session at once: its client is known to have gone.
    pub(crate) fn abort(&mut self) {
        match self.session.transport() {
            Transport::Polling => self.session.post_aborted(self.options, self.now),
            Transport::WebSocket => self.session.close(self.options, self.now),
        }
    }

    /// Whether the session is open.
    pub(crate) fn is_open(&self) -> bool {
        self.session.state() == State::Open
    }

    /// The revision that the client speaks.
    pub(crate) fn version(&self) -> Version {
        self.session.version()
    }

    /// What the session goes over now.
    pub(crate) fn transport(&self) -> Transport {
        self.session.transport()
    }

    /// Whether a message would leave at once: on WebSocket nothing waits for the socket, over
    /// polling a GET is pending. A volatile message is dropped where it would not.
    pub(crate) fn is_writable(&self) -> bool {
        !self.backlog && self.session.is_writable()
    }
}
