//! Promises of the WebSocket codec and machine.

use crate::websocket::deflate::{self, Agreement, Mode, Policy, WindowBits};
use crate::websocket::handshake::{self, Answer, ClientRequest, Refusal, Request};
use crate::websocket::{
    CloseCode, Connection, Delivery, Error, Event, Input, Kind, Limits, Options, Role, Scratch,
    State,
};

/// An [`Event`] that owns what it shows. Pieces of a message are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A message, whole or of pieces.
    Message(Kind, Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// The end.
    Close(Option<CloseCode>, String),
}

/// One way to run a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Which end is tested.
    pub(crate) role: Role,
    /// What was agreed.
    pub(crate) agreement: Option<Agreement>,
    /// Limits and the like.
    pub(crate) options: Options,
}

/// What a connection made of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// The events in order.
    pub(crate) said: Vec<Said>,
    /// The error that ended it.
    pub(crate) error: Option<Error>,
    /// Its state at last.
    pub(crate) state: State,
    /// Whether something is incomplete.
    pub(crate) mid_message: bool,
}

/// Runs a connection over chunks of input, and checks what must hold at any time.
pub(crate) fn transcript<'a>(setup: &Setup, chunks: impl Iterator<Item = &'a [u8]>) -> Transcript {
    let mut connection = Connection::new(setup.role, setup.agreement);
    let mut scratch = Scratch::new();
    let mut said = Vec::new();
    let mut error = None;
    let mut begun: Option<(Kind, Vec<u8>)> = None;
    for chunk in chunks {
        let mut bytes = chunk.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match connection.receive(&mut input, &setup.options, &mut scratch) {
                Ok(Some(event)) => say(event, &mut begun, &mut said),
                Ok(None) => break,
                Err(new) => {
                    assert!(error.is_none(), "a connection fails once");
                    error = Some(new);
                }
            }
        }
        assert!(
            input.is_empty(),
            "receive returns None when the input is used up"
        );
        check_memory(&connection, setup);
    }
    let state = connection.state();
    let mid_message = connection.is_mid_message();
    let mut out = Vec::new();
    connection.transmit(Some([1, 2, 3, 4]), &mut out);
    if let Some(error) = &error {
        connection.fail(error, Some([1, 2, 3, 4]), &mut out);
        assert_eq!(connection.state(), State::Closed);
    }
    check_output(setup, &mut out);
    Transcript {
        said,
        error,
        state,
        mid_message,
    }
}

fn say(event: Event<'_>, begun: &mut Option<(Kind, Vec<u8>)>, said: &mut Vec<Said>) {
    match event {
        Event::Message { kind, payload, .. } => said.push(Said::Message(kind, payload.to_vec())),
        Event::Fragment {
            kind,
            payload,
            first,
            fin,
        } => {
            assert_eq!(first, begun.is_none(), "the first piece is marked");
            let (known, message) = begun.get_or_insert((kind, Vec::new()));
            assert_eq!(*known, kind, "pieces of a message are of one kind");
            message.extend_from_slice(payload);
            if fin {
                said.extend(
                    begun
                        .take()
                        .map(|(kind, message)| Said::Message(kind, message)),
                );
            }
        }
        Event::Ping(payload) => said.push(Said::Ping(payload.to_vec())),
        Event::Pong(payload) => said.push(Said::Pong(payload.to_vec())),
        Event::Close { code, reason } => said.push(Said::Close(code, reason.to_owned())),
    }
}

/// A message in progress, one inflater beside it, and the machine's own bookkeeping.
fn check_memory(connection: &Connection, setup: &Setup) {
    let takeover = setup.agreement.is_some_and(|agreement| match setup.role {
        Role::Server => !agreement.client_no_context_takeover(),
        Role::Client => !agreement.server_no_context_takeover(),
    });
    let held = connection.buffered_bytes();
    let inflater = if setup.agreement.is_some() {
        51 << 10
    } else {
        0
    };
    let bound = setup.options.limits.message_bytes_max + inflater + 1024;
    assert!(
        setup.options.limits.message_bytes_max == 0 || held <= bound,
        "{held} bytes held"
    );
    if !takeover && !connection.is_mid_message() && !connection.owes() {
        assert_eq!(held, 0, "an idle connection holds nothing");
    }
}

/// What the machine answers must be good frames for the other end.
fn check_output(setup: &Setup, out: &mut [u8]) {
    let role = match setup.role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    };
    let (mut scratch, mut input) = (Scratch::new(), Input::new(out));
    let mut other = Connection::new(role, None);
    while let Some(event) = other
        .receive(&mut input, &Options::default(), &mut scratch)
        .expect("good frames")
    {
        assert!(
            matches!(event, Event::Pong(_) | Event::Close { .. }),
            "only answers: {event:?}"
        );
    }
    assert!(!other.is_mid_message(), "whole frames");
}

