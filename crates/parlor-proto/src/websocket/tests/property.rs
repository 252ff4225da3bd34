//! What holds for any input: any split gives the same events, nothing panics, memory is bounded,
//! and what one end sends the other end hears.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::deflate::{Agreement, Compressors, Mode, Policy, WindowBits};
use super::super::{Connection, Delivery, Fragment, Limits, Message};
use super::{Flags, Kind, MASK, OpCode, Options, Role, Said, Setup, agreed, transcript};
use crate::fuzzing;
use crate::websocket::frame;

/// A frame that is mostly right.
#[derive(Clone, Debug)]
struct Rough {
    opcode: u8,
    fin: bool,
    rsv1: bool,
    masked: bool,
    payload: Vec<u8>,
}

fn rough() -> impl Strategy<Value = Rough> {
    let opcode = prop_oneof![
        4 => Just(1_u8), 4 => Just(2), 6 => Just(0), 2 => Just(9), 1 => Just(10), 1 => Just(8),
        1 => 0..16_u8,
    ];
    let payload = prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        4 => "[a-zäß€😀]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 120..140),
        1 => Just(vec![b'a'; 66_000]),
        1 => Just(vec![0x03, 0xE8, b'o', b'k']),
    ];
    let bool = |odds| prop::bool::weighted(odds);
    (opcode, bool(0.6), bool(0.3), bool(0.98), payload).prop_map(
        |(opcode, fin, rsv1, masked, payload)| Rough {
            opcode,
            fin,
            rsv1,
            masked,
            payload,
        },
    )
}

/// The bytes of rough frames; payloads with RSV1 are compressed.
fn encode(frames: &[Rough], role: Role) -> Vec<u8> {
    let mut compressors = Compressors::new(Policy::default());
    let mut out = Vec::new();
    for rough in frames {
        let mut payload = rough.payload.clone();
        if rough.rsv1 && rough.fin {
            payload.clear();
            compressors
                .get(WindowBits::MAX)
                .compress(&rough.payload, &mut payload);
        }
        let mask = if rough.masked == (role == Role::Server) {
            MASK
        } else {
            None
        };
        let flags = Flags {
            fin: rough.fin || rough.opcode >= 8,
            rsv1: rough.rsv1,
        };
        let start = out.len();
        frame::encode_masked(&mut out, (flags, OpCode::Binary), mask, &payload);
        out[start] = out[start] & 0xF0 | rough.opcode;
    }
    out
}

fn setups() -> impl Strategy<Value = Setup> {
    let role = prop_oneof![Just(Role::Server), Just(Role::Client)];
    let agreement = prop_oneof![
        Just(None),
        Just(agreed(Mode::Shared)),
        Just(agreed(Mode::Takeover))
    ];
    let bytes = prop_oneof![Just(0_usize), Just(50), Just(70_000), Just(1 << 20)];
    let delivery = prop_oneof![Just(Delivery::Messages), Just(Delivery::Fragments)];
    (role, agreement, bytes, 0..5_u32, delivery, any::<bool>()).prop_map(
        |(role, agreement, message_bytes_max, message_fragments_max, delivery, validate_utf8)| {
            let limits = Limits {
                message_bytes_max,
                message_fragments_max,
            };
            let options = Options {
                limits,
                delivery,
                validate_utf8,
                auto_pong: true,
            };
            Setup {
                role,
                agreement,
                options,
            }
        },
    )
}

/// The input cut at these places.
fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    places.sort_unstable();
    places.push(input.len());
    let mut from = 0;
    places
        .iter()
        .map(|to| &input[std::mem::replace(&mut from, *to)..*to])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_gives_the_same_events(
        setup in setups(),
        frames in vec(rough(), 1..8),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let input = encode(&frames, setup.role);
        let whole = transcript(&setup, std::iter::once(&*input));
        prop_assert_eq!(&whole, &transcript(&setup, cut(&input, &cuts).into_iter()));
        if input.len() < 2000 {
            prop_assert_eq!(&whole, &transcript(&setup, input.chunks(1)));
        }
    }

    #[test]
    fn both_deliveries_say_the_same(setup in setups(), frames in vec(rough(), 1..8)) {
        let input = encode(&frames, setup.role);
        let mut other = setup;
        other.options.delivery = Delivery::Fragments;
        let one = transcript(&setup, std::iter::once(&*input));
        prop_assert_eq!(one, transcript(&other, std::iter::once(&*input)));
    }

    #[test]
    fn any_bytes_do_no_harm(data in vec(any::<u8>(), 0..300)) {
        fuzzing::frames(&data);
        fuzzing::handshake(&data);
        fuzzing::deflate_negotiation(&data);
    }

    #[test]
    fn what_is_sent_is_heard(
        server in any::<bool>(),
        mode in prop_oneof![Just(None), Just(Some(Mode::Shared)), Just(Some(Mode::Takeover))],
        bits in 9..=15_u8,
        level in 0..=9_u8,
        messages in vec((any::<bool>(), any::<bool>(), vec(".{0,60}", 1..4), 1..60_usize), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bits = WindowBits::new(bits).expect("in range");
        let agreement = mode.map(|mode| {
            Agreement::from_parts(bits, bits, if mode == Mode::Shared { 3 } else { 0 })
        });
        let policy = Policy { level, threshold: 20, ..Policy::default() };
        let mut compressors = Compressors::new(policy);
        let (role, other, mask) = if server {
            (Role::Server, Role::Client, None)
        } else {
            (Role::Client, Role::Server, MASK)
        };
        let mut connection = Connection::new(role, agreement);
        let (mut out, mut said) = (Vec::new(), Vec::new());
        for (is_text, compress, parts, repeat) in &messages {
            let kind = if *is_text { Kind::Text } else { Kind::Binary };
            let parts: Vec<Vec<u8>> =
                parts.iter().map(|part| part.repeat(*repeat).into_bytes()).collect();
            if let [payload] = &*parts {
                let message = Message { kind, payload, compress: *compress };
                connection.send(message, mask, &mut compressors, &mut out).expect("open");
            } else {
                for (at, payload) in parts.iter().enumerate() {
                    let fin = at + 1 == parts.len();
                    let fragment = Fragment { kind, payload, compress: *compress, fin };
                    connection.send_fragment(fragment, mask, &mut compressors, &mut out)
                        .expect("open");
                }
            }
            said.push(Said::Message(kind, parts.concat()));
        }
        let setup = Setup { role: other, agreement, options: Options::default() };
        let transcript = transcript(&setup, cut(&out, &cuts).into_iter());
        prop_assert_eq!(transcript.error, None);
        prop_assert_eq!(transcript.said, said);
    }
}
