//! What each message carries: its test, publisher, number and due time, as 32 letters from `a` to
//! `p`, so that it may travel as text in any protocol.

use super::time::Nanos;

/// The beginning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Drawn for each test: what another test left in the room is not ours.
    pub(super) test: u16,
    pub(super) publisher: u16,
    /// The number of the message among its publisher's, from 0.
    pub(super) number: u32,
    /// When it should have been sent.
    pub(super) due: Nanos,
}

/// Messages of one size.
#[derive(Debug)]
pub(super) struct Payloads {
    pads: Vec<Vec<u8>>,
    message: Vec<u8>,
}

impl Stamp {
    pub(super) const LEN: usize = 32;

    fn encode(self) -> [u8; Self::LEN] {
        let origin = u32::from(self.test) << 16 | u32::from(self.publisher);
        let [early, late] = [self.due >> 32, self.due & u64::from(u32::MAX)]
            .map(|half| u32::try_from(half).unwrap_or_default());
        let mut bytes = [0; Self::LEN];
        let parts = [origin, self.number, early, late];
        for (part, place) in parts.into_iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&letters(part));
        }
        bytes
    }

    /// The stamp at the beginning of a message, if there is one.
    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (bytes, _) = message.split_first_chunk::<{ Self::LEN }>()?;
        let (parts, _) = bytes.as_chunks::<8>();
        let &[origin, number, early, late] = parts else {
            return None;
        };
        let [origin, number, early, late] = [
            number_of(origin)?,
            number_of(number)?,
            number_of(early)?,
            number_of(late)?,
        ];
        let [high, low] = [origin >> 16, origin & 0xffff].map(u16::try_from);
        let due = u64::from(early) << 32 | u64::from(late);
        Some(Self {
            test: high.ok()?,
            publisher: low.ok()?,
            number,
            due,
        })
    }
}

impl Payloads {
    /// Messages of `size` bytes, at least [`Stamp::LEN`]. What follows the stamp is one of 64 texts
    /// in turn: to a compressor neither noise nor the same again and again.
    pub(super) fn new(size: usize) -> Self {
        let rest = size.saturating_sub(Stamp::LEN);
        let pads = (0..PADS).map(|turn| pad(turn, rest)).collect();
        Self {
            pads,
            message: Vec::with_capacity(size),
        }
    }

    /// The message with this stamp.
    pub(super) fn message(&mut self, stamp: Stamp) -> &[u8] {
        self.message.clear();
        self.message.extend_from_slice(&stamp.encode());
        let turn = usize::try_from(stamp.number).unwrap_or_default() % PADS;
        self.message.extend_from_slice(&self.pads[turn]);
        &self.message
    }
}

fn pad(turn: usize, len: usize) -> Vec<u8> {
    let mut text = String::with_capacity(len + 64);
    let mut step = turn;
    while text.len() < len {
        step = step.wrapping_mul(5).wrapping_add(turn + 1) % 977;
        let word = WORDS[step % WORDS.len()];
        text.push_str(&format!(" {word}={}", step * 31 % 1009));
    }
    text.truncate(len);
    text.into_bytes()
}

/// A number as eight letters, one for four bits.
fn letters(number: u32) -> [u8; 8] {
    let mut spread = u64::from(number);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    (spread + LETTERS).to_be_bytes()
}

fn number_of(letters: [u8; 8]) -> Option<u32> {
    let spread = u64::from_be_bytes(letters).wrapping_sub(LETTERS);
    // A byte before `a` borrows, one after `p` overflows: both leave a high half that is not zero.
    if spread & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let pairs = (spread | spread >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

const LETTERS: u64 = u64::from_be_bytes([b'a'; 8]);
const PADS: usize = 64;
const WORDS: [&str; 12] = [
    "score", "lamp", "orchard", "level", "x", "y", "violin", "harbour", "speed", "tone", "winter",
    "queue",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back() {
        let numbers = [0, 1, 15, 16, 0xdead_beef, u32::MAX];
        for number in numbers {
            let stamp = Stamp {
                test: 0xbeef,
                publisher: 513,
                number,
                due: u64::from(number) << 17 | 5,
            };
            for size in [32, 33, 64, 1000] {
                let mut payloads = Payloads::new(size);
                let message = payloads.message(stamp);
                assert_eq!(message.len(), size);
                assert!(message.is_ascii());
                assert_eq!(Stamp::decode(message), Some(stamp));
            }
        }
    }

    #[test]
    fn other_messages_have_none() {
        let stamp = Stamp {
            test: 1,
            publisher: 2,
            number: 3,
            due: 4,
        };
        let good = stamp.encode();
        assert_eq!(Stamp::decode(b""), None);
        assert_eq!(Stamp::decode(&good[..31]), None);
        for at in 0..Stamp::LEN {
            for wrong in [0, b'`', b'q', b'A', b' ', 0xff] {
                let mut bad = good;
                bad[at] = wrong;
                assert_eq!(Stamp::decode(&bad), None, "{wrong} at {at}");
            }
        }
    }
}
