//! The close handshake (RFC 6455, sections 5.5.1 and 7).

use super::super::frame::{Flags, OpCode};
use super::super::{CloseCode, Connection, Input, Options, Scratch, State};
use super::{Error, MASK, Role, Said, bare, check, masked, plain_client};

fn receive_all(connection: &mut Connection, bytes: &[u8]) -> Result<usize, Error> {
    let (mut bytes, mut scratch) = (bytes.to_vec(), Scratch::new());
    let (mut input, mut events) = (Input::new(&mut bytes), 0);
    while connection
        .receive(&mut input, &Options::default(), &mut scratch)?
        .is_some()
    {
        events += 1;
    }
    Ok(events)
}

#[test]
fn which_codes_may_come() {
    for code in 0..=u16::MAX {
        let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(
            CloseCode::new(code).map(CloseCode::get),
            valid.then_some(code)
        );
        if code > 5100 && code % 97 != 0 {
            continue;
        }
        let input = bare(Flags::FIN, OpCode::Close, &code.to_be_bytes());
        let said = [Said::Close(CloseCode::new(code), String::new())];
        if valid {
            check(&plain_client(), &input, &said, None);
        } else {
            check(
                &plain_client(),
                &input,
                &[],
                Some(&Error::ViolationCloseCode { code }),
            );
        }
    }
}

#[test]
fn payloads_of_close() {
    let close = |payload: &[u8]| bare(Flags::FIN, OpCode::Close, payload);
    check(
        &plain_client(),
        &close(b""),
        &[Said::Close(None, String::new())],
        None,
    );
    check(
        &plain_client(),
        &close(b"\x03"),
        &[],
        Some(&Error::ViolationCloseLength),
    );
    let mut payload = 1000_u16.to_be_bytes().to_vec();
    payload.extend(b"r".repeat(123));
    let said = [Said::Close(Some(CloseCode::NORMAL), "r".repeat(123))];
    check(&plain_client(), &close(&payload), &said, None);
    check(
        &plain_client(),
        &close(b"\x03\xE8\xCE\xBA\xE1"),
        &[],
        Some(&Error::MalformedUtf8),
    );
    // Nothing after a Close frame is an event.
    let input = [
        close(b"\x0F\xA0bye"),
        bare(Flags::FIN, OpCode::Text, b"late"),
        vec![0xFF; 9],
    ];
    let code = CloseCode::new(4000);
    check(
        &plain_client(),
        &input.concat(),
        &[Said::Close(code, "bye".to_owned())],
        None,
    );
}

#[test]
fn the_peer_closes() {
    let mut connection = Connection::new(Role::Server, None);
    let input = masked(Flags::FIN, OpCode::Close, b"\x0F\xA0bye");
    assert_eq!(receive_all(&mut connection, &input), Ok(1));
    assert_eq!(connection.state(), State::CloseReceived);
    assert!(connection.owes());
    let mut out = Vec::new();
    connection.transmit(None, &mut out);
    assert_eq!(out, [0x88, 2, 0x0F, 0xA0], "the code is echoed");
    assert_eq!(connection.state(), State::Closed);
    connection.transmit(None, &mut out);
    connection.close(Some(CloseCode::NORMAL), "", None, &mut out);
    assert_eq!(out.len(), 4, "once");
    assert!(!connection.owes());
}

#[test]
fn a_close_without_a_code_is_echoed_without_one() {
    let mut connection = Connection::new(Role::Client, None);
    assert_eq!(receive_all(&mut connection, &[0x88, 0]), Ok(1));
    let mut out = Vec::new();
    connection.transmit(MASK, &mut out);
    assert_eq!(out, [0x88, 0x80, 0x37, 0xFA, 0x21, 0x3D]);
}

