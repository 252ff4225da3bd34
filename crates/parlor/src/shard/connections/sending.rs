//! The send path: what a socket takes at once, and what waits in an outbox.

use bytes::Bytes;
use parlor_hub::{
    MemberKey,
    outbox::{Bounds, Chunk, Dropped, Tag},
};
use rustix::{fd::AsFd, io::Errno, net::SendFlags};

use super::{APART, BACKLOG, CLOSING, CONNECTING, Connections, Stage, token};
use crate::{door::CloseReason, metrics::Loss, shard::batch::Encoded};

impl Connections {
    /// Sends whole frames that are this connection's own, `messages` of them, or queues what the
    /// socket does not take.
    pub(crate) fn send(&mut self, key: MemberKey, bytes: &[u8], messages: usize) {
        if bytes.is_empty() || !self.is_current(key) {
            return;
        }
        let apart = self.hot[key.slot as usize].flags & APART != 0;
        let bytes = match apart {
            true => self.send_answer(key, bytes),
            false => bytes,
        };
        if bytes.is_empty() {
            return;
        }
        let chunk = || Chunk {
            bytes: Bytes::copy_from_slice(bytes),
            messages,
            tag: None,
        };
        if self.hot[key.slot as usize].flags & BACKLOG != 0 {
            self.queue(key, chunk());
        } else if let Some(sent) = self.try_send(key, bytes)
            && sent < bytes.len()
        {
            self.begin_backlog(key, chunk(), sent);
        }
    }

    /// Sends a chunk that others share. It is kept, not copied, where it has to wait.
    pub(crate) fn send_chunk(&mut self, key: MemberKey, chunk: Chunk) {
        if chunk.bytes.is_empty() {
            return;
        }
        if self.hot[key.slot as usize].flags & BACKLOG != 0 {
            self.queue(key, chunk);
        } else if let Some(sent) = self.try_send(key, &chunk.bytes)
            && sent < chunk.bytes.len()
        {
            self.begin_backlog(key, chunk, sent);
        }
    }

    /// Sends a whole batch. With `tags` its messages are queued one by one where they have to
    /// wait, so that some may be dropped.
    #[inline]
    pub(crate) fn send_batch(&mut self, key: MemberKey, batch: &Encoded, tags: Option<&[Tag]>) {
        // Nothing in it has words in this member's form.
        if batch.bytes.is_empty() {
            return;
        }
        let mut sent = 0;
        if self.hot[key.slot as usize].flags & BACKLOG == 0 {
            match self.try_send(key, &batch.bytes) {
                Some(taken) if taken < batch.bytes.len() => sent = taken,
                _ => return,
            }
        }
        self.queue_batch(key, batch, sent, tags);
    }

    /// Queues a batch of which `sent` bytes are gone.
    fn queue_batch(&mut self, key: MemberKey, batch: &Encoded, sent: usize, tags: Option<&[Tag]>) {
        let whole = || Chunk {
            bytes: batch.bytes.clone(),
            messages: batch.ends.len(),
            tag: None,
        };
        let backlog = self.hot[key.slot as usize].flags & BACKLOG != 0;
        match tags {
            None if backlog => self.queue(key, whole()),
            None => self.begin_backlog(key, whole(), sent),
            Some(tags) => {
                for (position, tag) in tags.iter().enumerate() {
                    let range = batch.range(position);
                    if range.end <= sent {
                        continue;
                    }
                    let bytes = batch.bytes.slice(range.clone());
                    let chunk = Chunk {
                        bytes,
                        messages: 1,
                        tag: Some(*tag),
                    };
                    if self.hot[key.slot as usize].flags & BACKLOG == 0 {
                        self.begin_backlog(key, chunk, sent.saturating_sub(range.start));
                    } else {
                        self.queue(key, chunk);
                    }
                }
            }
        }
    }

    /// One `send`. `None` where the connection is broken (it is doomed then).
    #[inline]
    pub(crate) fn try_send(&mut self, key: MemberKey, bytes: &[u8]) -> Option<usize> {
        let Some(socket) = &self.hot[key.slot as usize].socket else {
            return self.send_wire(key, bytes);
        };
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => {
                self.counters.sent(sent);
                Some(sent)
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Some(0),
            Err(error) => {
                // Where the peer has ended it, a send may meet that before a read does.
                let left = matches!(error, Errno::PIPE | Errno::CONNRESET);
                let reason = if left {
                    CloseReason::Gone
                } else {
                    CloseReason::Broken
                };
                self.doom(key, reason);
                None
            }
        }
    }

