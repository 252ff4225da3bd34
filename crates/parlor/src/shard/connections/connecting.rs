//! Connections whose handler is asked whether they may come in.

use std::net::SocketAddr;

use parlor_hub::{MemberKey, outbox::Outbox};
use tokio::sync::oneshot;

use super::{BACKLOG, BUSY, CLOSING, CONNECTING, Connections, SERVED};
use crate::embed::Gauge;

impl Connections {
    /// The other end of a connection.
    pub(crate) fn peer(&self, key: MemberKey) -> SocketAddr {
        let socket = self.hot[key.slot as usize].socket.as_ref();
        socket
            .and_then(|socket| rustix::net::getpeername(socket).ok().flatten())
            .and_then(|address| SocketAddr::try_from(address).ok())
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// The events of a connection go to a handler, which has not said whether it may come in:
    /// what it is sent waits, within the bounds of its outbox.
    pub(crate) fn begin_connecting(&mut self, key: MemberKey, gauge: &Gauge) {
        self.gauges.insert(key.slot, gauge.clone());
        self.hot[key.slot as usize].flags |= SERVED | BUSY | CONNECTING | BACKLOG;
        let outbox = self.new_outbox(key);
        self.cold[key.slot as usize].outbox = Some(outbox);
    }

    /// The handler has said. Tells what waited, if it was not asked for before.
    pub(crate) fn end_connecting(&mut self, key: MemberKey) -> Option<Box<Outbox>> {
        let hot = &mut self.hot[key.slot as usize];
        if hot.flags & CONNECTING == 0 {
            return None;
        }
        hot.flags &= !(CONNECTING | BACKLOG);
        let outbox = self.cold[key.slot as usize].outbox.take()?;
        self.backlog_bytes -= outbox.len();
        Some(outbox)
    }

    /// Sends what waited while the handler was asked.
    pub(crate) fn send_waiting(&mut self, key: MemberKey, outbox: Outbox) {
        for chunk in outbox.into_chunks() {
            if self.is_current(key) && self.hot[key.slot as usize].flags & CLOSING == 0 {
                self.send_chunk(key, chunk);
            }
        }
        if self.is_current(key) {
            self.tell_flushed(key);
        }
    }

    /// Tells somebody when the system has taken what was sent to a connection.
    pub(crate) fn await_flush(&mut self, key: MemberKey, answer: oneshot::Sender<()>) {
        let waiting = self.flushes.entry(key.slot).or_default();
        waiting.retain(|answer| !answer.is_closed());
        waiting.push(answer);
        self.tell_flushed(key);
    }

    /// Answers those who wait for that, if it is so.
    pub(crate) fn tell_flushed(&mut self, key: MemberKey) {
        let backlog = self.hot[key.slot as usize].flags & BACKLOG != 0;
        if !backlog && let Some(waiting) = self.flushes.remove(&key.slot) {
            for answer in waiting {
                // Whoever asked may be gone, which is no loss.
                let _ = answer.send(());
            }
        }
    }

    pub(super) fn new_outbox(&self, key: MemberKey) -> Box<Outbox> {
        let served = self.hot[key.slot as usize].flags & SERVED != 0;
        let gauge = served.then(|| self.gauges.get(&key.slot).cloned());
        Box::new(Outbox::new(self.now).with_gauge(gauge.flatten().map(Gauge::into_inner)))
    }
}