#[test]
fn we_close() {
    let mut connection = Connection::new(Role::Server, None);
    let mut out = Vec::new();
    connection.close(Some(CloseCode::GOING_AWAY), "bye", None, &mut out);
    assert_eq!(out, b"\x88\x05\x03\xE9bye");
    assert_eq!(connection.state(), State::CloseSent);
    // What was under way still comes, pings are not answered any more.
    let late = [
        masked(Flags::FIN, OpCode::Text, b"late"),
        masked(Flags::FIN, OpCode::Ping, b""),
    ];
    assert_eq!(receive_all(&mut connection, &late.concat()), Ok(2));
    connection.transmit(None, &mut out);
    assert_eq!(out.len(), 7);
    assert_eq!(
        receive_all(&mut connection, &masked(Flags::FIN, OpCode::Close, b"")),
        Ok(1)
    );
    assert_eq!(connection.state(), State::Closed);
    connection.transmit(None, &mut out);
    assert_eq!(out.len(), 7, "no second Close frame");
}

#[test]
fn an_answer_of_our_own() {
    let mut connection = Connection::new(Role::Server, None);
    let input = [
        masked(Flags::FIN, OpCode::Ping, b"p"),
        masked(Flags::FIN, OpCode::Close, b"\x03\xE8"),
    ];
    assert_eq!(receive_all(&mut connection, &input.concat()), Ok(2));
    let mut out = Vec::new();
    connection.close(Some(CloseCode::INTERNAL_ERROR), "sorry", None, &mut out);
    assert_eq!(
        out, b"\x8A\x01p\x88\x07\x03\xF3sorry",
        "the pong first, then our code"
    );
    assert_eq!(connection.state(), State::Closed);
}

#[test]
fn reasons_are_cut_at_a_character() {
    for (reason, len) in [
        ("ä".repeat(61), 122),
        ("ä".repeat(62), 122),
        ("x".repeat(200), 123),
    ] {
        let mut connection = Connection::new(Role::Server, None);
        let mut out = Vec::new();
        connection.close(Some(CloseCode::NORMAL), &reason, None, &mut out);
        assert_eq!(out.len(), 2 + 2 + len);
        assert_eq!(&out[4..], &reason.as_bytes()[..len]);
    }
    let mut out = Vec::new();
    Connection::new(Role::Server, None).close(None, "no code, no reason", None, &mut out);
    assert_eq!(out, [0x88, 0]);
}

#[test]
fn failing() {
    let mut connection = Connection::new(Role::Server, None);
    let input = [
        masked(Flags::FIN, OpCode::Ping, b"p"),
        vec![0x83, 0x80],
        vec![0; 99],
    ]
    .concat();
    let error = receive_all(&mut connection, &input).unwrap_err();
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(connection.buffered_bytes(), 0);
    assert_eq!(
        receive_all(&mut connection, &masked(Flags::FIN, OpCode::Text, b"x")),
        Ok(0)
    );
    let mut out = Vec::new();
    connection.fail(&error, None, &mut out);
    assert_eq!(out, [0x88, 2, 0x03, 0xEA]);
    connection.fail(&error, None, &mut out);
    connection.transmit(None, &mut out);
    assert_eq!(out.len(), 4, "once");
    // After our own Close frame there is no second one.
    let mut connection = Connection::new(Role::Server, None);
    connection.close(None, "", None, &mut out);
    let error = receive_all(&mut connection, &[0x83]).unwrap_err();
    connection.fail(&error, None, &mut out);
    assert_eq!(out.len(), 6);
    assert_eq!(connection.state(), State::Closed);
}

#[test]
fn every_error_has_a_code() {
    let rows = [
        (Error::MalformedUtf8, 1007),
        (Error::MalformedDeflate, 1007),
        (Error::ViolationReservedBit, 1002),
        (Error::ViolationOpCode { opcode: 3 }, 1002),
        (Error::ViolationMaskMissing, 1002),
        (Error::ViolationMaskPresent, 1002),
        (Error::ViolationControlFragmented, 1002),
        (Error::ViolationControlLength, 1002),
        (Error::ViolationContinuation, 1002),
        (Error::ViolationInterleaved, 1002),
        (Error::ViolationLengthTopBit, 1002),
        (Error::ViolationLengthForm, 1002),
        (Error::ViolationCloseLength, 1002),
        (Error::ViolationCloseCode { code: 1005 }, 1002),
        (Error::LimitMessageFragments { fragments_max: 1 }, 1008),
        (
            Error::LimitMessageBytes {
                bytes: 2,
                bytes_max: 1,
            },
            1009,
        ),
    ];
    for (error, code) in rows {
        assert_eq!(error.close_code().get(), code, "{error}");
    }
}
