//! Events to bytes and back.

use super::*;

fn event(id: Option<&str>, event: Option<&str>, data: &str) -> String {
    let mut out = Vec::new();
    encode(
        &Event {
            id,
            event,
            retry_ms: None,
            data: data.as_bytes(),
        },
        &mut out,
    );
    String::from_utf8(out).unwrap()
}

#[test]
fn every_kind_of_line_end_begins_a_data_line() {
    for (data, expected) in [
        ("", "data: \n\n"),
        ("a", "data: a\n\n"),
        (" a", "data:  a\n\n"),
        ("a\nb", "data: a\ndata: b\n\n"),
        ("a\r\nb", "data: a\ndata: b\n\n"),
        ("a\rb", "data: a\ndata: b\n\n"),
        ("a\n", "data: a\ndata: \n\n"),
        ("\r\n\n\r", "data: \ndata: \ndata: \ndata: \n\n"),
        (
            "id: 7\n\nevent: x",
            "data: id: 7\ndata: \ndata: event: x\n\n",
        ),
    ] {
        assert_eq!(event(None, None, data), expected, "{data:?}");
    }
}

#[test]
fn nothing_can_be_injected_by_id_or_event() {
    assert_eq!(
        event(Some("e-1"), Some("tick"), "x"),
        "id: e-1\nevent: tick\ndata: x\n\n"
    );
    assert_eq!(event(Some("1\ndata: evil"), None, "x"), "data: x\n\n");
    assert_eq!(
        event(None, Some("a\r\nb\0"), "x"),
        "event: a\u{fffd}\u{fffd}b\u{fffd}\ndata: x\n\n"
    );
}

#[test]
fn comments_are_one_line() {
    let mut out = Vec::new();
    encode_comment(" hi\ndata: x", &mut out);
    encode_retry(3000, &mut out);
    assert_eq!(out, b": hi\n\nretry: 3000\n\n");
}

#[test]
fn an_id_without_an_event_is_remembered() {
    let mut out = Vec::new();
    encode_id("e-1\ndata: evil", &mut out);
    assert_eq!(out, b"");
    encode_id("e-0", &mut out);
    assert_eq!(out, b":\nid: e-0\n\n");
    let mut decoder = Decoder::new(1024);
    assert_eq!(decoder.decode(&mut &out[..]), Ok(None));
    assert_eq!(decoder.last_event_id(), "e-0");
}

#[test]
fn boundaries_are_found_from_any_offset() {
    let stream = b"data: a\ndata: b\n\nid: 1\ndata: c\n\n";
    let ends = [17, 32];
    for sent in 0..=stream.len() {
        let expected = if sent == 0 {
            0
        } else {
            *ends.iter().find(|e| **e >= sent).unwrap()
        };
        assert_eq!(boundary(stream, sent), expected, "{sent}");
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, used) = match after.as_bytes()[0] {
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b'0' => (0, 1),
            _ => (u8::from_str_radix(after.get(1..3).unwrap(), 16).unwrap(), 3),
        };
        bytes.push(byte);
        rest = after.split_at(used).1;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The events of a stream that comes in pieces of `piece` bytes.
fn decoded(stream: &[u8], piece: usize) -> Vec<(Option<String>, Option<String>, Vec<u8>)> {
    let mut decoder = Decoder::new(1000);
    let mut events = Vec::new();
    for mut input in stream.chunks(piece) {
        while let Some(event) = decoder.decode(&mut input).unwrap() {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            events.push((owned(event.event), owned(event.id), event.data.to_vec()));
        }
    }
    events
}

#[test]
fn streams_of_the_standard() {
    let file = include_str!("../../vectors/sse/streams.txt");
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (stream, events) = line.split_once(" = ").unwrap();
        let stream = unescape(stream);
        let expected: Vec<_> = events
            .split(" | ")
            .filter(|event| !event.is_empty())
            .map(|event| {
                let mut parts = event.splitn(3, ' ');
                let mut part = || parts.next().unwrap();
                let field = |text: &str| (text != "-").then(|| text.to_owned());
                (field(part()), field(part()), unescape(part()))
            })
            .collect();
        for piece in [1, 2, 3, 7, stream.len()] {
            assert_eq!(decoded(&stream, piece), expected, "{line} by {piece}");
        }
        lines += 1;
    }
    assert_eq!(lines, 14);
}

#[test]
fn ids_and_delays_of_the_standard() {
    let file = include_str!("../../vectors/sse/ids.txt");
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (came_with, line_of) = line.split_once(' ').unwrap();
        let (stream, expected) = line_of.split_once(" = ").unwrap();
        let (id, retry) = expected.rsplit_once(' ').unwrap();
        let (came_with, id) = (came_with.trim_matches('-'), id.trim_matches('-'));
        let stream = unescape(stream);
        for piece in [1, 2, 3, 7, stream.len().max(1)] {
            let mut decoder = Decoder::new(1000).resume(came_with);
            for mut input in stream.chunks(piece) {
                while decoder.decode(&mut input).unwrap().is_some() {}
            }
            assert_eq!(decoder.last_event_id(), id, "{line} by {piece}");
            assert_eq!(decoder.retry_ms(), retry.parse().ok(), "{line} by {piece}");
        }
        lines += 1;
    }
    assert_eq!(lines, 38);
}

#[test]
fn a_reader_knows_where_to_go_on_and_when() {
    let mut decoder = Decoder::new(100);
    let mut input = &b"retry: 30\n\nid: 7\n\nid: 8\ndata: x\n"[..];
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!(
        (decoder.last_event_id(), decoder.retry_ms()),
        ("7", Some(30))
    );
    let event = decoder.decode(&mut &b"retry: 40\n\n"[..]).unwrap().unwrap();
    assert_eq!((event.id, event.retry_ms), (Some("8"), Some(40)));
    assert_eq!(
        (decoder.last_event_id(), decoder.retry_ms()),
        ("8", Some(40))
    );
}

#[test]
fn an_event_is_bounded() {
    let max = 100;
    for unit in ["x", "data: 1234\n", "data\n"] {
        let mut decoder = Decoder::new(max);
        let stream = unit.repeat(200);
        let error = stream
            .as_bytes()
            .chunks(10)
            .find_map(|mut piece| decoder.decode(&mut piece).err());
        assert_eq!(error, Some(LimitEventBytes { max }), "{unit:?}");
    }
    // Comments and many small events are not held.
    let mut decoder = Decoder::new(max);
    for _ in 0..100 {
        let mut input = &b": a comment\n\ndata: x\n\n"[..];
        assert!(decoder.decode(&mut input).unwrap().is_some());
        assert!(decoder.decode(&mut input).unwrap().is_none());
    }
}
