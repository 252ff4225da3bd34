//! What all doors on WebSocket connections have in common.

use parlor_proto::websocket::{CloseCode, Connection, Event, Input, Kind, State, frame};

use super::{CloseReason, Then, Turn, meter::Meter, pace::Pace};
use crate::{embed::UNFINISHED, metrics::End};

/// Pings of one read that are each answered. Of more that come together the newest is, as RFC 6455,
/// section 5.5.3, allows: a flood of pings makes no flood of pongs. While the client does not read,
/// one pong waits, to its newest ping.
pub(super) const PONGS_AT_ONCE: u32 = 16;

/// Takes in bytes and hands each message to `each`, until it wants something else than to go on.
pub(super) fn receive(
    connection: &mut Connection,
    bytes: &mut [u8],
    turn: &mut Turn<'_>,
    mut each: impl FnMut(&mut Connection, Kind, &[u8], &mut Turn<'_>) -> Then,
) -> Then {
    let mut scratch = std::mem::take(&mut turn.tools.scratch);
    let options = turn.tools.settings.options;
    let mut input = Input::new(bytes);
    let mut pongs = 0;
    let mut pace = Pace::new(turn);
    let then = loop {
        match connection.receive(&mut input, &options, &mut scratch) {
            Ok(None) => break Then::Continue,
            Ok(Some(Event::Message { kind, payload, .. })) => {
                turn.tools.traffic.messages_in += 1;
                turn.tools.traffic.bytes_in += payload.len() as u64;
                let len = payload.len();
                let then = each(connection, kind, payload, turn);
                if then != Then::Continue || pace.is_over(len, turn) {
                    break then;
                }
            }
            Ok(Some(Event::Close { .. })) => {
                connection.transmit(None, turn.reply);
                break Then::End;
            }
            Ok(Some(Event::Ping(_))) if pongs < PONGS_AT_ONCE => {
                pongs += 1;
                pong(connection, turn);
            }
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "websocket connection failed");
                connection.fail(&error, None, turn.reply);
                break Then::Linger(End::Violation);
            }
        }
    };
    let left = input.remaining();
    turn.tools.scratch = scratch;
    if then == Then::Continue {
        leave(bytes, left, turn);
        pong(connection, turn);
    }
    then
}

/// Leaves the last `count` bytes for the next turn.
pub(super) fn leave(bytes: &[u8], count: usize, turn: &mut Turn<'_>) {
    let rest = bytes.get(bytes.len() - count..).unwrap_or_default();
    turn.tools.unread.extend_from_slice(rest);
}

/// Sends the pong that is owed, if there is one and the client reads.
pub(super) fn pong(connection: &mut Connection, turn: &mut Turn<'_>) {
    if !turn.stalled {
        connection.transmit(None, turn.reply);
    }
}

/// The meter of a new connection, if anything is limited.
pub(super) fn meter(turn: &Turn<'_>) -> Option<Box<Meter>> {
    let settings = &turn.tools.settings;
    Meter::new(
        settings.rates,
        settings.options.limits.message_bytes_max,
        turn.now,
    )
}

/// Whether a message of `len` bytes is over what its sender may send.
pub(super) fn is_over_rate(meter: &mut Option<Box<Meter>>, len: usize, turn: &Turn<'_>) -> bool {
    let settings = &turn.tools.settings;
    let max = settings.options.limits.message_bytes_max;
    meter
        .as_mut()
        .is_some_and(|meter| !meter.take(len, turn.now, settings.rates, max))
}

/// Closes a connection that is over its rate.
pub(super) fn close_over_rate(connection: &mut Connection, turn: &mut Turn<'_>) -> Then {
    connection.close(
        Some(CloseCode::POLICY_VIOLATION),
        "rate limit",
        None,
        turn.reply,
    );
    Then::Linger(End::Rate)
}

/// Sends a ping.
pub(super) fn ping(connection: &mut Connection, turn: &mut Turn<'_>) {
    if connection.state() == State::Open {
        // An empty ping is within the 125 bytes, and the connection is open.
        let _ = connection.ping(&[], None, turn.reply);
    }
}

/// Says why this side closes.
pub(super) fn close(connection: &mut Connection, reason: CloseReason, turn: &mut Turn<'_>) {
    if let Some((code, text)) = goodbye(reason) {
        connection.close(Some(code), text, None, turn.reply);
    }
}

/// What is said where anything can be.
pub(super) const fn goodbye(reason: CloseReason) -> Option<(CloseCode, &'static str)> {
    match reason {
        CloseReason::SlowConsumer => Some((CloseCode::TRY_AGAIN_LATER, "slow consumer")),
        CloseReason::ShuttingDown => Some((CloseCode::GOING_AWAY, "server is stopping")),
        CloseReason::Fault => Some((CloseCode::INTERNAL_ERROR, "internal error")),
        CloseReason::Unfinished => Some((CloseCode::INTERNAL_ERROR, UNFINISHED)),
        CloseReason::Gone | CloseReason::Broken | CloseReason::Silent | CloseReason::Late => None,
    }
}

/// Where the frame ends in which offset `sent` of whole `frames` lies. The answer to the upgrade,
/// where it stands before them, counts as a frame.
pub(super) fn boundary(frames: &[u8], sent: usize) -> usize {
    let head = head_len(frames);
    match sent.checked_sub(head) {
        None => head,
        Some(sent) => {
            let frames = frames.get(head..).unwrap_or_default();
            head + frame::boundary(frames, sent)
        }
    }
}

/// The length of the answer to the upgrade, where that stands before frames.
pub(super) fn head_len(frames: &[u8]) -> usize {
    let head = match frames.starts_with(b"HTTP/") {
        true => frames.windows(4).position(|end| end == b"\r\n\r\n"),
        false => None,
    };
    head.map_or(0, |end| end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_behind_the_answer_to_the_upgrade_are_found() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(b"\x81\x05hello\x81\x03you");
        let ends = [head.len(), head.len() + 7, head.len() + 12];
        for sent in 1..=bytes.len() {
            let end = ends.into_iter().find(|end| *end >= sent);
            assert_eq!(Some(boundary(&bytes, sent)), end, "{sent}");
        }
        assert_eq!(boundary(b"\x81\x05hello", 3), 7);
    }
}
