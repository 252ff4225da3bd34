//! A message that an embedder sends in fragments, and what waits for its end.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::embed::{Compression, Fragment, Message};

/// Between the fragments of one message there may be no other (RFC 6455, section 5.4): here is what
/// has to wait.
#[derive(Debug, Default)]
pub(crate) struct Fragmented {
    /// The message of which the first fragment is gone and the last is not.
    open: Option<u32>,
    /// When a fragment was sent, or the socket had taken all of them: milliseconds of the shard's
    /// clock.
    pub(super) heard: u64,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Who waits until everything is sent that waits here.
    flushes: Vec<oneshot::Sender<()>>,
}

/// Something to be sent.
#[derive(Debug)]
pub(super) enum Waiting {
    Whole(Message, Compression),
    Fragment(Fragment),
}

impl Waiting {
    fn cost(&self) -> usize {
        let bytes = match self {
            Self::Whole(message, _) => message.len(),
            Self::Fragment(fragment) => fragment.payload.len(),
        };
        size_of::<Self>() + bytes
    }
}

impl Fragmented {
    /// Whether a message is begun and not finished, so that others have to wait.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When it was last heard of, while it is open.
    pub(crate) fn heard(&self) -> Option<u64> {
        self.open.map(|_| self.heard)
    }

    /// About how many bytes wait, unless it is a single message.
    pub(crate) fn held_bytes(&self) -> usize {
        match self.waiting.len() {
            0 | 1 => 0,
            _ => self.bytes,
        }
    }

    /// Notes who waits until everything is sent.
    pub(crate) fn await_flush(&mut self, answer: oneshot::Sender<()>) {
        self.flushes.retain(|answer| !answer.is_closed());
        self.flushes.push(answer);
    }

    /// Those whom nothing that waits here keeps any more.
    pub(crate) fn take_flushes(&mut self) -> Vec<oneshot::Sender<()>> {
        match self.open {
            None => std::mem::take(&mut self.flushes),
            Some(_) => Vec::new(),
        }
    }

    /// Puts something behind what waits.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.cost();
        self.waiting.push_back(waiting);
    }

    /// Whether a fragment goes out before all that waits, since it is of the open message. Notes
    /// it then.
    pub(super) fn passes(&mut self, fragment: &Fragment) -> bool {
        let passes = self.open == Some(fragment.message);
        if passes {
            self.open = (!fragment.fin).then_some(fragment.message);
        }
        passes
    }

    /// The next that may be sent: of an open message its next fragment, otherwise the first that
    /// waits.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        let at = match self.open {
            None => 0,
            Some(open) => {
                let is_next = |waiting: &Waiting| matches!(waiting, Waiting::Fragment(fragment) if fragment.message == open);
                self.waiting.iter().position(is_next)?
            }
        };
        let next = self.waiting.remove(at)?;
        self.bytes -= next.cost();
        if let Waiting::Fragment(fragment) = &next {
            self.open = (!fragment.fin).then_some(fragment.message);
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use parlor_proto::websocket::Kind;

    use super::*;

    /// Numbers are whole messages; `a` to `z` are fragments of the message of that letter, and
    /// `A` to `Z` its last.
    fn check(said: &str, sent: &str) {
        let mut fragmented = Fragmented::default();
        let mut out = String::new();
        for letter in said.chars() {
            let text = letter.to_string();
            let waiting = match letter.is_ascii_digit() {
                true => Waiting::Whole(Message::from(text), Compression::Agreed),
                false => Waiting::Fragment(Fragment {
                    message: letter.to_ascii_lowercase() as u32,
                    kind: Kind::Text,
                    payload: text.into(),
                    compression: Compression::Agreed,
                    fin: letter.is_ascii_uppercase(),
                }),
            };
            let passes = match &waiting {
                Waiting::Fragment(fragment) => fragmented.passes(fragment),
                Waiting::Whole(..) => false,
            };
            match passes {
                true => out.push(letter),
                false => fragmented.push(waiting),
            }
            while let Some(next) = fragmented.next() {
                out.push_str(&match next {
                    Waiting::Whole(message, _) => message.as_text().unwrap().to_owned(),
                    Waiting::Fragment(fragment) => {
                        String::from_utf8(fragment.payload.to_vec()).unwrap()
                    }
                });
            }
        }
        assert_eq!(out, sent, "{said}");
        if !fragmented.is_open() {
            assert_eq!((fragmented.bytes, fragmented.waiting.len()), (0, 0));
        }
    }

    #[test]
    fn nothing_comes_between_the_fragments_of_a_message() {
        check("12", "12");
        check("aaA1", "aaA1");
        check("a1a2A3", "aaA123");
        check("1a2bA3B4", "1aA2bB34");
        check("a1b2c3Ab4B5C", "aA1bbB2cC345");
        check("a1bB2A", "aA1bB2");
        check("a12a", "aa");
    }
}
