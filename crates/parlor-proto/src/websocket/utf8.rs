//! UTF-8 checked as it comes in, in pieces of any size.

/// Whether `bytes` are UTF-8 as a whole.
pub(crate) fn is_valid(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Remembers the begun character at the end of a piece (three bytes at most).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validator {
    begun: [u8; 3],
    len: u8,
}

/// The text cannot become UTF-8 any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Validator {
    /// Takes the next piece; fails at the first byte that no valid text could have there.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.len > 0 {
            let Some((byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.push_byte(*byte)?;
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let tail = piece.get(error.valid_up_to()..).unwrap_or_default();
                self.keep(tail);
                Ok(())
            }
            Err(_) => Err(Invalid),
        }
    }

    /// Takes the end of the text; fails where it stands inside a character.
    pub(crate) fn finish(&mut self) -> Result<(), Invalid> {
        let whole = self.len == 0;
        *self = Self::default();
        if whole { Ok(()) } else { Err(Invalid) }
    }

    fn push_byte(&mut self, byte: u8) -> Result<(), Invalid> {
        let [a, b, c] = self.begun;
        let mut character = [a, b, c, 0];
        let len = usize::from(self.len) + 1;
        character[len - 1] = byte;
        match std::str::from_utf8(&character[..len]) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_none() => self.keep(&character[..len]),
            Err(_) => return Err(Invalid),
        }
        Ok(())
    }

    /// `tail` is a begun character, so it has one to three bytes.
    fn keep(&mut self, tail: &[u8]) {
        for (place, byte) in self.begun.iter_mut().zip(tail) {
            *place = *byte;
        }
        self.len = u8::try_from(tail.len().min(3)).unwrap_or(3);
    }
}

#[cfg(test)]
mod tests;