/// Frames: any split of the input gives the same events, memory is bounded, answers are good. The
/// first bytes choose the setup and the split.
pub fn frames(data: &[u8]) {
    let Some((&[choice, split, limit], frames)) = data.split_first_chunk::<3>() else {
        return;
    };
    let policy = Policy::new(if choice & 2 == 0 {
        Mode::Shared
    } else {
        Mode::Takeover
    });
    let offer: &[u8] = b"permessage-deflate; client_max_window_bits";
    let agreement = deflate::negotiate([offer], &policy).expect("a good offer");
    let setup = Setup {
        role: if choice & 1 == 0 {
            Role::Server
        } else {
            Role::Client
        },
        agreement: agreement.filter(|_| choice & 4 != 0),
        options: Options {
            limits: Limits {
                message_bytes_max: [0, 100, 1000, 100_000][usize::from(limit & 3)],
                message_fragments_max: u32::from(limit >> 4),
            },
            delivery: if choice & 8 == 0 {
                Delivery::Messages
            } else {
                Delivery::Fragments
            },
            validate_utf8: choice & 16 == 0,
            auto_pong: choice & 32 == 0,
        },
    };
    let whole = transcript(&setup, std::iter::once(frames));
    let (front, back) = frames.split_at(usize::from(split).min(frames.len()));
    assert_eq!(
        whole,
        transcript(&setup, [front, back].into_iter()),
        "in two parts"
    );
    assert_eq!(whole, transcript(&setup, frames.chunks(1)), "byte by byte");
}

/// Handshake: the bytes are a request's headers to the server, and a response to the client.
pub fn handshake(data: &[u8]) {
    let headers = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        Some((std::str::from_utf8(name).ok()?, value.get(1..)?))
    });
    let mut out = Vec::new();
    match handshake::validate(Request {
        method: "GET",
        minor_version: 1,
        headers,
    }) {
        Ok(upgrade) => {
            let answer = Answer {
                protocol: upgrade.protocols().first().copied(),
                deflate: upgrade.deflate(&Policy::default()),
                headers: &[],
            };
            upgrade
                .respond(answer, &mut out)
                .expect("what was offered may be chosen");
            check_head(&out, 101);
            assert!(out.ends_with(b"\r\n\r\n"), "nothing after the head");
        }
        Err(refusal) => {
            refusal.respond(&mut out);
            check_head(&out, refusal.status());
            assert_ne!(refusal, Refusal::Method);
        }
    }
    let request = ClientRequest {
        host: "localhost",
        target: "/",
        protocols: &["chat"],
        deflate: Policy::default(),
        headers: &[],
    };
    let mut client = request
        .encode([7; 16], &mut Vec::new())
        .expect("a good request");
    let mut whole = client.clone();
    let (front, _) = data.split_at(data.len() / 2);
    let early = client.receive(front);
    if matches!(early, Ok(None)) {
        assert_eq!(client.receive(data), whole.receive(data), "in two parts");
    }
}

/// A head that any HTTP parser takes, with the lines that we wrote and no more.
fn check_head(out: &[u8], status: u16) {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    assert!(response.parse(out).expect("a good head").is_complete());
    assert_eq!(response.code, Some(status));
    for header in response.headers {
        const KNOWN: [&str; 9] = [
            "Upgrade",
            "Connection",
            "Allow",
            "Content-Type",
            "Content-Length",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Version",
        ];
        assert!(KNOWN.contains(&header.name), "{}", header.name);
    }
}

/// Negotiation: the bytes are the value of the client's header, and of the server's.
pub fn deflate_negotiation(data: &[u8]) {
    let bits = |byte: Option<&u8>| WindowBits::new(8 + byte.map_or(7, |byte| byte & 7));
    for mode in [Mode::Off, Mode::Shared, Mode::Takeover] {
        let policy = Policy {
            server_max_window_bits: bits(data.first()).unwrap_or(WindowBits::MAX),
            client_max_window_bits: bits(data.last()).unwrap_or(WindowBits::MAX),
            ..Policy::new(mode)
        };
        let agreed = deflate::negotiate([data], &policy);
        if let Ok(Some(agreement)) = agreed {
            assert_ne!(mode, Mode::Off);
            assert!(agreement.server_window_bits() > WindowBits::MIN);
            let shared =
                agreement.server_no_context_takeover() && agreement.client_no_context_takeover();
            assert!(shared || mode == Mode::Takeover);
            // The answer is an offer that we would take as well.
            let value = agreement.response_value();
            let again = deflate::negotiate([value.as_bytes()], &Policy::new(mode));
            assert_eq!(
                again
                    .expect("our own grammar")
                    .map(Agreement::response_value),
                Some(value)
            );
        }
        if let Ok(Some(agreement)) = deflate::accept([data], &policy) {
            assert!(agreement.server_window_bits() <= policy.server_max_window_bits);
            assert!(agreement.client_window_bits() <= policy.client_max_window_bits);
        }
    }
}