    /// Puts a chunk behind what waits already.
    fn queue(&mut self, key: MemberKey, chunk: Chunk) {
        let index = key.slot as usize;
        let mut outbox = match self.cold[index].outbox.take() {
            Some(outbox) => outbox,
            None => self.new_outbox(key),
        };
        let before = outbox.len();
        // What a closing connection still says is little, and its last word.
        let closing = self.hot[index].flags & CLOSING != 0;
        let bounds = if closing {
            Bounds::NONE
        } else {
            self.limits.outbox
        };
        let fits = outbox.push(chunk, bounds);
        let (low, conflated) = outbox.take_losses();
        self.counters.dropped(Loss::Low, low);
        self.counters.dropped(Loss::Conflated, conflated);
        self.backlog_bytes = self.backlog_bytes + outbox.len() - before;
        self.cold[index].outbox = Some(outbox);
        if !fits {
            self.doom(key, CloseReason::SlowConsumer);
        }
    }

    /// Keeps what a socket did not take, and asks for room to write.
    fn begin_backlog(&mut self, key: MemberKey, chunk: Chunk, sent: usize) {
        let index = key.slot as usize;
        let end = match &self.cold[index].stage {
            Stage::Open(Some(session)) if sent > 0 => session.boundary(&chunk.bytes, sent),
            _ => sent,
        };
        let mut outbox = self.new_outbox(key);
        outbox.begin(chunk, sent, end);
        self.backlog_bytes += outbox.len();
        self.cold[index].outbox = Some(outbox);
        self.hot[index].flags |= BACKLOG;
        self.watch_writes(key);
        if self.hot[index].flags & CLOSING == 0 {
            self.wheel
                .set_earlier(key.slot, self.now + self.limits.stall_ms);
        }
    }

    fn watch_writes(&mut self, key: MemberKey) {
        let Some(socket) = &self.hot[key.slot as usize].socket else {
            return;
        };
        if self.poll.watch_writes(socket.as_fd(), token(key)).is_err() {
            self.doom(key, CloseReason::Broken);
        }
    }

    /// Sends from the outbox until it is empty or the socket is full. Once it is empty: what was
    /// dropped from it meanwhile.
    pub(crate) fn drain(&mut self, key: MemberKey) -> Option<Dropped> {
        let index = key.slot as usize;
        if self.hot[index].flags & CONNECTING != 0 {
            return None;
        }
        let Some(mut outbox) = self.cold[index].outbox.take() else {
            return Some(Dropped::new());
        };
        while !outbox.is_empty() {
            match self.try_send(key, outbox.front()) {
                Some(0) => break,
                Some(sent) => {
                    outbox.advance(sent, self.now);
                    self.backlog_bytes -= sent;
                }
                None => {
                    self.backlog_bytes -= outbox.len();
                    self.hot[index].flags &= !BACKLOG;
                    return None;
                }
            }
        }
        if outbox.is_empty() {
            self.hot[index].flags &= !BACKLOG;
            self.tell_flushed(key);
            Some(outbox.take_dropped())
        } else {
            self.cold[index].outbox = Some(outbox);
            None
        }
    }

    /// Drops the backlog but for the frame that was begun.
    pub(crate) fn discard_backlog(
        &mut self,
        key: MemberKey,
        boundary: impl Fn(&[u8], usize) -> usize,
    ) {
        let Some(outbox) = &mut self.cold[key.slot as usize].outbox else {
            return;
        };
        let messages = outbox.messages();
        self.backlog_bytes -= outbox.discard(boundary);
        self.counters.dropped(Loss::SlowConsumer, messages as u64);
    }

    /// While the shard holds too much for slow readers: the one that holds most.
    pub(crate) fn largest_backlog(&self) -> Option<MemberKey> {
        if self.backlog_bytes <= self.limits.shard_bytes_max {
            return None;
        }
        let len = |slot: usize| {
            self.cold[slot]
                .outbox
                .as_ref()
                .map_or(0, |outbox| outbox.len())
        };
        let queued = (0..self.cold.len())
            .filter(|slot| self.hot[*slot].flags & (BACKLOG | CLOSING) == BACKLOG)
            .map(|slot| (len(slot), slot));
        let held = self
            .held
            .iter()
            .map(|(slot, bytes)| (*bytes, *slot as usize))
            .filter(|(_, slot)| self.hot[*slot].flags & CLOSING == 0);
        let (_, slot) = queued.chain(held).max()?;
        u32::try_from(slot).ok().map(|slot| self.key(slot))
    }
}
