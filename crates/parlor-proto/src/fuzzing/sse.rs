//! Promises of the event stream codec.

use crate::sse::{self, Decoder, Event};

/// Bytes of an event here.
const EVENT_BYTES_MAX: usize = 4096;

/// One event as it was read.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    id: Option<String>,
    event: Option<String>,
    retry_ms: Option<u32>,
    data: Vec<u8>,
}

/// Any stream: it is read without harm and the same in any pieces, and what was read is the same
/// after it was written.
///
/// # Panics
///
/// Where a promise is broken.
pub fn sse_stream(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else {
        return;
    };
    let (mut whole, failed) = read(stream, usize::MAX, EVENT_BYTES_MAX);
    let (pieces, failed_in_pieces) = read(stream, usize::from(*first) + 1, EVENT_BYTES_MAX);
    assert_eq!((&whole, failed), (&pieces, failed_in_pieces));
    let mut written = Vec::new();
    for told in &mut whole {
        write(told, &mut written);
        // A NUL in the type is not written as it is.
        told.event = told
            .event
            .take()
            .map(|event| event.replace('\0', "\u{fffd}"));
    }
    assert_eq!(read(&written, 7, usize::MAX), (whole, false));
}

/// Any fields: the event that is written is one event, with nothing of one field in another, and
/// its end is found from any offset in it.
///
/// # Panics
///
/// Where a promise is broken.
pub fn sse_event(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\u{1e}');
    let mut part = || parts.next().unwrap_or_default();
    let (id, event, body) = (part(), part(), part());
    let mut written = Vec::new();
    sse::encode(
        &Event {
            id: Some(id),
            event: Some(event).filter(|event| !event.is_empty()),
            retry_ms: None,
            data: body.as_bytes(),
        },
        &mut written,
    );
    for sent in 1..=written.len() {
        assert_eq!(sse::boundary(&written, sent), written.len());
    }
    let (told, _) = read(&written, 5, usize::MAX);
    let lines = body.replace("\r\n", "\n").replace('\r', "\n");
    let safe = event.replace(['\r', '\n', '\0'], "\u{fffd}");
    let expected = Told {
        id: sse::is_field_safe(id).then(|| id.to_owned()),
        event: Some(safe).filter(|event| !event.is_empty()),
        retry_ms: None,
        data: lines.into_bytes(),
    };
    assert_eq!(told, [expected]);
}

fn write(told: &Told, out: &mut Vec<u8>) {
    sse::encode(
        &Event {
            id: told.id.as_deref(),
            event: told.event.as_deref(),
            retry_ms: told.retry_ms,
            data: &told.data,
        },
        out,
    );
}

fn read(stream: &[u8], piece: usize, event_bytes_max: usize) -> (Vec<Told>, bool) {
    let mut decoder = Decoder::new(event_bytes_max);
    let mut events = Vec::new();
    for mut input in stream.chunks(piece) {
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => events.push(Told {
                    id: event.id.map(str::to_owned),
                    event: event.event.map(str::to_owned),
                    retry_ms: event.retry_ms,
                    data: event.data.to_vec(),
                }),
                Err(_) => return (events, true),
            }
        }
    }
    (events, false)
}
