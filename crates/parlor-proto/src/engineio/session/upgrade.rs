//! From polling to WebSocket, with nothing lost and nothing out of order.
//!
//! Until the client's Upgrade packet everything flows over polling, both ways. From then on
//! everything flows over the WebSocket, and what waited for a GET goes first.

use super::polling::Polling;
use super::{
    Data, ErrorCode, Frame, Message, Options, Output, PacketType, Session, State, Text, millis,
};
use crate::engineio::packet::Packet;

/// How long after the probe's answer, and after each other, GETs are ended so that the client
/// stops polling, in milliseconds.
const NOOP_INTERVAL: u64 = 100;

/// What a probe says.
const PROBE: &str = "probe";

/// A WebSocket that may become the session's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    deadline: u64,
    /// When a pending GET is ended next; none before the probe.
    noop: Option<u64>,
}

impl Session {
    /// A WebSocket for this session is open, to go on there.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadRequest`] where the session is on WebSocket, already tries one, or closes;
    /// [`ErrorCode::UnknownSid`] where it has ended. Close that socket; the session does not know
    /// it.
    pub fn websocket_open(&mut self, options: &Options, now: u64) -> Result<(), ErrorCode> {
        self.handle_timeout(options, now);
        match (&mut self.polling, self.state) {
            (_, State::Closed) => Err(ErrorCode::UnknownSid),
            (Some(polling), State::Open) if polling.attempt.is_none() => {
                polling.attempt = Some(Attempt {
                    deadline: now.saturating_add(millis(options.upgrade_timeout)),
                    noop: None,
                });
                Ok(())
            }
            _ => Err(ErrorCode::BadRequest),
        }
    }

    /// Whether a WebSocket is being tried.
    #[must_use]
    pub fn is_upgrading(&self) -> bool {
        let attempt = self.polling.as_ref().and_then(|polling| polling.attempt);
        attempt.is_some()
    }

    /// A packet on the socket that is tried; none where it could not be read.
    pub(super) fn upgrade_packet(
        &mut self,
        packet: Option<&Packet<'_>>,
        options: &Options,
        now: u64,
    ) {
        let Some(polling) = &mut self.polling else {
            return;
        };
        let Some(attempt) = &mut polling.attempt else {
            return;
        };
        let probed = attempt.noop.is_some();
        match packet.map(|packet| (packet.kind, &packet.data)) {
            Some((PacketType::Ping, Data::Text(PROBE))) => {
                attempt.noop = Some(now);
                let data = Message::Text(Text::from_static(PROBE));
                let frame = Frame::new(self.version, PacketType::Pong, data, false);
                self.outputs.push_back(Output::Send(frame));
                self.upgrade_due(options, now);
            }
            Some((PacketType::Upgrade, _)) if probed => self.switch(options),
            _ => self.outputs.extend(polling.abandon_upgrade()),
        }
    }

    /// Ends a pending GET, or the attempt.
    pub(super) fn upgrade_due(&mut self, options: &Options, now: u64) {
        let Some(polling) = &mut self.polling else {
            return;
        };
        let Some(attempt) = &mut polling.attempt else {
            return;
        };
        if attempt.deadline <= now {
            self.outputs.extend(polling.abandon_upgrade());
        } else if attempt.noop.is_some_and(|noop| noop <= now) {
            attempt.noop = Some(now.saturating_add(NOOP_INTERVAL));
            let packets_max = options.limits.response_packets_max;
            self.outputs
                .extend(polling.respond_now(self.version, packets_max));
        }
    }

    /// Goes on over the WebSocket.
    fn switch(&mut self, options: &Options) {
        let Some(mut polling) = self.polling.take() else {
            return;
        };
        let mut waiting = Vec::new();
        while let Some(packet) = polling.pop() {
            waiting.push(packet);
        }
        // A client that still has a GET open did not wait for its end. It loses nothing by it.
        let packets_max = options.limits.response_packets_max;
        self.outputs
            .extend(polling.respond_now(self.version, packets_max));
        self.outputs.push_back(Output::Upgraded);
        for (packet, compress) in waiting {
            let frame = Frame::new(self.version, packet.kind, packet.data, compress);
            self.outputs.push_back(Output::Send(frame));
        }
    }
}

impl Polling {
    /// When something is to be done about the attempt.
    pub(super) fn deadline(&self) -> Option<u64> {
        let attempt = self.attempt?;
        let noop = attempt.noop.filter(|_| self.is_pending());
        Some(noop.map_or(attempt.deadline, |noop| noop.min(attempt.deadline)))
    }

    /// Gives the attempt up, and closes its socket.
    pub(super) fn abandon_upgrade(&mut self) -> Option<Output> {
        self.attempt.take().map(|_| Output::CloseSocket)
    }

    /// The socket of the attempt is gone.
    pub(super) fn forget_upgrade(&mut self) {
        self.attempt = None;
    }
}
