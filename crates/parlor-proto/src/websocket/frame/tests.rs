use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    Error, Flags, HEADER_BYTES_MAX, Header, OpCode, apply_mask, boundary, decode_header, encode,
    encode_header,
};

/// Byte by byte, as RFC 6455, section 5.3, defines it.
fn mask_slowly(payload: &mut [u8], key: [u8; 4], offset: u64) {
    for (i, byte) in (offset..).zip(payload) {
        *byte ^= key[usize::try_from(i % 4).unwrap()];
    }
}

#[test]
fn header_forms() {
    let rows: &[(u64, &[u8])] = &[
        (0, &[0x82, 0]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xFF, 0xFF]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (
            (1 << 63) - 1,
            &[0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
    ];
    for (len, bytes) in rows {
        let header = Header {
            flags: Flags::FIN,
            opcode: OpCode::Binary,
            mask: None,
            len: *len,
        };
        let mut out = Vec::new();
        encode_header(&mut out, &header);
        assert_eq!(out, *bytes);
        assert_eq!(decode_header(&out), Ok(Some((header, out.len()))));
    }
}

#[test]
fn a_header_that_is_not_whole() {
    let header = Header {
        flags: Flags::RSV1,
        opcode: OpCode::Text,
        mask: Some([1, 2, 3, 4]),
        len: 70_000,
    };
    let mut out = Vec::new();
    encode_header(&mut out, &header);
    assert_eq!(out.len(), HEADER_BYTES_MAX);
    for len in 0..out.len() {
        assert_eq!(decode_header(&out[..len]), Ok(None));
    }
    // What the first byte shows is refused before the second came.
    assert_eq!(decode_header(&[0xA1]), Err(Error::ViolationReservedBit));
    assert_eq!(
        decode_header(&[0x83]),
        Err(Error::ViolationOpCode { opcode: 3 })
    );
    assert_eq!(
        decode_header(&[0x09]),
        Err(Error::ViolationControlFragmented)
    );
    assert_eq!(
        decode_header(&[0x89, 0x7E]),
        Err(Error::ViolationControlLength)
    );
}

#[test]
fn boundaries() {
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for len in [0, 5, 126, 70_000, 3] {
        encode(&mut bytes, Flags::FIN, OpCode::Text, &vec![b'x'; len]);
        ends.push(bytes.len());
    }
    for sent in 0..=bytes.len() {
        let end = ends.iter().copied().find(|end| *end >= sent).unwrap();
        assert_eq!(boundary(&bytes, sent), end);
    }
    // What is no frame ends with the bytes.
    assert_eq!(boundary(&[0xFF; 9], 3), 9);
    assert_eq!(boundary(b"\x81\x05Hel", 1), 5);
    assert_eq!(boundary(b"", 0), 0);
}

proptest! {
    #[test]
    fn decode_after_encode_is_identity(
        fin in any::<bool>(),
        rsv1 in any::<bool>(),
        opcode in prop_oneof![
            Just(OpCode::Continuation), Just(OpCode::Text), Just(OpCode::Binary),
        ],
        mask in any::<Option<[u8; 4]>>(),
        len in prop_oneof![0..300_u64, 65_000..66_000_u64, 0..1_u64 << 63],
    ) {
        let header = Header { flags: Flags { fin, rsv1 }, opcode, mask, len };
        let mut out = Vec::new();
        encode_header(&mut out, &header);
        prop_assert_eq!(decode_header(&out), Ok(Some((header, out.len()))));
    }

    #[test]
    fn masking_is_as_defined(
        payload in vec(any::<u8>(), 0..300),
        key in any::<[u8; 4]>(),
        offset in any::<u64>(),
        from in 0..70_usize,
    ) {
        // Also where the slice does not begin at a word.
        let from = from.min(payload.len());
        let (mut fast, mut slow) = (payload.clone(), payload.clone());
        apply_mask(&mut fast[from..], key, offset);
        mask_slowly(&mut slow[from..], key, offset);
        prop_assert_eq!(&fast, &slow);
        apply_mask(&mut fast[from..], key, offset);
        prop_assert_eq!(&fast, &payload);
    }
}
