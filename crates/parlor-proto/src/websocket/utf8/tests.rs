use proptest::collection::vec;
use proptest::prelude::*;

use super::{Invalid, Validator, is_valid};

/// After each byte: can these bytes still become UTF-8?
fn can_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

#[test]
fn fails_at_the_first_bad_byte() {
    // All pairs of bytes, and all continuations of every lead byte.
    for first in 0..=255 {
        for second in 0..=255 {
            for rest in [&[][..], &[0x80], &[0x80, 0x80], &[0xBF, 0xBF], b"a"] {
                let bytes = [&[first, second], rest].concat();
                let mut validator = Validator::default();
                for at in 0..bytes.len() {
                    let fine = validator.push(&bytes[at..=at]).is_ok();
                    assert_eq!(fine, can_go_on(&bytes[..=at]), "{:02x?}", &bytes[..=at]);
                    if !fine {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn the_end_may_not_be_inside_a_character() {
    for (bytes, whole) in [
        (&b""[..], true),
        (b"a", true),
        (b"\xC3", false),
        (b"\xF0\x9F", false),
    ] {
        let mut validator = Validator::default();
        assert_eq!(validator.push(bytes), Ok(()));
        assert_eq!(validator.finish().is_ok(), whole);
        // And it begins anew.
        assert_eq!(validator.push(b"next"), Ok(()));
        assert_eq!(validator.finish(), Ok(()));
    }
    assert_eq!(Validator::default().push(b"\x80"), Err(Invalid));
}

proptest! {
    #[test]
    fn pieces_are_as_good_as_the_whole(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..12),
            ".{0,200}".prop_map(String::into_bytes),
            (".{0,90}", vec(any::<u8>(), 0..3), ".{0,90}")
                .prop_map(|(a, b, c)| [a.as_bytes(), &b, c.as_bytes()].concat()),
        ],
        sizes in vec(0..70_usize, 1..10),
    ) {
        let mut validator = Validator::default();
        let (mut rest, mut result) = (&*bytes, Ok(()));
        for size in sizes.iter().cycle().take(400) {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            result = result.and_then(|()| validator.push(piece));
            rest = after;
        }
        let result = result.and_then(|()| validator.push(rest)).and_then(|()| validator.finish());
        prop_assert_eq!(result.is_ok(), std::str::from_utf8(&bytes).is_ok());
        prop_assert_eq!(is_valid(&bytes), std::str::from_utf8(&bytes).is_ok());
    }
}
